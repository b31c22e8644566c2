//! Go's channels, recorded: `chan(cap)`, send, receive, close, range, and [`select!`](crate::select!).
//!
//! ```
//! use mmtrace_recorder::{chan::chan, go::go};
//!
//! let (squares, results) = chan(0);
//! go(move || {
//!     for n in 1..=3 {
//!         squares.send(n * n);
//!     }
//!     squares.close();
//! });
//! assert_eq!(results.iter().sum::<i32>(), 14);
//! ```
//!
//! They behave as Go's do: without a buffer a send meets its receive; a send on a closed channel and
//! a second close panic; a receive from a closed channel first drains it; a nil channel is never
//! ready. A channel is *not* closed by dropping its senders: whoever waits then waits for ever, which
//! is what the log is to show.
//!
//! # Events
//!
//! The k-th send of a channel is `chan-send k` when it puts its value (or, without a buffer, offers
//! it), its receive is `chan-recv k`, and without a buffer `chan-send-done k` follows when the send
//! returns. Each is numbered while nothing else can happen to the value, so that
//! `chan-send k` < `chan-recv k` < `chan-send-done k`, and `chan-recv k` < `chan-send k + cap`.
//! An offer that a close has revoked is a `chan-send` without its receive.

mod core;
mod meeting;
pub mod select;
mod waiter;

use std::fmt;
use std::sync::Arc;

use mmtrace_format::event::BlockReason;

use crate::emit;

pub(crate) use self::core::{Core, NoValue, Patience, Refusal};

/// Makes a channel with room for `capacity` values; 0: each send waits for its receive.
#[must_use = "a channel is of no use without its ends"]
#[track_caller]
pub fn chan<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let core = Arc::new(Core::new(Some(capacity)));
    core.announce();
    (Sender { core: Some(Arc::clone(&core)) }, Receiver { core: Some(core) })
}

/// The end of a channel that takes values. May be cloned.
pub struct Sender<T> {
    /// None: nil.
    core: Option<Arc<Core<T>>>,
}

/// The end of a channel that gives values. May be cloned; each value goes to one receiver.
pub struct Receiver<T> {
    /// None: nil.
    core: Option<Arc<Core<T>>>,
}

/// Why a value was not sent without waiting; it is in the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError<T> {
    /// There is no room, or nobody is receiving.
    #[error("the channel is full")]
    Full(T),
    /// The channel is closed.
    #[error("the channel is closed")]
    Closed(T),
}

/// Why no value was received without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// There is none, and nobody is sending.
    #[error("the channel is empty")]
    Empty,
    /// The channel is closed, and there is none left.
    #[error("the channel is closed and empty")]
    Closed,
}

impl<T> Sender<T> {
    /// The nil channel: every send waits for ever.
    pub const fn nil() -> Self {
        Self { core: None }
    }

    /// Sends a value, waiting for room or, without a buffer, for the receive.
    ///
    /// # Panics
    /// If the channel is closed, or is being closed while this waits.
    #[track_caller]
    pub fn send(&self, value: T) {
        let Some(core) = &self.core else { wait_for_ever() };
        assert!(core.send(value, Patience::Forever).is_ok(), "send on closed channel");
    }

    /// Sends a value if that needs no waiting.
    ///
    /// # Errors
    /// If it would, or the channel is closed.
    #[track_caller]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        let Some(core) = &self.core else { return Err(TrySendError::Full(value)) };
        core.send(value, Patience::Now).map_err(|(refusal, value)| match refusal {
            Refusal::Full => TrySendError::Full(value),
            Refusal::Closed => TrySendError::Closed(value),
        })
    }

    /// Closes the channel: its values can still be received, and then every receive has none.
    ///
    /// # Panics
    /// If it is closed already, or nil.
    #[track_caller]
    pub fn close(&self) {
        let Some(core) = &self.core else { panic!("close of nil channel") };
        assert!(core.close(), "close of closed channel");
    }

    /// How many values wait in the channel.
    pub fn len(&self) -> usize {
        self.core.as_ref().map_or(0, |core| core.len())
    }

    /// Whether no value waits in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values can wait in the channel.
    pub fn capacity(&self) -> usize {
        capacity(self.core.as_deref())
    }
}

impl<T> Receiver<T> {
    /// The nil channel: every receive waits for ever.
    pub const fn nil() -> Self {
        Self { core: None }
    }

    /// Receives a value, waiting for one; none if the channel is closed and empty.
    #[track_caller]
    pub fn recv(&self) -> Option<T> {
        let Some(core) = &self.core else { wait_for_ever() };
        core.recv(Patience::Forever).ok()
    }

    /// Receives a value if that needs no waiting.
    ///
    /// # Errors
    /// If it would, or there will never be one.
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        let Some(core) = &self.core else { return Err(TryRecvError::Empty) };
        core.recv(Patience::Now).map_err(|why| match why {
            NoValue::Yet => TryRecvError::Empty,
            NoValue::Ever => TryRecvError::Closed,
        })
    }

    /// Receives until the channel is closed and empty.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// How many values wait in the channel.
    pub fn len(&self) -> usize {
        self.core.as_ref().map_or(0, |core| core.len())
    }

    /// Whether no value waits in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many values can wait in the channel.
    pub fn capacity(&self) -> usize {
        capacity(self.core.as_deref())
    }
}

fn capacity<T>(core: Option<&Core<T>>) -> usize {
    core.and_then(Core::capacity).unwrap_or(0)
}

#[track_caller]
fn wait_for_ever() -> ! {
    emit::block(BlockReason::NilChannel, 0);
    loop {
        std::thread::park();
    }
}

/// The values of a channel, until it is closed.
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}
