//! One stripe: a word that counts and locks. tests/loom.rs checks this module as it stands.

use std::mem::ManuallyDrop;

use crate::primitive::{AtomicU64, Ordering, spin};

const HELD: u64 = 1;
const ONE: u64 = 2;

/// A stripe.
#[derive(Debug)]
pub(crate) struct Stripe(AtomicU64);

/// A stripe that this thread holds.
#[derive(Debug)]
#[must_use = "the stripe is given up at once"]
pub(crate) struct StripeGuard<'a>(&'a Stripe);

impl Stripe {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// The stripe begins anew.
    pub(crate) fn reset(&self) {
        // Most were never touched, and stay unmapped if they are only read.
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Relaxed);
        }
    }

    /// The next number.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(ONE, Ordering::Relaxed) / ONE + 1
    }

    /// Waits until nobody holds the stripe, and holds it.
    #[inline]
    pub(crate) fn lock(&self) -> StripeGuard<'_> {
        // Acquire: the operation that follows sees what was done under the previous guard.
        while self.0.fetch_or(HELD, Ordering::Acquire) & HELD != 0 {
            while self.0.load(Ordering::Relaxed) & HELD != 0 {
                spin();
            }
        }
        StripeGuard(self)
    }
}

impl StripeGuard<'_> {
    /// Gives the stripe up and takes the number of what was done under it.
    #[inline]
    pub(crate) fn number(self) -> u64 {
        // One addition clears the bit and carries into the number. Release: see `lock`.
        let this = ManuallyDrop::new(self);
        this.0.0.fetch_add(HELD, Ordering::Release) / ONE + 1
    }
}

impl Drop for StripeGuard<'_> {
    /// Nothing was done after all, e.g. because it panicked: no number is taken.
    fn drop(&mut self) {
        self.0.0.fetch_and(!HELD, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::atomic::{AtomicU64 as Counter, Ordering::Relaxed};
    use std::thread;

    use super::*;

    #[test]
    fn numbers_begin_with_one_and_leave_none_out() {
        let stripe = Stripe::new();
        assert_eq!([stripe.next(), stripe.lock().number(), stripe.next()], [1, 2, 3]);
        drop(stripe.lock());
        assert_eq!(stripe.next(), 4);
    }

    #[test]
    fn the_number_of_an_operation_is_its_place_in_the_order_of_operations() {
        let (stripe, counter) = (Stripe::new(), Counter::new(0));
        let lag = || {
            for _ in 0..10_000 {
                let guard = stripe.lock();
                // Two steps that only the guard makes one.
                let before = counter.load(Relaxed);
                counter.store(before + 1, Relaxed);
                assert_eq!(guard.number(), before + 1);
            }
        };
        thread::scope(|scope| {
            scope.spawn(lag);
            scope.spawn(lag);
        });
        assert_eq!(counter.load(Relaxed), 20_000);
    }

    #[test]
    fn both_ways_to_take_a_number_share_one_count() {
        let stripe = Stripe::new();
        thread::scope(|scope| {
            scope.spawn(|| assert!((0..10_000).map(|_| stripe.next()).is_sorted()));
            scope.spawn(|| assert!((0..10_000).map(|_| stripe.lock().number()).is_sorted()));
        });
        assert_eq!(stripe.next(), 20_001);
    }
}
