//! Starting and joining threads.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

use mmtrace_format::event::BlockReason;

use super::park::{self, Thread, Token};
use super::scope::{Scope, ScopedJoinHandle};
use crate::emit;
use crate::record::{self, ThreadToken};

/// Starts a thread.
///
/// ```
/// let child = mmtrace_recorder::thread::spawn(|| 6 * 7);
/// assert_eq!(child.join().unwrap(), 42);
/// ```
///
/// # Panics
/// If the system cannot start another thread.
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().spawn(f).expect("failed to spawn thread")
}

/// How a thread is to be made: `std::thread::Builder`, recorded.
#[must_use = "must eventually spawn the thread"]
#[derive(Debug)]
pub struct Builder {
    inner: thread::Builder,
}

/// A thread that may be joined: `std::thread::JoinHandle`, recorded.
pub struct JoinHandle<T> {
    inner: thread::JoinHandle<T>,
    thread: Thread,
    child: Option<ThreadToken>,
}

/// A thread that is about to be started.
pub(super) struct Child {
    recorded: Option<ThreadToken>,
    token: Arc<Token>,
}

/// Records the thread's end when it is dropped, also by a panic.
struct End;

impl Drop for End {
    fn drop(&mut self) {
        record::thread_end();
    }
}

impl Child {
    /// Tells the log that this thread starts another.
    #[track_caller]
    pub(super) fn announce() -> Self {
        let token = Arc::<Token>::default();
        let recorded = emit::on().then(record::spawn);
        if let Some(child) = recorded {
            token.belongs_to(child.thread());
        }
        Self { recorded, token }
    }

    /// What the new thread does: its first event, `f`, its last event.
    pub(super) fn run<T>(self, f: impl FnOnce() -> T) -> T {
        park::adopt(self.token);
        let Some(recorded) = self.recorded else { return f() };
        record::thread_start(recorded);
        let _end = End;
        f()
    }

    /// The handles of its parent.
    pub(super) fn handles(&self) -> (Option<ThreadToken>, Arc<Token>) {
        (self.recorded, Arc::clone(&self.token))
    }
}

/// Waits for a child with `join`, and takes what it did.
#[track_caller]
pub(super) fn join_child<T>(
    child: Option<ThreadToken>,
    is_finished: bool,
    join: impl FnOnce() -> T,
) -> T {
    let Some(child) = child else { return join() };
    if !is_finished {
        emit::block(BlockReason::Join, u64::from(child.thread().as_u32()));
    }
    let result = join();
    record::join(child);
    result
}

impl Builder {
    /// A thread with no name and the usual stack.
    pub fn new() -> Self {
        Self { inner: thread::Builder::new() }
    }

    /// Names the thread.
    pub fn name(self, name: String) -> Self {
        Self { inner: self.inner.name(name) }
    }

    /// Sets the size of its stack, in bytes.
    pub fn stack_size(self, size: usize) -> Self {
        Self { inner: self.inner.stack_size(size) }
    }

    /// Starts it.
    ///
    /// # Errors
    /// If the system cannot start another thread. The log has then a child that never began.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let child = Child::announce();
        let (recorded, token) = child.handles();
        let inner = self.inner.spawn(move || child.run(f))?;
        let thread = Thread::new(inner.thread().clone(), token);
        Ok(JoinHandle { inner, thread, child: recorded })
    }

    /// Starts it, without a lifetime that its function must outlive.
    ///
    /// # Errors
    /// If the system cannot start another thread. The log has then a child that never began.
    ///
    /// # Safety
    /// As std's: the thread must have ended before anything ends that `f` or its result borrows.
    #[expect(unsafe_code, reason = "the caller makes the promise that std asks for")]
    #[track_caller]
    pub unsafe fn spawn_unchecked<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let child = Child::announce();
        let (recorded, token) = child.handles();
        // SAFETY: the caller's promise about `f` and its result; what is added to `f` borrows
        // nothing.
        let inner = unsafe { self.inner.spawn_unchecked(move || child.run(f)) }?;
        let thread = Thread::new(inner.thread().clone(), token);
        Ok(JoinHandle { inner, thread, child: recorded })
    }

    /// Starts it in a scope.
    ///
    /// # Errors
    /// If the system cannot start another thread. The log has then a child that never began.
    #[track_caller]
    pub fn spawn_scoped<'scope, 'env, F, T>(
        self,
        scope: &'scope Scope<'scope, 'env>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        scope.spawn_with(self.inner, f)
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> JoinHandle<T> {
    /// Waits until the thread has ended.
    ///
    /// # Errors
    /// If the thread panicked: what it panicked with.
    #[track_caller]
    pub fn join(self) -> thread::Result<T> {
        join_child(self.child, self.inner.is_finished(), || self.inner.join())
    }

    /// The thread.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Whether the thread has run to its end. This orders nothing; [`JoinHandle::join`] does.
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").finish_non_exhaustive()
    }
}
