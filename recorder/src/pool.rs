//! `Pool`: Go's `sync.Pool`, recorded.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mmtrace_format::EventKind;

use crate::emit;

/// Values to be used again.
///
/// Putting a value in happens before the get that returns it; other values of the pool order
/// nothing. Unlike Go's, nothing is taken out behind the program's back.
///
/// ```
/// use mmtrace_recorder::pool::Pool;
///
/// let buffers = Pool::new(|| Vec::<u8>::with_capacity(4096));
/// let mut buffer = buffers.get();
/// buffer.push(1);
/// buffer.clear();
/// buffers.put(buffer);
/// assert_eq!(buffers.get().capacity(), 4096);
/// ```
pub struct Pool<T, F = fn() -> T> {
    state: Mutex<State<T>>,
    make: F,
}

struct State<T> {
    /// How many values were ever put in.
    put: u64,
    /// Values with the number of their put, the last put last.
    items: Vec<(u64, T)>,
}

impl<T, F: Fn() -> T> Pool<T, F> {
    /// An empty pool; `make` makes a value when there is none.
    pub const fn new(make: F) -> Self {
        Self { state: Mutex::new(State { put: 0, items: Vec::new() }), make }
    }

    /// The value that was put in last, or a new one.
    #[track_caller]
    pub fn get(&self) -> T {
        let mut state = self.lock();
        let item = state.items.pop();
        // Numbered under the lock: after the put of the value.
        self.note(EventKind::PoolGet, item.as_ref().map_or(0, |(number, _)| *number));
        drop(state);
        item.map_or_else(&self.make, |(_, value)| value)
    }

    /// Puts a value in.
    #[track_caller]
    pub fn put(&self, value: T) {
        let mut state = self.lock();
        state.put += 1;
        let number = state.put;
        self.note(EventKind::PoolPut, number);
        state.items.push((number, value));
    }

    #[track_caller]
    fn note(&self, kind: EventKind, item: u64) {
        emit::note(kind, 0, emit::address_of(&self.state), item);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, F> fmt::Debug for Pool<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}
