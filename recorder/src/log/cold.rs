//! A thread's log where time does not matter: unknown places, full slots.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;

use mmtrace_format::event::word::{self, AccessContext, CONTEXT_COUNT_MAX, RECORD_WORDS_MAX};
use mmtrace_format::live::{Slot, SlotLabel};
use mmtrace_format::{Access, AccessKind, Address, Event, StackId, StreamId, ThreadId};

use super::context::{ContextCache, Known};
use super::filter::Filter;
use super::{CallPlace, EVENT_SIZE, ThreadLog};
use crate::cursor::Cursor;
use crate::hash::WordHash;
use crate::primitive::AtomicU64;
use crate::session::Recording;
use crate::stack::{StackRange, Walk, Walker};

/// Stacks that a thread remembers beyond its [`ContextCache`].
const STACKS_MAX: usize = 1 << 14;

/// What only the cold paths look at.
pub(super) struct Cold {
    pub(super) recording: Arc<Recording>,
    /// None: the recording could give no more.
    slot: Option<Slot>,
    pub(super) stream: StreamId,
    pub(super) thread: ThreadId,
    next_chunk: u32,
    /// The contexts that this chunk has defined.
    defined: HashMap<AccessContext, u16, WordHash>,
    /// Stacks by instruction, location and return addresses.
    stacks: HashMap<Box<[u64]>, StackId, WordHash>,
    walker: Walker,
    walk: Walk,
    key: Vec<u64>,
}

impl ThreadLog {
    /// A log of the thread `thread`, with its first slot.
    pub(super) fn new(recording: Arc<Recording>, thread: ThreadId, stack: StackRange) -> Box<Self> {
        let cold = Cold {
            slot: None,
            stream: recording.mint_stream(),
            thread,
            next_chunk: 0,
            defined: HashMap::default(),
            stacks: HashMap::default(),
            walker: Walker::new(stack),
            walk: Walk::default(),
            key: Vec::new(),
            recording,
        };
        let mut log = Box::new(Self {
            recording_number: cold.recording.number(),
            cursor: Cursor::new(&[], &NOTHING_PUBLISHED),
            contexts: ContextCache::new(),
            filter: Filter::new(cold.recording.is_full()),
            clock: cold.recording.clock(),
            cold,
        });
        log.open_slot();
        log
    }

    /// From now on the log is another thread's.
    pub(super) fn become_thread(&mut self, thread: ThreadId) {
        self.give_slot();
        self.cold.thread = thread;
        self.cold.stream = self.cold.recording.mint_stream();
        self.cold.next_chunk = 0;
        self.recording_number = self.cold.recording.number();
        self.open_slot();
    }

    /// Whose stack the walks are to walk.
    pub(super) fn walk_on(&mut self, stack: StackRange) {
        self.cold.walker = Walker::new(stack);
    }

    /// Appends an access.
    pub(super) fn push_access(&mut self, kind: AccessKind, address: u64, size: u64, at: CallPlace) {
        let short_size = u32::try_from(size).ok().filter(|&size| size != 0 && size != EVENT_SIZE);
        if let Some(size) = short_size
            && word::fits_short(address)
            && !kind_varies_in_size(kind)
        {
            // Room first: a definition belongs to the chunk of its accesses.
            self.make_room();
            if let Some(prefix) = self.context_at(at, size).filter(|&prefix| prefix != 0) {
                let word = prefix | word::access_prefix(kind, 0) | address;
                self.filter.repeats(word);
                self.append(&[word]);
                return;
            }
        }
        let stack = self.stack_at(at, EVENT_SIZE);
        self.append(&word::long_access(&Access { kind, address: Address(address), size, stack }));
    }

    /// Appends an event.
    pub(super) fn push_event(&mut self, mut event: Event) {
        if !self.write_event(&mut event) {
            self.roll_over();
            if !self.write_event(&mut event) {
                self.cold.recording.count_lost(1);
            }
        }
    }

    /// The stack at a place, remembered under `size`.
    pub(super) fn stack_at(&mut self, at: CallPlace, size: u32) -> StackId {
        let stack = self.walk(at);
        let known = Known { prefix: 0, stack };
        self.contexts.insert(at.place, at.location, size, &self.cold.walk.frames, known);
        stack
    }

