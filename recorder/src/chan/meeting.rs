//! The meeting of one send with one receive, where there is no buffer between them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

enum Stage<T> {
    /// The receiver is here and waits for the value.
    Awaited,
    /// The k-th send's value is here.
    Offered(u64, T),
    /// The receiver has it.
    Taken,
    /// The channel was closed before anybody took it.
    Revoked(Option<T>),
}

/// A place for one value between two threads.
pub(super) struct Meeting<T> {
    stage: Mutex<Stage<T>>,
    changed: Condvar,
}

impl<T> Meeting<T> {
    /// A meeting that the sender of the k-th value begins.
    pub(super) fn offering(k: u64, value: T) -> Self {
        Self { stage: Mutex::new(Stage::Offered(k, value)), changed: Condvar::new() }
    }

    /// A meeting that a receiver begins.
    pub(super) fn awaiting() -> Self {
        Self { stage: Mutex::new(Stage::Awaited), changed: Condvar::new() }
    }

    /// Brings the k-th value to a receiver that waits for it.
    pub(super) fn offer(&self, k: u64, value: T) {
        *self.lock() = Stage::Offered(k, value);
        self.changed.notify_all();
    }

    /// Takes the value, waiting for it if the receiver came first. `note` is told its number while
    /// the sender still waits.
    pub(super) fn take(&self, note: impl FnOnce(u64)) -> T {
        let mut stage = self.lock();
        loop {
            match std::mem::replace(&mut *stage, Stage::Taken) {
                Stage::Offered(k, value) => {
                    note(k);
                    self.changed.notify_all();
                    return value;
                }
                other => *stage = other,
            }
            stage = self.changed.wait(stage).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Gives the value back to its sender.
    pub(super) fn revoke(&self) {
        let mut stage = self.lock();
        match std::mem::replace(&mut *stage, Stage::Revoked(None)) {
            Stage::Offered(_, value) => *stage = Stage::Revoked(Some(value)),
            other => *stage = other,
        }
        self.changed.notify_all();
    }

    /// Waits until the receiver has the value.
    ///
    /// # Errors
    /// If it was revoked: the value.
    pub(super) fn wait_taken(&self) -> Result<(), T> {
        let mut stage = self.lock();
        loop {
            match &mut *stage {
                Stage::Taken => return Ok(()),
                Stage::Revoked(value) => {
                    return Err(value.take().expect("one sender waits, and leaves with this"));
                }
                Stage::Awaited | Stage::Offered(..) => {}
            }
            stage = self.changed.wait(stage).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stage<T>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
