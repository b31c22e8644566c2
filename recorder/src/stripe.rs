//! Order numbers: who did what first to one object, without clocks.
//!
//! Every object belongs to one of 65,536 stripes by its address. A stripe is one word:
//!
//! ```text
//! numbers given out so far : 63   held : 1
//! ```
//!
//! An event of a lock or a channel takes its number with [`next`], while the program itself keeps
//! everybody else from the object. An atomic operation has nobody to keep others away: it is done
//! while [`lock`] holds the stripe, and giving the stripe up is what takes the number. Both may
//! happen to one stripe at the same time, for different objects.
//!
//! Relaxed is enough for [`next`]: if one event happens before another, the coherence of the single
//! word makes its number the smaller one.

use mmtrace_format::{STRIPE_COUNT, stripe_of};

use crate::primitive::{AtomicU64, Ordering, spin};

const HELD: u64 = 1;
const ONE: u64 = 2;

/// A stripe.
#[derive(Debug)]
pub(crate) struct Stripe(AtomicU64);

/// Half a megabyte, of which only the pages that are used cost anything.
static STRIPES: [Stripe; STRIPE_COUNT] = [const { Stripe::new() }; STRIPE_COUNT];

#[inline]
fn stripe(object: u64) -> &'static Stripe {
    &STRIPES[stripe_of(object)]
}

/// The next number of the object's stripe, from 1.
#[inline]
pub(crate) fn next(object: u64) -> u64 {
    stripe(object).next()
}

/// Waits until nobody else is between an operation and its number in the object's stripe.
///
/// Spins: what is done under it is one atomic operation of the program.
#[inline]
pub(crate) fn lock(object: u64) -> StripeGuard<'static> {
    stripe(object).lock()
}

/// All stripes begin anew. Only when nothing is being recorded.
pub(crate) fn reset() {
    for stripe in &STRIPES {
        // Most were never touched, and stay unmapped if they are only read.
        if stripe.0.load(Ordering::Relaxed) != 0 {
            stripe.0.store(0, Ordering::Relaxed);
        }
    }
}

/// A stripe that this thread holds.
#[derive(Debug)]
#[must_use = "the stripe is given up at once"]
pub(crate) struct StripeGuard<'a>(&'a Stripe);

impl Stripe {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    fn next(&self) -> u64 {
        self.0.fetch_add(ONE, Ordering::Relaxed) / ONE + 1
    }

    #[inline]
    fn lock(&self) -> StripeGuard<'_> {
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
        let before = self.0.0.fetch_add(HELD, Ordering::Release);
        std::mem::forget(self);
        before / ONE + 1
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
            scope.spawn(|| (0..10_000).for_each(|_| drop(stripe.next())));
            scope.spawn(|| (0..10_000).for_each(|_| drop(stripe.lock().number())));
        });
        assert_eq!(stripe.next(), 20_001);
    }
}
