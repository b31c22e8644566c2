//! What the recorded types call: the one door to the log.

use mmtrace_format::{AccessKind, EventKind, ThreadId};

/// Whether something is being recorded.
#[inline]
pub(crate) fn enabled() -> bool {
    false
}

/// Which recording is going on: another number for each one of the process, 0 if none is.
#[inline]
pub(crate) fn recording() -> u64 {
    0
}

/// Appends an event and returns its order number, or 0 if its kind has none.
///
/// The number is taken here, so a kind that has one is recorded while the program keeps everybody
/// else from the object.
#[track_caller]
pub(crate) fn event(kind: EventKind, detail: u32, object: u64, value: u64, extra: u64) -> u64 {
    let _ = (kind, detail, object, value, extra);
    0
}

/// Appends an event whose order number was taken by [`crate::stripe::lock`].
#[track_caller]
pub(crate) fn numbered_event(
    kind: EventKind,
    detail: u32,
    object: u64,
    number: u64,
    value: u64,
    extra: u64,
) {
    let _ = (kind, detail, object, number, value, extra);
}

/// Appends an access.
#[inline]
#[track_caller]
pub(crate) fn access(kind: AccessKind, address: u64, size: u64) {
    let _ = (kind, address, size);
}

/// A thread that is to be started, as its parent knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThreadToken {
    thread: ThreadId,
    parent: ThreadId,
    recording: u64,
}

impl ThreadToken {
    /// The thread's identifier in the log.
    pub(crate) fn thread(self) -> ThreadId {
        self.thread
    }
}

/// Says that this thread starts another.
#[track_caller]
pub(crate) fn spawn() -> ThreadToken {
    ThreadToken { thread: ThreadId::MAIN, parent: ThreadId::MAIN, recording: 0 }
}

/// The first event of the thread that the token stands for, recorded by that thread.
pub(crate) fn thread_start(token: ThreadToken) {
    let _ = (token.parent, token.recording);
}

/// The last event of this thread.
pub(crate) fn thread_end() {}

/// Says that this thread has joined another.
#[track_caller]
pub(crate) fn join(token: ThreadToken) {
    let _ = token;
}

/// This thread's identifier in the log.
pub(crate) fn current_thread() -> ThreadId {
    ThreadId::MAIN
}

/// Names this thread in the log.
pub(crate) fn name(name: &str) {
    let _ = name;
}

/// From now on these bytes are not what they were.
#[track_caller]
pub(crate) fn retire(address: u64, size: u64) {
    event(EventKind::Retire, 0, address, size, 0);
}
