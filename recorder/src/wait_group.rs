//! `WaitGroup`: Go's, recorded.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use mmtrace_format::EventKind;
use mmtrace_format::event::BlockReason;

use crate::emit;
use crate::go::go;

/// A count of work to be done, and a wait until there is none.
///
/// Each [`WaitGroup::done`] happens before the return of every [`WaitGroup::wait`] that it releases.
///
/// ```
/// use std::sync::Arc;
/// use mmtrace_recorder::wait_group::WaitGroup;
///
/// let group = Arc::new(WaitGroup::new());
/// for _ in 0..3 {
///     WaitGroup::go(&group, || { /* work */ });
/// }
/// group.wait();
/// ```
#[derive(Default)]
pub struct WaitGroup {
    state: Mutex<State>,
    zero: Condvar,
}

#[derive(Default)]
struct State {
    count: i64,
    /// How many wait for the count to become 0.
    waiters: u64,
    /// How often waiters were released.
    round: u64,
}

impl WaitGroup {
    /// A group without work.
    pub const fn new() -> Self {
        Self { state: Mutex::new(State { count: 0, waiters: 0, round: 0 }), zero: Condvar::new() }
    }

    /// Adds work, or takes some away. Taking away publishes what this thread did, as
    /// [`WaitGroup::done`] does.
    ///
    /// # Panics
    /// If the count becomes negative, or if it leaves 0 while somebody still waits.
    #[track_caller]
    pub fn add(&self, delta: i64) {
        let mut state = self.lock();
        let count = state.count.checked_add(delta).filter(|&count| count >= 0);
        let Some(count) = count else {
            drop(state);
            panic!("negative WaitGroup counter");
        };
        if state.waiters > 0 && delta > 0 && state.count == 0 {
            drop(state);
            panic!("WaitGroup misuse: add called concurrently with wait");
        }
        // Numbered under the lock: in the order in which the count changed.
        if delta < 0 {
            if delta < -1 {
                self.note(EventKind::WaitGroupAdd, delta + 1);
            }
            self.note(EventKind::WaitGroupDone, 0);
        } else {
            self.note(EventKind::WaitGroupAdd, delta);
        }
        state.count = count;
        if count == 0 && state.waiters > 0 {
            state.waiters = 0;
            state.round += 1;
            self.zero.notify_all();
        }
    }

    /// One piece of work is done.
    ///
    /// # Panics
    /// If there was none.
    #[track_caller]
    pub fn done(&self) {
        self.add(-1);
    }

    /// Waits until all work is done.
    ///
    /// # Panics
    /// If work was added anew before this could return.
    #[track_caller]
    pub fn wait(&self) {
        let mut state = self.lock();
        if state.count > 0 {
            emit::block(BlockReason::WaitGroup, self.address());
            state.waiters += 1;
            let round = state.round;
            while state.round == round {
                state = self.zero.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        if state.count > 0 {
            drop(state);
            panic!("WaitGroup is reused before previous wait has returned");
        }
        // Numbered under the lock, with the count at 0: after every `done` that it waited for, and
        // before any of the next round.
        self.note(EventKind::WaitGroupWait, 0);
    }

    /// Adds one piece of work, and starts a thread that does it. It is done also if it panics.
    ///
    /// # Panics
    /// If the system cannot start another thread.
    #[track_caller]
    pub fn go<F: FnOnce() + Send + 'static>(this: &Arc<Self>, f: F) {
        this.add(1);
        let work = Work(Arc::clone(this));
        go(move || {
            let _work = work;
            f();
        });
    }

    #[track_caller]
    fn note(&self, kind: EventKind, delta: i64) {
        emit::note(kind, 0, self.address(), delta.cast_unsigned());
    }

    fn address(&self) -> u64 {
        emit::address_of(self)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A piece of work, done when it is dropped.
struct Work(Arc<WaitGroup>);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.done();
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup").field("count", &self.lock().count).finish_non_exhaustive()
    }
}
