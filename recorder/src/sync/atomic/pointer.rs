//! `AtomicPtr`.

use std::fmt;
use std::sync::atomic::{self, Ordering};

use super::operation::{Bits, Place};
use crate::emit;

/// `std::sync::atomic::AtomicPtr`, recorded.
#[derive(Default)]
#[repr(transparent)]
pub struct AtomicPtr<T> {
    inner: atomic::AtomicPtr<T>,
}

impl<T> Bits for *mut T {
    fn bits(self) -> u64 {
        self.addr() as u64
    }
}

impl<T> AtomicPtr<T> {
    /// An atomic with this value.
    #[inline]
    pub const fn new(value: *mut T) -> Self {
        Self { inner: atomic::AtomicPtr::new(value) }
    }

    /// The pointer at `pointer`, as an atomic.
    ///
    /// # Safety
    /// As std's `from_ptr`: `pointer` is aligned for the atomic and valid for reads and writes for
    /// all of `'a`, during which nobody accesses what it points to other than atomically.
    #[expect(unsafe_code, reason = "the caller makes the promises that std asks for")]
    pub const unsafe fn from_ptr<'a>(pointer: *mut *mut T) -> &'a Self {
        // SAFETY: the caller's promises are those of `&*`: aligned, valid for 'a and not written to
        // but through atomics, which the type allows (it has interior mutability). The type is
        // transparent over std's, which has the size and representation of a pointer.
        unsafe { &*pointer.cast::<Self>() }
    }

    /// The value; nobody else has the atomic now.
    #[inline]
    pub fn get_mut(&mut self) -> &mut *mut T {
        self.inner.get_mut()
    }

    /// The value, without its atomic.
    #[inline]
    pub const fn into_inner(self) -> *mut T {
        self.inner.into_inner()
    }

    /// Where the value is. What is done through the pointer is not recorded.
    #[inline]
    pub const fn as_ptr(&self) -> *mut *mut T {
        self.inner.as_ptr()
    }

    /// Loads the value.
    ///
    /// # Panics
    /// If `order` is `Release` or `AcqRel`.
    #[inline]
    #[track_caller]
    pub fn load(&self, order: Ordering) -> *mut T {
        if emit::on() {
            Place::of(self).load(order, || self.inner.load(order))
        } else {
            self.inner.load(order)
        }
    }

    /// Stores a value.
    ///
    /// # Panics
    /// If `order` is `Acquire` or `AcqRel`.
    #[inline]
    #[track_caller]
    pub fn store(&self, value: *mut T, order: Ordering) {
        if emit::on() {
            Place::of(self).store(order, value, || self.inner.store(value, order));
        } else {
            self.inner.store(value, order);
        }
    }

    /// Stores a value and returns the old one.
    #[inline]
    #[track_caller]
    pub fn swap(&self, value: *mut T, order: Ordering) -> *mut T {
        if emit::on() {
            Place::of(self).modify(order, || self.inner.swap(value, order), |_| value)
        } else {
            self.inner.swap(value, order)
        }
    }

    /// Stores `new` if the value is `current`.
    ///
    /// # Errors
    /// If it is not: the value.
    ///
    /// # Panics
    /// If `failure` is `Release` or `AcqRel`.
    #[inline]
    #[track_caller]
    pub fn compare_exchange(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        let exchange = || self.inner.compare_exchange(current, new, success, failure);
        if emit::on() {
            let load = || self.inner.load(failure);
            Place::of(self).exchange((success, failure), (current, new), load, exchange)
        } else {
            exchange()
        }
    }

    /// Like `compare_exchange`, but may fail for no reason.
    ///
    /// # Errors
    /// If nothing was stored: the value.
    ///
    /// # Panics
    /// If `failure` is `Release` or `AcqRel`.
    #[inline]
    #[track_caller]
    pub fn compare_exchange_weak(
        &self,
        current: *mut T,
        new: *mut T,
        success: Ordering,
        failure: Ordering,
    ) -> Result<*mut T, *mut T> {
        let exchange = || self.inner.compare_exchange_weak(current, new, success, failure);
        if emit::on() {
            let load = || self.inner.load(failure);
            Place::of(self).exchange((success, failure), (current, new), load, exchange)
        } else {
            exchange()
        }
    }

    /// Replaces the value by what `f` makes of it, as often as it takes; returns the old one.
    ///
    /// # Errors
    /// If `f` returns nothing: the value.
    #[track_caller]
    pub fn fetch_update<F>(
        &self,
        set_order: Ordering,
        fetch_order: Ordering,
        mut f: F,
    ) -> Result<*mut T, *mut T>
    where
        F: FnMut(*mut T) -> Option<*mut T>,
    {
        let mut old = self.load(fetch_order);
        while let Some(new) = f(old) {
            match self.compare_exchange_weak(old, new, set_order, fetch_order) {
                Ok(old) => return Ok(old),
                Err(found) => old = found,
            }
        }
        Err(old)
    }

    /// What [`Self::fetch_update`] does, under the name that std gave it in 1.95.
    ///
    /// # Errors
    /// If `f` returns nothing: the value.
    #[track_caller]
    pub fn try_update(
        &self,
        set_order: Ordering,
        fetch_order: Ordering,
        f: impl FnMut(*mut T) -> Option<*mut T>,
    ) -> Result<*mut T, *mut T> {
        self.fetch_update(set_order, fetch_order, f)
    }

    /// Replaces the value by what `f` makes of it, as often as it takes; returns the old one.
    #[track_caller]
    pub fn update(
        &self,
        set_order: Ordering,
        fetch_order: Ordering,
        mut f: impl FnMut(*mut T) -> *mut T,
    ) -> *mut T {
        let mut old = self.load(fetch_order);
        loop {
            match self.compare_exchange_weak(old, f(old), set_order, fetch_order) {
                Ok(old) => return old,
                Err(found) => old = found,
            }
        }
    }
}

impl<T> From<*mut T> for AtomicPtr<T> {
    fn from(value: *mut T) -> Self {
        Self::new(value)
    }
}

impl<T> fmt::Debug for AtomicPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T> fmt::Pointer for AtomicPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&self.inner, f)
    }
}
