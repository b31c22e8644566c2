//! Logical time: what each thread knows of every other.
//!
//! The words are `FastTrack`'s (Flanagan and Freund, PLDI 2009): a [`LocalTime`] counts along one
//! chain of threads, an [`Epoch`] is `c@t`, a [`VectorClock`] says for every chain the latest time
//! that happens before now. *Chains* take the place of threads so that 100,000 goroutines of which
//! 64 are alive need 65 entries: see [`chains`].
//!
//! # Representation
//! A clock of few chains is an array. A larger one is a radix tree of reference-counted nodes that
//! clocks share. Copying one is a
//! reference count; a join leaves subtrees alone that are the same node on both sides, and takes
//! over whole subtrees that are newer. So a clock for each of 100,000 live goroutines does not
//! cost 100,000 x 100,000 entries.
//!
//! A thread's own time is kept outside its clock, in its epoch: ticking copies nothing.

pub mod chains;
mod tree;

use std::fmt;

pub use chains::Chains;
use tree::Node;
pub use tree::Spare;

/// An entry of a vector clock: a chain of threads, each of which happens before the next.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

/// A count of the moments of one chain at which something left it. From 1; 0 is "never".
pub type LocalTime = u32;

/// One chain at one of its local times: the `c@t` of `FastTrack`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// The chain.
    pub slot: Slot,
    /// Its time.
    pub time: LocalTime,
}

/// For each chain, the latest local time known to happen before "now".
///
/// Deliberately not `PartialOrd`: the derived order would be lexicographic, and a hand-written one
/// makes `!(a <= b)` read as "after" when it means "after or concurrent".
#[derive(Clone)]
pub struct VectorClock {
    times: Times,
}

/// As many chains as fit into a line of the cache.
const FEW: usize = 16;

#[derive(Clone)]
enum Times {
    /// By slot; the others are 0.
    Few([LocalTime; FEW]),
    /// Some slot beyond is not 0.
    Many(Node),
}

impl Slot {
    /// The slot with this number.
    #[inline]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The slot's number.
    #[inline]
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// The slot's number as an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot{}", self.0)
    }
}

impl Epoch {
    /// Whether all that the chain did up to this epoch happens before a thread at `clock`.
    ///
    /// One comparison, not one per thread (`FastTrack`, section 3).
    #[inline]
    pub fn happens_before(self, clock: &VectorClock) -> bool {
        self.time <= clock.time_of(self.slot)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:?}", self.time, self.slot)
    }
}

impl VectorClock {
    /// The clock that knows of nothing.
    pub const fn new() -> Self {
        Self { times: Times::Few([0; FEW]) }
    }

    /// The latest known time of a chain; 0 if nothing of it is known.
    #[inline]
    pub fn time_of(&self, slot: Slot) -> LocalTime {
        match &self.times {
            Times::Few(times) => times.get(slot.index()).copied().unwrap_or(0),
            Times::Many(root) => root.time_of(slot.0),
        }
    }

    /// The times of the first slots, as they lie in memory: all there are, for a narrow clock.
    #[inline]
    pub fn first_times(&self) -> &[LocalTime] {
        match &self.times {
            Times::Few(times) => times,
            Times::Many(root) => root.first_times(),
        }
    }

    /// The times of all slots, as they lie in memory; `None` if there are too many for that. A
    /// clock that has learned more has as many, or more.
    #[inline]
    pub fn flat_times(&self) -> Option<&[LocalTime]> {
        match &self.times {
            Times::Few(times) => Some(times),
            Times::Many(root) => root.leaf(),
        }
    }

    /// The clock of which [`Self::flat_times`] gave these.
    pub fn from_times(times: &[LocalTime]) -> Self {
        let few = <[LocalTime; FEW]>::try_from(times);
        Self { times: few.map_or_else(|_| Times::Many(Node::of(times)), Times::Few) }
    }

    /// Makes `epoch` known. Says whether that was news.
    #[inline]
    pub fn learn(&mut self, epoch: Epoch) -> bool {
        self.learn_in(epoch, &mut Spare::default())
    }

    /// The same, with memory from `spare` if some is needed.
    #[inline]
    pub fn learn_in(&mut self, epoch: Epoch, spare: &mut Spare) -> bool {
        if epoch.time <= self.time_of(epoch.slot) {
            return false;
        }
        match &mut self.times {
            Times::Few(times) if epoch.slot.index() < FEW => times[epoch.slot.index()] = epoch.time,
            _ => tree::raise(self.many(), epoch.slot.0, epoch.time, spare),
        }
        true
    }

    /// As a tree, whatever it was.
    fn many(&mut self) -> &mut Node {
        if let Times::Few(times) = &self.times {
            self.times = Times::Many(Node::of(times));
        }
        match &mut self.times {
            Times::Many(root) => root,
            Times::Few(_) => unreachable!("few have just become many"),
        }
    }

    /// Takes over all that `other` knows. Says whether that was news.
    ///
    /// Costs what differs: subtrees that both share are not looked into.
    #[inline]
    pub fn join(&mut self, other: &Self) -> bool {
        self.join_in(other, &mut Spare::default())
    }

