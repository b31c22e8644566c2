//! `Once`: a state, a mutex to change it under, and the events that order its callers.
//!
//! std's `Once` does not say that somebody else is at work, so that a caller could not tell the log
//! why it waits. This one has the same states, and the same cost once it is complete: one load.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{self, PoisonError};

use mmtrace_format::EventKind;
use mmtrace_format::event::BlockReason;

use super::seen;
use crate::emit;

/// `std::sync::Once`, recorded.
///
/// ```
/// use mmtrace_recorder::sync::Once;
///
/// static START: Once = Once::new();
/// let mut runs = 0;
/// START.call_once(|| runs += 1);
/// START.call_once(|| unreachable!());
/// assert_eq!(runs, 1);
/// ```
#[derive(Default)]
pub struct Once {
    /// One of the states below. Complete is stored with Release and loaded with Acquire: whoever
    /// sees it sees what the function did.
    state: AtomicU8,
    /// The number of the `once-done` event, by which repeated waits are told.
    done: AtomicU64,
    /// Held while the state changes, and by those who wait for that.
    lock: sync::Mutex<()>,
    changed: sync::Condvar,
}

const INCOMPLETE: u8 = 0;
const RUNNING: u8 = 1;
const POISONED: u8 = 2;
const COMPLETE: u8 = 3;

/// What a function given to [`Once::call_once_force`] learns about its [`Once`].
#[derive(Debug)]
pub struct OnceState {
    poisoned: bool,
}

impl OnceState {
    /// Whether an earlier function panicked.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }
}

/// What becomes of a [`Once`] whose function panics.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OnPanic {
    /// Later calls panic too.
    Poison,
    /// The next call tries again: what `OnceLock` does.
    Retry,
}

/// Leaves the running state when it is dropped, also by a panic.
struct Running<'a> {
    once: &'a Once,
    next: u8,
}

impl Once {
    /// A once whose function has not run.
    pub const fn new() -> Self {
        Self {
            state: AtomicU8::new(INCOMPLETE),
            done: AtomicU64::new(0),
            lock: sync::Mutex::new(()),
            changed: sync::Condvar::new(),
        }
    }

    /// Runs the function if none was, else waits until one has completed.
    ///
    /// # Panics
    /// If an earlier function panicked.
    #[inline]
    #[track_caller]
    pub fn call_once<F: FnOnce()>(&self, f: F) {
        if self.is_done() {
            return;
        }
        let mut f = Some(f);
        self.run(false, OnPanic::Poison, &mut |_| call_taken(&mut f, |f| f()));
    }

    /// Like [`Once::call_once`], but an earlier panic is no obstacle.
    #[inline]
    #[track_caller]
    pub fn call_once_force<F: FnOnce(&OnceState)>(&self, f: F) {
        if self.is_done() {
            return;
        }
        let mut f = Some(f);
        self.run(true, OnPanic::Poison, &mut |state| call_taken(&mut f, |f| f(state)));
    }

    /// Whether a function has completed.
    #[inline]
    #[track_caller]
    pub fn is_completed(&self) -> bool {
        self.is_done()
    }

    /// Waits until a function has completed.
    ///
    /// # Panics
    /// If an earlier function panicked.
    #[track_caller]
    pub fn wait(&self) {
        self.wait_for(false);
    }

    /// Like [`Once::wait`], but waits on after a panic.
    #[track_caller]
    pub fn wait_force(&self) {
        self.wait_for(true);
    }

    /// Whether a function has completed; if so, this thread takes what it did.
    #[inline]
    #[track_caller]
    pub(super) fn is_done(&self) -> bool {
        let done = self.state.load(Ordering::Acquire) == COMPLETE;
        if done && emit::on() {
            self.note_wait();
        }
        done
    }

    /// Runs `f` unless a function has completed, and returns when one has.
    #[cold]
    #[track_caller]
    pub(super) fn run(&self, force: bool, on_panic: OnPanic, f: &mut dyn FnMut(&OnceState)) {
        let mut lock = self.lock();
        let mut blocked = false;
        loop {
            match self.state.load(Ordering::Relaxed) {
                COMPLETE => break,
                RUNNING => {
                    if !blocked {
                        emit::block(BlockReason::Once, self.address());
                    }
                    blocked = true;
                    lock = self.changed.wait(lock).unwrap_or_else(PoisonError::into_inner);
                }
                before => {
                    if blocked {
                        emit::run(BlockReason::Once);
                    }
                    let poisoned = before == POISONED;
                    assert!(force || !poisoned, "Once instance has previously been poisoned");
                    self.state.store(RUNNING, Ordering::Relaxed);
                    drop(lock);
                    let next = if on_panic == OnPanic::Poison { POISONED } else { INCOMPLETE };
                    let mut running = Running { once: self, next };
                    f(&OnceState { poisoned });
                    let done = emit::note(EventKind::OnceDone, 0, self.address(), 0);
                    self.done.store(done, Ordering::Relaxed);
                    running.next = COMPLETE;
                    drop(running);
                    emit::note(EventKind::OnceWait, 0, self.address(), 0);
                    return;
                }
            }
        }
        drop(lock);
        emit::note(EventKind::OnceWait, 0, self.address(), 0);
    }

    #[track_caller]
    fn wait_for(&self, force: bool) {
        if self.is_done() {
            return;
        }
        emit::block(BlockReason::Once, self.address());
        let mut lock = self.lock();
        loop {
            match self.state.load(Ordering::Relaxed) {
                COMPLETE => break,
                POISONED if !force => {
                    emit::run(BlockReason::Once);
                    drop(lock);
                    panic!("Once instance has previously been poisoned");
                }
                _ => lock = self.changed.wait(lock).unwrap_or_else(PoisonError::into_inner),
            }
        }
        drop(lock);
        emit::note(EventKind::OnceWait, 0, self.address(), 0);
    }

    /// Records that this thread observed the completion, the first time that it does.
    #[track_caller]
    fn note_wait(&self) {
        let address = self.address();
        let done = self.done.load(Ordering::Relaxed);
        if !seen::before(address, done, seen::ONCE) {
            emit::note(EventKind::OnceWait, 0, address, 0);
            seen::remember(address, done, seen::ONCE);
        }
    }

    fn lock(&self) -> sync::MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn address(&self) -> u64 {
        emit::address_of(self)
    }
}

/// Calls a function that is called once at most.
fn call_taken<F, R>(f: &mut Option<F>, call: impl FnOnce(F) -> R) -> R {
    call(f.take().expect("the state is RUNNING for one thread at a time, and then COMPLETE"))
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _lock = self.once.lock();
        // Release: whoever loads COMPLETE without the lock sees what the function did.
        self.once.state.store(self.next, Ordering::Release);
        self.once.changed.notify_all();
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").finish_non_exhaustive()
    }
}
