//! The recorded forms of load, store, read-modify-write and compare-exchange, for every width.

use std::sync::atomic::Ordering;

use mmtrace_format::{AccessKind, EventKind};

use super::detail;
use super::version::Version;
use crate::emit;
use crate::sync::seen;

/// What an atomic holds, as the log has it.
pub(super) trait Bits: Copy {
    /// The value's bits, the upper ones zero.
    fn bits(self) -> u64;
}

/// One atomic in the program: its address stands for it.
#[derive(Clone, Copy)]
pub(super) struct Place {
    address: u64,
    size: u64,
}

impl Place {
    pub(super) fn of<T>(atomic: &T) -> Self {
        Self { address: emit::address_of(atomic), size: size_of::<T>() as u64 }
    }

    /// Records `load`, unless it repeats this thread's last one.
    #[inline(never)]
    #[track_caller]
    pub(super) fn load<V: Bits>(self, order: Ordering, load: impl Fn() -> V) -> V {
        if matches!(order, Ordering::Release | Ordering::AcqRel) {
            return load(); // Which panics, as std's does: before anything is locked.
        }
        let version = Version::of(self.address);
        let how = detail(order);
        if let (value, Some(observed)) = version.observe(&load)
            && seen::before(self.address, observed, how)
        {
            return value;
        }
        let ((value, observed), number) =
            emit::numbered(self.address, || (load(), version.current()));
        self.note(EventKind::AtomicLoad, how, number, value);
        emit::access(AccessKind::AtomicRead, self.address, self.size);
        seen::remember(self.address, observed, how);
        value
    }

    /// Records `store` of `value`.
    #[inline(never)]
    #[track_caller]
    pub(super) fn store<V: Bits>(self, order: Ordering, value: V, store: impl FnOnce()) {
        if matches!(order, Ordering::Acquire | Ordering::AcqRel) {
            return store(); // Which panics, as std's does: before anything is locked.
        }
        let version = Version::of(self.address);
        let ((), number) = emit::numbered(self.address, || version.write(store));
        self.note(EventKind::AtomicStore, detail(order), number, value);
        emit::access(AccessKind::AtomicWrite, self.address, self.size);
    }

    /// Records `modify`, which returns the old value; `new` says what it made of it.
    #[inline(never)]
    #[track_caller]
    pub(super) fn modify<V: Bits>(
        self,
        order: Ordering,
        modify: impl FnOnce() -> V,
        new: impl FnOnce(V) -> V,
    ) -> V {
        let version = Version::of(self.address);
        let (old, number) = emit::numbered(self.address, || version.write(modify));
        self.note(EventKind::AtomicRmw, detail(order), number, new(old));
        emit::access(AccessKind::AtomicWrite, self.address, self.size);
        old
    }

    /// Records `exchange`, which leaves `new` if it finds `current` and else returns what it found.
    ///
    /// A failed one is a load (`load`, with the order for failures), and silent when a load would be:
    /// a thread that spins on a compare-exchange is as cheap as one that spins on a load.
    #[inline(never)]
    #[track_caller]
    pub(super) fn exchange<V: Bits + PartialEq>(
        self,
        (success, failure): (Ordering, Ordering),
        (current, new): (V, V),
        load: impl Fn() -> V,
        exchange: impl FnOnce() -> Result<V, V>,
    ) -> Result<V, V> {
        if matches!(failure, Ordering::Release | Ordering::AcqRel) {
            return exchange(); // Which panics, as std's does: before anything is locked.
        }
        let version = Version::of(self.address);
        let how_failed = detail(failure) | seen::FAILED_EXCHANGE;
        if let (found, Some(observed)) = version.observe(load)
            && found != current
            && seen::before(self.address, observed, how_failed)
        {
            return Err(found);
        }
        let ((result, observed), number) = emit::numbered(self.address, || {
            (version.write_if(exchange, Result::is_ok), version.current())
        });
        match result {
            Ok(_) => {
                self.note(EventKind::AtomicRmw, detail(success), number, new);
                emit::access(AccessKind::AtomicWrite, self.address, self.size);
            }
            Err(found) => {
                self.note(EventKind::AtomicCasFailed, detail(failure), number, found);
                emit::access(AccessKind::AtomicRead, self.address, self.size);
                seen::remember(self.address, observed, how_failed);
            }
        }
        result
    }

    #[track_caller]
    fn note<V: Bits>(self, kind: EventKind, how: u32, number: u64, value: V) {
        emit::note_numbered(kind, how, self.address, number, value.bits(), self.size);
    }
}
