//! `std::sync`, recorded.
//!
//! Without the `record` feature everything here **is** `std::sync`: the same types, nothing to pay.
//! With it the types have std's names, methods and guarantees (poisoning, `const` constructors,
//! which of them are `Send`), and cost one predictable branch over std's until a log is asked for.
//!
//! What the log gets, by type:
//!
//! | type | events |
//! |---|---|
//! | [`Mutex`] | `mutex-lock` once it is held, `mutex-unlock` before it is given up, `mutex-try-failed` |
//! | [`RwLock`] | the same for reading and for writing |
//! | [`Condvar`] | `cond-notify`, and a `cond-wake` that names the notify which released it |
//! | [`Once`], [`OnceLock`], [`LazyLock`] | `once-done`, `once-wait` |
//! | [`Barrier`] | `barrier-arrive` and `barrier-leave` with the generation |
//! | [`mpsc`] | the events of a channel |
//! | [`atomic`] | each operation with its memory order and value; a load that repeats is silent |
//!
//! An operation that cannot complete at once says `block`, with the reason and the object, before it
//! waits: a program that hangs leaves in its log who waits for what.
//!
//! An object is known by its address. One that is moved is another object from then on, which is
//! right, since it can only be moved while nobody uses it.
//!
//! Left out are what std deprecates or has not stabilised, and what is younger than this crate's
//! oldest compiler: `RwLockWriteGuard::downgrade`, and the arithmetic of `AtomicPtr`.
//!
//! # Arc
//!
//! [`Arc`] and [`Weak`] are std's own: a wrapper could not be made from `Arc<dyn Trait>` or be a
//! method's receiver, and would not be a drop-in. So the log does not see that dropping one owner
//! happens before the last owner's drop, `Arc::into_inner`, `Arc::try_unwrap` or `Arc::get_mut`.
//! Contents that synchronise on their own (a [`Mutex`], a channel) are not concerned, nor are
//! threads that are joined before. Plain tracked memory that is handed back through the count alone
//! is reported as racing although the count orders it.

#[cfg(not(feature = "record"))]
pub use std::sync::*;

#[cfg(feature = "record")]
pub mod atomic;
#[cfg(feature = "record")]
mod barrier;
#[cfg(feature = "record")]
mod condvar;
#[cfg(feature = "record")]
mod lazy_lock;
#[cfg(feature = "record")]
pub mod mpsc;
#[cfg(feature = "record")]
mod mutex;
#[cfg(feature = "record")]
mod once;
#[cfg(feature = "record")]
mod once_lock;
#[cfg(feature = "record")]
mod rwlock;
#[cfg(feature = "record")]
mod seen;

#[cfg(feature = "record")]
pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak};

#[cfg(feature = "record")]
pub use self::{
    barrier::{Barrier, BarrierWaitResult},
    condvar::{Condvar, WaitTimeoutResult},
    lazy_lock::LazyLock,
    mutex::{Mutex, MutexGuard},
    once::{Once, OnceState},
    once_lock::OnceLock,
    rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// Applies `wrap` to the guard of a lock's result, poisoned or not.
#[cfg(feature = "record")]
#[inline]
fn map_guard<G, H>(result: LockResult<G>, wrap: impl FnOnce(G) -> H) -> LockResult<H> {
    match result {
        Ok(guard) => Ok(wrap(guard)),
        Err(poisoned) => Err(PoisonError::new(wrap(poisoned.into_inner()))),
    }
}

/// Applies `wrap` to the guard of a try-lock's result, poisoned or not.
#[cfg(feature = "record")]
#[inline]
fn map_try_guard<G, H>(result: TryLockResult<G>, wrap: impl FnOnce(G) -> H) -> TryLockResult<H> {
    match result {
        Ok(guard) => Ok(wrap(guard)),
        Err(TryLockError::Poisoned(poisoned)) => {
            Err(TryLockError::Poisoned(PoisonError::new(wrap(poisoned.into_inner()))))
        }
        Err(TryLockError::WouldBlock) => Err(TryLockError::WouldBlock),
    }
}
