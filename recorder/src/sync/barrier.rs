//! `Barrier`: a mutex, a condition, and the generation in the events.

use std::fmt;
use std::sync::{self, PoisonError};

use mmtrace_format::EventKind;
use mmtrace_format::event::BlockReason;

use crate::emit;

/// `std::sync::Barrier`, recorded.
///
/// ```
/// use mmtrace_recorder::sync::Barrier;
///
/// let barrier = Barrier::new(2);
/// std::thread::scope(|s| {
///     let other = s.spawn(|| barrier.wait().is_leader());
///     assert!(barrier.wait().is_leader() ^ other.join().unwrap());
/// });
/// ```
pub struct Barrier {
    size: usize,
    state: sync::Mutex<State>,
    full: sync::Condvar,
}

struct State {
    arrived: usize,
    /// How often the barrier has been full.
    generation: u64,
}

/// Who a thread was at a barrier.
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether it is the one of its generation that was chosen to be different.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// A barrier for this many threads; 0 is as good as 1.
    pub const fn new(n: usize) -> Self {
        Self {
            size: n,
            state: sync::Mutex::new(State { arrived: 0, generation: 0 }),
            full: sync::Condvar::new(),
        }
    }

    /// Waits until as many threads as the barrier is for have come.
    #[track_caller]
    pub fn wait(&self) -> BarrierWaitResult {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let generation = state.generation;
        // Numbered under the lock: every arrival of a generation before any of its departures.
        emit::note(EventKind::BarrierArrive, 0, self.address(), generation);
        state.arrived += 1;
        let is_leader = state.arrived >= self.size;
        if is_leader {
            state.arrived = 0;
            state.generation += 1;
            self.full.notify_all();
        } else {
            emit::block(BlockReason::Barrier, self.address());
            while state.generation == generation {
                state = self.full.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
        drop(state);
        emit::note(EventKind::BarrierLeave, 0, self.address(), generation);
        BarrierWaitResult(is_leader)
    }

    fn address(&self) -> u64 {
        emit::address_of(self)
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult").field("is_leader", &self.is_leader()).finish()
    }
}
