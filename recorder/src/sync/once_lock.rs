//! `OnceLock`: std's, initialised under a recorded [`Once`].

use std::fmt;
use std::sync;

use super::Once;
use super::once::OnPanic;

/// `std::sync::OnceLock`, recorded.
///
/// ```
/// use mmtrace_recorder::sync::OnceLock;
///
/// static HOME: OnceLock<String> = OnceLock::new();
/// assert_eq!(HOME.get_or_init(|| "/root".to_owned()), "/root");
/// assert_eq!(HOME.set("/home".to_owned()), Err("/home".to_owned()));
/// ```
pub struct OnceLock<T> {
    /// Complete if and only if there is a value.
    once: Once,
    value: sync::OnceLock<T>,
}

impl<T> OnceLock<T> {
    /// A cell without a value.
    pub const fn new() -> Self {
        Self { once: Once::new(), value: sync::OnceLock::new() }
    }

    /// The value, if there is one already.
    #[inline]
    #[track_caller]
    pub fn get(&self) -> Option<&T> {
        if self.once.is_done() { self.value.get() } else { None }
    }

    /// The value, if there is one.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.value.get_mut()
    }

    /// The value, when there is one.
    #[track_caller]
    pub fn wait(&self) -> &T {
        self.once.wait_force();
        self.completed()
    }

    /// Sets the value.
    ///
    /// # Errors
    /// If there is one; the error is the value that was not set.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        if self.get().is_some() {
            return Err(value);
        }
        let mut unset = Some(value);
        self.once.run(true, OnPanic::Retry, &mut |_| {
            if let Some(value) = unset.take() {
                // Only a once's function sets it, and there is one that completes.
                let _ = self.value.set(value);
            }
        });
        unset.map_or(Ok(()), Err)
    }

    /// The value; the function makes it if there is none.
    ///
    /// If the function panics, the cell stays empty.
    #[inline]
    #[track_caller]
    pub fn get_or_init<F: FnOnce() -> T>(&self, f: F) -> &T {
        match self.get() {
            Some(value) => value,
            None => self.initialise(f),
        }
    }

    #[cold]
    #[track_caller]
    fn initialise<F: FnOnce() -> T>(&self, f: F) -> &T {
        let mut f = Some(f);
        self.once.run(true, OnPanic::Retry, &mut |_| {
            let f = f.take().expect("a once runs its function once");
            // Only a once's function sets it, and there is one that completes.
            let _ = self.value.set(f());
        });
        self.completed()
    }

    fn completed(&self) -> &T {
        self.value.get().expect("a completed once has left its value")
    }

    /// The value, without its cell.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// The value, leaving the cell empty.
    pub fn take(&mut self) -> Option<T> {
        std::mem::take(self).into_inner()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> Self {
        self.get().map_or_else(Self::new, |value| Self::from(value.clone()))
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> Self {
        let cell = Self::new();
        match cell.set(value) {
            Ok(()) => cell,
            Err(_) => unreachable!("nobody else has the cell yet"),
        }
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
