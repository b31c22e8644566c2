//! How the mirrored types speak to the recorder: one module between them, so that with the
//! `record` feature off the Go-shaped types compile to what they do and nothing else.
//!
//! Every function here does nothing when nothing is being recorded, so that callers ask [`on`] only
//! where they want to skip work of their own.

use mmtrace_format::EventKind;
use mmtrace_format::event::BlockReason;

/// The address of an object, as events name it.
#[inline]
pub(crate) fn address_of<T: ?Sized>(object: &T) -> u64 {
    std::ptr::from_ref(object).cast::<()>().addr() as u64
}

#[cfg(feature = "record")]
pub(crate) use recording::*;
#[cfg(not(feature = "record"))]
pub(crate) use silent::*;

/// A thread waits from now on, for the reason and at the object given.
///
/// If the wait ends with an event of its own (a lock, a receive), that is its end. Otherwise the
/// caller says so with [`run`].
#[track_caller]
pub(crate) fn block(reason: BlockReason, object: u64) {
    note(EventKind::Block, reason as u32, object, 0);
}

/// A wait ended without an event of its own: by a time-out, or for nothing.
#[track_caller]
pub(crate) fn run(reason: BlockReason) {
    note(EventKind::Run, reason as u32, 0, 0);
}

#[cfg(feature = "record")]
mod recording {
    use std::cell::Cell;

    use mmtrace_format::{AccessKind, EventKind};

    use crate::{record, stripe};

    thread_local! {
        /// How often this thread published something: see [`releases`].
        static RELEASES: Cell<u64> = const { Cell::new(0) };
    }

    /// Whether events are recorded now: the one branch that an operation pays otherwise.
    #[inline]
    pub(crate) fn on() -> bool {
        record::enabled()
    }

    /// Records an event, numbered now if its kind has a number, and returns the number (or 0).
    #[inline]
    #[track_caller]
    pub(crate) fn note(kind: EventKind, detail: u32, object: u64, value: u64) -> u64 {
        if !on() {
            return 0;
        }
        count_release(kind);
        record::event(kind, detail, object, value, 0)
    }

    /// Does `operation` on the atomic at `address` and takes its number, both under the spin bit of the
    /// address's stripe.
    #[inline]
    pub(crate) fn numbered<R>(address: u64, operation: impl FnOnce() -> R) -> (R, u64) {
        let stripe = stripe::lock(address);
        let result = operation();
        (result, stripe.number())
    }

    /// Records an event that has its number already.
    #[inline]
    #[track_caller]
    pub(crate) fn note_numbered(
        kind: EventKind,
        detail: u32,
        object: u64,
        number: u64,
        value: u64,
        extra: u64,
    ) {
        count_release(kind);
        record::numbered_event(kind, detail, object, number, value, extra);
    }

    /// Records an access to memory.
    #[inline]
    #[track_caller]
    pub(crate) fn access(kind: AccessKind, address: u64, size: u64) {
        record::access(kind, address, size);
    }

    /// Which recording this is: another number for each one in the process.
    pub(crate) fn recording() -> u64 {
        record::recording()
    }

    /// How many events of this thread others can synchronise with.
    ///
    /// Between two of them the thread's accesses all stand in the same relation to every other
    /// thread, so that a repeated one adds nothing: this is what lets a spinning load stay silent.
    pub(crate) fn releases() -> u64 {
        RELEASES.try_with(Cell::get).unwrap_or(0)
    }

    /// Counts the event, unless it only takes.
    #[inline]
    pub(crate) fn count_release(kind: EventKind) {
        let only_takes = matches!(
            kind,
            EventKind::AtomicLoad
                | EventKind::AtomicCasFailed
                | EventKind::OnceWait
                | EventKind::Block
                | EventKind::Run
        );
        if !only_takes {
            // A thread that is being torn down has no counter, and no silent loads either.
            let _ = RELEASES.try_with(|count| count.set(count.get() + 1));
        }
    }
}

#[cfg(not(feature = "record"))]
mod silent {
    use mmtrace_format::EventKind;

    /// Never.
    #[inline]
    pub(crate) const fn on() -> bool {
        false
    }

    /// Nothing.
    #[inline]
    pub(crate) fn note(_kind: EventKind, _detail: u32, _object: u64, _value: u64) -> u64 {
        0
    }
}
