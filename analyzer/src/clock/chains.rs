//! Chain decomposition: which slot of the clocks each thread's time is kept in.
//!
//! A slot may pass from a dead thread `d` to a new thread `g` iff `d`'s last epoch is in `g`'s
//! clock: then everything of `d` happens before everything of `g`, and the two are one chain. `g`
//! goes on at the time *after* `d`'s last: were it to reuse that time, its first accesses would
//! pass for `d`'s, and their races would be lost.
//!
//! Threads get a slot only when they first touch memory or publish something; a goroutine that does
//! neither happens before nobody and needs no entry.

use std::collections::VecDeque;

use super::{Epoch, LocalTime, Slot, VectorClock};

/// How many dead slots are tried before a new one is made, from either end of their queue.
const TRIES: usize = 8;

/// The largest time of any slot: times can be compared as signed numbers, too.
pub(super) const TIME_MAX: LocalTime = LocalTime::MAX >> 1;

/// The slots and their owners' last words.
#[derive(Debug)]
pub struct Chains {
    /// Slots in use or dead.
    count: u32,
    /// The last epochs of dead chains, oldest death first.
    dead: VecDeque<Epoch>,
    /// The largest time a slot may reach.
    time_max: LocalTime,
}

impl Default for Chains {
    fn default() -> Self {
        Self::with_time_max(TIME_MAX)
    }
}

impl Chains {
    /// No slots; none may go beyond `time_max`.
    pub fn with_time_max(time_max: LocalTime) -> Self {
        Self { count: 0, dead: VecDeque::new(), time_max }
    }

    /// How many slots there are: the width of the clocks.
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// The first epoch of a thread that knows `clock`.
    ///
    /// Tries a few dead slots, the oldest and the newest: the oldest are known to most, the newest
    /// to whoever just joined them. Cost: O(1) look-ups.
    ///
    /// # Panics
    /// If there are 2^32 slots: a log cannot name so many threads.
    pub fn begin(&mut self, clock: &VectorClock) -> Epoch {
        let len = self.dead.len();
        let newest = (len.saturating_sub(TRIES)..len).rev();
        let oldest = 0..len.saturating_sub(TRIES).min(TRIES);
        for index in newest.chain(oldest) {
            let last = self.dead[index];
            if last.happens_before(clock) && last.time < self.time_max {
                self.dead.remove(index);
                return Epoch { slot: last.slot, time: last.time + 1 };
            }
        }
        // The oldest that were of no use are asked again only after all others.
        let stale = len.saturating_sub(TRIES).min(TRIES);
        self.dead.rotate_left(stale);
        let slot = Slot::new(self.count);
        self.count = self.count.checked_add(1).expect("fewer than 2^32 threads have fewer slots");
        Epoch { slot, time: 1 }
    }

    /// The epoch after `epoch` in the same thread, whose clock is `clock`.
    ///
    /// When the slot has no time left the thread moves on to another one, and what it did so far
    /// becomes something that it knows.
    pub fn next(&mut self, epoch: Epoch, clock: &mut VectorClock) -> Epoch {
        if epoch.time < self.time_max {
            return Epoch { slot: epoch.slot, time: epoch.time + 1 };
        }
        clock.learn(epoch);
        self.begin(clock)
    }

    /// The thread at `last` has ended: its slot is free for whoever knows that.
    pub fn end(&mut self, last: Epoch) {
        if last.time < self.time_max {
            self.dead.push_back(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_slot_goes_on_at_the_time_after_its_last() {
        let mut chains = Chains::default();
        let dead = chains.begin(&VectorClock::new());
        chains.end(dead);
        let mut clock = VectorClock::new();
        clock.learn(dead);
        assert_eq!(chains.begin(&clock), Epoch { slot: dead.slot, time: dead.time + 1 });
        assert_eq!(chains.count(), 1);
    }

    #[test]
    fn a_slot_is_not_given_to_a_thread_that_does_not_know_of_the_death() {
        let mut chains = Chains::default();
        let first = chains.begin(&VectorClock::new());
        let last = chains.next(first, &mut VectorClock::new());
        chains.end(last);
        let mut clock = VectorClock::new();
        clock.learn(first);
        assert_ne!(chains.begin(&clock).slot, first.slot);
    }

    #[test]
    fn a_slot_that_is_full_is_left_for_a_new_one() {
        let mut chains = Chains::with_time_max(2);
        let mut clock = VectorClock::new();
        let first = chains.begin(&clock);
        let last = chains.next(first, &mut clock);
        let moved = chains.next(last, &mut clock);
        assert_ne!(moved.slot, first.slot);
        assert!(last.happens_before(&clock));
        chains.end(last);
        assert_ne!(chains.begin(&clock).slot, first.slot);
    }

    #[test]
    fn a_hundred_thousand_threads_one_after_the_other_need_one_slot() {
        let mut chains = Chains::default();
        let mut clock = VectorClock::new();
        for _ in 0..100_000 {
            let epoch = chains.begin(&clock);
            clock.learn(epoch);
            chains.end(epoch);
        }
        assert_eq!(chains.count(), 1);
    }
}
