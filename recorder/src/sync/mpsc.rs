//! `std::sync::mpsc`, recorded.
//!
//! A channel that is made while a log is written is one of ours, which numbers its values; made at
//! any other time it is std's, and stays so: its values leave no events even if a log is asked for
//! later.
//!
//! The events are those of [`crate::chan`]. Dropping the last sender closes the channel
//! (`chan-close`); what the other senders did before they were dropped is handed over to that drop
//! by `release-merge` and `acquire` on their count.

mod receiver;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;

use mmtrace_format::EventKind;

use crate::chan::{Core, Patience, Refusal};
use crate::emit;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

pub use self::receiver::{IntoIter, Iter, Receiver, TryIter};

/// A channel that always has room.
///
/// ```
/// use mmtrace_recorder::sync::mpsc;
///
/// let (sender, receiver) = mpsc::channel();
/// sender.send(1).unwrap();
/// drop(sender);
/// assert_eq!(receiver.iter().collect::<Vec<_>>(), [1]);
/// ```
#[must_use]
#[track_caller]
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    if emit::on() {
        let shared = Shared::new(None);
        (Sender(Sending::Ours(Owner::new(&shared))), Receiver::ours(shared))
    } else {
        let (sender, receiver) = mpsc::channel();
        (Sender(Sending::Std(sender)), Receiver::std(receiver))
    }
}

/// A channel with room for `bound` values; 0: each send waits for its receive.
#[must_use]
#[track_caller]
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    if emit::on() {
        let shared = Shared::new(Some(bound));
        (SyncSender(Sending::Ours(Owner::new(&shared))), Receiver::ours(shared))
    } else {
        let (sender, receiver) = mpsc::sync_channel(bound);
        (SyncSender(Sending::Std(sender)), Receiver::std(receiver))
    }
}

/// The sending end of a [`channel`].
pub struct Sender<T>(Sending<mpsc::Sender<T>, T>);

/// The sending end of a [`sync_channel`].
pub struct SyncSender<T>(Sending<mpsc::SyncSender<T>, T>);

/// An end that sends: std's (`S`), or ours.
enum Sending<S, T> {
    Std(S),
    Ours(Owner<T>),
}

impl<S: Clone, T> Clone for Sending<S, T> {
    fn clone(&self) -> Self {
        match self {
            Self::Std(sender) => Self::Std(sender.clone()),
            Self::Ours(owner) => Self::Ours(owner.clone()),
        }
    }
}

/// A channel of ours, with what makes it std's: it ends with its ends.
struct Shared<T> {
    channel: Core<T>,
    /// How many senders there are. Its address stands for the drops of all but the last.
    senders: AtomicUsize,
    /// Whether the receiver was dropped. Its address stands for that drop.
    abandoned: AtomicBool,
}

/// One of the senders of a channel of ours.
struct Owner<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Shared<T> {
    #[track_caller]
    fn new(capacity: Option<usize>) -> Arc<Self> {
        let shared = Arc::new(Self {
            channel: Core::new(capacity),
            senders: AtomicUsize::new(0),
            abandoned: AtomicBool::new(false),
        });
        shared.channel.announce();
        shared
    }

    /// The receiver is dropped: senders get their values back from now on.
    #[track_caller]
    fn abandon(&self) {
        emit::note(EventKind::Release, 0, emit::address_of(&self.abandoned), 0);
        self.abandoned.store(true, Ordering::Release);
        self.channel.abandon();
    }
}

impl<T> Owner<T> {
    fn new(shared: &Arc<Shared<T>>) -> Self {
        // Relaxed: a new sender is made through one that exists, or by the channel's maker.
        shared.senders.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared) }
    }

    #[track_caller]
    fn send(&self, value: T, patience: Patience) -> Result<(), (Refusal, T)> {
        let result = self.shared.channel.send(value, patience);
        if let Err((Refusal::Closed, _)) = result {
            // Only the receiver's drop closes a channel that has a sender.
            emit::note(EventKind::Acquire, 0, emit::address_of(&self.shared.abandoned), 0);
        }
        result
    }
}

impl<T> Clone for Owner<T> {
    fn clone(&self) -> Self {
        Self::new(&self.shared)
    }
}

impl<T> Drop for Owner<T> {
    fn drop(&mut self) {
        let count = emit::address_of(&self.shared.senders);
        // Numbered before the count goes down: before the last sender's acquire.
        emit::note(EventKind::ReleaseMerge, 0, count, 0);
        // AcqRel: the last one closes after all that the others did.
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            emit::note(EventKind::Acquire, 0, count, 0);
            // False if the receiver went first: then nobody is left to be told.
            self.shared.channel.close();
        }
    }
}

impl<T> Sender<T> {
    /// Sends a value.
    ///
    /// # Errors
    /// If the receiver was dropped: the value.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        match &self.0 {
            Sending::Std(sender) => sender.send(value),
            Sending::Ours(owner) => {
                owner.send(value, Patience::Forever).map_err(|(_, value)| SendError(value))
            }
        }
    }
}

impl<T> SyncSender<T> {
    /// Sends a value, waiting for room or, without a buffer, for the receive.
    ///
    /// # Errors
    /// If the receiver was dropped: the value.
    #[track_caller]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        match &self.0 {
            Sending::Std(sender) => sender.send(value),
            Sending::Ours(owner) => {
                owner.send(value, Patience::Forever).map_err(|(_, value)| SendError(value))
            }
        }
    }

    /// Sends a value if that needs no waiting.
    ///
    /// # Errors
    /// If it would, or the receiver was dropped: the value.
    #[track_caller]
    pub fn try_send(&self, value: T) -> Result<(), TrySendError<T>> {
        match &self.0 {
            Sending::Std(sender) => sender.try_send(value),
            Sending::Ours(owner) => {
                owner.send(value, Patience::Now).map_err(|(refusal, value)| match refusal {
                    Refusal::Full => TrySendError::Full(value),
                    Refusal::Closed => TrySendError::Disconnected(value),
                })
            }
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}
