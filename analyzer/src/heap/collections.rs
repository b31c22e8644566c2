//! A garbage collector's collections, and what each left of a site's blocks.
//!
//! # Definition
//! Collections are numbered from 1, as they begin. A block *outlives* collection k if it was
//! allocated before k began and is not freed when k+1 begins: whatever k found dead is freed by
//! then. A block that is allocated while k marks is kept whatever becomes of it, and says nothing
//! until k+1. A site's *floor* after k is the bytes of its blocks that outlive k.
//!
//! The last collection may end with the program, before it has freed all that it found: what is
//! there in the end only bounds its floor, and all floors before it that are never given back.
//!
//! # What it costs
//! 16 bytes for each collection that changed a site's floor, and at most [`FLOORS_MAX`] floors a
//! site: of more collections, every second one is kept, then every fourth.

use mmtrace_format::Timestamp;

/// The most floors that a site has.
pub(crate) const FLOORS_MAX: u32 = 256;

/// The collections so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Collections {
    count: u32,
    /// Collections are kept in groups of 2^shift; a group's floor is that of its last.
    shift: u32,
    /// The last collection of each group.
    starts: Vec<Start>,
    last_start: Timestamp,
    /// Whether the log tells when they begin, too.
    tells_starts: bool,
}

impl Collections {
    /// Another one begins, when so many bytes have been allocated.
    pub(crate) fn begin(&mut self, time: Timestamp, allocated: u64) {
        self.tells_starts = true;
        self.add(time, allocated);
    }

    /// One ends. It counts in a log that does not tell when they begin.
    pub(crate) fn end(&mut self, time: Timestamp, allocated: u64) {
        if !self.tells_starts {
            self.add(time, allocated);
        }
    }

    fn add(&mut self, time: Timestamp, allocated: u64) {
        self.count = self.count.saturating_add(1);
        self.last_start = self.last_start.max(time);
        if self.group_of(self.count) >= FLOORS_MAX {
            self.widen();
        }
        let group = self.group_of(self.count) as usize;
        let start = Start { time: self.last_start, allocated };
        self.starts.resize(group + 1, start);
        self.starts[group] = start;
    }

    /// Makes the groups twice as large.
    pub(crate) fn widen(&mut self) {
        self.shift += 1;
        self.starts = self.starts.chunks(2).map(|pair| pair[pair.len() - 1]).collect();
    }

    pub(crate) fn group_of(&self, collection: u32) -> u32 {
        collection.checked_shr(self.shift).unwrap_or(0)
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    pub(crate) fn shift(&self) -> u32 {
        self.shift
    }

    /// The last collection that had begun at `time`, which is about now; 0 before the first.
    pub(crate) fn number_at(&self, time: Timestamp) -> u32 {
        self.count - u32::from(self.count > 0 && time < self.last_start)
    }
}

/// The beginning of a collection.
#[derive(Clone, Copy, Debug, Default)]
struct Start {
    time: Timestamp,
    /// How many bytes had been allocated.
    allocated: u64,
}

/// What was left of a site's blocks, as differences from group to group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Floors {
    shift: u32,
    /// By group, each one once.
    changes: Vec<(u32, i64)>,
}

impl Floors {
    /// How many differences it keeps.
    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// A block is allocated, after so many collections: it counts from the next one on.
    pub(crate) fn allocate(&mut self, collections: &Collections, born: u32, size: u64) {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.push(collections, born.saturating_add(1), size);
    }

    /// A block is freed that was allocated after `born` collections: the last one so far found it
    /// dead, or the program gave it back.
    pub(crate) fn free(&mut self, collections: &Collections, born: u32, now: u32, size: u64) {
        let size = i64::try_from(size).map_or(i64::MIN, |size| -size);
        self.push(collections, now.max(born.saturating_add(1)), size);
    }

    fn push(&mut self, collections: &Collections, collection: u32, change: i64) {
        self.coarsen(collections.shift);
        let group = collections.group_of(collection);
        match self.changes.binary_search_by_key(&group, |&(group, _)| group) {
            Ok(i) => self.changes[i].1 = self.changes[i].1.saturating_add(change),
            Err(i) => self.changes.insert(i, (group, change)),
        }
    }

