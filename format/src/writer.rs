//! Writing a log offline: importers, repair, tests.

mod builder;
mod file;
mod sequencer;

pub use builder::{BuilderOptions, LogBuilder};
pub use file::{LogWriter, Summary, WriteError};
pub use sequencer::Sequencer;
