//! One shard's table of granules.

use super::epochs::{EpochSet, Now, Packed};
use crate::hash::spread;
use crate::race::route::{ATOMIC, RESETS, Record, WRITES};

/// The history of one granule. Half a cache line.
#[derive(Clone, Copy, Debug)]
struct Cell {
    /// The granule plus 1; 0: the cell is free.
    key: u64,
    /// The last plain write; [`SUSPECT`].
    write: u64,
    /// The plain reads since: none, one epoch, or a set (slot [`SET`], its index as time).
    read: u64,
    /// The atomic accesses since the last plain write: one more than their index; 0: none.
    atomic: u64,
}

const FREE: Cell = Cell { key: 0, write: 0, read: 0, atomic: 0 };

/// In place of a write: this granule has raced.
const SUSPECT: u64 = u64::MAX;
/// In place of a slot: a set. There are never so many slots.
const SET: u64 = 0xffff_ffff_0000_0000;

/// How many records' cells are fetched before the first of them is looked at: enough for the
/// memory to be busy, few enough to stay in the first-level cache.
const AHEAD: usize = 16;

/// The multiplier is not the routing's: what shares a shard must not share a chain of cells.
const CELL_MIX: u64 = 0xd6e8_feb8_6659_fd93;

/// What is fetched of a record before it is looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Ahead {
    /// Where its first granule's cell should be, and whose key is there.
    home: usize,
    key: u64,
    /// The last write in that cell, and whether it happens before the access.
    write: u64,
    known: bool,
}

/// Atomic accesses to a granule. They do not race with each other, so none replaces another's.
#[derive(Debug, Default)]
struct Atomics {
    reads: EpochSet,
    writes: EpochSet,
}

/// A shard: open addressing, linear probing, at most 5/8 full.
#[derive(Debug, Default)]
pub(super) struct Shard {
    cells: Vec<Cell>,
    used: usize,
    sets: Pool<EpochSet>,
    atomics: Pool<Atomics>,
}

