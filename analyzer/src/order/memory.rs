//! Logs in memory, for tests: lines in the order in which they happened, cut into chunks.

use mmtrace_format::chunk::{Chunk, ChunkError, OpenChunk, SealScratch, seal};
use mmtrace_format::event::text::Line;
use mmtrace_format::{StreamId, ThreadId, Timestamp};

use super::Lanes;

/// Chunks in memory, a stream for each thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLanes {
    chunks: Vec<Vec<u8>>,
}

impl MemoryLanes {
    /// Writes each thread's lines into chunks of at most `chunk_words` words.
    pub(crate) fn new(lines: &[Line], chunk_words: usize) -> Self {
        let thread_of = |line: &Line| match line {
            Line::Event(thread, _) | Line::Access(thread, _) => *thread,
        };
        let threads = lines.iter().map(|line| thread_of(line).index() + 1).max().unwrap_or(0);
        let mut lanes = Self::default();
        for number in 0..u32::try_from(threads).unwrap() {
            let thread = ThreadId::new(number);
            lanes.write(thread, lines.iter().filter(|line| thread_of(line) == thread), chunk_words);
        }
        lanes
    }

    fn write<'l>(
        &mut self,
        thread: ThreadId,
        lines: impl Iterator<Item = &'l Line>,
        chunk_words: usize,
    ) {
        let mut scratch = SealScratch::new();
        let mut open = OpenChunk::new(chunk_words);
        let (mut number, mut first, mut last) = (0, None, Timestamp::from_ns(0));
        let mut close = |open: &mut OpenChunk, first: &mut Option<Timestamp>, last| {
            let stream = StreamId::new(thread.as_u32());
            let times = (first.take().unwrap_or(last), last);
            let raw = open.as_raw(stream, number, thread, 0, times);
            let (sealed, error) = seal(&raw, 1, &mut scratch);
            assert_eq!(error, None);
            self.chunks.push(sealed.bytes);
            open.clear();
            number += 1;
        };
        for line in lines {
            match line {
                Line::Event(_, event) => {
                    first.get_or_insert(event.time);
                    last = event.time;
                    open.push_event(event);
                }
                Line::Access(_, access) => open.push_access(access),
            }
            if open.is_full() {
                close(&mut open, &mut first, last);
            }
        }
        if !open.is_empty() {
            close(&mut open, &mut first, last);
        }
    }

    /// Damages a chunk beyond reading.
    pub(crate) fn damage(&mut self, chunk: usize) {
        self.chunks[chunk].truncate(10);
    }
}

impl Lanes for MemoryLanes {
    fn chunk_count(&self) -> usize {
        self.chunks.len()
    }

    fn chunk(&self, chunk: usize) -> Result<Chunk<'_>, ChunkError> {
        Chunk::parse(&self.chunks[chunk])
    }
}