    /// The same, with memory from `spare` if some is needed.
    #[inline]
    pub fn join_in(&mut self, other: &Self, spare: &mut Spare) -> bool {
        match (&mut self.times, &other.times) {
            (Times::Few(mine), Times::Few(theirs)) => {
                // No branch inside, so that the loop becomes vector instructions.
                let mut news = 0;
                for (mine, &theirs) in mine.iter_mut().zip(theirs) {
                    let joined = tree::larger(*mine, theirs);
                    news |= joined ^ *mine;
                    *mine = joined;
                }
                news != 0
            }
            (_, Times::Many(theirs)) => tree::join(self.many(), theirs, spare),
            (Times::Many(_), Times::Few(theirs)) => {
                let epochs = (0..).map(Slot).zip(theirs).map(|(slot, &time)| Epoch { slot, time });
                epochs.fold(false, |news, epoch| self.learn_in(epoch, spare) | news)
            }
        }
    }

    /// The clock is not needed any more: its memory may serve another one.
    pub fn recycle(self, spare: &mut Spare) {
        if let Times::Many(root) = self.times {
            spare.give(root);
        }
    }

    /// Whether neither knows more, as far as can be seen at once. False says nothing.
    #[inline]
    pub fn shares_all_with(&self, other: &Self) -> bool {
        match (&self.times, &other.times) {
            (Times::Few(a), Times::Few(b)) => a == b,
            (Times::Many(a), Times::Many(b)) => a.is(b),
            _ => false,
        }
    }

    /// Whether everything that `self` knows is known to `other`. Costs O(width).
    pub fn is_known_to(&self, other: &Self) -> bool {
        !other.clone().join(self)
    }

    /// All entries that are not 0, by ascending slot.
    pub fn epochs(&self) -> Vec<Epoch> {
        let mut epochs = Vec::new();
        let mut push = |slot, time| epochs.push(Epoch { slot: Slot(slot), time });
        match &self.times {
            Times::Few(times) => {
                let known = (0..).zip(times).filter(|&(_, &time)| time > 0);
                known.for_each(|(slot, &time)| push(slot, time));
            }
            Times::Many(root) => root.for_each(0, &mut push),
        }
        epochs
    }
}

impl Default for VectorClock {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for VectorClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.epochs()).finish()
    }
}

impl PartialEq for VectorClock {
    fn eq(&self, other: &Self) -> bool {
        self.shares_all_with(other) || self.epochs() == other.epochs()
    }
}

impl Eq for VectorClock {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn clock(entries: &[(u32, u32)]) -> VectorClock {
        let mut clock = VectorClock::new();
        for &(slot, time) in entries {
            clock.learn(Epoch { slot: Slot(slot), time });
        }
        clock
    }

    #[test]
    fn a_clock_of_unequal_height_keeps_both_sides() {
        let mut low = clock(&[(3, 7)]);
        let high = clock(&[(3, 5), (100_000, 1)]);
        assert!(low.join(&high));
        assert_eq!(low, clock(&[(3, 7), (100_000, 1)]));
        let mut high = high;
        assert!(high.join(&clock(&[(3, 7)])));
        assert_eq!(high, low);
    }

    #[test]
    fn joining_what_is_known_is_no_news() {
        let mut a = clock(&[(1, 4), (70, 9)]);
        let before = a.clone();
        assert!(!a.join(&clock(&[(1, 3)])));
        assert!(!a.join(&before));
        assert!(a.shares_all_with(&before));
        assert!(clock(&[(1, 3)]).is_known_to(&a));
        assert!(!a.is_known_to(&clock(&[(1, 4)])));
    }

    #[test]
    fn a_copy_does_not_follow_the_original() {
        let mut a = clock(&[(1, 4)]);
        let copy = a.clone();
        a.learn(Epoch { slot: Slot(1), time: 5 });
        assert_eq!(copy.time_of(Slot(1)), 4);
        assert_eq!(a.time_of(Slot(1)), 5);
    }

    fn entries() -> impl Strategy<Value = Vec<(u32, u32)>> {
        let slot = prop_oneof![0u32..8, 0u32..200, 0u32..70_000];
        prop::collection::vec((slot, 1u32..6), 0..40)
    }

    proptest! {
        #[test]
        fn a_join_is_the_maximum_of_each_entry(a in entries(), b in entries()) {
            let mut expected = BTreeMap::new();
            for &(slot, time) in a.iter().chain(&b) {
                let entry = expected.entry(slot).or_insert(0);
                *entry = time.max(*entry);
            }
            let (mut joined, other) = (clock(&a), clock(&b));
            let before = joined.clone();
            let news = joined.join(&other);
            prop_assert_eq!(news, before != joined);
            let found: Vec<(u32, u32)> =
                joined.epochs().into_iter().map(|e| (e.slot.as_u32(), e.time)).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(before, clock(&a));
            prop_assert_eq!(other, clock(&b));
        }
    }
}
