//! An array whose accesses are recorded, one by one or by ranges.

use std::fmt;
use std::ops::Range;

#[cfg(feature = "record")]
use mmtrace_format::AccessKind;

/// A boxed slice that records which elements are read and written.
///
/// An access to a range is one record, whatever its length.
///
/// ```
/// use mmtrace_recorder::cell::TrackedSlice;
///
/// let mut table = TrackedSlice::new(vec![0u32; 100]);
/// table.set(7, 1);
/// table.range_mut(10..20).fill(2);
/// assert_eq!(table.get(7) + table.range(10..12)[1], 3);
/// ```
pub struct TrackedSlice<T> {
    values: Box<[T]>,
}

impl<T> TrackedSlice<T> {
    /// A tracked array with these elements.
    pub fn new(values: impl Into<Box<[T]>>) -> Self {
        Self { values: values.into() }
    }

    /// How many elements there are. The length is not memory that anybody writes.
    #[inline]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Reads a copy of an element.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    #[inline]
    #[track_caller]
    pub fn get(&self, index: usize) -> T
    where
        T: Copy,
    {
        let value = &self.values[index];
        super::read(value, size_of::<T>());
        *value
    }

    /// Replaces an element.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    #[inline]
    #[track_caller]
    pub fn set(&mut self, index: usize, value: T) {
        let place = &mut self.values[index];
        super::write(place, size_of::<T>());
        *place = value;
    }

    /// Borrows an element to change it.
    ///
    /// # Panics
    /// If `index` is out of bounds.
    #[inline]
    #[track_caller]
    pub fn at_mut(&mut self, index: usize) -> &mut T {
        let place = &mut self.values[index];
        super::write(place, size_of::<T>());
        place
    }

    /// Borrows a range of elements to read them.
    ///
    /// # Panics
    /// If the range is out of bounds.
    #[inline]
    #[track_caller]
    pub fn range(&self, range: Range<usize>) -> &[T] {
        let values = &self.values[range];
        #[cfg(feature = "record")]
        record(AccessKind::RangeRead, values);
        values
    }

    /// Borrows a range of elements to change them.
    ///
    /// # Panics
    /// If the range is out of bounds.
    #[inline]
    #[track_caller]
    pub fn range_mut(&mut self, range: Range<usize>) -> &mut [T] {
        let values = &mut self.values[range];
        #[cfg(feature = "record")]
        record(AccessKind::RangeWrite, values);
        values
    }

    /// Takes the elements out.
    pub fn into_inner(mut self) -> Box<[T]> {
        self.retire();
        std::mem::take(&mut self.values)
    }

    fn retire(&self) {
        super::retire(self.values.as_ptr(), size_of_val(&*self.values));
    }
}

#[cfg(feature = "record")]
#[inline]
#[track_caller]
fn record<T>(kind: AccessKind, values: &[T]) {
    if !values.is_empty() && size_of::<T>() != 0 && crate::record::enabled() {
        crate::record::access(kind, super::address(values), size_of_val(values) as u64);
    }
}

impl<T> Drop for TrackedSlice<T> {
    fn drop(&mut self) {
        self.retire();
    }
}

impl<T> From<Vec<T>> for TrackedSlice<T> {
    fn from(values: Vec<T>) -> Self {
        Self::new(values)
    }
}

impl<T: fmt::Debug> fmt::Debug for TrackedSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TrackedSlice").field(&self.values).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_ranges_are_read_and_written() {
        let mut slice = TrackedSlice::new([1, 2, 3, 4]);
        slice.set(0, slice.get(3));
        *slice.at_mut(1) += 10;
        slice.range_mut(2..4).fill(7);
        assert_eq!(slice.range(0..4), [4, 12, 7, 7]);
        assert_eq!((slice.len(), slice.is_empty()), (4, false));
        assert_eq!(slice.into_inner().len(), 4);
    }
}
