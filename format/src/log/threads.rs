//! Which fragments are whose.

use crate::id::ThreadId;

use super::ChunkEntry;

/// A fragment of a thread: where to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FragmentRef {
    /// Index of its chunk in [`super::Log::chunks`].
    pub chunk: u32,
    /// Index in the chunk header's fragments.
    pub fragment: u32,
}

/// The fragments of all threads, each thread's in program order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Threads {
    ids: Vec<ThreadId>,
    ends: Vec<u32>,
    fragments: Vec<FragmentRef>,
}

impl Threads {
    /// O(fragments × log fragments).
    pub(crate) fn new(chunks: &[ChunkEntry]) -> Self {
        let mut all = Vec::new();
        for (chunk, entry) in (0..).zip(chunks) {
            for (fragment, it) in (0..).zip(&entry.header.fragments) {
                let place = FragmentRef { chunk, fragment };
                all.push((it.thread, it.count, entry.header.number, place));
            }
        }
        // The place makes the order total, also in a damaged log that has two of the same number.
        all.sort_unstable_by_key(|&(thread, count, number, at)| {
            (thread, count, number, at.chunk, at.fragment)
        });
        let mut threads = Self::default();
        for (thread, _, _, place) in all {
            if threads.ids.last() != Some(&thread) {
                threads.ids.push(thread);
                threads.ends.push(0);
            }
            threads.fragments.push(place);
            if let Some(end) = threads.ends.last_mut() {
                // Fragments are fewer than bytes of headers, and those are in memory.
                *end = threads.fragments.len() as u32;
            }
        }
        threads
    }

    pub(crate) fn ids(&self) -> &[ThreadId] {
        &self.ids
    }

    pub(crate) fn fragments_of(&self, thread: ThreadId) -> &[FragmentRef] {
        let Ok(index) = self.ids.binary_search(&thread) else { return &[] };
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.fragments[start as usize..self.ends[index] as usize]
    }
}
