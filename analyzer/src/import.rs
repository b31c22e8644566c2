//! Traces of other tools, as logs.
//!
//! An importer reads a foreign trace from front to back and writes what it says in our events. It
//! adds nothing but what the log's rules require (starts and ends of threads, order numbers), and
//! it judges nothing: an imported trace is analysed as any other log.

pub mod std;

use ::std::error::Error;
use ::std::io::{Seek, Write};

use mmtrace_format::table::Tables;
use mmtrace_format::writer::{LogBuilder, WriteError};
use mmtrace_format::{Access, Event, ThreadId};

/// What an importer writes to: a log, or a list in a test.
pub trait Output {
    /// Why it could not be written.
    type Error: Error + Send + Sync + 'static;

    /// The log's tables, to intern places in.
    fn tables(&mut self) -> &mut Tables;

    /// Appends an event to a thread.
    ///
    /// # Errors
    /// If it cannot be written.
    fn event(&mut self, thread: ThreadId, event: Event) -> Result<(), Self::Error>;

    /// Appends an access to a thread.
    ///
    /// # Errors
    /// If it cannot be written.
    fn access(&mut self, thread: ThreadId, access: Access) -> Result<(), Self::Error>;
}

impl<W: Write + Seek> Output for LogBuilder<W> {
    type Error = WriteError;

    fn tables(&mut self) -> &mut Tables {
        self.tables()
    }

    fn event(&mut self, thread: ThreadId, event: Event) -> Result<(), WriteError> {
        self.push_event(thread, event)
    }

    fn access(&mut self, thread: ThreadId, access: Access) -> Result<(), WriteError> {
        self.push_access(thread, access)
    }
}
