//! A data race to show.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that threads share as if it were plain memory: a bug to be found.
///
/// Its reads and writes are recorded as plain ones, so that those which nothing orders are reported
/// as a data race. What happens in truth is a relaxed atomic load or store, so that showing a race
/// is not undefined behaviour. For demonstrations and tests; a program that wants a counter wants
/// [`AtomicU64`](crate::sync::atomic::AtomicU64).
#[derive(Debug, Default)]
pub struct RacyCell {
    value: AtomicU64,
}

impl RacyCell {
    /// A cell with this number.
    pub const fn new(value: u64) -> Self {
        Self { value: AtomicU64::new(value) }
    }

    /// Reads the number, as plain memory is read.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> u64 {
        super::read(&raw const self.value, size_of::<u64>());
        self.value.load(Ordering::Relaxed)
    }

    /// Writes the number, as plain memory is written.
    #[inline]
    #[track_caller]
    pub fn set(&self, value: u64) {
        super::write(&raw const self.value, size_of::<u64>());
        self.value.store(value, Ordering::Relaxed);
    }
}

impl Drop for RacyCell {
    #[inline]
    fn drop(&mut self) {
        super::retire(&raw const self.value, size_of::<u64>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_racy_cell_holds_a_number() {
        let cell = RacyCell::new(4);
        cell.set(cell.get() + 1);
        assert_eq!(cell.get(), 5);
    }
}
