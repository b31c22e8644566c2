//! What the passes read: chunks' lanes, and each thread's fragments in program order.

use std::collections::{BTreeMap, HashMap};

use mmtrace_format::chunk::{
    AccessColumns, Chunk, ChunkError, ChunkHeader, Fragment, LaneDecoder, SyncColumns,
};
use mmtrace_format::{StreamId, ThreadId};

use crate::hash::FastHash;

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

    const EMPTY: Self = Self {
        chunk: 0,
        event_start: 0,
        event_end: 0,
        access_start: 0,
        access_end: 0,
        before: Self::FIRST,
    };
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
    /// Reads the headers of all chunks, three times: logs of Go programs have millions of fragments,
    /// and memory that nobody has touched yet costs more than to read them again. Costs time and
    /// memory in proportion to them.
    ///
    /// # Panics
    /// If `lanes` says another thing of a chunk the second time.
    pub fn new(lanes: &'a dyn Lanes) -> Self {
        let mut counted = Counted::default();
        for chunk in 0..lanes.chunk_count() {
            counted.count(lanes.header(chunk).ok());
        }
        let Counted { totals, damaged, fragments_of_chunk, mut streams, mut threads, .. } = counted;
        threads.sort_unstable_by_key(|fragments| fragments.thread);
        let mut starts = vec![0];
        for fragments in &threads {
            starts.push(starts[starts.len() - 1] + fragments.count);
        }
        streams.sort_unstable();
        let mut places = Places::new(&threads);
        let threads: Vec<ThreadId> = threads.iter().map(|fragments| fragments.thread).collect();
        let each_header = |visit: &mut dyn FnMut(u32, &ChunkHeader)| {
            for &(_, _, chunk) in &streams {
                if let Ok(header) = lanes.header(chunk as usize) {
                    visit(chunk, &header);
                }
            }
        };
        let dense = |fragment: &Fragment| {
            dense_number(&threads, fragment.thread).expect("all threads have been counted")
        };
        each_header(&mut |_, header| {
            for fragment in &header.fragments {
                places.count(dense(fragment), fragment.count);
            }
        });
        places.begin();
        let mut fragments = vec![FragmentSpan::EMPTY; starts[threads.len()] as usize];
        let is_chained = lanes.streams_are_in_time();
        let mut last: Option<(StreamId, u32)> = None;
        each_header(&mut |chunk, header| {
            for (index, fragment) in header.fragments.iter().enumerate() {
                let place = places.take(dense(fragment), fragment.count);
                let before = last.filter(|&(stream, _)| is_chained && stream == header.stream);
                last = Some((header.stream, place));
                let next = header.fragments.get(index + 1);
                fragments[place as usize] = FragmentSpan {
                    chunk,
                    event_start: fragment.first_event,
                    event_end: next.map_or(header.sync_count, |next| next.first_event),
                    access_start: fragment.first_access,
                    access_end: next.map_or(header.access_count, |next| next.first_access),
                    before: before.map_or(FragmentSpan::FIRST, |(_, before)| before),
                };
            }
        });
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
        dense_number(&self.threads, thread)
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

/// What a first look at all headers gives.
#[derive(Default)]
struct Counted {
    totals: Totals,
    damaged: Vec<usize>,
    fragments_of_chunk: Vec<u32>,
    /// When the first chunk was opened.
    first_ns: Option<u64>,
    /// The chunks that can be read, with their streams and their numbers there.
    streams: Vec<(StreamId, u32, u32)>,
    threads: Vec<Fragments>,
    /// Where each thread is in `threads`.
    places: HashMap<ThreadId, usize, FastHash>,
}

/// The fragments of a thread.
struct Fragments {
    thread: ThreadId,
    count: u32,
    /// The smallest and the largest of their numbers.
    first: u64,
    last: u64,
}

impl Counted {
    /// The next chunk; `None` if it is damaged.
    fn count(&mut self, header: Option<ChunkHeader>) {
        let chunk = self.fragments_of_chunk.len();
        let Some(header) = header else {
            self.damaged.push(chunk);
            self.fragments_of_chunk.push(0);
            return;
        };
        let first_ns = self.first_ns.unwrap_or(u64::MAX).min(header.first_time.ns);
        let last_ns = self.first_ns.unwrap_or(0).saturating_add(self.totals.duration_ns);
        self.totals.duration_ns = last_ns.max(header.last_time.ns).saturating_sub(first_ns);
        self.first_ns = Some(first_ns);
        self.totals.events += u64::from(header.sync_count);
        self.totals.accesses += u64::from(header.access_count);
        self.fragments_of_chunk.push(count_u32(header.fragments.len()));
        self.streams.push((header.stream, header.number, count_u32(chunk)));
        for &Fragment { thread, count: number, .. } in &header.fragments {
            let place = *self.places.entry(thread).or_insert_with(|| {
                self.threads.push(Fragments { thread, count: 0, first: number, last: number });
                self.threads.len() - 1
            });
            let fragments = &mut self.threads[place];
            fragments.count += 1;
            fragments.first = fragments.first.min(number);
            fragments.last = fragments.last.max(number);
        }
    }
}

/// Where each fragment goes: a sort by counting, thread by thread, of the fragments' numbers.
///
/// A fragment that goes on in its stream's next chunk is there with the same number, and stays
/// behind its first part.
struct Places {
    threads: Vec<Numbers>,
    /// See [`Numbers::Dense`].
    slots: Vec<u32>,
}

/// For each number that a thread's fragments have: how many of them have it; and when all are
/// counted, where the next one goes.
enum Numbers {
    /// By the number, less the smallest one, in [`Places::slots`] from here on.
    Dense { start: usize, len: usize, first: u64 },
    /// The log has lost most of the thread.
    Sparse(BTreeMap<u64, u32>),
}

impl Places {
    fn new(threads: &[Fragments]) -> Self {
        let mut len = 0;
        let numbers = threads.iter().map(|fragments| {
            let range = fragments.last - fragments.first;
            if range > 4 * u64::from(fragments.count) {
                return Numbers::Sparse(BTreeMap::new());
            }
            let (start, own) = (len, range as usize + 1);
            len += own;
            Numbers::Dense { start, len: own, first: fragments.first }
        });
        let threads = numbers.collect();
        Self { threads, slots: vec![0; len] }
    }

    fn slot(&mut self, dense: usize, number: u64) -> &mut u32 {
        match &mut self.threads[dense] {
            Numbers::Dense { start, first, .. } => {
                &mut self.slots[*start + (number - *first) as usize]
            }
            Numbers::Sparse(slots) => slots.entry(number).or_insert(0),
        }
    }

    /// One more fragment of this thread and number.
    fn count(&mut self, dense: usize, number: u64) {
        *self.slot(dense, number) += 1;
    }

    /// All are counted. Thread comes after thread, so that one sum goes through all of them.
    fn begin(&mut self) {
        let mut before = 0;
        let mut begin = |slot: &mut u32| before += std::mem::replace(slot, before);
        for numbers in &mut self.threads {
            match numbers {
                Numbers::Dense { start, len, .. } => {
                    self.slots[*start..*start + *len].iter_mut().for_each(&mut begin);
                }
                Numbers::Sparse(slots) => slots.values_mut().for_each(&mut begin),
            }
        }
    }

    /// The place of the next fragment of this thread and number.
    fn take(&mut self, dense: usize, number: u64) -> u32 {
        let slot = self.slot(dense, number);
        *slot += 1;
        *slot - 1
    }
}

fn dense_number(threads: &[ThreadId], thread: ThreadId) -> Option<usize> {
    match threads.get(thread.index()) {
        Some(&found) if found == thread => Some(thread.index()),
        _ => threads.binary_search(&thread).ok(),
    }
}

/// A count of things that the format bounds below 2^32.
fn count_u32(count: usize) -> u32 {
    u32::try_from(count).expect("a log has fewer than 2^32 chunks and fragments")
}
