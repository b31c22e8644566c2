//! What the passes read: chunks' lanes, and each thread's fragments in program order.

use mmtrace_format::chunk::{
    AccessColumns, Chunk, ChunkError, ChunkHeader, LaneDecoder, SyncColumns,
};
use mmtrace_format::{StreamId, ThreadId};

/// A source of chunks: a log on disk, or in memory.
///
/// What it gives does not change between calls.
pub trait Lanes: Sync {
    /// How many chunks there are.
    fn chunk_count(&self) -> usize;

    /// A chunk.
    ///
    /// # Errors
    /// [`ChunkError`] if it cannot be read at all; it is then a gap.
    fn chunk(&self, chunk: usize) -> Result<Chunk<'_>, ChunkError>;

    /// What a chunk says of itself.
    ///
    /// # Errors
    /// [`ChunkError`] if it is damaged; the chunk is then a gap.
    fn header(&self, chunk: usize) -> Result<ChunkHeader, ChunkError> {
        Ok(self.chunk(chunk)?.header().clone())
    }

    /// Decodes a chunk's sync lane.
    ///
    /// # Errors
    /// [`ChunkError`] if it is damaged; the chunk is then a gap.
    fn decode_sync(
        &self,
        chunk: usize,
        decoder: &mut LaneDecoder,
        columns: &mut SyncColumns,
    ) -> Result<(), ChunkError> {
        self.chunk(chunk)?.decode_sync(decoder, columns)
    }

    /// Decodes a chunk's access lane.
    ///
    /// # Errors
    /// [`ChunkError`] if it is damaged; the accesses are then missing.
    fn decode_accesses(
        &self,
        chunk: usize,
        decoder: &mut LaneDecoder,
        columns: &mut AccessColumns,
    ) -> Result<(), ChunkError> {
        self.chunk(chunk)?.decode_accesses(decoder, columns)
    }

    /// Whether each fragment ran to its end before the next one of its stream began.
    fn streams_are_in_time(&self) -> bool {
        false
    }

    /// The chunk will not be needed soon.
    fn done_with(&self, chunk: usize) {
        let _ = chunk;
    }
}

/// A stretch of a chunk in which one thread runs, with both its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentSpan {
    /// The chunk's place in the log.
    pub chunk: u32,
    /// The first event in the chunk's sync lane.
    pub event_start: u32,
    /// One past the last event.
    pub event_end: u32,
    /// The first access in the chunk's access lane.
    pub access_start: u32,
    /// One past the last access.
    pub access_end: u32,
    /// The fragment before it in its stream, if it is known to have ended before this one began: its
    /// place among all fragments; [`FragmentSpan::FIRST`] if there is none.
    pub before: u32,
}

impl FragmentSpan {
    /// The place of no fragment: the stream's first one has it before it.
    pub const FIRST: u32 = u32::MAX;
}

/// All threads of a log, each with its fragments in program order.
pub struct Trace<'a> {
    lanes: &'a dyn Lanes,
    /// The threads that did anything, ascending; their places here are their *dense* numbers.
    threads: Vec<ThreadId>,
    /// Where each thread's fragments begin in `fragments`; one more entry than threads.
    starts: Vec<u32>,
    fragments: Vec<FragmentSpan>,
    /// How many fragments each chunk has.
    fragments_of_chunk: Vec<u32>,
    totals: Totals,
    damaged: Vec<usize>,
}

/// Sums over all chunks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Events in sync lanes.
    pub events: u64,
    /// Records in access lanes, function entries and exits included.
    pub accesses: u64,
    /// From the first chunk's opening to the last event, in ns.
    pub duration_ns: u64,
}

impl std::fmt::Debug for Trace<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace")
            .field("threads", &self.threads.len())
            .field("fragments", &self.fragments.len())
            .field("totals", &self.totals)
            .finish_non_exhaustive()
    }
}

