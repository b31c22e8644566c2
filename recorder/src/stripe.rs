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

mod word;

use mmtrace_format::{STRIPE_COUNT, stripe_of};

use self::word::{Stripe, StripeGuard};

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

/// Has the object's stripe brought near, for [`next`] to find it there. Changes nothing.
#[inline]
#[cfg(feature = "go-runtime")]
#[expect(unsafe_code, reason = "the instruction takes any address, and so a plain pointer")]
pub(crate) fn prefetch(object: u64) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

        let stripe = std::ptr::from_ref(stripe(object)).cast::<i8>();
        // SAFETY: every x86-64 has the instruction, and it reads nothing that the program sees.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(stripe) };
    }
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
        stripe.reset();
    }
}
