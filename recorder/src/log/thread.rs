//! Which thread of the log an OS thread is: its first event, its last, and what comes around them.
//!
//! A thread that the recorded types start is announced by its parent, which mints its number. Any
//! other thread becomes one, without a parent, by its first event that is not an allocation (or by
//! many of those). After [`thread_end`] the OS thread still runs destructors: their allocations and
//! frees go to the [common log](super::common); if they do anything else, that is a thread of its
//! own, which takes what the first one released at its end. Nobody joins that one: should a
//! destructor of a thread-local touch tracked memory that whoever joins the thread touches, too,
//! the log has no edge between the two.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;

use mmtrace_format::{Event, EventKind, StringId, ThreadId};

use super::{Inside, LOG, ThreadLog, unrecorded};
use crate::session::{self, Recording};
use crate::stack::StackRange;
use crate::{record, stripe};

/// Allocations and frees of an unannounced thread that go to the common log.
const COMMON_MAX: u32 = 64;

/// A recording number that no recording has.
const NO_RECORDING: u64 = u64::MAX;

thread_local! {
    /// What an OS thread is in the log beyond its [`ThreadLog`].
    static LIFE: Life = const { Life::new() };
    /// Notices that the thread ends.
    static EXIT: Exit = const { Exit };
}

/// See [`LIFE`]. Without a destructor, so that it outlives all that have one.
struct Life {
    /// The recording in which this thread has come to its end; its later events are another's.
    ended: Cell<u64>,
    /// Whether the destructors of thread-locals have come to ours: no log may be kept any more.
    is_exiting: Cell<bool>,
    /// Events that went to the common log.
    common: Cell<u32>,
}

impl Life {
    const fn new() -> Self {
        Self { ended: Cell::new(0), is_exiting: Cell::new(false), common: Cell::new(0) }
    }
}

struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        let Some(_inside) = Inside::new() else { return };
        LIFE.with(|life| life.is_exiting.set(true));
        let Some(mut log) = take() else { return };
        if log.recording_number == session::number() {
            if log.cold.thread == ThreadId::MAIN {
                // The main thread's log ends with the recording, which comes after this.
                return put_back(log);
            }
            end(&mut log);
        }
    }
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
    let none = ThreadToken { thread: ThreadId::MAIN, parent: ThreadId::MAIN, recording: 0 };
    let parent = current_thread();
    let Some(recording) = unrecorded(session::current) else { return none };
    let thread = recording.mint_thread();
    record::event(EventKind::Spawn, 0, 0, u64::from(thread.as_u32()), 0);
    ThreadToken { thread, parent, recording: recording.number() }
}

/// The first event of the thread that the token stands for, recorded by that thread.
pub(crate) fn thread_start(token: ThreadToken) {
    let Some(_inside) = Inside::new() else { return };
    let Some(recording) = session::current() else { return };
    if recording.number() != token.recording {
        // Announced to another recording: this one meets it as a thread of its own.
        return;
    }
    let mut log = match take() {
        Some(mut log) if log.recording_number == token.recording => {
            // It did so much before it said who it is that it became somebody.
            end(&mut log);
            resume(&mut log, token.thread, token.parent);
            log
        }
        other => {
            drop(other);
            begin(recording, token.thread, token.parent)
        }
    };
    if let Some(name) = std::thread::current().name() {
        push_name(&mut log, name);
    }
    put_back(log);
}

/// The last event of this thread.
pub(crate) fn thread_end() {
    let Some(_inside) = Inside::new() else { return };
    let Some(mut log) = take() else { return };
    if log.recording_number == session::number() {
        end(&mut log);
    }
    put_back(log);
}

/// Says that this thread has joined another.
#[track_caller]
pub(crate) fn join(token: ThreadToken) {
    if token.recording == session::number() {
        record::event(EventKind::Join, 0, 0, u64::from(token.thread.as_u32()), 0);
    }
}

/// This thread's identifier in the log; the main thread's if nothing is recorded.
pub(crate) fn current_thread() -> ThreadId {
    super::enter(None, |log| log.cold.thread).unwrap_or(ThreadId::MAIN)
}

/// The number of a string in the present recording's log.
pub(crate) fn string(text: &str) -> StringId {
    unrecorded(|| session::current().map_or(StringId::EMPTY, |recording| recording.string(text)))
}

/// Names this thread in the log.
#[track_caller]
pub(crate) fn name(name: &str) {
    let name = string(name);
    record::event(EventKind::Name, 0, 0, u64::from(name.as_u32()), 0);
}

/// The thread that begins a recording is the first in it.
pub(crate) fn begin_main() {
    super::enter(None, |_| ());
}

/// The last words of a recording, in the log of the thread that ends it.
pub(crate) fn end_main(recording: &Arc<Recording>) {
    let Some(_inside) = Inside::new() else { return };
    let clean_end = Event::new(EventKind::CleanEnd);
    match take() {
        Some(mut log) if log.recording_number == recording.number() => log.push_event(clean_end),
        other => {
            drop(other);
            recording.common().with(recording, |log| log.push_event(clean_end));
        }
    }
}

