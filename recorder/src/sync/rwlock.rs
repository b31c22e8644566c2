//! `RwLock`: std's, with its locks and unlocks recorded.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{self, LockResult, TryLockError, TryLockResult};

use mmtrace_format::EventKind;
use mmtrace_format::event::BlockReason;

use super::{map_guard, map_try_guard};
use crate::emit;

/// `std::sync::RwLock`, recorded.
///
/// ```
/// use mmtrace_recorder::sync::RwLock;
///
/// let names = RwLock::new(vec!["a"]);
/// names.write().unwrap().push("b");
/// assert_eq!(names.read().unwrap().len(), 2);
/// ```
#[derive(Default)]
pub struct RwLock<T: ?Sized> {
    inner: sync::RwLock<T>,
}

/// A lock of a [`RwLock`] for reading, given up on drop.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized + 'a> {
    address: u64,
    inner: sync::RwLockReadGuard<'a, T>,
}

/// A lock of a [`RwLock`] for writing, given up on drop.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized + 'a> {
    address: u64,
    inner: sync::RwLockWriteGuard<'a, T>,
}

/// The detail of `rw-try-failed`: which lock was wanted.
const TRIED_READ: u32 = 0;
const TRIED_WRITE: u32 = 1;

impl<T> RwLock<T> {
    /// A lock that nobody holds.
    #[inline]
    pub const fn new(value: T) -> Self {
        Self { inner: sync::RwLock::new(value) }
    }

    /// The value, without its lock.
    ///
    /// # Errors
    /// If a thread panicked while it held the lock for writing; the error has the value.
    pub fn into_inner(self) -> LockResult<T> {
        self.inner.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until nobody holds the lock for writing, and holds it for reading.
    ///
    /// # Errors
    /// If a thread panicked while it held the lock for writing; the error has the guard.
    #[inline]
    #[track_caller]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        if emit::on() {
            return self.read_recorded();
        }
        map_guard(self.inner.read(), |inner| self.read_guard(inner))
    }

    #[track_caller]
    fn read_recorded(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        let result = match self.inner.try_read() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Err(poisoned),
            Err(TryLockError::WouldBlock) => {
                emit::block(BlockReason::ReadLock, self.address());
                self.inner.read()
            }
        };
        emit::note(EventKind::ReadLock, 0, self.address(), 0);
        map_guard(result, |inner| self.read_guard(inner))
    }

    /// Waits until nobody holds the lock, and holds it for writing.
    ///
    /// # Errors
    /// If a thread panicked while it held the lock for writing; the error has the guard.
    #[inline]
    #[track_caller]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        if emit::on() {
            return self.write_recorded();
        }
        map_guard(self.inner.write(), |inner| self.write_guard(inner))
    }

    #[track_caller]
    fn write_recorded(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        let result = match self.inner.try_write() {
            Ok(guard) => Ok(guard),
            Err(TryLockError::Poisoned(poisoned)) => Err(poisoned),
            Err(TryLockError::WouldBlock) => {
                emit::block(BlockReason::WriteLock, self.address());
                self.inner.write()
            }
        };
        emit::note(EventKind::WriteLock, 0, self.address(), 0);
        map_guard(result, |inner| self.write_guard(inner))
    }

    /// Holds the lock for reading if nobody holds it for writing.
    ///
    /// # Errors
    /// If it is held for writing, or a thread panicked while it did so.
    #[track_caller]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        let result = self.inner.try_read();
        self.note_try(EventKind::ReadLock, TRIED_READ, &result);
        map_try_guard(result, |inner| self.read_guard(inner))
    }

    /// Holds the lock for writing if nobody holds it.
    ///
    /// # Errors
    /// If it is held, or a thread panicked while it held it for writing.
    #[track_caller]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        let result = self.inner.try_write();
        self.note_try(EventKind::WriteLock, TRIED_WRITE, &result);
        map_try_guard(result, |inner| self.write_guard(inner))
    }

    /// Whether a thread panicked while it held the lock for writing.
    pub fn is_poisoned(&self) -> bool {
        self.inner.is_poisoned()
    }

    /// Forgets that a thread panicked while it held the lock for writing.
    pub fn clear_poison(&self) {
        self.inner.clear_poison();
    }

    /// The value; nobody else can hold the lock now.
    ///
    /// # Errors
    /// If a thread panicked while it held the lock for writing; the error has the reference.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.inner.get_mut()
    }

    #[track_caller]
    fn note_try<G>(&self, success: EventKind, tried: u32, result: &TryLockResult<G>) {
        if matches!(result, Err(TryLockError::WouldBlock)) {
            emit::note(EventKind::RwTryFailed, tried, self.address(), 0);
        } else {
            emit::note(success, 1, self.address(), 0);
        }
    }

    fn read_guard<'a>(&self, inner: sync::RwLockReadGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        RwLockReadGuard { address: self.address(), inner }
    }

    fn write_guard<'a>(&self, inner: sync::RwLockWriteGuard<'a, T>) -> RwLockWriteGuard<'a, T> {
        RwLockWriteGuard { address: self.address(), inner }
    }

    fn address(&self) -> u64 {
        emit::address_of(&self.inner)
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if emit::on() {
            emit::note(EventKind::ReadUnlock, 0, self.address, 0);
        }
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if emit::on() {
            emit::note(EventKind::WriteUnlock, 0, self.address, 0);
        }
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.inner
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.inner
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