impl<'a> Trace<'a> {
    /// Reads the headers of all chunks.
    pub fn new(lanes: &'a dyn Lanes) -> Self {
        let mut keyed = Vec::new();
        let mut totals = Totals::default();
        let mut damaged = Vec::new();
        let mut fragments_of_chunk = Vec::with_capacity(lanes.chunk_count());
        let (mut first_ns, mut last_ns) = (u64::MAX, 0);
        for chunk in 0..lanes.chunk_count() {
            let Ok(header) = lanes.header(chunk) else {
                damaged.push(chunk);
                fragments_of_chunk.push(0);
                continue;
            };
            totals.events += u64::from(header.sync_count);
            totals.accesses += u64::from(header.access_count);
            first_ns = first_ns.min(header.first_time.ns);
            last_ns = last_ns.max(header.last_time.ns);
            fragments_of_chunk.push(count_u32(header.fragments.len()));
            push_spans(&header, count_u32(chunk), &mut keyed);
        }
        totals.duration_ns = last_ns.saturating_sub(first_ns);
        keyed.sort_by_key(|&(key, _)| key);
        let (mut threads, mut starts) = (Vec::new(), Vec::new());
        for (place, &(key, _)) in keyed.iter().enumerate() {
            if threads.last() != Some(&key.thread) {
                threads.push(key.thread);
                starts.push(count_u32(place));
            }
        }
        starts.push(count_u32(keyed.len()));
        if lanes.streams_are_in_time() {
            chain_streams(&mut keyed);
        }
        let fragments = keyed.into_iter().map(|(_, span)| span).collect();
        Self { lanes, threads, starts, fragments, fragments_of_chunk, totals, damaged }
    }

    /// The chunks' source.
    pub fn lanes(&self) -> &'a dyn Lanes {
        self.lanes
    }

    /// Sums over all chunks.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// The threads that did anything, ascending. Their places are their dense numbers.
    pub fn threads(&self) -> &[ThreadId] {
        &self.threads
    }

    /// A thread's dense number, if it did anything.
    #[inline]
    pub fn dense(&self, thread: ThreadId) -> Option<usize> {
        match self.threads.get(thread.index()) {
            Some(&found) if found == thread => Some(thread.index()),
            _ => self.threads.binary_search(&thread).ok(),
        }
    }

    /// The fragments of the thread with this dense number, in program order.
    pub fn fragments(&self, dense: usize) -> &[FragmentSpan] {
        &self.fragments[self.starts[dense] as usize..self.starts[dense + 1] as usize]
    }

    /// The place of the thread's first fragment among all fragments.
    pub(crate) fn first_fragment(&self, dense: usize) -> usize {
        self.starts[dense] as usize
    }

    /// How many fragments all threads have.
    pub(crate) fn fragment_count(&self) -> usize {
        self.fragments.len()
    }

    /// How many fragments of any thread a chunk has.
    pub(crate) fn fragments_of_chunk(&self) -> &[u32] {
        &self.fragments_of_chunk
    }

    /// The chunks whose headers cannot be read.
    pub fn damaged_chunks(&self) -> &[usize] {
        &self.damaged
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct FragmentKey {
    thread: ThreadId,
    count: u64,
    number: u32,
    place: u32,
    stream: StreamId,
}

/// Tells each fragment which one comes before it in its stream.
fn chain_streams(keyed: &mut [(FragmentKey, FragmentSpan)]) {
    let mut by_stream: Vec<u32> = (0..count_u32(keyed.len())).collect();
    by_stream.sort_unstable_by_key(|&index| {
        let (key, _) = &keyed[index as usize];
        (key.stream, key.number, key.place)
    });
    for pair in by_stream.windows(2) {
        let (before, after) = (pair[0] as usize, pair[1] as usize);
        if keyed[before].0.stream == keyed[after].0.stream {
            keyed[after].1.before = pair[0];
        }
    }
}

fn push_spans(header: &ChunkHeader, chunk: u32, out: &mut Vec<(FragmentKey, FragmentSpan)>) {
    for (place, fragment) in (0..).zip(&header.fragments) {
        let next = header.fragments.get(place as usize + 1);
        let key = FragmentKey {
            thread: fragment.thread,
            count: fragment.count,
            number: header.number,
            place,
            stream: header.stream,
        };
        let span = FragmentSpan {
            chunk,
            event_start: fragment.first_event,
            event_end: next.map_or(header.sync_count, |next| next.first_event),
            access_start: fragment.first_access,
            access_end: next.map_or(header.access_count, |next| next.first_access),
            before: FragmentSpan::FIRST,
        };
        out.push((key, span));
    }
}

/// A count of things that the format bounds below 2^32.
fn count_u32(count: usize) -> u32 {
    u32::try_from(count).expect("a log has fewer than 2^32 chunks and fragments")
}
