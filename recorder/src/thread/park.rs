//! Parking: std's, with a token of our own beside std's that says which wakes are ours.
//!
//! std's park may return for nothing, and does not tell. So each thread has a token here, made
//! available by our `unpark` and taken by our `park`, each with its event under the token's lock: a
//! `park` event stands behind exactly those `unpark`s whose token it took.

use std::cell::OnceCell;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use mmtrace_format::event::BlockReason;
use mmtrace_format::{EventKind, ThreadId};

use crate::{emit, record};

thread_local! {
    static TOKEN: OnceCell<Arc<Token>> = const { OnceCell::new() };
}

/// One thread's park token.
#[derive(Default)]
pub(super) struct Token {
    available: Mutex<bool>,
    /// The thread's number in the log.
    thread: AtomicU32,
}

/// A thread that can be unparked: `std::thread::Thread`, recorded.
#[derive(Clone)]
pub struct Thread {
    inner: thread::Thread,
    token: Arc<Token>,
}

impl Token {
    /// Says which thread of the log this is the token of.
    pub(super) fn belongs_to(&self, thread: ThreadId) {
        // Relaxed: it goes into events, and orders nothing.
        self.thread.store(thread.as_u32(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.available.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the token if it is available.
    #[track_caller]
    fn take(&self) -> bool {
        let mut available = self.lock();
        let taken = std::mem::take(&mut *available);
        if taken {
            emit::note(EventKind::Park, 0, self.address(), 0);
        }
        taken
    }

    #[track_caller]
    fn give(&self) {
        let mut available = self.lock();
        let thread = self.thread.load(Ordering::Relaxed);
        emit::note(EventKind::Unpark, 0, self.address(), u64::from(thread));
        *available = true;
    }

    fn address(&self) -> u64 {
        emit::address_of(self)
    }
}

/// Gives the thread that calls this the token that its parent made for it.
pub(super) fn adopt(token: Arc<Token>) {
    TOKEN.with(|mine| {
        // A thread is given its token before anything of the program runs on it.
        let _ = mine.set(token);
    });
}

/// This thread's token.
fn token() -> Arc<Token> {
    let token = TOKEN
        .try_with(|token| Arc::clone(token.get_or_init(Arc::default)))
        // This thread is being torn down: nobody else will find it any more.
        .unwrap_or_default();
    if emit::on() {
        token.belongs_to(record::current_thread());
    }
    token
}

/// The thread that calls this.
#[must_use]
pub fn current() -> Thread {
    Thread { inner: thread::current(), token: token() }
}

/// Waits until this thread is unparked, or for no reason at all.
#[track_caller]
pub fn park() {
    park_with(thread::park);
}

/// Like [`park()`], but not longer than this.
#[track_caller]
pub fn park_timeout(limit: Duration) {
    park_with(|| thread::park_timeout(limit));
}

#[track_caller]
fn park_with(park: impl FnOnce()) {
    let token = token();
    let at_once = *token.lock();
    if !at_once {
        emit::block(BlockReason::Park, token.address());
    }
    // Also with our token at hand: std's is to be taken with it. If `unpark` has not given std's
    // yet, this waits for it.
    park();
    if !token.take() && !at_once {
        emit::run(BlockReason::Park);
    }
}

impl Thread {
    pub(super) fn new(inner: thread::Thread, token: Arc<Token>) -> Self {
        Self { inner, token }
    }

    /// Lets the thread's current or next [`park()`] return.
    #[track_caller]
    pub fn unpark(&self) {
        // Ours first: a park that returns because of std's token must find it.
        self.token.give();
        self.inner.unpark();
    }

    /// The thread's identifier in this process.
    pub fn id(&self) -> thread::ThreadId {
        self.inner.id()
    }

    /// The thread's name.
    pub fn name(&self) -> Option<&str> {
        self.inner.name()
    }
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
