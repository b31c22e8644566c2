//! A processor's log where time does not matter: unknown places, other goroutines, full slots.

#![expect(unsafe_code, reason = "goroutines are pointers of Go's")]

use mmtrace_format::event::word::{self, AccessContext, RECORD_WORDS_MAX};
use mmtrace_format::live::{Slot, SlotLabel};
use mmtrace_format::{Access, AccessKind, Address, Event, EventKind, StackId, ThreadId, Timestamp};

use super::Proc;
use crate::cursor::Cursor;
use crate::go_runtime::goroutine::Goroutine;
use crate::go_runtime::park::COLLECTION;
use crate::go_runtime::recording::Recording;
use crate::go_runtime::walk::Walk;
use crate::slot_writer::{Chunks, Runs, SlotWriter};

/// Room for what is written when another goroutine comes to run.
const SWITCH_WORDS_MAX: usize = 4 * RECORD_WORDS_MAX;

/// What only the cold paths look at.
pub(super) struct Cold {
    pub(super) recording: &'static Recording,
    /// Who does what no goroutine does: the scheduler's and the collector's own work on this
    /// processor.
    pub(super) system: *mut Goroutine,
    chunks: Chunks,
}

impl Cold {
    pub(super) fn new(recording: &'static Recording, system: *mut Goroutine) -> Self {
        Self { recording, system, chunks: Chunks::of(recording.mint_stream()) }
    }
}

impl Goroutine {
    /// Who stands for a processor itself.
    pub(super) fn system(thread: ThreadId) -> Self {
        Self::new(thread, thread)
    }
}

impl Proc {
    /// The first records of a processor.
    pub(super) fn begin(&mut self) {
        // SAFETY: made by `Proc::new`, leaked, and this processor's alone.
        let system = unsafe { &mut *self.cold.system };
        system.begin_fragment();
        self.turn = system.turn;
        self.open_slot();
        self.start(0);
        let name = format!("go scheduler, processor {}", self.cold.chunks.stream().as_u32());
        let value = u64::from(self.cold.recording.string(&name).as_u32());
        self.event(Event { value, ..Event::new(EventKind::Name) });
    }

    /// From now on `goroutine` runs here; null: the processor itself.
    ///
    /// `number` is Go's number of it, if that is known.
    ///
    /// # Safety
    /// A goroutine of ours that has not ended, that no other processor runs.
    #[cold]
    #[inline(never)]
    pub(in super::super) unsafe fn switch_to(&mut self, goroutine: *mut Goroutine, number: u64) {
        let to = if goroutine.is_null() { self.cold.system } else { goroutine };
        // SAFETY: the caller's promise; null was replaced by the processor's own.
        if unsafe { self.is_current(to) } {
            return;
        }
        self.current = to;
        // SAFETY: the same.
        let to = unsafe { &mut *to };
        to.begin_fragment();
        self.turn = to.turn;
        let (sent, parked_at, is_started) = (to.sent.take(), to.parked_at, to.is_started);
        if self.cursor.has_room(SWITCH_WORDS_MAX) {
            let (value, extra) = (u64::from(to.thread.as_u32()), to.fragments - 1);
            self.event(Event { value, extra, ..Event::new(EventKind::Switch) });
        } else {
            // The next chunk's label says who runs.
            self.roll_over();
        }
        if !is_started {
            self.start(number);
        }
        if let Some((object, value)) = sent {
            let done = Event::new(EventKind::ChanSendDone);
            self.event(Event { object, value, stack: parked_at, ..done });
        }
    }

    /// The first event of who runs.
    fn start(&mut self, number: u64) {
        // SAFETY: see `switch_to`: who runs here runs nowhere else.
        let current = unsafe { &mut *self.current };
        current.is_started = true;
        let value = u64::from(current.parent.as_u32());
        self.event(Event { value, extra: number, ..Event::new(EventKind::Start) });
    }

