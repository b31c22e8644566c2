//! Epochs packed into a word, and sets of them.

use std::collections::HashMap;

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

    /// What is known of a chain.
    #[inline]
    fn time_of(&self, slot: u32) -> LocalTime {
        match self.times.get(slot as usize) {
            Some(&time) => time,
            None => self.clock.time_of(Slot::new(slot)),
        }
    }
}

impl Packed {
    #[inline]
    pub(super) fn new(epoch: Epoch) -> Self {
        Self((u64::from(epoch.slot.as_u32()) << 32) | u64::from(epoch.time))
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
        // Both, without a branch between them: whose access was last is a coin's toss.
        (self.slot() == now.epoch.slot()) | (self.time() <= now.time_of(self.slot()))
    }
}

/// Sets up to this size take no memory of their own: nearly all are.
const FEW: usize = 6;
/// In place of a length: the set has outgrown its line.
const SPILLED: u8 = u8::MAX;
/// The smallest size at which a large set is pruned.
const PRUNE_MIN: usize = 64;

/// Epochs of different chains, none of which needs to happen before another.
///
/// A cache line: most sets live from one write to the next, so that making one must cost nothing.
#[derive(Debug, Default)]
pub(super) struct EpochSet {
    few: [Packed; FEW],
    /// How many of `few` there are, or [`SPILLED`].
    len: u8,
    many: Option<Box<Many>>,
}

/// A set that has outgrown the line, by slot.
#[derive(Debug, Default)]
struct Many {
    times: HashMap<u32, LocalTime, FastHash>,
    prune_at: usize,
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
            None => self.many.get_or_insert_default().add(now),
        }
    }

    /// The line is full: drops what happens before, and goes on in memory of its own if that
    /// makes no room.
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
        let mut times: HashMap<u32, LocalTime, FastHash> =
            self.few.iter().map(|epoch| (epoch.slot(), epoch.time())).collect();
        times.insert(now.epoch.slot(), now.epoch.time());
        self.many = Some(Box::new(Many { times, prune_at: PRUNE_MIN }));
        self.len = SPILLED;
    }

    /// Whether all of them happen before `now`.
    #[inline]
    pub(super) fn all_before(&self, now: &Now<'_>) -> bool {
        match (self.few.get(..usize::from(self.len)), &self.many) {
            (Some(few), _) => few.iter().all(|epoch| epoch.is_before(now)),
            (None, Some(many)) => many.all_before(now),
            (None, None) => true,
        }
    }

    /// How much memory it takes beside its own line, about.
    pub(super) fn bytes(&self) -> usize {
        self.many.as_ref().map_or(0, |many| 64 + many.times.capacity() * 10)
    }
}

impl Many {
    fn add(&mut self, now: &Now<'_>) {
        let own = now.epoch.slot();
        self.times.insert(own, now.epoch.time());
        if self.times.len() >= self.prune_at {
            self.times.retain(|&slot, &mut time| slot == own || time > now.time_of(slot));
            self.prune_at = (2 * self.times.len()).max(PRUNE_MIN);
        }
    }

    fn all_before(&self, now: &Now<'_>) -> bool {
        let own = now.epoch.slot();
        self.times.iter().all(|(&slot, &time)| slot == own || time <= now.time_of(slot))
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
        let mut set = EpochSet::default();
        let nothing = VectorClock::new();
        for slot in 0..500 {
            set.add(&Now::new(epoch(slot, 3), &nothing));
        }
        let mut clock = VectorClock::new();
        for slot in 0..499 {
            clock.learn(epoch(slot, 3));
        }
        assert!(!set.all_before(&Now::new(epoch(1000, 1), &clock)));
        clock.learn(epoch(499, 3));
        assert!(set.all_before(&Now::new(epoch(1000, 1), &clock)));
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
            assert_eq!(set.many.is_none(), known > 0);
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
