//! Where one of Go's processors (a P) writes: one stream, whichever goroutine it runs.
//!
//! Go has a thread hold the processor while a hook runs, and a hook is not preempted by Go, so a
//! processor's log is touched by one thread at a time. The hot paths compare the goroutine with the
//! one that ran last, look the place up among those known, drop a repetition, store one word and
//! publish it: no lock, no call, no allocation. Everything else is in [`cold`].

mod cold;
mod tables;

use mmtrace_format::event::word::{self, RECORD_WORDS_MAX};
use mmtrace_format::{AccessKind, Event, EventKind, StackId};

use self::cold::Cold;
pub(super) use self::tables::mix;
use self::tables::{Callers, Filter, Places, Stacks};
use super::goroutine::Goroutine;
use super::recording::Recording;
use super::walk::{StackBounds, Walk};
use crate::clock::Clock;
use crate::cursor::Cursor;
use crate::stripe;

/// What a place of code knows of itself: scalar accesses come without a size, and are taken for
/// their first byte, as Go's own race detector does: whoever writes a variable writes that byte.
pub(super) const SCALAR_SIZE: u32 = 1;

/// See the module.
pub struct Proc {
    cursor: Cursor<'static>,
    /// Who runs: what the next record says is done by it. Never null.
    current: *mut Goroutine,
    /// How many fragments it has begun with the one that it is in here.
    fragments: u64,
    filter: Filter,
    places: Places,
    callers: Callers,
    stacks: Stacks,
    clock: Clock,
    cold: Cold,
}

impl Proc {
    /// A processor's log, with its first slot.
    pub(super) fn new(recording: &'static Recording) -> Box<Self> {
        let system = Box::leak(Box::new(Goroutine::system(recording.mint_thread())));
        let mut proc = Box::new(Self {
            cursor: cold::nowhere(),
            current: system,
            fragments: 0,
            filter: Filter::new(recording.is_full()),
            places: Places::new(),
            callers: Callers::new(),
            stacks: Stacks::new(),
            clock: recording.clock(),
            cold: Cold::new(recording, system),
        });
        proc.begin();
        proc
    }

    /// Whether this goroutine is the one that ran last, and has not run elsewhere since.
    ///
    /// # Safety
    /// Null, or a goroutine that has not ended and is touched by nobody else now.
    #[inline]
    #[expect(unsafe_code, reason = "goroutines are pointers of Go's")]
    pub(super) unsafe fn is_current(&self, goroutine: *mut Goroutine) -> bool {
        // SAFETY: who runs is never null, so that it is read only if it is one: the caller's promise.
        std::ptr::eq(self.current, goroutine) && unsafe { (*goroutine).fragments } == self.fragments
    }

    /// Appends an access of the goroutine that runs, at the return address `pc` in a function that
    /// was called from `callers`.
    #[inline]
    #[expect(unsafe_code, reason = "goroutines are pointers of Go's")]
    pub(super) fn access(
        &mut self,
        kind: AccessKind,
        address: u64,
        size: u32,
        callers: StackId,
        pc: u64,
    ) {
        if let Some(known) = self.places.find(callers, pc, size) {
            // SAFETY: who runs here is never null and runs nowhere else.
            let epoch = unsafe { (*self.current).epoch };
            if self.filter.repeats(kind, address, known.mark, epoch) {
                return;
            }
            if let Some(prefix) = known.prefix
                && word::fits_short(address)
                && self.cursor.push(prefix | word::access_prefix(kind, 0) | address)
            {
                return;
            }
        }
        self.access_cold(kind, address, size, callers, pc);
    }

    /// The stack of what is called from `address` in a function that was called from `callers`.
    #[inline]
    pub(super) fn called_from(&mut self, callers: StackId, address: u64) -> StackId {
        match self.callers.find(callers, address) {
            Some(known) => known,
            None => self.called_from_cold(callers, address),
        }
    }

    /// The stack that begins with `inner` and goes on at a frame pointer.
    ///
    /// # Safety
    /// As for [`Walk::walk`].
    #[inline]
    #[expect(unsafe_code, reason = "walks a stack")]
    pub(super) unsafe fn stack_from(
        &mut self,
        inner: &[u64],
        pointer: u64,
        stack: StackBounds,
        outer: StackBounds,
    ) -> StackId {
        let mut walk = Walk::new();
        // SAFETY: the caller's promise.
        unsafe { walk.walk(inner, pointer, stack, outer) };
        match self.stacks.find(walk.hash()) {
            Some(known) => known,
            None => self.stack_cold(&walk),
        }
    }

    /// Appends an event of the goroutine that runs; its order number is taken now, so the object is
    /// to be this thread's while this runs.
    #[inline]
    pub(super) fn event(&mut self, mut event: Event) {
        if event.kind.spec().is_sequenced() {
            event.sequence = stripe::next(event.object);
        }
        self.numbered_event(event);
    }

    /// Appends an event that has its order number, if its kind has one.
    #[inline]
    #[expect(unsafe_code, reason = "goroutines are pointers of Go's")]
    pub(super) fn numbered_event(&mut self, mut event: Event) {
        if begins_epoch(event.kind) {
            // SAFETY: who runs here is never null and runs nowhere else.
            unsafe { &mut *self.current }.begin_epoch();
        }
        if !self.write_event(&mut event) {
            self.write_event_cold(event);
        }
    }

    /// Writes an event now; false if the slot might be full.
    #[inline]
    fn write_event(&mut self, event: &mut Event) -> bool {
        event.time = self.clock.now();
        let mut record = [0; RECORD_WORDS_MAX];
        let len = word::encode_event(event, &mut record);
        self.cursor.push_some(record, len)
    }
}

/// Whether accesses after the event may be unordered with something that those before it are
/// ordered with: whether others can take something from the event, or it makes memory another.
///
/// Allocations reuse what was freed before the last collection ended, with which all accesses count
/// anew.
fn begins_epoch(kind: EventKind) -> bool {
    use EventKind as Kind;

    !matches!(
        kind,
        Kind::Alloc
            | Kind::Free
            | Kind::Switch
            | Kind::Start
            | Kind::Name
            | Kind::Block
            | Kind::Ready
            | Kind::Select
            | Kind::Acquire
            | Kind::MutexLock
            | Kind::ReadLock
            | Kind::WriteLock
            | Kind::WaitGroupWait
            | Kind::ChanRecvClosed
            | Kind::AtomicLoad
            | Kind::AtomicCasFailed
            | Kind::PoolGet
            | Kind::TimerFire
    )
}

impl std::fmt::Debug for Proc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proc").finish_non_exhaustive()
    }
}
