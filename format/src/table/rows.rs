//! The rows of one table, by number, in whatever order they come.
//!
//! # Invariant
//! Memory follows from how many rows there are, not from their numbers: rows lie next to each other
//! as long as half of their places are filled, or nearly so; what is farther ahead is kept aside
//! until the rows before it have come, or for ever if they were lost. So blocks may be read in the
//! order in which they lie in the file, and a hostile number costs no more than an honest one.

use std::collections::BTreeMap;

use super::{TABLE_LEN_MAX, TableError};

/// Places that may be empty whatever the number of rows.
const SLACK: usize = 1 << 10;

#[derive(Clone, Debug)]
pub(super) struct Rows<T> {
    /// At most `reach` places.
    dense: Vec<Option<T>>,
    /// How many of them are filled.
    filled: usize,
    /// Rows at `reach` and beyond.
    far: BTreeMap<u32, T>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { dense: Vec::new(), filled: 0, far: BTreeMap::new() }
    }
}

impl<T: PartialEq> Rows<T> {
    /// Rows that begin with these; there may be none at number 0.
    pub(super) fn new(first: Option<T>) -> Self {
        Self { filled: usize::from(first.is_some()), dense: vec![first], far: BTreeMap::new() }
    }

    /// The number of a row that comes after all others.
    pub(super) fn next_number(&self) -> u32 {
        let beyond = self.far.last_key_value().map_or(0, |(&last, _)| last as usize + 1);
        u32::try_from(self.dense.len().max(beyond))
            .expect("a process mints fewer than 2^32 table rows: memory ends before")
    }

    /// Adds a row after all others.
    pub(super) fn push(&mut self, row: T) -> u32 {
        let number = self.next_number();
        self.fill(number, row);
        number
    }

    /// Adds a row, unless it is there.
    pub(super) fn put(&mut self, number: u32, row: T) -> Result<(), TableError> {
        if number as usize >= TABLE_LEN_MAX {
            return Err(TableError::TooLarge { found: number, limit: TABLE_LEN_MAX });
        }
        match self.get(number as usize) {
            Some(present) if *present != row => Err(TableError::Conflict { number }),
            Some(_) => Ok(()),
            None => {
                self.fill(number, row);
                Ok(())
            }
        }
    }

    /// Below which number rows lie next to each other.
    fn reach(&self) -> usize {
        self.filled * 2 + SLACK
    }

    fn fill(&mut self, number: u32, row: T) {
        if number as usize >= self.reach() {
            self.far.insert(number, row);
            return;
        }
        self.fill_dense(number as usize, row);
        while let Some(first) = self.far.first_entry()
            && (*first.key() as usize) < self.filled * 2 + SLACK
        {
            let (number, row) = first.remove_entry();
            self.fill_dense(number as usize, row);
        }
    }

    fn fill_dense(&mut self, index: usize, row: T) {
        if index >= self.dense.len() {
            self.dense.resize_with(index + 1, || None);
        }
        self.dense[index] = Some(row);
        self.filled += 1;
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&T> {
        match self.dense.get(index) {
            Some(row) => row.as_ref(),
            None if self.far.is_empty() => None,
            None => self.far.get(&u32::try_from(index).ok()?),
        }
    }

    /// All rows, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let dense =
            (0..).zip(&self.dense).filter_map(|(number, row)| Some((number, row.as_ref()?)));
        dense.chain(self.far.iter().map(|(&number, row)| (number, row)))
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.filled + self.far.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_in_any_order() {
        let count = if cfg!(miri) { 300 } else { 10_000_u32 };
        let orders: [Box<dyn Fn(u32) -> u32>; 3] = [
            Box::new(|i| i),
            Box::new(move |i| count - 1 - i),
            // 7919 is prime to the count: each number once.
            Box::new(move |i| i * 7919 % count),
        ];
        for order in orders {
            let mut rows = Rows::default();
            for number in (0..count).map(&order) {
                rows.put(number, u64::from(number) * 3).unwrap();
                assert!(rows.dense.len() <= rows.reach());
            }
            assert!(rows.far.is_empty());
            let all: Vec<(u32, u64)> = rows.iter().map(|(number, &row)| (number, row)).collect();
            let expected: Vec<(u32, u64)> = (0..count).map(|n| (n, u64::from(n) * 3)).collect();
            assert_eq!(all, expected);
            assert_eq!((rows.len(), rows.next_number()), (count as usize, count));
            assert_eq!(rows.get(77), Some(&231));
        }
    }

    #[test]
    fn a_far_number_takes_no_room() {
        let mut rows = Rows::default();
        for i in 1..256 {
            rows.put((TABLE_LEN_MAX as u32 / 256) * i, i).unwrap();
        }
        assert!(rows.dense.len() <= SLACK);
        assert_eq!(rows.get(TABLE_LEN_MAX / 256 * 9), Some(&9));
        assert_eq!(rows.len(), 255);
        let last = TABLE_LEN_MAX as u32;
        assert!(matches!(rows.put(last, 1), Err(TableError::TooLarge { .. })));
    }

    #[test]
    fn a_row_that_is_kept_aside_is_compared_as_well() {
        let mut rows = Rows::default();
        rows.put(1 << 20, 'a').unwrap();
        rows.put(1 << 20, 'a').unwrap();
        assert_eq!(rows.put(1 << 20, 'b'), Err(TableError::Conflict { number: 1 << 20 }));
    }
}