/// This child of a fork has none of its parent's logs.
pub(crate) fn forget() {
    LOG.set(ptr::null_mut());
    LIFE.with(|life| life.ended.set(0));
    LIFE.with(|life| life.common.set(0));
}

/// Runs a cold path on the log that an event of this kind, or an access, belongs to.
pub(super) fn with_log<R>(
    kind: Option<EventKind>,
    cold: impl FnOnce(&mut ThreadLog) -> R,
) -> Option<R> {
    let number = session::number();
    let mut log = take();
    let is_current = log.as_ref().is_some_and(|log| log.recording_number == number);
    if !is_current {
        let recording = session::current()?;
        let has_ended = LIFE.with(|life| life.ended.get()) == recording.number();
        if is_for_common(kind, has_ended) {
            if let Some(log) = log.filter(|log| log.recording_number == NO_RECORDING) {
                put_back(log);
            }
            return Some(recording.common().with(&recording, cold));
        }
        let thread = recording.mint_thread();
        log = match log {
            Some(mut log) if has_ended && log.recording_number == NO_RECORDING => {
                resume(&mut log, thread, thread);
                Some(log)
            }
            // Of an earlier recording, if any.
            other => {
                drop(other);
                Some(begin(recording, thread, thread))
            }
        };
    }
    let mut log = log?;
    let result = cold(&mut log);
    put_back(log);
    Some(result)
}

/// Whether an event of a thread without a log goes to the common one.
fn is_for_common(kind: Option<EventKind>, has_ended: bool) -> bool {
    matches!(kind, Some(EventKind::Alloc | EventKind::Free))
        && LIFE.with(|life| {
            let common = life.common.get();
            life.common.set(common.saturating_add(1));
            has_ended || life.is_exiting.get() || common < COMMON_MAX
        })
}

/// Takes this thread's log away from the hot paths.
#[expect(unsafe_code, reason = "the thread's own log, without a lock or a check of borrows")]
fn take() -> Option<Box<ThreadLog>> {
    let log = LOG.replace(ptr::null_mut());
    // SAFETY: `put_back` is the only one to put a pointer into `LOG`, and gets it from a box; it is
    // taken out here, so it is turned back into a box once.
    (!log.is_null()).then(|| unsafe { Box::from_raw(log) })
}

/// Gives the log to the hot paths. One that comes too late for that is sealed, for nobody would do
/// so later; the main thread's is, by whoever ends the recording.
fn put_back(log: Box<ThreadLog>) {
    let is_too_late = LIFE.with(|life| life.is_exiting.get());
    if !is_too_late || log.cold.thread == ThreadId::MAIN {
        LOG.set(Box::into_raw(log));
    }
}

/// A log for this thread, with its first events.
fn begin(recording: Arc<Recording>, thread: ThreadId, parent: ThreadId) -> Box<ThreadLog> {
    // Registers the destructor, if there is still time for one.
    let _ = EXIT.try_with(|_| ());
    let stack = StackRange::of_this_thread();
    let mut log = ThreadLog::new(recording, thread, stack);
    push_start(&mut log, parent);
    if thread != ThreadId::MAIN && stack != StackRange::default() {
        // Another thread may have had this stack before, and its accesses are not to race with ours.
        let (object, value) = (stack.low, stack.high - stack.low);
        push(&mut log, Event { object, value, ..Event::new(EventKind::Retire) });
    }
    log
}

/// Goes on in the log as another thread, which takes what the one before released at its end.
fn resume(log: &mut ThreadLog, thread: ThreadId, parent: ThreadId) {
    log.become_thread(thread);
    push_start(log, parent);
    push(log, Event { object: link(), ..Event::new(EventKind::Acquire) });
}

/// A thread's last events.
fn end(log: &mut ThreadLog) {
    push(log, Event { object: link(), ..Event::new(EventKind::Release) });
    push(log, Event::new(EventKind::End));
    LIFE.with(|life| life.ended.set(log.recording_number));
    log.recording_number = NO_RECORDING;
}

fn push_start(log: &mut ThreadLog, parent: ThreadId) {
    let (value, extra) = (u64::from(parent.as_u32()), os_thread());
    push(log, Event { value, extra, ..Event::new(EventKind::Start) });
}

fn push_name(log: &mut ThreadLog, name: &str) {
    let value = u64::from(log.cold.recording.string(name).as_u32());
    push(log, Event { value, ..Event::new(EventKind::Name) });
}

/// Appends an event of the recorder's own.
fn push(log: &mut ThreadLog, mut event: Event) {
    if event.kind.spec().is_sequenced() {
        event.sequence = stripe::next(event.object);
    }
    log.push_event(event);
}

/// The object by which what an OS thread does after its end is ordered behind it.
fn link() -> u64 {
    LIFE.with(|life| ptr::from_ref(life).addr() as u64)
}

/// The system's number of this thread.
#[expect(unsafe_code, reason = "a system call without a safe form")]
fn os_thread() -> u64 {
    // SAFETY: takes nothing and cannot fail.
    u64::from(unsafe { libc::gettid() }.cast_unsigned())
}
