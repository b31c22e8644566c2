//! One thread that waits at one or more channels, and the queue of them at each.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a waiting thread was told. It is told once: the first to tell it wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The channel of this case changed: look again, there first.
    Retry(usize),
    /// A peer without a buffer has chosen this case: a meeting awaits it at the channel.
    Claimed(usize),
    /// It has given up waiting.
    Aborted,
}

/// A thread that waits.
#[derive(Default)]
pub(super) struct Waiter {
    signal: Mutex<Option<Signal>>,
    changed: Condvar,
}

impl Waiter {
    /// Tells the thread, unless it was told something else.
    fn tell(&self, signal: Signal) -> bool {
        let mut told = self.lock();
        let first = told.is_none();
        if first {
            *told = Some(signal);
            self.changed.notify_one();
        }
        first
    }

    /// Whether nobody has told the thread anything.
    fn is_waiting(&self) -> bool {
        self.lock().is_none()
    }

    /// Waits to be told, or until the deadline.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Signal {
        let mut told = self.lock();
        loop {
            if let Some(signal) = *told {
                return signal;
            }
            told = match deadline {
                None => self.changed.wait(told).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        *told = Some(Signal::Aborted);
                        return Signal::Aborted;
                    }
                    let result = self.changed.wait_timeout(told, left);
                    result.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// Gives up waiting, unless the thread was told something: then that counts.
    pub(super) fn abort(&self) -> Signal {
        *self.lock().get_or_insert(Signal::Aborted)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Signal>> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The threads that wait at one side of a channel, in the order in which they came.
///
/// One that waits at several channels may have been told something at another, and is then passed
/// over; it takes itself out.
#[derive(Default)]
pub(super) struct Queue {
    entries: VecDeque<(Arc<Waiter>, usize)>,
}

impl Queue {
    /// Adds a thread that waits here with this case.
    pub(super) fn push(&mut self, waiter: &Arc<Waiter>, case: usize) {
        self.entries.push_back((Arc::clone(waiter), case));
    }

    /// Takes a thread out that has stopped waiting by itself.
    pub(super) fn remove(&mut self, waiter: &Arc<Waiter>) {
        self.entries.retain(|(other, _)| !Arc::ptr_eq(other, waiter));
    }

    /// Takes the first thread that still waits and lets it look again.
    pub(super) fn wake_one(&mut self) {
        while let Some((waiter, case)) = self.entries.pop_front() {
            if waiter.tell(Signal::Retry(case)) {
                return;
            }
        }
    }

    /// Lets every thread look again.
    pub(super) fn wake_all(&mut self) {
        for (waiter, case) in self.entries.drain(..) {
            waiter.tell(Signal::Retry(case));
        }
    }

    /// Takes the first thread that still waits and binds it to its case here.
    pub(super) fn claim(&mut self) -> Option<Arc<Waiter>> {
        while let Some((waiter, case)) = self.entries.pop_front() {
            if waiter.tell(Signal::Claimed(case)) {
                return Some(waiter);
            }
        }
        None
    }

    /// Whether somebody other than this thread still waits.
    pub(super) fn has_other(&self, waiter: &Arc<Waiter>) -> bool {
        self.entries.iter().any(|(other, _)| !Arc::ptr_eq(other, waiter) && other.is_waiting())
    }
}
