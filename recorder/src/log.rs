//! `ThreadLog`: where one OS thread writes.
//!
//! A thread's log hangs off one thread-local pointer. The hot paths ([`access`], [`event`]) load it,
//! compare the number of the recording, look the place up among those known ([`context`]), drop a
//! repetition ([`filter`]), store the record and publish it ([`crate::cursor`]): no lock, no call, no
//! allocation. Everything else is cold: the first event of a thread, an unknown place, a full slot.
//!
//! The recorder never records itself: a cold path takes the pointer away while it runs, so that
//! whatever it allocates or locks finds none, comes to the cold path as well, and is turned back.

mod cold;
mod common;
pub(crate) mod context;
pub(crate) mod filter;
mod thread;

use std::cell::Cell;
use std::panic::Location;
use std::ptr;

use mmtrace_format::event::word::{self, RECORD_WORDS_MAX};
use mmtrace_format::{AccessKind, Event, EventKind};

use self::cold::Cold;
use self::context::{Compare, ContextCache};
use self::filter::Filter;
use crate::clock::Clock;
use crate::cursor::Cursor;
use crate::stack::Place;
use crate::stripe;

pub(crate) use self::common::CommonLog;
pub(crate) use self::thread::{
    ThreadToken, begin_main, current_thread, end_main, forget, join, name, spawn, string,
    thread_end, thread_start,
};

thread_local! {
    /// This thread's log; null if it has none yet, or is inside the recorder.
    static LOG: Cell<*mut ThreadLog> = const { Cell::new(ptr::null_mut()) };
    /// Whether this thread is inside the recorder.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The size by which events look their place up: no access has it.
const EVENT_SIZE: u32 = u32::MAX;

/// See the module.
pub(crate) struct ThreadLog {
    recording_number: u64,
    cursor: Cursor<'static>,
    contexts: ContextCache,
    filter: Filter,
    clock: Clock,
    cold: Cold,
}

/// A place with the compiler's name for it.
#[derive(Clone, Copy)]
pub(crate) struct CallPlace {
    pub(crate) place: Place,
    pub(crate) location: &'static Location<'static>,
}

/// The log of this thread in the recording with this number, unless there is none at hand.
#[inline]
#[expect(unsafe_code, reason = "the thread's own log, without a lock or a check of borrows")]
fn log_at_hand<'a>(recording_number: u64) -> Option<&'a mut ThreadLog> {
    let log = LOG.get();
    if log.is_null() {
        return None;
    }
    // SAFETY: a pointer in `LOG` is to the log that `attach` boxed for this thread, and it is there
    // only while the box is alive (`detach` clears it first). No other reference exists: hot paths
    // call nothing that could come here again before they are done with theirs, and a cold path
    // takes the pointer out of `LOG` before it makes its own. Signal handlers may not record.
    let log = unsafe { &mut *log };
    (log.recording_number == recording_number).then_some(log)
}

/// Appends an access of at most four gigabytes.
///
/// About 45 instructions for a known place, half of them for comparing return addresses.
#[inline]
pub(crate) fn access(
    recording_number: u64,
    kind: AccessKind,
    address: u64,
    size: u64,
    at: CallPlace,
) {
    let short_size = size as u32;
    if let Some(log) = log_at_hand(recording_number)
        && let Some(known) = log.contexts.lookup(at.place, at.location, short_size, Compare::Inner)
        && known.prefix != 0
        && word::fits_short(address)
    {
        let word = known.prefix | word::access_prefix(kind, 0) | address;
        if log.filter.repeats(word) || log.cursor.push(word) {
            return;
        }
    }
    access_cold(kind, address, size, at.place.pc, at.place.sp, at.location);
}

#[cold]
#[inline(never)]
fn access_cold(
    kind: AccessKind,
    address: u64,
    size: u64,
    // Not as one: a structure would be put together in memory even if nobody came here.
    pc: u64,
    sp: u64,
    location: &'static Location<'static>,
) {
    let at = CallPlace { place: Place { pc, sp }, location };
    enter(None, |log| log.push_access(kind, address, size, at));
}

/// Appends an event, for which `event` has everything but its time, stack and order number, and
/// returns that number, or 0 if the kind has none.
///
/// `number`: the number, if it was taken already.
#[inline]
pub(crate) fn event(
    recording_number: u64,
    mut event: Event,
    number: Option<u64>,
    at: CallPlace,
    compare: Compare,
) -> u64 {
    let log = log_at_hand(recording_number);
    if log.is_none() && INSIDE.get() {
        // The recorder's own: it must not take a number that nobody will find.
        return 0;
    }
    event.sequence = match number {
        Some(number) => number,
        None if event.kind.spec().is_sequenced() => stripe::next(event.object),
        None => 0,
    };
    if let Some(log) = log
        && let Some(known) = log.contexts.lookup(at.place, at.location, EVENT_SIZE, compare)
    {
        event.stack = known.stack;
        if log.write_event(&mut event) {
            return event.sequence;
        }
    }
    event_cold(event, at);
    event.sequence
}

#[cold]
#[inline(never)]
fn event_cold(mut event: Event, at: CallPlace) {
    enter(Some(event.kind), |log| {
        event.stack = log.stack_at(at, EVENT_SIZE);
        log.push_event(event);
    });
}

/// Runs a cold path on this thread's log, which is made if need be; for an event of the kind, or for
/// an access.
///
/// Does nothing inside another cold path, and if nothing is recorded (any more).
fn enter<R>(kind: Option<EventKind>, cold: impl FnOnce(&mut ThreadLog) -> R) -> Option<R> {
    let _inside = Inside::new()?;
    thread::with_log(kind, cold)
}

/// Runs something of the recorder's own without recording it.
pub(crate) fn unrecorded<R>(f: impl FnOnce() -> R) -> R {
    let log = LOG.replace(ptr::null_mut());
    let inside = Inside::new();
    let result = f();
    drop(inside);
    LOG.set(log);
    result
}

/// From now on nothing that this thread does is recorded: it is the recorder's own.
pub(crate) fn never_record() {
    INSIDE.set(true);
}

/// This thread is inside the recorder.
struct Inside;

impl Inside {
    /// None if it is already.
    fn new() -> Option<Self> {
        (!INSIDE.replace(true)).then_some(Self)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(false);
    }
}

impl ThreadLog {
    /// Writes an event now; false if the slot might be full.
    #[inline]
    fn write_event(&mut self, event: &mut Event) -> bool {
        self.filter.begin_epoch();
        event.time = self.clock.now();
        let mut record = [0; RECORD_WORDS_MAX];
        let len = word::encode_event(event, &mut record);
        self.cursor.push_some(record, len)
    }
}
