//! A processor's log where time does not matter: unknown places, other goroutines, full slots.

#![expect(unsafe_code, reason = "goroutines are pointers of Go's; a slot is shared memory")]

use std::collections::HashMap;

use mmtrace_format::event::word::{self, AccessContext, CONTEXT_COUNT_MAX, RECORD_WORDS_MAX};
use mmtrace_format::live::{Slot, SlotLabel};
use mmtrace_format::{Access, AccessKind, Address, Event, EventKind, StackId, StreamId, ThreadId};

use super::Proc;
use crate::cursor::Cursor;
use crate::go_runtime::goroutine::Goroutine;
use crate::go_runtime::park::COLLECTION;
use crate::go_runtime::recording::Recording;
use crate::go_runtime::walk::Walk;
use crate::hash::WordHash;
use crate::primitive::AtomicU64;

/// Room for what is written when another goroutine comes to run.
const SWITCH_WORDS_MAX: usize = 4 * RECORD_WORDS_MAX;

/// What only the cold paths look at.
pub(super) struct Cold {
    pub(super) recording: &'static Recording,
    /// Who does what no goroutine does: the scheduler's and the collector's own work on this
    /// processor.
    pub(super) system: *mut Goroutine,
    stream: StreamId,
    slot: Option<Slot>,
    next_chunk: u32,
    /// The contexts that this chunk has defined.
    defined: HashMap<AccessContext, u16, WordHash>,
}

impl Cold {
    pub(super) fn new(recording: &'static Recording, system: *mut Goroutine) -> Self {
        Self {
            recording,
            system,
            stream: recording.mint_stream(),
            slot: None,
            next_chunk: 0,
            defined: HashMap::default(),
        }
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
        let name = format!("go scheduler, processor {}", self.cold.stream.as_u32());
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
        // Room first: a definition belongs to the chunk of its accesses.
        if !self.cursor.has_room(RECORD_WORDS_MAX) {
            self.roll_over();
        }
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

    /// The beginning of accesses in this context, which is defined if need be; none if the chunk
    /// can have no more contexts.
    fn context(&mut self, context: AccessContext) -> Option<u64> {
        let index = match self.cold.defined.get(&context) {
            Some(&index) => index,
            None if self.cold.defined.len() < CONTEXT_COUNT_MAX => {
                // Below 2^13: just compared.
                let index = self.cold.defined.len() as u16;
                self.append(&word::context_definition(index, context));
                self.cold.defined.insert(context, index);
                index
            }
            None => return None,
        };
        // Which kind it is comes from the access: the tag of a read is zero.
        Some(word::access_prefix(AccessKind::Read, index))
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
            self.cold.recording.count_lost(1);
        }
    }

    /// Appends whole records, in a new slot if need be.
    fn append(&mut self, records: &[u64]) {
        if !self.cursor.push_all(records) {
            self.roll_over();
            if !self.cursor.push_all(records) {
                self.cold.recording.count_lost(1);
            }
        }
    }

    /// Hands the full slot over and goes on in another.
    fn roll_over(&mut self) {
        self.give_slot();
        self.open_slot();
    }

    /// Hands the slot over to be sealed.
    pub(in super::super) fn give_slot(&mut self) {
        self.set_cursor(nowhere());
        if let Some(slot) = self.cold.slot.take() {
            self.cold.recording.give(slot, self.clock.now());
        }
    }

    fn open_slot(&mut self) {
        self.places.begin_chunk();
        self.cold.defined.clear();
        // SAFETY: see `switch_to`: who runs here runs nowhere else.
        let current = unsafe { &*self.current };
        let label = SlotLabel {
            stream: self.cold.stream,
            number: self.cold.next_chunk,
            thread: current.thread,
            switch_count: current.fragments - 1,
            first_time: self.clock.now(),
        };
        let Some(slot) = self.cold.recording.acquire_slot(&label) else { return };
        self.cold.next_chunk += 1;
        self.set_cursor(cursor_of(&slot));
        self.cold.slot = Some(slot);
    }

    fn set_cursor(&mut self, cursor: Cursor<'static>) {
        self.words = cursor.words().as_ptr();
        self.word_count = cursor.words().len();
        self.cursor = cursor;
    }

    /// Who ran last has ended: nobody runs here until the next switch.
    pub(in super::super) fn forget_current(&mut self) {
        // Not null, which stands for the processor itself.
        self.current = std::ptr::dangling_mut();
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
        if self.cold.slot.is_none() {
            return;
        }
        self.filter.begin_memory();
        // SAFETY: null stands for the processor's own.
        unsafe { self.switch_to(std::ptr::null_mut(), 0) };
        let object = COLLECTION;
        self.event(Event { object, ..Event::new(EventKind::AcquireRelease) });
    }
}

/// What a log without a slot has published. Nobody stores there: it has no room.
static NOTHING_PUBLISHED: AtomicU64 = AtomicU64::new(0);

/// The cursor of a log without a slot.
pub(super) fn nowhere() -> Cursor<'static> {
    Cursor::new(&[], &NOTHING_PUBLISHED)
}

/// The cursor of a slot. It must not be used longer than the slot is there: [`Proc`] drops its
/// cursor whenever it gives its slot away.
fn cursor_of(slot: &Slot) -> Cursor<'static> {
    let words = slot.words().cast::<AtomicU64>();
    // SAFETY: `words` are `capacity` words in a map that stays mapped as long as the slot, which
    // the same `Proc` keeps as long as this cursor (`give_slot` is the only way out and replaces
    // the cursor first). They are aligned, always initialised, and from here on only touched as
    // atomics, but for readers of what is published, which is not stored to again.
    let words = unsafe { std::slice::from_raw_parts(words, slot.capacity()) };
    let published: *const AtomicU64 = slot.published();
    // SAFETY: a header word in the same map, so valid for the same time and for the same reason.
    let published = unsafe { &*published };
    Cursor::new(words, published)
}
