//! A recording of a part of a program, such as a test.

use std::path::Path;
use std::sync::Arc;

use mmtrace_format::handshake::Handshake;
use mmtrace_format::live::{CloseError, Closed, CreateError};

use super::lifecycle::plan_of;
use super::{Plan, Recording, State, begin, end, state};
use crate::log;

/// Records from its start to its end, whatever the environment says of the log; how, is the
/// environment's to say.
///
/// A process has one recording at a time, which is of all its threads.
///
/// ```
/// use mmtrace_recorder::{Session, sync::Mutex};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("run.log");
/// let session = Session::start(&path)?;
/// *Mutex::new(1).lock().unwrap() += 1;
/// let summary = session.finish()?;
/// assert!(summary.events >= 3); // start, lock, unlock
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a session that is dropped ends at once"]
pub struct Session {
    recording: Option<Arc<Recording>>,
}

/// What a session recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the log.
    pub file_len: u64,
    /// Events in it.
    pub events: u64,
    /// Accesses to memory in it.
    pub accesses: u64,
}

/// Why a session could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The process is being recorded.
    #[error("this process is being recorded already")]
    AlreadyRecording,
    /// The log cannot be written.
    #[error("the log cannot be begun: {0}")]
    Create(#[from] CreateError),
}

/// Why a session's log is not complete. It is readable as that of a killed program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError {
    /// The process was forked, and this is the child: the session is its parent's.
    #[error("the session is that of the parent process")]
    NotOurs,
    /// The log could not be finished.
    #[error(transparent)]
    Close(#[from] CloseError),
}

impl Session {
    /// Begins to record into `path`. What is in that file now is lost.
    ///
    /// # Errors
    /// [`StartError`] if the process is being recorded, or if the file cannot be written.
    pub fn start(path: impl AsRef<Path>) -> Result<Self, StartError> {
        Self::start_with(path.as_ref(), true)
    }

    /// As [`start`](Self::start), but does not copy the program's symbols, which takes longer than
    /// most tests. The log is then readable without the program as far as the compiler's locations
    /// go: each hook's file and line, but no names of functions, and nothing of their callers.
    ///
    /// # Errors
    /// [`StartError`] if the process is being recorded, or if the file cannot be written.
    pub fn start_without_symbols(path: impl AsRef<Path>) -> Result<Self, StartError> {
        Self::start_with(path.as_ref(), false)
    }

    fn start_with(path: &Path, copies_symbols: bool) -> Result<Self, StartError> {
        let recording = log::unrecorded(|| {
            let handshake = Handshake::read(|name| std::env::var_os(name)).unwrap_or_default();
            let plan = Plan { path: path.to_owned(), copies_symbols, ..plan_of(&handshake) };
            let mut state = state();
            if !matches!(*state, State::Off) {
                return Err(StartError::AlreadyRecording);
            }
            Ok(begin(&mut state, plan)?)
        })?;
        log::begin_main();
        Ok(Self { recording: Some(recording) })
    }

    /// Ends the recording and finishes the log.
    ///
    /// # Errors
    /// [`FinishError`] if the log could not be finished.
    pub fn finish(mut self) -> Result<Summary, FinishError> {
        let recording = self.recording.take().ok_or(FinishError::NotOurs)?;
        let closed = end(Some(&recording)).ok_or(FinishError::NotOurs)??;
        let Closed { file_len, events, accesses, .. } = closed;
        Ok(Summary { file_len, events, accesses })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(recording) = self.recording.take() {
            // An unfinished log says so to its reader.
            let _ = end(Some(&recording));
        }
    }
}