    /// Merges groups until they hold 2^shift collections.
    pub(crate) fn coarsen(&mut self, shift: u32) {
        let by = shift.saturating_sub(self.shift);
        if by == 0 {
            return;
        }
        self.shift = shift;
        for change in &mut self.changes {
            change.0 = change.0.checked_shr(by).unwrap_or(0);
        }
        self.changes.dedup_by(|next, kept| {
            let is_same = next.0 == kept.0;
            if is_same {
                kept.1 = kept.1.saturating_add(next.1);
            }
            is_same
        });
    }

    /// The site's floors, from the first collection after its first allocation.
    pub(crate) fn finish(mut self, collections: &Collections) -> Left {
        self.coarsen(collections.shift);
        let Some(&(first, _)) = self.changes.first() else { return Left::default() };
        // The last group has the last collection.
        let last = collections.group_of(collections.count);
        let mut floors = Vec::new();
        let mut changes = self.changes.iter().peekable();
        let mut bytes = 0_i64;
        for group in first..=last {
            while let Some(&(_, change)) = changes.next_if(|&&(at, _)| at <= group) {
                bytes = bytes.saturating_add(change);
            }
            let Start { time, allocated } =
                collections.starts.get(group as usize).copied().unwrap_or_default();
            floors.push(Floor { time, allocated, bytes: u64::try_from(bytes).unwrap_or(0) });
        }
        let bound = floors.pop().map_or(0, |last| last.bytes);
        Left { floors, bound }
    }
}

/// What collections left of a site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// In the order of time.
    pub(crate) floors: Vec<Floor>,
    /// What the last one left is not known, but no more than this.
    pub(crate) bound: u64,
}

/// What a collection left of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Floor {
    /// When the collection began: what it left was there.
    pub(crate) time: Timestamp,
    /// How many bytes the whole program had allocated then.
    pub(crate) allocated: u64,
    pub(crate) bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ns: u64) -> Timestamp {
        Timestamp::from_ns(ns)
    }

    fn bytes(left: &Left) -> Vec<u64> {
        left.floors.iter().map(|floor| floor.bytes).collect()
    }

    #[test]
    fn a_floor_is_what_a_collection_left_of_what_was_there_when_it_began() {
        let (mut collections, mut floors) = (Collections::default(), Floors::default());
        floors.allocate(&collections, 0, 100);
        floors.allocate(&collections, 0, 7);
        collections.begin(at(10), 0);
        // While it marks.
        floors.allocate(&collections, 1, 1000);
        floors.free(&collections, 0, 1, 7);
        collections.begin(at(20), 0);
        floors.free(&collections, 1, 2, 1000);
        collections.begin(at(30), 0);
        let floors = floors.finish(&collections).floors;
        let floor = |ns| Floor { time: at(ns), allocated: 0, bytes: 100 };
        assert_eq!(floors, [floor(10), floor(20)]);
    }

    #[test]
    fn the_last_collection_only_says_what_was_not_kept() {
        let (mut collections, mut floors) = (Collections::default(), Floors::default());
        for i in 0..4 {
            floors.allocate(&collections, i, 10);
            collections.begin(at(u64::from(i)), 0);
        }
        // The fourth has freed three blocks of four, and was not done.
        for born in 0..3 {
            floors.free(&collections, born, 4, 10);
        }
        let left = floors.finish(&collections);
        assert_eq!((bytes(&left), left.bound), (vec![10, 20, 30], 10));
    }

    #[test]
    fn more_collections_are_kept_in_groups() {
        let (mut collections, mut floors) = (Collections::default(), Floors::default());
        for i in 0..10_000 {
            floors.allocate(&collections, collections.count(), 1);
            collections.begin(at(i * 100), 0);
            // One more until the next change.
            assert!(floors.len() <= FLOORS_MAX as usize + 1);
        }
        let floors = floors.finish(&collections).floors;
        assert!((100..=FLOORS_MAX as usize).contains(&floors.len()), "{}", floors.len());
        assert!(floors.windows(2).all(|pair| pair[0].time < pair[1].time));
        let step = floors[1].bytes - floors[0].bytes;
        assert!(floors.windows(2).all(|pair| pair[1].bytes - pair[0].bytes == step));
    }

    #[test]
    fn what_nobody_freed_and_nothing_collected_has_no_floor() {
        let collections = Collections::default();
        let mut floors = Floors::default();
        floors.allocate(&collections, 0, 10);
        assert_eq!(floors.finish(&collections), Left::default());
    }
}
