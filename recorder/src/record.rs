//! What the recorded types call: the one door to the log.

use std::panic::Location;

use mmtrace_format::{AccessKind, Event, EventKind};

use crate::log::context::Compare;
use crate::log::{self, CallPlace};
use crate::session;
use crate::stack::here;

pub(crate) use crate::log::{
    ThreadToken, current_thread, join, name, spawn, string, thread_end, thread_start,
};

/// Whether something is being recorded: one load, one branch.
#[inline]
pub(crate) fn enabled() -> bool {
    session::number() != 0
}

/// Which recording is going on: another number for each one of the process, 0 if none is.
#[inline]
pub(crate) fn recording() -> u64 {
    session::number()
}

/// Appends an event and returns its order number, or 0 if its kind has none.
///
/// The number is taken here, so a kind that has one is recorded while the program keeps everybody
/// else from the object.
#[inline]
#[track_caller]
pub(crate) fn event(kind: EventKind, detail: u32, object: u64, value: u64, extra: u64) -> u64 {
    let at = CallPlace { place: here(), location: Location::caller() };
    let event = Event { detail, object, value, extra, ..Event::new(kind) };
    log::event(session::number(), event, None, at, Compare::Inner)
}

/// Appends an event whose order number was taken by [`crate::stripe::lock`].
#[inline]
#[track_caller]
pub(crate) fn numbered_event(
    kind: EventKind,
    detail: u32,
    object: u64,
    number: u64,
    value: u64,
    extra: u64,
) {
    let at = CallPlace { place: here(), location: Location::caller() };
    let event = Event { detail, object, value, extra, ..Event::new(kind) };
    log::event(session::number(), event, Some(number), at, Compare::Inner);
}

/// Appends an event of the allocator's, whose callers are all library functions for a while.
#[inline]
pub(crate) fn allocator_event(kind: EventKind, detail: u32, address: u64, size: u64) {
    let at = CallPlace { place: here(), location: Location::caller() };
    let event = Event { detail, object: address, value: size, ..Event::new(kind) };
    log::event(session::number(), event, None, at, Compare::All);
}

/// Appends an access.
#[inline]
#[track_caller]
pub(crate) fn access(kind: AccessKind, address: u64, size: u64) {
    let at = CallPlace { place: here(), location: Location::caller() };
    log::access(session::number(), kind, address, size, at);
}

/// From now on these bytes are not what they were.
#[inline]
#[track_caller]
pub(crate) fn retire(address: u64, size: u64) {
    event(EventKind::Retire, 0, address, size, 0);
}
