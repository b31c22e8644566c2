//! The ten integer types: one macro, since they differ in nothing but their width and sign.

use std::fmt;
use std::sync::atomic::{self, Ordering};

use super::operation::{Bits, Place};
use crate::emit;

macro_rules! integers {
    ($($name:ident $integer:ident $unsigned:ident;)*) => {$(
        #[doc = concat!("`std::sync::atomic::", stringify!($name), "`, recorded.")]
        #[derive(Default)]
        #[repr(transparent)]
        pub struct $name {
            inner: atomic::$name,
        }

        impl Bits for $integer {
            #[allow(
                clippy::cast_sign_loss,
                clippy::cast_lossless,
                trivial_numeric_casts,
                reason = "one macro for all widths: the cast keeps the bits of the signed ones"
            )]
            fn bits(self) -> u64 {
                self as $unsigned as u64
            }
        }

        impl $name {
            /// An atomic with this value.
            #[inline]
            pub const fn new(value: $integer) -> Self {
                Self { inner: atomic::$name::new(value) }
            }

            /// The integer at `pointer`, as an atomic.
            ///
            /// # Safety
            /// As std's `from_ptr`: `pointer` is aligned for the atomic and valid for reads and
            /// writes for all of `'a`, during which nobody accesses the integer other than
            /// atomically.
            #[expect(unsafe_code, reason = "the caller makes the promises that std asks for")]
            pub const unsafe fn from_ptr<'a>(pointer: *mut $integer) -> &'a Self {
                // SAFETY: the caller's promises are those of `&*`: aligned, valid for 'a and not
                // written to but through atomics, which the type allows (it has interior
                // mutability). The type is transparent over std's, which has the integer's size
                // and representation.
                unsafe { &*pointer.cast::<Self>() }
            }

            /// The value; nobody else has the atomic now.
            #[inline]
            pub fn get_mut(&mut self) -> &mut $integer {
                self.inner.get_mut()
            }

            /// The value, without its atomic.
            #[inline]
            pub const fn into_inner(self) -> $integer {
                self.inner.into_inner()
            }

            /// Where the value is. What is done through the pointer is not recorded.
            #[inline]
            pub const fn as_ptr(&self) -> *mut $integer {
                self.inner.as_ptr()
            }

            /// Loads the value.
            ///
            /// # Panics
            /// If `order` is `Release` or `AcqRel`.
            #[inline]
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $integer {
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
            pub fn store(&self, value: $integer, order: Ordering) {
                if emit::on() {
                    Place::of(self).store(order, value, || self.inner.store(value, order));
                } else {
                    self.inner.store(value, order);
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
                current: $integer,
                new: $integer,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$integer, $integer> {
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
                current: $integer,
                new: $integer,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$integer, $integer> {
                let exchange = || self.inner.compare_exchange_weak(current, new, success, failure);
                if emit::on() {
                    let load = || self.inner.load(failure);
            Place::of(self).exchange((success, failure), (current, new), load, exchange)
                } else {
                    exchange()
                }
            }

            integers! { @modify $integer
                swap (|_old, value| value) "Stores a value and returns the old one."
                fetch_add (|old, value| old.wrapping_add(value)) "Adds, wrapping around; returns the old value."
                fetch_sub (|old, value| old.wrapping_sub(value)) "Subtracts, wrapping around; returns the old value."
                fetch_and (|old, value| old & value) "Bitwise and; returns the old value."
                fetch_nand (|old, value| !(old & value)) "Bitwise nand; returns the old value."
                fetch_or (|old, value| old | value) "Bitwise or; returns the old value."
                fetch_xor (|old, value| old ^ value) "Bitwise exclusive or; returns the old value."
                fetch_max (|old, value| old.max(value)) "The larger of the two; returns the old value."
                fetch_min (|old, value| old.min(value)) "The smaller of the two; returns the old value."
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
            ) -> Result<$integer, $integer>
            where
                F: FnMut($integer) -> Option<$integer>,
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
                f: impl FnMut($integer) -> Option<$integer>,
            ) -> Result<$integer, $integer> {
                self.fetch_update(set_order, fetch_order, f)
            }

            /// Replaces the value by what `f` makes of it, as often as it takes; returns the old one.
            #[track_caller]
            pub fn update(
                &self,
                set_order: Ordering,
                fetch_order: Ordering,
                mut f: impl FnMut($integer) -> $integer,
            ) -> $integer {
                let mut old = self.load(fetch_order);
                loop {
                    match self.compare_exchange_weak(old, f(old), set_order, fetch_order) {
                        Ok(old) => return old,
                        Err(found) => old = found,
                    }
                }
            }
        }

        impl From<$integer> for $name {
            fn from(value: $integer) -> Self {
                Self::new(value)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.inner.fmt(f)
            }
        }
    )*};
    (@modify $integer:ident $($method:ident ($new:expr) $doc:literal)*) => {$(
        #[doc = $doc]
        #[inline]
        #[track_caller]
        pub fn $method(&self, value: $integer, order: Ordering) -> $integer {
            if emit::on() {
                let new: fn($integer, $integer) -> $integer = $new;
                Place::of(self).modify(
                    order,
                    || self.inner.$method(value, order),
                    |old| new(old, value),
                )
            } else {
                self.inner.$method(value, order)
            }
        }
    )*};
}

integers! {
    AtomicI8 i8 u8;
    AtomicI16 i16 u16;
    AtomicI32 i32 u32;
    AtomicI64 i64 u64;
    AtomicIsize isize usize;
    AtomicU8 u8 u8;
    AtomicU16 u16 u16;
    AtomicU32 u32 u32;
    AtomicU64 u64 u64;
    AtomicUsize usize usize;
}
