//! `Condvar`: its own queue of waiters while recording, so that a wake names its notify.
//!
//! std's condition variable does not say which notify released a wait, and may wake for nothing.
//! While a log is written, a waiter therefore stands in a queue here, with a mailbox in which the
//! notify leaves its order number; the edge from notify to wake is then a fact, not a guess.
//! Waiters that came while nothing was recorded stay with std's; a notify that finds the queue empty
//! goes on to them, so that starting or ending a recording loses nobody.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{self, Arc, LockResult, PoisonError};
use std::time::{Duration, Instant};

use mmtrace_format::EventKind;
use mmtrace_format::event::BlockReason;

use super::{MutexGuard, map_guard};
use crate::emit;

/// `std::sync::Condvar`, recorded.
///
/// ```
/// use mmtrace_recorder::sync::{Condvar, Mutex};
///
/// let (ready, changed) = (Mutex::new(false), Condvar::new());
/// std::thread::scope(|s| {
///     s.spawn(|| {
///         *ready.lock().unwrap() = true;
///         changed.notify_one();
///     });
///     let ready = changed.wait_while(ready.lock().unwrap(), |ready| !*ready).unwrap();
///     assert!(*ready);
/// });
/// ```
#[derive(Default)]
pub struct Condvar {
    /// For those who waited while nothing was recorded.
    unrecorded: sync::Condvar,
    /// For the others, in the order in which they came.
    queue: sync::Mutex<VecDeque<Arc<Waiter>>>,
    /// The queue's length; read without its lock to see that a notify has nothing to do there.
    queued: AtomicUsize,
}

/// Whether a wait with a time limit ended because of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

/// One thread that waits. Its field changes only under the queue's lock.
#[derive(Default)]
struct Waiter {
    wake: sync::Condvar,
    /// [`WAITING`], then the order number of the notify that took the waiter out of the queue.
    notified_by: AtomicU64,
}

/// No event has this number, not even one that was not recorded (0).
const WAITING: u64 = u64::MAX;

/// The detail of `cond-notify`.
const ONE: u32 = 0;
const ALL: u32 = 1;

impl WaitTimeoutResult {
    /// Whether the limit was reached.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition variable that nobody waits for.
    pub const fn new() -> Self {
        Self {
            unrecorded: sync::Condvar::new(),
            queue: sync::Mutex::new(VecDeque::new()),
            queued: AtomicUsize::new(0),
        }
    }

    /// Gives the mutex up, waits for a notify, and holds the mutex again.
    ///
    /// # Errors
    /// If a thread panicked while it held the mutex; the error has the guard.
    #[track_caller]
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        self.wait_until(guard, None).map(|(guard, _)| guard).map_err(drop_result)
    }

    /// Waits as long as `condition` holds.
    ///
    /// # Errors
    /// If a thread panicked while it held the mutex; the error has the guard.
    #[track_caller]
    pub fn wait_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Like [`Condvar::wait`], but not longer than this.
    ///
    /// # Errors
    /// If a thread panicked while it held the mutex; the error has the guard.
    #[track_caller]
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        self.wait_until(guard, Some(limit))
    }

    /// Waits as long as `condition` holds, but not longer than this.
    ///
    /// # Errors
    /// If a thread panicked while it held the mutex; the error has the guard.
    #[track_caller]
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        limit: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let start = Instant::now();
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            let Some(left) = limit.checked_sub(start.elapsed()) else {
                return Ok((guard, WaitTimeoutResult(true)));
            };
            guard = self.wait_timeout(guard, left)?.0;
        }
    }

    /// Wakes one thread that waits, if any does.
    #[inline]
    #[track_caller]
    pub fn notify_one(&self) {
        if emit::on() || self.has_queue() {
            self.notify_recorded(ONE);
        } else {
            self.unrecorded.notify_one();
        }
    }

    /// Wakes every thread that waits.
    #[inline]
    #[track_caller]
    pub fn notify_all(&self) {
        if emit::on() || self.has_queue() {
            self.notify_recorded(ALL);
        } else {
            self.unrecorded.notify_all();
        }
    }

    #[track_caller]
    fn wait_until<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        if emit::on() {
            self.wait_recorded(guard, limit)
        } else {
            self.wait_unrecorded(guard, limit)
        }
    }

    /// The wait of std, around our guard.
    fn wait_unrecorded<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let (mutex, inner) = guard.into_unlocking();
        let result = match limit {
            None => map_guard(self.unrecorded.wait(inner), |inner| (inner, false)),
            Some(limit) => {
                map_guard(self.unrecorded.wait_timeout(inner, limit), |(inner, result)| {
                    (inner, result.timed_out())
                })
            }
        };
        map_guard(result, |(inner, timed_out)| {
            (MutexGuard::just_locked(mutex, inner), WaitTimeoutResult(timed_out))
        })
    }

    #[track_caller]
    fn wait_recorded<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Option<Duration>,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let mutex = guard.mutex();
        let waiter = Arc::new(Waiter { notified_by: AtomicU64::new(WAITING), ..Waiter::default() });
        let mut queue = self.lock_queue();
        queue.push_back(Arc::clone(&waiter));
        self.queued.store(queue.len(), Ordering::Relaxed);
        // From here on a notify finds us, but cannot look before we wait: we hold the queue.
        drop(guard);
        emit::block(BlockReason::Condition, self.address());
        let notified_by = loop {
            let notified_by = waiter.notified_by.load(Ordering::Relaxed);
            if notified_by != WAITING {
                break Some(notified_by);
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            queue = match left {
                None => waiter.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => {
                    queue.retain(|other| !Arc::ptr_eq(other, &waiter));
                    self.queued.store(queue.len(), Ordering::Relaxed);
                    break None;
                }
                Some(left) => {
                    waiter.wake.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        };
        drop(queue);
        emit::note(EventKind::CondWake, 0, self.address(), notified_by.unwrap_or(0));
        let timed_out = WaitTimeoutResult(notified_by.is_none());
        map_guard(mutex.lock(), |guard| (guard, timed_out))
    }

    #[cold]
    #[track_caller]
    fn notify_recorded(&self, which: u32) {
        let mut queue = self.lock_queue();
        let woken = if which == ALL { queue.len() } else { queue.len().min(1) };
        // Numbered under the queue's lock: a wait is in the queue before this number, or is not
        // woken by it.
        let number = emit::note(EventKind::CondNotify, which, self.address(), woken as u64);
        for waiter in queue.drain(..woken) {
            waiter.notified_by.store(number, Ordering::Relaxed);
            waiter.wake.notify_one();
        }
        self.queued.store(queue.len(), Ordering::Relaxed);
        drop(queue);
        if which == ALL {
            self.unrecorded.notify_all();
        } else if woken == 0 {
            self.unrecorded.notify_one();
        }
    }

    /// Whether somebody who is recorded waits.
    ///
    /// Relaxed: whoever notifies after a wait began knows of it through the mutex of the condition,
    /// which the waiter gave up after it had counted itself.
    fn has_queue(&self) -> bool {
        self.queued.load(Ordering::Relaxed) != 0
    }

    fn lock_queue(&self) -> sync::MutexGuard<'_, VecDeque<Arc<Waiter>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> u64 {
        emit::address_of(self)
    }
}

fn drop_result<G>(error: PoisonError<(G, WaitTimeoutResult)>) -> PoisonError<G> {
    PoisonError::new(error.into_inner().0)
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
