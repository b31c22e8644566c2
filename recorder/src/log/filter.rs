//! What this thread has accessed since its last event: the filter that keeps repetitions out.
//!
//! Between two events of a thread all its accesses stand in the same relation to every other
//! thread's. One that repeats another, of the same place in the program, to the same address, of the
//! same kind and size, can only be part of the races that the first is part of: leaving it out is
//! exact. A timeline of accesses wants them all: `MMTRACE_FULL=1`.

/// Accesses remembered. 8 KiB a thread.
const ENTRY_COUNT: usize = 512;

#[derive(Clone, Copy)]
struct Entry {
    /// The whole record of a short access.
    word: u64,
    epoch: u64,
}

/// A direct-mapped table of accesses, each good for one epoch.
pub(crate) struct Filter {
    entries: Box<[Entry; ENTRY_COUNT]>,
    /// What has happened so far: events of this thread, and chunks, whose contexts are their own.
    /// None: nothing is left out.
    epoch: u64,
    is_full: bool,
}

impl Filter {
    /// A filter that lets the first of each access pass, or with `is_full` every one.
    pub(crate) fn new(is_full: bool) -> Self {
        Self { entries: Box::new([Entry { word: 0, epoch: 0 }; ENTRY_COUNT]), epoch: 1, is_full }
    }

    /// Whether the access need not be recorded; if it need, the next one of its kind will not.
    #[inline]
    pub(crate) fn repeats(&mut self, word: u64) -> bool {
        // Neighbouring words of memory get neighbouring entries: an array sweep does not collide.
        let entry = &mut self.entries[(word >> 2) as usize % ENTRY_COUNT];
        if entry.word == word && entry.epoch == self.epoch {
            return !self.is_full;
        }
        *entry = Entry { word, epoch: self.epoch };
        false
    }

    /// This thread did something that others may be ordered by, or began a chunk.
    #[inline]
    pub(crate) fn begin_epoch(&mut self) {
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_is_recorded_once_an_epoch() {
        let mut filter = Filter::new(false);
        assert!(!filter.repeats(1 << 63 | 64));
        assert!(filter.repeats(1 << 63 | 64));
        assert!(!filter.repeats(1 << 63 | 1 << 60 | 64), "of another kind");
        filter.begin_epoch();
        assert!(!filter.repeats(1 << 63 | 64));
    }

    #[test]
    fn a_collision_costs_a_record_and_hides_none() {
        let mut filter = Filter::new(false);
        let (one, other) = (1 << 63, 1 << 63 | (ENTRY_COUNT as u64) << 2);
        assert_eq!([one, other, one].map(|word| filter.repeats(word)), [false; 3]);
    }

    #[test]
    fn a_full_recording_has_every_access() {
        let mut filter = Filter::new(true);
        assert_eq!([8, 8, 8].map(|word| filter.repeats(word)), [false; 3]);
    }
}
