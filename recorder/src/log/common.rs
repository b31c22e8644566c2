//! The log of threads that have none: not yet, or not any more.
//!
//! A thread allocates and frees before its first event says who it is (its parent made it, but has
//! not told it so yet), and after its last. To give it a log of its own for that would make two more
//! threads of each. So the allocations and frees of such threads are written, one by one under a
//! lock, into one common log of a thread that is none. They order nothing by being there together:
//! an allocation's and a free's place in time is their order number.

use std::sync::{Arc, Mutex, PoisonError};

use mmtrace_format::{Event, EventKind};

use super::ThreadLog;
use crate::session::Recording;
use crate::stack::StackRange;

/// See the module.
#[derive(Default)]
pub(crate) struct CommonLog(Mutex<Option<Box<ThreadLog>>>);

impl CommonLog {
    /// Does something to the log as if it were this thread's.
    pub(super) fn with<R>(
        &self,
        recording: &Arc<Recording>,
        cold: impl FnOnce(&mut ThreadLog) -> R,
    ) -> R {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let log = log.get_or_insert_with(|| Self::begin(recording));
        log.walk_on(StackRange::of_this_thread());
        cold(log)
    }

    fn begin(recording: &Arc<Recording>) -> Box<ThreadLog> {
        let thread = recording.mint_thread();
        let mut log = ThreadLog::new(Arc::clone(recording), thread, StackRange::default());
        let value = u64::from(thread.as_u32());
        log.push_event(Event { value, ..Event::new(EventKind::Start) });
        let value = u64::from(recording.string("threads that begin or end").as_u32());
        log.push_event(Event { value, ..Event::new(EventKind::Name) });
        log
    }

    /// Seals what there is: the recording ends.
    pub(crate) fn end(&self) {
        let log = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(log);
    }
}