    /// The context of accesses of this size at a place, defined in this chunk; 0 if it has no more.
    fn context_at(&mut self, at: CallPlace, size: u32) -> Option<u64> {
        let stack = self.walk(at);
        let context = AccessContext { stack, size };
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
        let prefix = word::access_prefix(AccessKind::Read, index);
        let known = Known { prefix, stack };
        self.contexts.insert(at.place, at.location, size, &self.cold.walk.frames, known);
        Some(prefix)
    }

    /// Walks the stack at a place, and gives the number of what it found.
    fn walk(&mut self, at: CallPlace) -> StackId {
        let Cold { recording, walker, walk, key, stacks, .. } = &mut self.cold;
        recording.walk(walker, at.place.sp, walk);
        key.clear();
        key.extend([at.place.pc, location_key(at.location)]);
        key.extend(walk.frames.iter().map(|frame| frame.return_address));
        if let Some(&stack) = stacks.get(key.as_slice()) {
            return stack;
        }
        let stack = recording.intern_stack(walker, at, walk);
        if stacks.len() >= STACKS_MAX {
            stacks.clear();
        }
        stacks.insert(key.as_slice().into(), stack);
        stack
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

    /// Makes sure that a definition and an access fit.
    fn make_room(&mut self) {
        if !self.cursor.has_room(RECORD_WORDS_MAX) {
            self.roll_over();
        }
    }

    /// Hands the full slot over and goes on in another.
    fn roll_over(&mut self) {
        self.give_slot();
        self.open_slot();
    }

    /// Hands the slot over to be sealed.
    pub(super) fn give_slot(&mut self) {
        self.cursor = Cursor::new(&[], &NOTHING_PUBLISHED);
        if let Some(slot) = self.cold.slot.take() {
            self.cold.recording.give(slot, self.clock.now());
        }
    }

    fn open_slot(&mut self) {
        self.contexts.begin_chunk();
        self.cold.defined.clear();
        // Contexts are numbered anew: an old record does not say what a new one would.
        self.filter.begin_epoch();
        let label = SlotLabel {
            stream: self.cold.stream,
            number: self.cold.next_chunk,
            thread: self.cold.thread,
            switch_count: 0,
            first_time: self.clock.now(),
        };
        let Some(slot) = self.cold.recording.acquire_slot(&label) else { return };
        self.cold.next_chunk += 1;
        self.cursor = cursor_of(&slot);
        self.cold.slot = Some(slot);
    }
}

impl Drop for ThreadLog {
    fn drop(&mut self) {
        self.give_slot();
    }
}

/// What a log without a slot has published. Nobody stores there: it has no room.
static NOTHING_PUBLISHED: AtomicU64 = AtomicU64::new(0);

/// Ranges have a size of their own each time: a context for each would fill a chunk with contexts.
fn kind_varies_in_size(kind: AccessKind) -> bool {
    matches!(kind, AccessKind::RangeRead | AccessKind::RangeWrite)
}

fn location_key(location: &'static Location<'static>) -> u64 {
    std::ptr::from_ref(location).addr() as u64
}

/// The cursor of a slot. It must not be used longer than the slot is there: [`ThreadLog`] drops its
/// cursor whenever it gives its slot away.
#[expect(unsafe_code, reason = "a slot's words as what they are: shared memory")]
fn cursor_of(slot: &Slot) -> Cursor<'static> {
    let words = slot.words().cast::<AtomicU64>();
    // SAFETY: `words` are `capacity` words in a map that stays mapped as long as the slot, which
    // the same `ThreadLog` keeps as long as this cursor (`give_slot` is the only way out and
    // replaces the cursor first). They are aligned, always initialised, and from here on only
    // touched as atomics, but for readers of what is published, which is not stored to again.
    let words = unsafe { std::slice::from_raw_parts(words, slot.capacity()) };
    let published: *const AtomicU64 = slot.published();
    // SAFETY: a header word in the same map, so valid for the same time and for the same reason.
    let published = unsafe { &*published };
    Cursor::new(words, published)
}
