//! Epochs packed into a word, and sets of them.

use std::collections::HashMap;
use std::hint::select_unpredictable;

use crate::clock::{Epoch, LocalTime, Slot, VectorClock};
use crate::hash::FastHash;

/// An epoch in one word; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Packed(u64);

/// What is checked against: an access's epoch, and what its thread knew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now<'w> {
    pub(super) epoch: Packed,
    /// What is known of the first chains, one load away: for few threads, all there is.
    times: &'w [LocalTime],
    clock: &'w VectorClock,
}

impl<'w> Now<'w> {
    #[inline]
    pub(super) fn new(epoch: Epoch, clock: &'w VectorClock) -> Self {
        Self { epoch: Packed::new(epoch), times: clock.first_times(), clock }
    }
}

impl Packed {
    #[inline]
    pub(super) fn new(epoch: Epoch) -> Self {
        Self::at(epoch.slot.as_u32(), epoch.time)
    }

    #[inline]
    fn at(slot: u32, time: LocalTime) -> Self {
        Self((u64::from(slot) << 32) | u64::from(time))
    }

    /// From a word that [`Self::word`] gave.
    #[inline]
    pub(super) fn from_word(word: u64) -> Self {
        Self(word)
    }

    #[inline]
    pub(super) fn word(self) -> u64 {
        self.0
    }

    #[inline]
    fn time(self) -> LocalTime {
        self.0 as LocalTime
    }

    #[inline]
    pub(super) fn slot(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether everything up to it happens before `now`; so does nothing at all.
    #[inline]
    pub(super) fn is_before(self, now: &Now<'_>) -> bool {
        let is_own = self.slot() == now.epoch.slot();
        match now.times.get(self.slot() as usize) {
            // Without a branch, as whose access was last is a coin's toss, and without a look at
            // the clock for one's own: it is mostly far away.
            Some(place) => self.time() <= *select_unpredictable(is_own, &LocalTime::MAX, place),
            None => is_own || self.time() <= now.clock.time_of(Slot::new(self.slot())),
        }
    }
}

/// Sets up to this size take no memory of their own.
const FEW: usize = 4;
/// In place of a length: the set has outgrown its line.
const SPILLED: u8 = u8::MAX;
/// A table by slot may have so many entries for each epoch in it.
const DENSE_SHARE: usize = 16;

/// Epochs of different chains, none of which needs to happen before another.
///
/// Read-mostly data is read by every thread, and its set is added to at nearly every read: so a
/// large set is a table by slot, as `FastTrack`'s, unless most of the table would be empty.
#[derive(Debug, Default)]
pub(super) struct EpochSet {
    few: [Packed; FEW],
    /// How many of `few` there are, or [`SPILLED`]: then they are in the tables below.
    len: u8,
    /// By slot: the time; 0 for none.
    dense: Box<[LocalTime]>,
    sparse: Option<Box<Sparse>>,
}

/// The epochs whose slots are beyond the table.
#[derive(Debug, Default)]
struct Sparse {
    times: HashMap<u32, LocalTime, FastHash>,
    /// How many entries there are in it and in the table, at most.
    count: usize,
}

impl EpochSet {
    /// The set of one epoch.
    #[inline]
    pub(super) fn of(epoch: Packed) -> Self {
        let mut set = Self::default();
        set.few[0] = epoch;
        set.len = 1;
        set
    }

    /// Adds the present epoch. May drop those that happen before it: whatever races with them
    /// later races with it, too.
    #[inline]
    pub(super) fn add(&mut self, now: &Now<'_>) {
        let slot = now.epoch.slot();
        if let Some(time) = self.dense.get_mut(slot as usize) {
            *time = now.epoch.time();
            return;
        }
        let len = usize::from(self.len);
        match self.few.get_mut(..len) {
            Some(few) => {
                if let Some(own) = few.iter_mut().find(|epoch| epoch.slot() == slot) {
                    *own = now.epoch;
                } else if len < FEW {
                    self.few[len] = now.epoch;
                    self.len += 1;
                } else {
                    self.spill(now);
                }
            }
            None => self.add_beyond(now.epoch),
        }
    }

    /// The line is full: drops what happens before, and goes on in tables if that makes no room.
    #[cold]
    fn spill(&mut self, now: &Now<'_>) {
        let mut kept = 0;
        for place in 0..FEW {
            if !self.few[place].is_before(now) {
                self.few[kept] = self.few[place];
                kept += 1;
            }
        }
        if kept < FEW {
            self.few[kept] = now.epoch;
            self.len = kept as u8 + 1;
            return;
        }
        self.len = SPILLED;
        for epoch in self.few {
            self.add_beyond(epoch);
        }
        self.add_beyond(now.epoch);
    }

