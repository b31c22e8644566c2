//! Where one of Go's processors (a P) writes: one stream, whichever goroutine it runs.
//!
//! Go has a thread hold the processor while a hook runs, and a hook is not preempted by Go, so a
//! processor's log is touched by one thread at a time. The hot paths compare the goroutine with the
//! one that ran last, look the place up among those known, drop a repetition, store one word and
//! publish it: no lock, no call, no allocation. Everything else is in [`cold`].
//!
//! The same hot paths exist once more in assembly (`recorder/go/src/fast.rs`), which Go calls without
//! leaving the goroutine's stack; what it cannot do in a few instructions it leaves to these here.
//! Whoever changes [`Proc::access`] changes it there as well.

mod cold;
mod tables;

use std::mem::offset_of;

use mmtrace_format::event::word::{self, RECORD_WORDS_MAX};
use mmtrace_format::{AccessKind, Event, EventKind, StackId, StringId, Timestamp};

use self::cold::Cold;
pub use self::tables::MULTIPLIER;
pub(super) use self::tables::mix;
pub(super) use self::tables::{Callers, Filter, Places};
use self::tables::{Stacks, TypeNames};
use super::goroutine::Goroutine;
use super::layout;
use super::recording::Recording;
use super::walk::{StackBounds, Walk};
use crate::clock::Clock;
use crate::cursor::Cursor;
use crate::primitive::AtomicU64;
use crate::slot_writer::nowhere;
use crate::stripe;

/// What a place of code knows of itself: scalar accesses come without a size, and are taken for
/// their first byte, as Go's own race detector does: whoever writes a variable writes that byte.
pub const SCALAR_SIZE: u32 = 1;

/// Beside the address of a type: the block is many of it.
const MANY: u64 = 1;

/// See the module.
pub struct Proc {
    cursor: Cursor<'static>,
    /// The cursor's words, for the assembly.
    words: *const AtomicU64,
    /// How many there are.
    word_count: usize,
    /// Who runs: what the next record says is done by it. Never null.
    current: *mut Goroutine,
    /// The number of its fragment that runs here: [`Goroutine::turn`].
    turn: u64,
    filter: Filter,
    places: Places,
    callers: Callers,
    stacks: Stacks,
    types: TypeNames,
    clock: Clock,
    /// What all events get as their time while it is held: zero if each gets its own.
    held_time: Timestamp,
    cold: Cold,
}

impl Proc {
    /// Where the assembly of `recorder/go` finds things.
    pub(super) const CURSOR: usize = offset_of!(Self, cursor);
    pub(super) const WORDS: usize = offset_of!(Self, words);
    pub(super) const WORD_COUNT: usize = offset_of!(Self, word_count);
    pub(super) const CURRENT: usize = offset_of!(Self, current);
    pub(super) const TURN: usize = offset_of!(Self, turn);
    pub(super) const FILTER: usize = offset_of!(Self, filter);
    pub(super) const PLACES: usize = offset_of!(Self, places);
    pub(super) const CALLERS: usize = offset_of!(Self, callers);

    /// A processor's log, with its first slot.
    pub(super) fn new(recording: &'static Recording) -> Box<Self> {
        let system = Box::leak(Box::new(Goroutine::system(recording.mint_thread())));
        let mut proc = Box::new(Self {
            cursor: nowhere(),
            words: std::ptr::null(),
            word_count: 0,
            current: system,
            turn: 0,
            filter: Filter::new(recording.is_full()),
            places: Places::new(),
            callers: Callers::new(),
            stacks: Stacks::new(),
            types: TypeNames::new(),
            clock: recording.clock(),
            held_time: Timestamp::default(),
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
        std::ptr::eq(self.current, goroutine) && unsafe { (*goroutine).turn } == self.turn
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
        // SAFETY: who runs here is never null and runs nowhere else.
        let epoch = unsafe { (*self.current).epoch };
        let is_scalar = matches!(kind, AccessKind::Read | AccessKind::Write);
        let stirred = if is_scalar { 0 } else { u64::from(size) };
        let seen = self.filter.seen(kind, address, (callers, pc, stirred), epoch);
        if self.filter.repeats(seen) {
            return;
        }
        self.filter.remember(seen);
        if let Some(prefix) = self.places.find(callers, pc, size)
            && word::fits_short(address)
            && self.cursor.push(prefix | word::access_prefix(kind, 0) | address)
        {
            return;
        }
        self.access_cold(kind, address, size, callers, pc);
    }

    /// Appends an access of the goroutine that runs, whose whole stack is known.
    #[inline]
    pub(super) fn access_at(&mut self, kind: AccessKind, address: u64, size: u32, stack: StackId) {
        // No code is at address 0: nothing is added to the stack. An unknown stack has no place.
        if stack == StackId::UNKNOWN {
            self.long_access(kind, address, u64::from(size), stack);
        } else {
            self.access(kind, address, size, stack, 0);
        }
    }

    /// The stack of what is called from `address` in a function that was called from `callers`.
    #[inline]
    pub(super) fn called_from(&mut self, callers: StackId, address: u64) -> StackId {
        match self.callers.find(callers, address) {
            Some(known) => known,
            None => self.called_from_cold(callers, address),
        }
    }

    /// What a block is that Go's allocator made for the type at this address: see [`MANY`].
    #[inline]
    pub(super) fn type_name(&mut self, what: u64) -> StringId {
        match self.types.find(what) {
            Some(known) => known,
            None if what == 0 => StringId::EMPTY,
            None => self.type_name_cold(what),
        }
    }

    /// Names a type that was not seen here lately.
    #[cold]
    #[inline(never)]
    fn type_name_cold(&mut self, what: u64) -> StringId {
        let name = layout::type_name((what & !MANY) as usize).unwrap_or_default();
        let is_many = what & MANY != 0 && !name.is_empty();
        let name = if is_many { format!("[]{name}") } else { name.to_owned() };
        let name = self.cold.recording.string(&name);
        self.types.insert(what, name);
        name
    }

    /// The stack that begins with `inner` and goes on at a frame pointer.
    ///
    /// # Safety
    /// As for [`Walk::new`].
    #[inline]
    #[expect(unsafe_code, reason = "walks a stack")]
    pub(super) unsafe fn stack_from(
        &mut self,
        inner: &[u64],
        pointer: u64,
        stack: StackBounds,
        outer: StackBounds,
    ) -> StackId {
        // SAFETY: the caller's promise.
        let walk = unsafe { Walk::new(inner, pointer, stack, outer) };
        let hash = walk.hash();
        match self.stacks.find(hash) {
            Some(known) => known,
            None => self.stack_cold(&walk, hash),
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

    /// Gives all events the present time until [`Self::release_clock`]: reading the clock costs as much
    /// as the rest of an event.
    #[inline]
    pub(super) fn hold_clock(&mut self) {
        self.held_time = self.clock.now();
    }

    /// Ends [`Self::hold_clock`].
    #[inline]
    pub(super) fn release_clock(&mut self) {
        self.held_time = Timestamp::default();
    }

    /// Writes an event now; false if the slot might be full.
    #[inline]
    fn write_event(&mut self, event: &mut Event) -> bool {
        let held = self.held_time;
        event.time = if held == Timestamp::default() { self.clock.now() } else { held };
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
            | Kind::OnceWait
            | Kind::MapRead
            | Kind::FinalizerRun
            | Kind::ChanRecvClosed
            | Kind::ChanSendDone
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
