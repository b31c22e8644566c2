//! `AtomicBool`.

use std::fmt;
use std::sync::atomic::{self, Ordering};

use super::operation::{Bits, Place};
use crate::emit;

/// `std::sync::atomic::AtomicBool`, recorded.
#[derive(Default)]
#[repr(transparent)]
pub struct AtomicBool {
    inner: atomic::AtomicBool,
}

impl Bits for bool {
    fn bits(self) -> u64 {
        u64::from(self)
    }
}

impl AtomicBool {
    /// An atomic with this value.
    #[inline]
    pub const fn new(value: bool) -> Self {
        Self { inner: atomic::AtomicBool::new(value) }
    }

    /// The flag at `pointer`, as an atomic.
    ///
    /// # Safety
    /// As std's `from_ptr`: `pointer` is valid for reads and writes for all of `'a`, during which
    /// nobody accesses the flag other than atomically.
    #[expect(unsafe_code, reason = "the caller makes the promises that std asks for")]
    pub const unsafe fn from_ptr<'a>(pointer: *mut bool) -> &'a Self {
        // SAFETY: the caller's promises are those of `&*`: valid for 'a and not written to but
        // through atomics, which the type allows (it has interior mutability). The type is
        // transparent over std's, which has the size, alignment and representation of a `bool`.
        unsafe { &*pointer.cast::<Self>() }
    }

    /// The value; nobody else has the atomic now.
    #[inline]
    pub fn get_mut(&mut self) -> &mut bool {
        self.inner.get_mut()
    }

    /// The value, without its atomic.
    #[inline]
    pub const fn into_inner(self) -> bool {
        self.inner.into_inner()
    }

    /// Where the value is. What is done through the pointer is not recorded.
    #[inline]
    pub const fn as_ptr(&self) -> *mut bool {
        self.inner.as_ptr()
    }

    /// Loads the value.
    ///
    /// # Panics
    /// If `order` is `Release` or `AcqRel`.
    #[inline]
    #[track_caller]
    pub fn load(&self, order: Ordering) -> bool {
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
    pub fn store(&self, value: bool, order: Ordering) {
        if emit::on() {
            Place::of(self).store(order, value, || self.inner.store(value, order));
        } else {
            self.inner.store(value, order);
        }
    }

    /// Stores a value and returns the old one.
    #[inline]
    #[track_caller]
    pub fn swap(&self, value: bool, order: Ordering) -> bool {
        self.modify(order, || self.inner.swap(value, order), |_| value)
    }

    /// Logical and; returns the old value.
    #[inline]
    #[track_caller]
    pub fn fetch_and(&self, value: bool, order: Ordering) -> bool {
        self.modify(order, || self.inner.fetch_and(value, order), |old| old & value)
    }

    /// Logical nand; returns the old value.
    #[inline]
    #[track_caller]
    pub fn fetch_nand(&self, value: bool, order: Ordering) -> bool {
        self.modify(order, || self.inner.fetch_nand(value, order), |old| !(old & value))
    }

    /// Logical or; returns the old value.
    #[inline]
    #[track_caller]
    pub fn fetch_or(&self, value: bool, order: Ordering) -> bool {
        self.modify(order, || self.inner.fetch_or(value, order), |old| old | value)
    }

    /// Logical exclusive or; returns the old value.
    #[inline]
    #[track_caller]
    pub fn fetch_xor(&self, value: bool, order: Ordering) -> bool {
        self.modify(order, || self.inner.fetch_xor(value, order), |old| old ^ value)
    }

    /// Logical not; returns the old value.
    #[inline]
    #[track_caller]
    pub fn fetch_not(&self, order: Ordering) -> bool {
        self.modify(order, || self.inner.fetch_not(order), |old| !old)
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
        current: bool,
        new: bool,
        success: Ordering,
        failure: Ordering,
    ) -> Result<bool, bool> {
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
        current: bool,
        new: bool,
        success: Ordering,
        failure: Ordering,
    ) -> Result<bool, bool> {
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
    ) -> Result<bool, bool>
    where
        F: FnMut(bool) -> Option<bool>,
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
        f: impl FnMut(bool) -> Option<bool>,
    ) -> Result<bool, bool> {
        self.fetch_update(set_order, fetch_order, f)
    }

    /// Replaces the value by what `f` makes of it, as often as it takes; returns the old one.
    #[track_caller]
    pub fn update(
        &self,
        set_order: Ordering,
        fetch_order: Ordering,
        mut f: impl FnMut(bool) -> bool,
    ) -> bool {
        let mut old = self.load(fetch_order);
        loop {
            match self.compare_exchange_weak(old, f(old), set_order, fetch_order) {
                Ok(old) => return old,
                Err(found) => old = found,
            }
        }
    }

    #[inline]
    #[track_caller]
    fn modify(
        &self,
        order: Ordering,
        modify: impl FnOnce() -> bool,
        new: impl FnOnce(bool) -> bool,
    ) -> bool {
        if emit::on() { Place::of(self).modify(order, modify, new) } else { modify() }
    }
}

impl From<bool> for AtomicBool {
    fn from(value: bool) -> Self {
        Self::new(value)
    }
}

impl fmt::Debug for AtomicBool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