    #[cold]
    #[inline(never)]
    pub(super) fn access_cold(
        &mut self,
        kind: AccessKind,
        address: u64,
        size: u32,
        callers: StackId,
        pc: u64,
    ) {
        let stack = self.called_from(callers, pc);
        if self.places.has_other_size(callers, pc, size) {
            // A copy of whatever length: a context for each would fill the chunk with contexts.
            return self.long_access(kind, address, u64::from(size), stack);
        }
        self.make_room();
        if word::fits_short(address)
            && let Some(prefix) = self.context(AccessContext { stack, size })
        {
            self.places.insert(callers, pc, size, prefix);
            self.append(&[prefix | word::access_prefix(kind, 0) | address]);
            return;
        }
        self.long_access(kind, address, u64::from(size), stack);
    }

    /// Appends an access whose size is its own.
    #[cold]
    #[inline(never)]
    pub(in super::super) fn long_access(
        &mut self,
        kind: AccessKind,
        address: u64,
        size: u64,
        stack: StackId,
    ) {
        self.append(&word::long_access(&Access { kind, address: Address(address), size, stack }));
    }

    #[cold]
    #[inline(never)]
    pub(super) fn called_from_cold(&mut self, callers: StackId, address: u64) -> StackId {
        let stack = self.cold.recording.called_from(callers, address);
        self.callers.insert(callers, address, stack);
        stack
    }

    #[cold]
    #[inline(never)]
    pub(super) fn stack_cold(&mut self, walk: &Walk<'_>, hash: u64) -> StackId {
        let stack = self.cold.recording.stack(&walk.addresses());
        self.stacks.insert(hash, stack);
        stack
    }

    #[cold]
    #[inline(never)]
    pub(super) fn write_event_cold(&mut self, mut event: Event) {
        self.roll_over();
        if !self.write_event(&mut event) {
            self.count_lost(1);
        }
    }

    /// Who ran last has ended: nobody runs here until the next switch.
    pub(in super::super) fn forget_current(&mut self) {
        // Not null, which stands for the processor itself.
        self.current = std::ptr::dangling_mut();
    }

    /// Lets go of the slot: the processor is not used until [`Self::reopen`].
    pub(in super::super) fn give_slot(&mut self) {
        SlotWriter::give_slot(self);
    }

    /// Goes on after [`Self::give_slot`]: the processor is used again.
    pub(in super::super) fn reopen(&mut self) {
        self.current = self.cold.system;
        // SAFETY: the processor's own.
        let system = unsafe { &mut *self.current };
        system.begin_fragment();
        self.turn = system.turn;
        self.open_slot();
    }

    /// A collection has marked what is in use.
    pub(in super::super) fn collection_ends(&mut self) {
        if !self.cold.chunks.has_slot() {
            return;
        }
        self.filter.begin_memory();
        // SAFETY: null stands for the processor's own.
        unsafe { self.switch_to(std::ptr::null_mut(), 0) };
        let object = COLLECTION;
        self.event(Event { object, ..Event::new(EventKind::AcquireRelease) });
    }
}

impl SlotWriter for Proc {
    fn chunks(&mut self) -> &mut Chunks {
        &mut self.cold.chunks
    }

    fn cursor(&mut self) -> &mut Cursor<'static> {
        &mut self.cursor
    }

    fn set_cursor(&mut self, cursor: Cursor<'static>) {
        self.words = cursor.words().as_ptr();
        self.word_count = cursor.words().len();
        self.cursor = cursor;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn begin_chunk(&mut self) -> Runs {
        self.places.begin_chunk();
        // SAFETY: see `switch_to`: who runs here runs nowhere else.
        let current = unsafe { &*self.current };
        Runs { thread: current.thread, switch_count: current.fragments - 1 }
    }

    fn acquire(&self, label: &SlotLabel) -> Option<Slot> {
        self.cold.recording.acquire_slot(label)
    }

    fn hand_over(&self, slot: Slot, last_time: Timestamp) {
        self.cold.recording.give(slot, last_time);
    }

    fn count_lost(&self, events: u64) {
        self.cold.recording.count_lost(events);
    }
}
