//! The log on the screen and the worker that answers about it; while it is followed, also what it
//! has grown to.
//!
//! A log that grows is opened again under a second worker. The first one goes on answering until
//! the second knows every state, and then they change places: the screen never falls back to the
//! coarse picture, and a log that takes longer to index than to grow is still shown as it was a
//! moment ago.

use std::io;
use std::sync::Arc;

use mmtrace_format::Log;
use mmtrace_format::log::{OpenError, is_being_recorded};

use crate::message::{Answer, Request};
use crate::worker::{Listener, Worker};

/// Makes the listener of the worker with a number.
pub type Listeners = Box<dyn Fn(u64) -> Listener + Send>;

/// A log, its worker, and their successors.
pub struct Feed {
    log: Arc<Log>,
    worker: Worker,
    /// The worker's number.
    number: u64,
    next: Option<(Arc<Log>, Worker)>,
    listeners: Listeners,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Feed")
            .field("log", &self.log.path())
            .field("number", &self.number)
            .field("is_opening", &self.next.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a log that grows is shown as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// It cannot be opened again.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The system gives no thread.
    #[error("no thread for the log's growth: {0}")]
    Thread(#[from] io::Error),
}

impl Feed {
    /// Starts answering about a log.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(log: Arc<Log>, listeners: Listeners) -> io::Result<Self> {
        let worker = starter(&log)(Arc::clone(&log), listeners(0))?;
        Ok(Self { log, worker, number: 0, next: None, listeners })
    }

    /// The log that answers are about.
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Asks something.
    pub fn ask(&self, request: Request) {
        self.worker.ask(request);
    }

    /// Opens the log again if it has grown, unless that is going on already. Gives whether it does
    /// so now.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn look_again(&mut self) -> Result<bool, FollowError> {
        if self.next.is_some() {
            return Ok(false);
        }
        let log = Log::open(self.log.path())?;
        let records = |log: &Log| log.event_count() + log.access_count();
        let is_same = records(&log) == records(&self.log)
            && log.file_len() == self.log.file_len()
            && log.state().phase == self.log.state().phase;
        if is_same {
            return Ok(false);
        }
        let log = Arc::new(log);
        let worker = starter(&log)(Arc::clone(&log), (self.listeners)(self.number + 1))?;
        self.next = Some((log, worker));
        Ok(true)
    }

    /// An answer of the worker with this number, if it is one for the screen.
    pub fn take(&mut self, number: u64, answer: Answer) -> Option<Answer> {
        if number == self.number + 1 {
            match &answer {
                Answer::Lanes { has_states: true, .. } => {
                    let (log, worker) = self.next.take()?;
                    (self.log, self.worker, self.number) = (log, worker, number);
                }
                // It cannot be indexed: the next look may find more.
                Answer::Said(_) => {
                    self.next = None;
                    return Some(answer);
                }
                _ => return None,
            }
        }
        (number == self.number).then_some(answer)
    }
}

/// How to begin answering about a log. What is found in one that grows would be looked for again a
/// moment later: only when it does not any more, or when somebody asks.
fn starter(log: &Log) -> fn(Arc<Log>, Listener) -> io::Result<Worker> {
    let grows = is_being_recorded(log.path()).unwrap_or(false);
    if grows { Worker::start_unanalysed } else { Worker::start }
}
