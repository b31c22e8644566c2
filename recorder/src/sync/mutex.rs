//! `Mutex`: std's, with its locks and unlocks recorded.

#![expect(unsafe_code, reason = "taking a guard apart that has a destructor")]

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr;
use std::sync::{self, LockResult, TryLockError, TryLockResult};

use mmtrace_format::EventKind;
use mmtrace_format::event::BlockReason;

use super::{map_guard, map_try_guard};
use crate::emit;

/// `std::sync::Mutex`, recorded.
///
/// ```
/// use mmtrace_recorder::sync::Mutex;
///
/// static COUNT: Mutex<u32> = Mutex::new(0);
/// *COUNT.lock().unwrap() += 1;
/// assert_eq!(*COUNT.lock().unwrap(), 1);
/// ```
#[derive(Default)]
pub struct Mutex<T: ?Sized> {
    inner: sync::Mutex<T>,
}

/// A lock of a [`Mutex`], given up on drop.
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized + 'a> {
    lock: &'a Mutex<T>,
    // Dropped after the unlock was numbered: that is done while the mutex is still held.
    inner: sync::MutexGuard<'a, T>,
}

impl<T> Mutex<T> {
    /// A mutex that nobody holds.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self { inner: sync::Mutex::new(value) }
    }

    /// The value, without its mutex.
    ///
    /// # Errors
    /// If a thread panicked while it held the mutex; the error has the value.
    pub fn into_inner(self) -> LockResult<T> {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits until nobody else holds the mutex, and holds it.
    ///
    /// # Errors
    /// If a thread panicked while it held the mutex; the error has the guard.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        // One way for both, all of it inlined: the guard then never lies in memory, which would cost
        // more than the lock.
        let result = match self.inner.try_lock() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Err(poisoned),
            Err(TryLockError::WouldBlock) => {
                self.blocking();
                self.inner.lock()
            }
        };
        if emit::on() {
            emit::note(EventKind::MutexLock, 0, self.address(), 0);
        }
        map_guard(result, |inner| self.guard(inner))
    }

    #[cold]
    #[track_caller]
    fn blocking(&self) {
        emit::block(BlockReason::Mutex, self.address());
    }

    /// Holds the mutex if nobody else does.
    ///
    /// # Errors
    /// If it is held, or a thread panicked while it held it.
    #[track_caller]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        let result = self.inner.try_lock();
        if matches!(result, Err(TryLockError::WouldBlock)) {
            emit::note(EventKind::MutexTryFailed, 0, self.address(), 0);
        } else {
            emit::note(EventKind::MutexLock, 1, self.address(), 0);
        }
        map_try_guard(result, |inner| self.guard(inner))
    }

    /// Whether a thread panicked while it held the mutex.
    pub fn is_poisoned(&self) -> bool {
        self.inner.is_poisoned()
    }

    /// Forgets that a thread panicked while it held the mutex.
    pub fn clear_poison(&self) {
        self.inner.clear_poison();
    }

    /// The value; nobody else can hold the mutex now.
    ///
    /// # Errors
    /// If a thread panicked while it held the mutex; the error has the reference.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.inner.get_mut()
    }

    #[inline]
    fn guard<'a>(&'a self, inner: sync::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        MutexGuard { lock: self, inner }
    }

    #[inline]
    fn address(&self) -> u64 {
        emit::address_of(&self.inner)
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// The mutex that this guard holds.
    pub(super) fn mutex(&self) -> &'a Mutex<T> {
        self.lock
    }

    /// The mutex, unlocked as far as the log is concerned, with std's guard that still holds it.
    pub(super) fn into_unlocking(self) -> (&'a Mutex<T>, sync::MutexGuard<'a, T>) {
        let lock = self.lock;
        self.unlocking();
        let this = ManuallyDrop::new(self);
        // SAFETY: `this` is neither used nor dropped again, so that the guard is not doubled.
        (lock, unsafe { ptr::read(&raw const this.inner) })
    }

    /// The guard of a mutex that was just locked through std.
    #[track_caller]
    pub(super) fn just_locked(lock: &'a Mutex<T>, inner: sync::MutexGuard<'a, T>) -> Self {
        emit::note(EventKind::MutexLock, 0, lock.address(), 0);
        lock.guard(inner)
    }
}

impl<T: ?Sized> MutexGuard<'_, T> {
    #[inline]
    fn unlocking(&self) {
        if emit::on() {
            emit::note(EventKind::MutexUnlock, 0, self.lock.address(), 0);
        }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.unlocking();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
