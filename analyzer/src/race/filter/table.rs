//! A shard's table of cells: open addressing, linear probing, at most 5/8 full.

use crate::hash::place;

/// The history of some bytes of a granule. Half a cache line.
///
/// What was done to any of the bytes stands for all of them: too much, which makes a granule suspect
/// too often. The cells of one granule have no byte in common, so that it is known which of them an
/// access meets; nearly all granules have one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// The granule plus 1; 0: the cell is free.
    pub(super) key: u64,
    /// The last plain write; `SUSPECT`.
    pub(super) write: u64,
    /// The plain reads since: none, one epoch, or a set (slot `SET`, its number as time).
    pub(super) read: u64,
    /// The atomic accesses since the last plain write: one more than their index; 0: none.
    pub(super) atomic: u32,
    /// Whose history it is, a bit for each byte.
    pub(super) bytes: u8,
    /// Other bytes of the granule have other cells.
    pub(super) is_split: bool,
}

impl Cell {
    /// A cell of these bytes of a granule, to which nothing has happened.
    const fn new(key: u64, bytes: u8) -> Self {
        Self { key, write: 0, read: 0, atomic: 0, bytes, is_split: false }
    }

    /// The same cell with no bytes and no history.
    pub(super) fn emptied(&self) -> Self {
        Self { is_split: self.is_split, ..Self::new(self.key, 0) }
    }
}

const FREE: Cell = Cell::new(0, 0);

/// The multiplier is not the routing's: what shares a shard must not share a chain of cells.
const CELL_MIX: u64 = 0xd6e8_feb8_6659_fd93;
/// The fewest cells that a table has: two pages.
const CELLS_MIN: usize = 256;

/// The table.
#[derive(Debug, Default)]
pub(super) struct Table {
    cells: Vec<Cell>,
    used: usize,
}

impl Table {
    /// The cells, free ones too.
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells at hand, to be looked at and changed.
    #[inline]
    pub(super) fn open(&mut self) -> OpenTable<'_> {
        // There are 2^(this + 1) cells, if there are any.
        let line_bits = self.cells.len().max(2).ilog2() - 1;
        OpenTable { cells: &mut self.cells, line_bits, used: &mut self.used }
    }

    /// How much memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        size_of_val(&*self.cells) as u64
    }

    /// Makes room for so many more cells; false if `fits` says no to the bytes that this takes.
    #[inline]
    pub(super) fn reserve(&mut self, more: usize, fits: impl FnOnce(u64) -> bool) -> bool {
        let (len, used) = (self.cells.len(), self.used + more);
        if used * 8 <= len * 5 {
            return true;
        }
        let larger = (used * 2).next_power_of_two().max(len * 2).max(CELLS_MIN);
        let does_fit = fits((larger * size_of::<Cell>()) as u64);
        if does_fit {
            self.grow(larger);
        }
        does_fit
    }

    #[cold]
    fn grow(&mut self, len: usize) {
        let old = std::mem::replace(&mut self.cells, vec![FREE; len]);
        let open = self.open();
        for cell in old.iter().filter(|cell| cell.key != 0) {
            let free = open.free_from(open.home_of(cell.key - 1));
            open.cells[free] = *cell;
        }
    }
}

/// A table's cells, at hand. There is room for what is added.
pub(super) struct OpenTable<'t> {
    pub(super) cells: &'t mut [Cell],
    line_bits: u32,
    used: &'t mut usize,
}

impl OpenTable<'_> {
    /// Where the search for a granule begins.
    #[inline]
    pub(super) fn home_of(&self, granule: u64) -> usize {
        // Two granules share a line of the cache, as they do in the program; more would make long
        // chains of what is next to each other.
        (place(granule >> 1, CELL_MIX, self.line_bits) << 1) | (granule & 1) as usize
    }

    /// Where the search goes on.
    #[inline]
    pub(super) fn after(&self, index: usize) -> usize {
        (index + 1) & (self.cells.len() - 1)
    }

    fn free_from(&self, mut index: usize) -> usize {
        while self.cells[index].key != 0 {
            index = self.after(index);
        }
        index
    }

    /// The first cell of the granule with this key; if there is none, one for these bytes.
    pub(super) fn find(&mut self, key: u64, bytes: u8, home: usize) -> usize {
        let mut index = home;
        loop {
            let cell = &mut self.cells[index];
            if cell.key == key {
                return index;
            }
            if cell.key == 0 {
                *cell = Cell::new(key, bytes);
                *self.used += 1;
                return index;
            }
            index = self.after(index);
        }
    }

    /// One more cell for a granule, of no bytes yet.
    pub(super) fn split(&mut self, key: u64) -> usize {
        let mut index = self.home_of(key - 1);
        let mut is_split = false;
        while self.cells[index].key != 0 {
            if self.cells[index].key == key {
                is_split = true;
                self.cells[index].is_split = true;
            }
            index = self.after(index);
        }
        self.cells[index] = Cell { is_split, ..Cell::new(key, 0) };
        *self.used += 1;
        index
    }
}
