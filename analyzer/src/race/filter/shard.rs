//! One shard's granules: what `FastTrack` does at each access.

use std::hint::select_unpredictable;

use super::epochs::{EpochSet, Now, Packed};
use super::table::{Cell, OpenTable, Table};
use crate::race::route::{ATOMIC, Dealt, Deed, Record, WRITES};

impl Cell {
    /// Whether nobody else has done anything to the bytes.
    fn is_only_of(&self, now: &Now<'_>) -> bool {
        let own = |word: u64| word == 0 || Packed::from_word(word).slot() == now.epoch.slot();
        // No slot is the one of sets.
        own(self.write) && own(self.read) && self.atomic == 0
    }
}

/// In place of a write: this granule has raced.
const SUSPECT: u64 = u64::MAX;
/// In place of a slot: a set. There are never so many slots: of this one no clock knows anything,
/// so that no set, whose number takes the place of the time, seems to happen before.
const SET: u64 = 0xffff_ffff_0000_0000;

/// How many records' cells are fetched before the first of them is looked at: enough for the
/// memory to be busy, few enough to stay in the first-level cache.
const AHEAD: usize = 32;

/// What a batch has seen of the cell where a record's granule is at home.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    home: usize,
    write: u64,
    read: u64,
    /// Whether both happen before the record's access.
    is_known: bool,
}

/// Atomic accesses to a granule. They do not race with each other, so none replaces another's.
#[derive(Debug, Default)]
struct Atomics {
    reads: EpochSet,
    writes: EpochSet,
}

/// What was done to the granules of a shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    table: Table,
    has_suspects: bool,
    sets: Pool<EpochSet>,
    atomics: Pool<Atomics>,
}

impl Shard {
    /// The granules that raced, some of them twice.
    pub(super) fn suspects(&self) -> impl Iterator<Item = u64> + '_ {
        self.table.cells().iter().filter(|cell| cell.write == SUSPECT).map(|cell| cell.key - 1)
    }

    /// Whether any granule raced.
    pub(super) fn has_suspects(&self) -> bool {
        self.has_suspects
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        self.table.bytes() + set_bytes(&self.sets, &self.atomics)
    }

    /// Looks at the records of one part from `begin` on, for as long as what that takes is not more
    /// than `room` bytes. Gives the record that it did not get to. `nows` has what each segment of the
    /// window is checked against.
    pub(super) fn look_at(
        &mut self,
        dealt: &Dealt,
        begin: usize,
        nows: &[Now<'_>],
        room: u64,
    ) -> usize {
        let records = dealt.records.as_slice();
        let mut at = begin;
        while let Some(&first) = records.get(at) {
            let batch = &records[at..records.len().min(at + AHEAD)];
            let simple = if dealt.has_ranges {
                batch.iter().take_while(|record| record.is_simple()).count()
            } else {
                batch.len()
            };
            let more = if simple > 0 { simple } else { first.accessed() };
            if !self.reserve(more, room) {
                break;
            }
            if simple > 0 {
                self.open().look_at_batch(&batch[..simple], nows);
            } else {
                self.open().look_at_range(first, nows);
            }
            at += simple.max(1);
        }
        at
    }

    /// Makes room for so many more cells; false if it would take more than `room` bytes.
    #[inline]
    fn reserve(&mut self, more: usize, room: u64) -> bool {
        let (sets, atomics) = (&self.sets, &self.atomics);
        self.table.reserve(more, |bytes| bytes + set_bytes(sets, atomics) <= room)
    }

    #[inline]
    fn open(&mut self) -> Open<'_> {
        let Self { table, has_suspects, sets, atomics } = self;
        Open { table: table.open(), has_suspects, sets, atomics }
    }
}

/// A shard with its cells at hand. There is room for what is added.
struct Open<'s> {
    table: OpenTable<'s>,
    has_suspects: &'s mut bool,
    sets: &'s mut Pool<EpochSet>,
    atomics: &'s mut Pool<Atomics>,
}