impl Shard {
    /// The granules that raced.
    pub(super) fn suspects(&self) -> impl Iterator<Item = u64> + '_ {
        self.cells.iter().filter(|cell| cell.write == SUSPECT).map(|cell| cell.key - 1)
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        let sets: usize = self.sets.items.iter().map(|set| set.bytes() + 32).sum();
        let atomic = |a: &Atomics| a.reads.bytes() + a.writes.bytes() + 64;
        let atomics: usize = self.atomics.items.iter().map(atomic).sum();
        (self.cells.len() * size_of::<Cell>() + sets + atomics) as u64
    }

    /// Looks at the records of one part. `nows` has what each segment of the window is checked
    /// against.
    pub(super) fn look_at(&mut self, records: &[Record], nows: &[Now<'_>]) {
        for batch in records.chunks(AHEAD) {
            // For all of it at once: growing moves the cells that were found.
            self.reserve(batch.iter().map(|record| record.len()).sum());
            // Independent loads, step by step: cells, segments and clocks come from memory side by
            // side for the whole batch, not one after the other.
            let mut ahead = [Ahead::default(); AHEAD];
            for (ahead, record) in ahead.iter_mut().zip(batch) {
                ahead.home = self.home_of(record.granule());
                let cell = &self.cells[ahead.home];
                (ahead.key, ahead.write) = (cell.key, cell.write);
            }
            for (ahead, record) in ahead.iter_mut().zip(batch) {
                // Of another granule's write, this is nothing; it is looked at only if its key fits.
                ahead.known = Packed::from_word(ahead.write).is_before(&nows[record.segment()]);
            }
            for (ahead, &record) in ahead.iter().zip(batch) {
                if record.is_single() && record.flags() & RESETS == 0 {
                    let granule = record.granule();
                    let found = ahead.key == granule + 1;
                    let cell = if found { ahead.home } else { self.find(granule, ahead.home) };
                    self.access(cell, record.flags(), ahead, &nows[record.segment()]);
                } else {
                    self.look_at_range(record, ahead, nows);
                }
            }
        }
    }

    #[cold]
    fn look_at_range(&mut self, record: Record, ahead: &Ahead, nows: &[Now<'_>]) {
        for granule in record.granules() {
            let home = self.home_of(granule);
            if record.flags() & RESETS == 0 {
                let found = self.find(granule, home);
                self.access(found, record.flags(), ahead, &nows[record.segment()]);
            } else if let Some(found) = self.find_existing(granule, home) {
                self.reset(found);
            }
        }
    }

    #[inline]
    fn access(&mut self, index: usize, flags: u32, ahead: &Ahead, now: &Now<'_>) {
        let cell = &self.cells[index];
        if cell.write == SUSPECT {
            return;
        }
        // The same access by the same thread at the same time: nothing can have changed.
        let last = if flags & WRITES != 0 { cell.write } else { cell.read };
        if last == now.epoch.word() && flags & ATOMIC == 0 {
            return;
        }
        // The cell may have been written since it was fetched, or be another one.
        let written_before = (ahead.known && cell.write == ahead.write)
            || Packed::from_word(cell.write).is_before(now);
        let races = !written_before
            || if flags & ATOMIC != 0 {
                self.atomic(index, flags, now)
            } else if flags & WRITES != 0 {
                self.write(index, now)
            } else {
                self.read(index, now)
            };
        if races {
            self.reset(index);
            self.cells[index].write = SUSPECT;
        }
    }

    /// A plain read, by a thread that knows the last write. Says whether it races.
    #[inline]
    fn read(&mut self, index: usize, now: &Now<'_>) -> bool {
        let cell = &mut self.cells[index];
        if let Some(atomics) = self.atomics.get(cell.atomic)
            && !atomics.writes.all_before(now)
        {
            return true;
        }
        if cell.read >= SET {
            self.sets.items[(cell.read - SET) as usize].add(now);
        } else if Packed::from_word(cell.read).is_before(now) {
            cell.read = now.epoch.word();
        } else {
            let mut set = EpochSet::of(Packed::from_word(cell.read));
            set.add(now);
            cell.read = SET + (self.sets.put(set) - 1);
        }
        false
    }

    /// A plain write, by a thread that knows the last one. Says whether it races.
    #[inline]
    fn write(&mut self, index: usize, now: &Now<'_>) -> bool {
        let cell = &mut self.cells[index];
        if cell.read >= SET {
            let set = cell.read - SET + 1;
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
        *cell = Cell { write: now.epoch.word(), read: 0, atomic: 0, ..*cell };
        false
    }

    /// An atomic access, by a thread that knows the last plain write. Says whether it races.
    fn atomic(&mut self, index: usize, flags: u32, now: &Now<'_>) -> bool {
        let cell = &mut self.cells[index];
        if flags & WRITES != 0 {
            let ordered = if cell.read >= SET {
                self.sets.get(cell.read - SET + 1).is_none_or(|reads| reads.all_before(now))
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

    /// Forgets the history of a granule, unless it has raced.
    fn reset(&mut self, index: usize) {
        let cell = &mut self.cells[index];
        if cell.write == SUSPECT {
            return;
        }
        if cell.read >= SET {
            self.sets.free(cell.read - SET + 1);
        }
        if cell.atomic != 0 {
            self.atomics.free(cell.atomic);
        }
        *cell = Cell { key: cell.key, ..FREE };
    }

    #[inline]
    fn home_of(&self, granule: u64) -> usize {
        // Consecutive granules have consecutive homes: a sweep over an array stays in few lines.
        let line = spread((granule >> 3).wrapping_mul(CELL_MIX)) as usize;
        ((line << 3) | (granule & 7) as usize) & self.cells.len().wrapping_sub(1)
    }

    /// The granule's cell, made if there is none. There is room.
    #[inline]
    fn find(&mut self, granule: u64, home: usize) -> usize {
        let mask = self.cells.len() - 1;
        let mut index = home;
        loop {
            let key = self.cells[index].key;
            if key == granule + 1 {
                return index;
            }
            if key == 0 {
                self.cells[index].key = granule + 1;
                self.used += 1;
                return index;
            }
            index = (index + 1) & mask;
        }
    }

    fn find_existing(&self, granule: u64, home: usize) -> Option<usize> {
        let mask = self.cells.len() - 1;
        let mut index = home;
        loop {
            match self.cells[index].key {
                0 => return None,
                key if key == granule + 1 => return Some(index),
                _ => index = (index + 1) & mask,
            }
        }
    }

    /// Makes room for so many more granules.
    #[inline]
    fn reserve(&mut self, more: usize) {
        if (self.used + more) * 8 > self.cells.len() * 5 {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let len = ((self.used + more) * 2).next_power_of_two().max(self.cells.len() * 2).max(256);
        let old = std::mem::replace(&mut self.cells, vec![FREE; len]);
        let mask = len - 1;
        for cell in old {
            if cell.key != 0 {
                let mut index = self.home_of(cell.key - 1);
                while self.cells[index].key != 0 {
                    index = (index + 1) & mask;
                }
                self.cells[index] = cell;
            }
        }
    }
}

/// Things with numbers from 1, which are used again.
#[derive(Debug)]
struct Pool<T> {
    items: Vec<T>,
    free: Vec<u64>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { items: Vec::new(), free: Vec::new() }
    }
}

impl<T: Default> Pool<T> {
    fn put(&mut self, item: T) -> u64 {
        if let Some(number) = self.free.pop() {
            self.items[(number - 1) as usize] = item;
            return number;
        }
        self.items.push(item);
        self.items.len() as u64
    }

    #[inline]
    fn get(&self, number: u64) -> Option<&T> {
        self.items.get(number.wrapping_sub(1) as usize)
    }

    fn free(&mut self, number: u64) {
        self.items[(number - 1) as usize] = T::default();
        self.free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Epoch, Slot, VectorClock};

    fn write(granule: u64, segment: u32) -> Record {
        Record::new(granule, granule & 63, WRITES, segment)
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
            records.push(Record::new(1 << 20, 63, 0, 0));
            let after = 2 << 20..(2 << 20) + 14;
            records.extend(after.clone().map(|granule| write(granule, 0)));
            records.extend(after.clone().map(|granule| write(granule, 1)));
            let mut shard = Shard::default();
            shard.look_at(&records, &nows);
            let mut suspects: Vec<u64> = shard.suspects().collect();
            suspects.sort_unstable();
            assert!(suspects.iter().copied().eq(after), "after {filled} granules: {suspects:?}");
        }
    }
}
