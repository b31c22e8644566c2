//! Epochs packed into a word, and sets of them.

use std::collections::HashMap;

use crate::clock::{Epoch, Slot, VectorClock};
use crate::hash::FastHash;

/// An epoch in one word; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed(u64);

/// What is checked against: an access's epoch, and what its thread knew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now<'w> {
    pub(super) epoch: Packed,
    pub(super) clock: &'w VectorClock,
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
    pub(super) fn slot(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether everything up to it happens before `now`; so does nothing at all.
    #[inline]
    pub(super) fn is_before(self, now: Now<'_>) -> bool {
        self.slot() == now.epoch.slot()
            || self.0 as u32 <= now.clock.time_of(Slot::new(self.slot()))
    }
}

/// Sets smaller than this are searched one by one.
const FEW: usize = 16;

/// Epochs of different chains, none of which needs to happen before another.
#[derive(Debug)]
pub(super) enum EpochSet {
    Few(Vec<Packed>),
    Many { times: HashMap<u32, u32, FastHash>, prune_at: usize },
}

impl Default for EpochSet {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl EpochSet {
    /// Adds the present epoch. May drop those that happen before it: whatever races with them
    /// later races with it, too.
    pub(super) fn add(&mut self, now: Now<'_>) {
        match self {
            Self::Few(epochs) => {
                let slot = now.epoch.slot();
                if let Some(own) = epochs.iter_mut().find(|epoch| epoch.slot() == slot) {
                    *own = now.epoch;
                    return;
                }
                if epochs.len() == FEW {
                    epochs.retain(|epoch| !epoch.is_before(now));
                }
                epochs.push(now.epoch);
                if epochs.len() > FEW {
                    let times = epochs.iter().map(|e| (e.slot(), e.0 as u32)).collect();
                    *self = Self::Many { times, prune_at: 4 * FEW };
                }
            }
            Self::Many { times, prune_at } => {
                times.insert(now.epoch.slot(), now.epoch.0 as u32);
                if times.len() >= *prune_at {
                    times.retain(|&slot, &mut time| {
                        slot == now.epoch.slot() || time > now.clock.time_of(Slot::new(slot))
                    });
                    *prune_at = (2 * times.len()).max(4 * FEW);
                }
            }
        }
    }

    /// Whether all of them happen before `now`.
    pub(super) fn all_before(&self, now: Now<'_>) -> bool {
        match self {
            Self::Few(epochs) => epochs.iter().all(|epoch| epoch.is_before(now)),
            Self::Many { times, .. } => times.iter().all(|(&slot, &time)| {
                slot == now.epoch.slot() || time <= now.clock.time_of(Slot::new(slot))
            }),
        }
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Few(epochs) => epochs.capacity() * 8,
            Self::Many { times, .. } => times.capacity() * 10,
        }
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
            set.add(Now { epoch: Packed::new(epoch(slot, 3)), clock: &nothing });
        }
        let mut clock = VectorClock::new();
        for slot in 0..499 {
            clock.learn(epoch(slot, 3));
        }
        let now = Now { epoch: Packed::new(epoch(1000, 1)), clock: &clock };
        assert!(!set.all_before(now));
        let mut all = clock.clone();
        all.learn(epoch(499, 3));
        assert!(set.all_before(Now { clock: &all, ..now }));
    }

    #[test]
    fn no_epoch_at_all_happens_before_everything() {
        let clock = VectorClock::new();
        let now = Now { epoch: Packed::new(epoch(7, 1)), clock: &clock };
        assert!(Packed::from_word(0).is_before(now));
        assert!(!Packed::new(epoch(0, 1)).is_before(now));
    }
}
