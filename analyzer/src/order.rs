//! The order of everything: streams merged by the order numbers of their events.
//!
//! # Definition
//! Every event on an object carries the next number of the object's stripe
//! ([`mmtrace_format::stripe_of`]), taken while the operation excluded all others on the object. An
//! event is *next* when every smaller number of its stripe is done; a thread's start, when its
//! spawn is done; a join, when its child has ended; any other event, when those before it in its
//! thread are done. In logs that promise it ([`Lanes::streams_are_in_time`]), a fragment begins when the
//! one before it in its stream has run: that draws no edge, but the merged order is one in which
//! things may have happened in time.
//!
//! # Algorithm
//! A topological sort with no heap in its inner loop: a thread runs until its next event is not
//! next, waits for that stripe number, and is woken by whoever does the number before ([`merge`]).
//! Times are used for one thing only: to keep threads roughly abreast, so that few chunks have to
//! be decoded at one time. Program order within a thread is its fragments' order ([`trace`]).
//!
//! # What a damaged log costs
//! If nothing is next, numbers are missing (a lost chunk, a log whose oldest part was dropped). The
//! waiting event with the smallest time goes first, and an [`OrderGap`] is reported. No edge is
//! invented: what was published before a gap and may have been overwritten inside it is forgotten.

#[cfg(test)]
pub(crate) mod memory;
pub mod merge;
pub mod trace;

use std::fmt;
use std::str::FromStr;

use mmtrace_format::{ThreadId, Timestamp};

pub use merge::{Merge, MergeSink};
pub use trace::{FragmentSpan, Lanes, Trace};

/// One event or access: the n-th thing that its thread did, from 0, in program order.
///
/// Both lanes count. `Switch` events do not: they are about the stream, and their number depends on
/// how the recorder's writer cut a thread into fragments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventRef {
    /// Whose.
    pub thread: ThreadId,
    /// Its place in the thread's program order.
    pub index: u64,
}

impl fmt::Display for EventRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.thread, self.index)
    }
}

impl fmt::Debug for EventRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is not an [`EventRef`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` does not name an event: expected thread and place, as in t3#120")]
pub struct EventRefError {
    found: String,
}

impl FromStr for EventRef {
    type Err = EventRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (thread, index) = text.strip_prefix('t')?.split_once('#')?;
            let thread = ThreadId::new(thread.parse().ok()?);
            Some(Self { thread, index: index.parse().ok()? })
        };
        parse().ok_or_else(|| EventRefError { found: text.to_owned() })
    }
}

/// Why the order of some events is not known for sure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GapCause {
    /// Order numbers of a stripe that no event in the log has.
    MissingNumbers {
        /// The stripe.
        stripe: usize,
        /// How many.
        count: u64,
    },
    /// A number that came after it had been given up, or twice.
    LateNumber {
        /// The stripe.
        stripe: usize,
        /// The number.
        sequence: u64,
    },
    /// A thread starts, and the log has no spawn of it.
    MissingSpawn,
    /// A thread was joined, and the log has no end of it.
    MissingEnd,
    /// A lane of a chunk cannot be read.
    LostChunk {
        /// The chunk's place in the log.
        chunk: usize,
    },
}

/// A place where the log does not say what came before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OrderGap {
    /// The event that was let through, or the first that is there again.
    pub at: EventRef,
    /// Its time.
    pub time: Timestamp,
    /// Why.
    pub cause: GapCause,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_named_by_its_thread_and_place() {
        let event = EventRef { thread: ThreadId::new(3), index: 120 };
        assert_eq!(event.to_string(), "t3#120");
        assert_eq!("t3#120".parse(), Ok(event));
        for wrong in ["", "3#120", "t3", "t3#", "t#1", "t3#-1", "t3#1x"] {
            assert!(wrong.parse::<EventRef>().is_err(), "{wrong}");
        }
    }
}
