//! One value whose accesses are recorded.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// A value that records a read whenever it is borrowed and a write whenever it is borrowed mutably.
///
/// ```
/// use mmtrace_recorder::cell::Tracked;
///
/// let mut hits = Tracked::new(0u64);
/// *hits += 1;
/// assert_eq!(*hits, 1);
/// ```
pub struct Tracked<T> {
    value: ManuallyDrop<T>,
}

impl<T> Tracked<T> {
    /// A tracked value. Putting it there is not an access.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self { value: ManuallyDrop::new(value) }
    }

    /// Reads a copy of the value.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> T
    where
        T: Copy,
    {
        **self
    }

    /// Replaces the value.
    #[inline]
    #[track_caller]
    pub fn set(&mut self, value: T) {
        **self = value;
    }

    /// Takes the value out.
    #[inline]
    pub fn into_inner(self) -> T {
        super::retire(&raw const self.value, size_of::<T>());
        let mut this = ManuallyDrop::new(self);
        super::take(&mut this.value)
    }
}

impl<T> Deref for Tracked<T> {
    type Target = T;

    #[inline]
    #[track_caller]
    fn deref(&self) -> &T {
        super::read(&raw const self.value, size_of::<T>());
        &self.value
    }
}

impl<T> DerefMut for Tracked<T> {
    #[inline]
    #[track_caller]
    fn deref_mut(&mut self) -> &mut T {
        super::write(&raw const self.value, size_of::<T>());
        &mut self.value
    }
}

impl<T> Drop for Tracked<T> {
    #[inline]
    fn drop(&mut self) {
        super::retire(&raw const self.value, size_of::<T>());
        drop(super::take(&mut self.value));
    }
}

impl<T: Default> Default for Tracked<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Tracked<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Tracked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Looking at a value for a log line is not what the program does with it.
        f.debug_tuple("Tracked").field(&*self.value).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn a_tracked_value_is_dropped_once() {
        let value = Rc::new(());
        drop(Tracked::new(Rc::clone(&value)));
        assert_eq!(Rc::strong_count(&value), 1);
        let out = Tracked::new(Rc::clone(&value)).into_inner();
        assert_eq!(Rc::strong_count(&value), 2);
        drop(out);
        assert_eq!(Rc::strong_count(&value), 1);
    }

    #[test]
    fn a_tracked_value_is_read_and_written() {
        let mut number = Tracked::new(3);
        number.set(number.get() + 1);
        *number += 1;
        assert_eq!(number.into_inner(), 5);
    }
}
