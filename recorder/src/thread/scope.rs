//! Scoped threads: those that were not joined by hand are joined, and recorded so, at the end.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use mmtrace_format::event::BlockReason;

use super::builder::{Child, join_child};
use super::park::Thread;
use crate::emit;
use crate::record::{self, ThreadToken};

/// Where a scope's threads are started: `std::thread::Scope`, recorded.
#[derive(Debug)]
#[repr(transparent)]
pub struct Scope<'scope, 'env: 'scope> {
    inner: thread::Scope<'scope, 'env>,
}

/// A scope's thread that may be joined: `std::thread::ScopedJoinHandle`, recorded.
pub struct ScopedJoinHandle<'scope, T> {
    inner: thread::ScopedJoinHandle<'scope, T>,
    thread: Thread,
    child: Option<ThreadToken>,
}

/// A recorded thread that its scope will have to join.
struct Unjoined {
    /// The address of its scope, which stays where it is until all its threads have ended.
    scope: u64,
    child: ThreadToken,
    ended: Arc<AtomicBool>,
}

/// Of all scopes: std's scope, which ours is, has no room for them, and there are few at a time.
static UNJOINED: Mutex<Vec<Unjoined>> = Mutex::new(Vec::new());

fn unjoined() -> MutexGuard<'static, Vec<Unjoined>> {
    UNJOINED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records, when it is dropped, the joins that std's scope did.
struct Joins {
    scope: Cell<u64>,
}

impl Joins {
    /// Says so if the scope will have to wait.
    #[track_caller]
    fn block(&self) {
        let waits_for = unjoined()
            .iter()
            // Acquire for form's sake: only whether to say "block" depends on it.
            .find(|one| one.scope == self.scope.get() && !one.ended.load(Ordering::Acquire))
            .map(|one| one.child);
        if let Some(child) = waits_for {
            emit::block(BlockReason::Join, u64::from(child.thread().as_u32()));
        }
    }
}

impl Drop for Joins {
    fn drop(&mut self) {
        let mut joined = Vec::new();
        unjoined().retain(|one| {
            let mine = one.scope == self.scope.get();
            if mine {
                joined.push(one.child);
            }
            !mine
        });
        // Not under the list's lock: recording may take its time.
        joined.into_iter().for_each(record::join);
    }
}

/// Runs `f` with a scope whose threads may borrow what outlives it, and waits for all of them.
///
/// ```
/// let words = ["a", "bc"];
/// let lengths = mmtrace_recorder::thread::scope(|s| {
///     let first = s.spawn(|| words[0].len());
///     words[1].len() + first.join().unwrap()
/// });
/// assert_eq!(lengths, 3);
/// ```
///
/// # Panics
/// If a thread panicked that was not joined by hand.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let joins = Joins { scope: Cell::new(0) };
    thread::scope(|inner| {
        let scope = Scope::from_std(inner);
        joins.scope.set(scope.address());
        let result = f(scope);
        joins.block();
        result
    })
}

impl<'scope, 'env> Scope<'scope, 'env> {
    #[expect(
        unsafe_code,
        reason = "std lends its scope for as long as ours is needed, by reference only"
    )]
    fn from_std(inner: &'scope thread::Scope<'scope, 'env>) -> &'scope Self {
        let ours = std::ptr::from_ref(inner).cast::<Self>();
        // SAFETY: the reference that `ours` comes from is valid for 'scope, and `Self` is
        // transparent over what it refers to: same size, alignment and validity.
        unsafe { &*ours }
    }

    /// Starts a thread in the scope.
    ///
    /// # Panics
    /// If the system cannot start another thread.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        self.spawn_with(thread::Builder::new(), f).expect("failed to spawn thread")
    }

    #[track_caller]
    pub(super) fn spawn_with<F, T>(
        &'scope self,
        builder: thread::Builder,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let child = Child::announce();
        let (recorded, token) = child.handles();
        let ended = Arc::<AtomicBool>::default();
        let end = SetOnDrop(Arc::clone(&ended));
        let inner = builder.spawn_scoped(&self.inner, move || {
            let _end = end;
            child.run(f)
        })?;
        if let Some(child) = recorded {
            unjoined().push(Unjoined { scope: self.address(), child, ended });
        }
        let thread = Thread::new(inner.thread().clone(), token);
        Ok(ScopedJoinHandle { inner, thread, child: recorded })
    }

    fn address(&self) -> u64 {
        emit::address_of(self)
    }
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits until the thread has ended.
    ///
    /// # Errors
    /// If the thread panicked: what it panicked with.
    #[track_caller]
    pub fn join(self) -> thread::Result<T> {
        let result = join_child(self.child, self.inner.is_finished(), || self.inner.join());
        if let Some(child) = self.child {
            unjoined().retain(|one| one.child.thread() != child.thread());
        }
        result
    }

    /// The thread.
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Whether the thread has run to its end. This orders nothing; [`ScopedJoinHandle::join`] does.
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle").finish_non_exhaustive()
    }
}
