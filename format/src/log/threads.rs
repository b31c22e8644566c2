//! Who runs in which chunk.
//!
//! A log of goroutines has a fragment for each time that one was switched to: millions. They are in
//! the chunks' own headers, and read with those. What is kept of all chunks is which threads each has,
//! as it is in the index: ascending, as differences, about a byte each.

use crate::chunk::ChunkError;
use crate::chunk::column::{Reader, put};
use crate::id::ThreadId;

use super::Log;

/// A fragment of a thread: where to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentRef {
    /// Index of its chunk in [`super::Log::chunks`].
    pub chunk: u32,
    /// Index in the chunk header's fragments.
    pub fragment: u32,
}

/// A set of threads in [`ThreadSets`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadSet {
    at: usize,
    len: u32,
}

/// Sets of threads, one a chunk.
#[derive(Clone, Debug, Default)]
pub(crate) struct ThreadSets {
    /// Each set's differences, ascending from 0, in LEB128.
    bytes: Vec<u8>,
}

impl ThreadSets {
    /// Keeps a set of as many threads as `steps`, which are the differences from each to the next,
    /// from 0 on; `None` if they are not ascending or no thread numbers.
    pub(crate) fn push(&mut self, steps: &[u32]) -> Option<ThreadSet> {
        let at = self.bytes.len();
        let mut last = 0_u32;
        for (place, &step) in steps.iter().enumerate() {
            last = last.checked_add(step).filter(|_| step > 0 || place == 0)?;
            put(&mut self.bytes, u64::from(step));
        }
        // Threads of a chunk are fewer than its fragments, which are counted in 32 bits.
        Some(ThreadSet { at, len: steps.len() as u32 })
    }

    /// Keeps a set of threads, which ascend.
    ///
    /// # Panics
    /// If they do not.
    pub(crate) fn push_all(&mut self, threads: &[ThreadId]) -> ThreadSet {
        self.push(&steps(threads)).expect("threads ascend")
    }

    /// The threads of a set, ascending.
    pub(crate) fn threads(&self, set: ThreadSet) -> impl Iterator<Item = ThreadId> + '_ {
        let mut reader = Reader::new("threads", self.bytes.get(set.at..).unwrap_or_default(), 0);
        let mut last = 0;
        (0..set.len).map_while(move |_| {
            // `push` wrote it, and checked the sum.
            let step: Result<u32, ChunkError> = reader.number_u32();
            last += step.ok()?;
            Some(ThreadId::new(last))
        })
    }
}

/// The differences that [`ThreadSets::push`] takes.
pub(crate) fn steps(threads: &[ThreadId]) -> Vec<u32> {
    let mut last = 0;
    threads
        .iter()
        .map(|thread| {
            let step = thread.as_u32() - last;
            last = thread.as_u32();
            step
        })
        .collect()
}

impl Log {
    /// The threads that run in a chunk, ascending, as the directory has them.
    ///
    /// # Panics
    /// If there is no such chunk.
    pub fn threads_of(&self, chunk: usize) -> impl Iterator<Item = ThreadId> + '_ {
        self.sets.threads(self.chunks()[chunk].threads)
    }

    /// Every thread that runs anywhere in the log, by number. Worked out when first asked for.
    pub fn threads(&self) -> &[ThreadId] {
        /// Threads that are collected before those that came twice are dropped.
        const PENDING: usize = 1 << 20;
        self.all_threads.get_or_init(|| {
            let mut all = Vec::new();
            let mut limit = PENDING;
            for chunk in 0..self.chunks().len() {
                all.extend(self.threads_of(chunk));
                if all.len() > limit {
                    all.sort_unstable();
                    all.dedup();
                    limit = all.len() * 2 + PENDING;
                }
            }
            all.sort_unstable();
            all.dedup();
            all.shrink_to_fit();
            all
        })
    }

    /// A thread's fragments, in program order; none if there is no such thread. A chunk whose header
    /// cannot be read has none: reading the chunk says why.
    ///
    /// Reads the headers of all chunks that the thread runs in. Whoever wants the fragments of many
    /// threads goes through the chunks instead.
    pub fn fragments_of(&self, thread: ThreadId) -> Vec<FragmentRef> {
        let mut all = Vec::new();
        for chunk in self.chunks_of(thread) {
            let Ok(read) = self.chunk(chunk) else { continue };
            let header = read.header();
            for (fragment, it) in (0..).zip(&header.fragments) {
                if it.thread == thread {
                    // There are fewer than 2^32 chunks.
                    let place = FragmentRef { chunk: chunk as u32, fragment };
                    all.push((it.count, header.number, place));
                }
            }
        }
        // The place makes the order total, also in a damaged log that has two of the same number.
        all.sort_unstable_by_key(|&(count, number, at)| (count, number, at.chunk, at.fragment));
        all.into_iter().map(|(_, _, place)| place).collect()
    }

    /// The chunks that a thread runs in, as the directory has them.
    pub(super) fn chunks_of(&self, thread: ThreadId) -> impl Iterator<Item = usize> + '_ {
        let has = move |&chunk: &usize| {
            let mut threads = self.threads_of(chunk).skip_while(|&it| it < thread);
            threads.next() == Some(thread)
        };
        (0..self.chunks().len()).filter(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_back_and_what_does_not_ascend_is_none() {
        let mut sets = ThreadSets::default();
        let expected = [vec![0, 1, 7, 4_000_000_000], vec![], vec![300]];
        let kept: Vec<ThreadSet> = expected
            .iter()
            .map(|set| {
                let threads: Vec<ThreadId> = set.iter().map(|&it| ThreadId::new(it)).collect();
                sets.push(&steps(&threads)).unwrap()
            })
            .collect();
        for (set, expected) in kept.into_iter().zip(expected) {
            let found: Vec<u32> = sets.threads(set).map(ThreadId::as_u32).collect();
            assert_eq!(found, expected);
        }
        assert_eq!(sets.push(&[1, 0]), None, "one thread twice");
        assert_eq!(sets.push(&[u32::MAX, 1]), None, "beyond the last number");
    }
}
