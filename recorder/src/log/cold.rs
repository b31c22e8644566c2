//! A thread's log where time does not matter: unknown places, full slots.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;

use mmtrace_format::event::word::{self, AccessContext};
use mmtrace_format::live::{Slot, SlotLabel};
use mmtrace_format::{Access, AccessKind, Address, Event, StackId, ThreadId, Timestamp};

use super::context::{ContextCache, Known};
use super::filter::Filter;
use super::{CallPlace, EVENT_SIZE, ThreadLog};
use crate::cursor::Cursor;
use crate::hash::WordHash;
use crate::session::Recording;
use crate::slot_writer::{Chunks, Runs, SlotWriter, nowhere};
use crate::stack::{StackRange, Walk, Walker};

/// Stacks that a thread remembers beyond its [`ContextCache`].
const STACKS_MAX: usize = 1 << 14;

/// What only the cold paths look at.
pub(super) struct Cold {
    pub(super) recording: Arc<Recording>,
    chunks: Chunks,
    pub(super) thread: ThreadId,
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
            chunks: Chunks::of(recording.mint_stream()),
            thread,
            stacks: HashMap::default(),
            walker: Walker::new(stack),
            walk: Walk::default(),
            key: Vec::new(),
            recording,
        };
        let mut log = Box::new(Self {
            recording_number: cold.recording.number(),
            cursor: nowhere(),
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
        self.cold.chunks = Chunks::of(self.cold.recording.mint_stream());
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
                self.count_lost(1);
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
        let prefix = self.context(AccessContext { stack, size })?;
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
}

impl SlotWriter for ThreadLog {
    fn chunks(&mut self) -> &mut Chunks {
        &mut self.cold.chunks
    }

    fn cursor(&mut self) -> &mut Cursor<'static> {
        &mut self.cursor
    }

    fn set_cursor(&mut self, cursor: Cursor<'static>) {
        self.cursor = cursor;
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn begin_chunk(&mut self) -> Runs {
        self.contexts.begin_chunk();
        // Contexts are numbered anew: an old record does not say what a new one would.
        self.filter.begin_epoch();
        Runs { thread: self.cold.thread, switch_count: 0 }
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

impl Drop for ThreadLog {
    fn drop(&mut self) {
        self.give_slot();
    }
}

/// Ranges have a size of their own each time: a context for each would fill a chunk with contexts.
fn kind_varies_in_size(kind: AccessKind) -> bool {
    matches!(kind, AccessKind::RangeRead | AccessKind::RangeWrite)
}

fn location_key(location: &'static Location<'static>) -> u64 {
    std::ptr::from_ref(location).addr() as u64
}