impl Open<'_> {
    /// Looks at accesses to one granule each. There is room for all of them: growing would move the
    /// cells that were found.
    fn look_at_batch(&mut self, batch: &[Record], nows: &[Now<'_>]) {
        // Independent loads, step by step: cells, segments and clocks come from memory side by
        // side for the whole batch, not one after the other.
        let mut seen = [Seen::default(); AHEAD];
        for (seen, record) in seen.iter_mut().zip(batch) {
            let home = self.table.home_of(record.granule());
            let cell = &self.table.cells[home];
            *seen = Seen { home, write: cell.write, read: cell.read, is_known: false };
        }
        for (seen, record) in seen.iter_mut().zip(batch) {
            let now = &nows[record.segment()];
            // Of another granule's history this is nothing; below, it is asked whose it is.
            seen.is_known = Packed::from_word(seen.write).is_before(now)
                & Packed::from_word(seen.read).is_before(now);
        }
        for (seen, record) in seen.iter().zip(batch) {
            let (key, bytes, flags) = (record.granule() + 1, record.bytes(), record.flags());
            let now = &nows[record.segment()];
            let cell = &mut self.table.cells[seen.home];
            // One number, for one branch: whether anything has changed, and what else is not simple.
            let changed = (cell.key ^ key) | (cell.write ^ seen.write) | (cell.read ^ seen.read);
            let other = cell.atomic | flags & ATOMIC | u32::from(bytes & !cell.bytes);
            if changed | u64::from(other) == 0 && seen.is_known {
                // What [`Self::access`] comes to, for most accesses. Reading or writing is a coin's
                // toss: there is no branch.
                let (epoch, writes) = (now.epoch.word(), flags & WRITES != 0);
                cell.write = select_unpredictable(writes, epoch, cell.write);
                cell.read = select_unpredictable(writes, 0, epoch);
                continue;
            }
            let index =
                if cell.key == key { seen.home } else { self.table.find(key, bytes, seen.home) };
            if bytes & !self.table.cells[index].bytes == 0 {
                self.access(index, flags, now);
            } else {
                self.access_some(key, bytes, flags, now);
            }
        }
    }

    fn look_at_range(&mut self, record: Record, nows: &[Now<'_>]) {
        let now = &nows[record.segment()];
        match record.deed() {
            Deed::Access(granule, bytes, flags) => self.access_some(granule + 1, bytes, flags, now),
            Deed::AccessAll(granules, flags) => {
                granules.for_each(|granule| self.access_some(granule + 1, u8::MAX, flags, now));
            }
            Deed::Renew(granule, bytes) => self.renew(granule + 1, bytes),
            Deed::RenewAll(granules) => {
                granules.for_each(|granule| self.renew(granule + 1, u8::MAX));
            }
        }
    }

    /// An access to bytes that may be in several cells, or in none. There is room for one more.
    fn access_some(&mut self, key: u64, bytes: u8, flags: u32, now: &Now<'_>) {
        let mut index = self.table.home_of(key - 1);
        let mut beyond = bytes;
        let (mut met, mut own, mut empty) = (None, None, None);
        while self.table.cells[index].key != 0 {
            let cell = &self.table.cells[index];
            if cell.key == key {
                let is_only = !cell.is_split;
                if cell.write == SUSPECT {
                    return;
                }
                if cell.bytes & bytes != 0 {
                    met = met.or(Some(index));
                    beyond &= !cell.bytes;
                    self.access(index, flags, now);
                } else if cell.bytes == 0 {
                    empty = empty.or(Some(index));
                } else if cell.is_only_of(now) {
                    own = own.or(Some(index));
                }
                if is_only {
                    break;
                }
            }
            index = self.table.after(index);
        }
        // Two neighbours in a granule are mostly one thread's business, and then one cell's.
        let place = met.or(own).or(empty).unwrap_or_else(|| self.table.split(key));
        self.table.cells[place].bytes |= beyond;
        if met.is_none() {
            self.access(place, flags, now);
        }
    }

    /// Some bytes of a granule are another object from here on.
    fn renew(&mut self, key: u64, bytes: u8) {
        if self.table.cells.is_empty() {
            return;
        }
        let mut index = self.table.home_of(key - 1);
        while self.table.cells[index].key != 0 {
            let cell = &mut self.table.cells[index];
            if cell.key == key && cell.write != SUSPECT {
                cell.bytes &= !bytes;
                let (is_split, is_over) = (cell.is_split, cell.bytes == 0);
                if is_over {
                    self.reset(index);
                }
                if !is_split {
                    break;
                }
            }
            index = self.table.after(index);
        }
    }

    /// An access to bytes that are all in this cell.
    fn access(&mut self, index: usize, flags: u32, now: &Now<'_>) {
        let cell = &self.table.cells[index];
        // The same access by the same thread at the same time: nothing can have changed.
        let last = if flags & WRITES != 0 { cell.write } else { cell.read };
        if cell.write == SUSPECT || (last == now.epoch.word() && flags & ATOMIC == 0) {
            return;
        }
        let races = !Packed::from_word(cell.write).is_before(now)
            || if flags & ATOMIC != 0 {
                self.atomic(index, flags, now)
            } else if flags & WRITES != 0 {
                self.write(index, now)
            } else {
                self.read(index, now)
            };
        if races {
            self.suspect(index);
        }
    }

    #[cold]
    fn suspect(&mut self, index: usize) {
        self.reset(index);
        self.table.cells[index].write = SUSPECT;
        self.table.cells[index].bytes = u8::MAX;
        *self.has_suspects = true;
    }

    /// A plain read, by a thread that knows the last write. Says whether it races.
    #[inline]
    fn read(&mut self, index: usize, now: &Now<'_>) -> bool {
        let cell = &mut self.table.cells[index];
        if let Some(atomics) = self.atomics.get(cell.atomic)
            && !atomics.writes.all_before(now)
        {
            return true;
        }
        if cell.read >= SET {
            self.sets.items[(cell.read - SET - 1) as usize].add(now);
        } else if Packed::from_word(cell.read).is_before(now) {
            cell.read = now.epoch.word();
        } else {
            let mut set = EpochSet::of(Packed::from_word(cell.read));
            set.add(now);
            cell.read = SET + u64::from(self.sets.put(set));
        }
        false
    }

    /// A plain write, by a thread that knows the last one. Says whether it races.
    #[inline]
    fn write(&mut self, index: usize, now: &Now<'_>) -> bool {
        let cell = &mut self.table.cells[index];
        if cell.read >= SET {
            let set = (cell.read - SET) as u32;
            if self.sets.get(set).is_some_and(|reads| !reads.all_before(now)) {
                return true;
            }
            self.sets.free(set);
        } else if !Packed::from_word(cell.read).is_before(now) {
            return true;
        }
        if let Some(atomics) = self.atomics.get(cell.atomic) {
            if !atomics.reads.all_before(now) || !atomics.writes.all_before(now) {
                return true;
            }
            self.atomics.free(cell.atomic);
        }
        // Whatever races with one of the earlier accesses later on races with this write, too.
        (cell.write, cell.read, cell.atomic) = (now.epoch.word(), 0, 0);
        false
    }

    /// An atomic access, by a thread that knows the last plain write. Says whether it races.
    fn atomic(&mut self, index: usize, flags: u32, now: &Now<'_>) -> bool {
        let cell = &mut self.table.cells[index];
        if flags & WRITES != 0 {
            let ordered = if cell.read >= SET {
                self.sets.get((cell.read - SET) as u32).is_none_or(|reads| reads.all_before(now))
            } else {
                Packed::from_word(cell.read).is_before(now)
            };
            if !ordered {
                return true;
            }
        }
        if cell.atomic == 0 {
            cell.atomic = self.atomics.put(Atomics::default());
        }
        let atomics = &mut self.atomics.items[(cell.atomic - 1) as usize];
        let set = if flags & WRITES != 0 { &mut atomics.writes } else { &mut atomics.reads };
        set.add(now);
        false
    }

    /// Forgets the history of a cell.
    fn reset(&mut self, index: usize) {
        let cell = &mut self.table.cells[index];
        if cell.read >= SET {
            self.sets.free((cell.read - SET) as u32);
        }
        if cell.atomic != 0 {
            self.atomics.free(cell.atomic);
        }
        *cell = cell.emptied();
    }
}

/// How much memory is taken by what is not cells.
fn set_bytes(sets: &Pool<EpochSet>, atomics: &Pool<Atomics>) -> u64 {
    let sets: usize = sets.items.iter().map(|set| set.bytes() + 32).sum();
    let atomic = |a: &Atomics| a.reads.bytes() + a.writes.bytes() + 64;
    let atomics: usize = atomics.items.iter().map(atomic).sum();
    (sets + atomics) as u64
}

/// Things with numbers from 1, which are used again.
#[derive(Debug)]
struct Pool<T> {
    items: Vec<T>,
    free: Vec<u32>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

impl<T: Default> Pool<T> {
    fn put(&mut self, item: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.items[(number - 1) as usize] = item;
            return number;
        }
        self.items.push(item);
        u32::try_from(self.items.len()).expect("the budget keeps far fewer than 2^32")
    }

    #[inline]
    fn get(&self, number: u32) -> Option<&T> {
        self.items.get(number.wrapping_sub(1) as usize)
    }

    fn free(&mut self, number: u32) {
        self.items[(number - 1) as usize] = T::default();
        self.free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Epoch, Slot, VectorClock};

    use proptest::prelude::*;

    fn write(granule: u64, segment: u32) -> Record {
        Record::access(granule, 0, 7, WRITES, segment)
    }

    /// Something done to the bytes `from..=to` of one granule by one of four threads.
    #[derive(Clone, Copy, Debug)]
    struct Step {
        thread: u32,
        /// `None` renews the bytes.
        flags: Option<u32>,
        from: u64,
        to: u64,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let flags = prop_oneof![4 => (0..4u32).prop_map(Some), 1 => Just(None)];
        let step = (0..4u32, flags, 0..8u64, 0..8u64).prop_map(|(thread, flags, a, b)| {
            let (from, to) = (a.min(b), a.max(b));
            Step { thread, flags, from, to }
        });
        prop::collection::vec(step, 1..12)
    }

    /// Whether two of the steps race, byte by byte: nothing orders one thread with another.
    fn races(steps: &[Step]) -> bool {
        let is_race = |byte: u64| {
            let of_byte = steps.iter().filter(|step| (step.from..=step.to).contains(&byte));
            let mut since: Vec<(u32, u32)> = Vec::new();
            for step in of_byte {
                let Some(flags) = step.flags else {
                    since.clear();
                    continue;
                };
                let conflicts = |&(thread, other): &(u32, u32)| {
                    thread != step.thread
                        && (flags | other) & WRITES != 0
                        && flags & other & ATOMIC == 0
                };
                if since.iter().any(conflicts) {
                    return true;
                }
                since.push((step.thread, flags));
            }
            false
        };
        (0..8).any(is_race)
    }

    fn is_suspect(steps: &[Step]) -> bool {
        let nothing = VectorClock::new();
        let now = |slot| Now::new(Epoch { slot: Slot::new(slot), time: 1 }, &nothing);
        let nows = [now(0), now(1), now(2), now(3)];
        let record = |step: &Step| match step.flags {
            Some(flags) => Record::access(9, step.from, step.to, flags, step.thread),
            None => Record::renew(9, step.from, step.to),
        };
        let records: Vec<Record> = steps.iter().map(record).collect();
        let has_ranges = records.iter().any(|record| !record.is_simple());
        let mut shard = Shard::default();
        shard.look_at(&Dealt { records, has_ranges }, 0, &nows, u64::MAX);
        shard.suspects().next().is_some()
    }

    proptest! {
        #[test]
        fn what_races_in_some_byte_is_suspect(steps in steps()) {
            prop_assert!(is_suspect(&steps) || !races(&steps));
        }

        /// As long as no thread's accesses stand for bytes that another one touches.
        #[test]
        fn threads_that_keep_to_their_own_bytes_are_not_suspect(steps in steps()) {
            let apart = steps.iter().map(|step| {
                let from = u64::from(step.thread) * 2;
                let to = from + (step.to & 1);
                Step { from, to, ..*step }
            });
            prop_assert!(!is_suspect(&apart.collect::<Vec<_>>()));
        }
    }

    #[test]
    fn a_small_block_in_the_rest_of_a_granule_has_no_past() {
        let step = |thread, flags, from, to| Step { thread, flags, from, to };
        // Of a block of 5 bytes and one of 3, the latter is freed and its bytes are given to
        // somebody else.
        let mut steps = vec![
            step(0, Some(WRITES), 0, 4),
            step(1, None, 5, 7),
            step(1, Some(WRITES), 5, 7),
            step(2, None, 5, 7),
            step(2, Some(WRITES), 6, 6),
            step(0, Some(0), 2, 2),
        ];
        assert!(!is_suspect(&steps));
        steps.push(step(0, Some(0), 4, 6));
        assert!(is_suspect(&steps));
    }

    /// The table once grew in the middle of a batch, for a copy of many granules, and what came
    /// after it in the batch went to the cells of the table before: their races were lost.
    #[test]
    fn a_copy_that_makes_the_table_grow_moves_nobody_elses_history() {
        // Two threads that know nothing of each other, a segment each.
        let nothing = VectorClock::new();
        let now = |slot| Now::new(Epoch { slot: Slot::new(slot), time: 1 }, &nothing);
        let nows = [now(0), now(1)];
        for filled in 80..160 {
            let mut records: Vec<Record> = (0..filled).map(|granule| write(granule, 0)).collect();
            records.push(Record::access_all(1 << 20, 63, 0, 0));
            let after = 2 << 20..(2 << 20) + 14;
            records.extend(after.clone().map(|granule| write(granule, 0)));
            records.extend(after.clone().map(|granule| write(granule, 1)));
            let mut shard = Shard::default();
            shard.look_at(&Dealt { records, has_ranges: true }, 0, &nows, u64::MAX);

            let mut suspects: Vec<u64> = shard.suspects().collect();
            suspects.sort_unstable();
            assert!(suspects.iter().copied().eq(after), "after {filled} granules: {suspects:?}");
        }
    }
}