    /// Adds to the tables an epoch that the dense one may have no place for.
    #[cold]
    fn add_beyond(&mut self, epoch: Packed) {
        let slot = epoch.slot() as usize;
        let sparse = self.sparse.get_or_insert_default();
        sparse.count += 1;
        if slot >= self.dense.len() && slot < (sparse.count + FEW) * DENSE_SHARE {
            // What the other table has of these slots may stay there: it is older.
            let mut dense = std::mem::take(&mut self.dense).into_vec();
            dense.resize((slot + 1).next_power_of_two().max(2 * FEW), 0);
            self.dense = dense.into_boxed_slice();
        }
        match self.dense.get_mut(slot) {
            Some(time) => *time = (*time).max(epoch.time()),
            None => {
                sparse.times.insert(epoch.slot(), epoch.time());
            }
        }
    }

    /// Whether all of them happen before `now`.
    #[inline]
    pub(super) fn all_before(&self, now: &Now<'_>) -> bool {
        match self.few.get(..usize::from(self.len)) {
            Some(few) => few.iter().all(|epoch| epoch.is_before(now)),
            None => self.tables_are_before(now),
        }
    }

    fn tables_are_before(&self, now: &Now<'_>) -> bool {
        let is_before = |slot: u32, time: LocalTime| Packed::at(slot, time).is_before(now);
        (0..).zip(&self.dense).all(|(slot, &time)| time == 0 || is_before(slot, time))
            && self
                .sparse
                .iter()
                .all(|sparse| sparse.times.iter().all(|(&slot, &time)| is_before(slot, time)))
    }

    /// How much memory it takes beside its own line, about.
    pub(super) fn bytes(&self) -> usize {
        let sparse = self.sparse.as_ref().map_or(0, |sparse| 64 + sparse.times.capacity() * 10);
        size_of_val(&*self.dense) + sparse
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(slot: u32, time: u32) -> Epoch {
        Epoch { slot: Slot::new(slot), time }
    }

    #[test]
    fn a_large_set_forgets_nothing_that_is_concurrent() {
        // Neighbours, far apart, and both.
        for slots in [(0..500).collect(), (0..500).map(|n| n * 5003).collect(), {
            let near = (0..40).rev();
            near.chain((0..40).map(|n| 100_000 - n)).chain(100..300).collect::<Vec<u32>>()
        }] {
            let mut set = EpochSet::default();
            let nothing = VectorClock::new();
            for &slot in &slots {
                set.add(&Now::new(epoch(slot, 2), &nothing));
                set.add(&Now::new(epoch(slot, 3), &nothing));
            }
            for &last in &slots {
                let mut clock = VectorClock::new();
                for &slot in &slots {
                    clock.learn(epoch(slot, if slot == last { 2 } else { 3 }));
                }
                assert!(!set.all_before(&Now::new(epoch(1_000_000, 1), &clock)), "{last}");
                assert!(set.all_before(&Now::new(epoch(last, 4), &clock)), "{last}");
                clock.learn(epoch(last, 3));
                assert!(set.all_before(&Now::new(epoch(1_000_000, 1), &clock)));
            }
        }
    }

    #[test]
    fn a_full_line_makes_room_by_what_is_known() {
        let nothing = VectorClock::new();
        for known in 0..=FEW as u32 {
            let mut set = EpochSet::default();
            for slot in 0..FEW as u32 {
                set.add(&Now::new(epoch(slot, 1), &nothing));
            }
            let mut clock = VectorClock::new();
            for slot in 0..known {
                clock.learn(epoch(slot, 1));
            }
            set.add(&Now::new(epoch(100, 1), &clock));
            assert_eq!(set.len == SPILLED, known == 0);
            // Whoever knows all but the last one that was added does not know all.
            let mut later = clock.clone();
            for slot in known..FEW as u32 {
                later.learn(epoch(slot, 1));
            }
            assert!(!set.all_before(&Now::new(epoch(101, 1), &later)));
            later.learn(epoch(100, 1));
            assert!(set.all_before(&Now::new(epoch(101, 1), &later)));
        }
    }

    #[test]
    fn no_epoch_at_all_happens_before_everything() {
        let clock = VectorClock::new();
        let now = Now::new(epoch(7, 1), &clock);
        assert!(Packed::from_word(0).is_before(&now));
        assert!(!Packed::new(epoch(0, 1)).is_before(&now));
    }
}
