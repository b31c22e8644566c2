//! The receiving end of an mpsc channel.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::RefUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::{RecvError, RecvTimeoutError, Shared, TryRecvError};
use crate::chan::{NoValue, Patience};

/// The receiving end of a channel. There is one.
pub struct Receiver<T> {
    end: Receiving<T>,
    /// Not `Sync`, as std's is not.
    not_sync: PhantomData<Cell<()>>,
}

enum Receiving<T> {
    Std(mpsc::Receiver<T>),
    Ours(Only<T>),
}

/// The one receiver of a channel of ours.
struct Only<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Drop for Only<T> {
    fn drop(&mut self) {
        self.shared.abandon();
    }
}

impl<T> Receiver<T> {
    pub(super) fn std(receiver: mpsc::Receiver<T>) -> Self {
        Self { end: Receiving::Std(receiver), not_sync: PhantomData }
    }

    pub(super) fn ours(shared: Arc<Shared<T>>) -> Self {
        Self { end: Receiving::Ours(Only { shared }), not_sync: PhantomData }
    }

    /// Receives a value, waiting for one.
    ///
    /// # Errors
    /// If there is none, and all senders were dropped.
    #[track_caller]
    pub fn recv(&self) -> Result<T, RecvError> {
        match &self.end {
            Receiving::Std(receiver) => receiver.recv(),
            Receiving::Ours(only) => {
                only.shared.channel.recv(Patience::Forever).map_err(|_| RecvError)
            }
        }
    }

    /// Receives a value if there is one.
    ///
    /// # Errors
    /// If there is none, now or ever.
    #[track_caller]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match &self.end {
            Receiving::Std(receiver) => receiver.try_recv(),
            Receiving::Ours(only) => {
                only.shared.channel.recv(Patience::Now).map_err(|why| match why {
                    NoValue::Yet => TryRecvError::Empty,
                    NoValue::Ever => TryRecvError::Disconnected,
                })
            }
        }
    }

    /// Receives a value, waiting for one, but not longer than this.
    ///
    /// # Errors
    /// If none came in time, or all senders were dropped.
    #[track_caller]
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvTimeoutError> {
        match &self.end {
            Receiving::Std(receiver) => receiver.recv_timeout(limit),
            Receiving::Ours(only) => {
                // A limit beyond what the clock can say is none.
                let patience =
                    Instant::now().checked_add(limit).map_or(Patience::Forever, Patience::Until);
                only.shared.channel.recv(patience).map_err(|why| match why {
                    NoValue::Yet => RecvTimeoutError::Timeout,
                    NoValue::Ever => RecvTimeoutError::Disconnected,
                })
            }
        }
    }

    /// Receives until all senders were dropped.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Receives what is there.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }
}

/// The values of a channel, until all senders were dropped.
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The values that are in a channel.
#[derive(Debug)]
pub struct TryIter<'a, T> {
    receiver: &'a Receiver<T>,
}

/// The values of a channel that belongs to the iterator, until all senders were dropped.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    #[track_caller]
    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<'a, T> IntoIterator for &'a Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

// Std's is, and the cell that keeps ours from being `Sync` holds nothing.
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
