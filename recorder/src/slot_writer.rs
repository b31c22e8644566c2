//! How a stream's chunks follow each other: the slot that is being filled, the contexts that its
//! chunk has defined, and the step from a full slot to the next.
//!
//! A log in Rust's recorder belongs to a thread, one in Go's runtime to a processor; what they keep
//! for their hot paths differs, what happens when a slot is full does not. The owner keeps the
//! cursor, where its hot path finds it.
//!
//! # Invariant
//! A cursor is used no longer than its slot is there: [`SlotWriter::give_slot`] and
//! [`SlotWriter::open_slot`] are the only ways to and from a slot, and both set the owner's cursor
//! first.

#![expect(unsafe_code, reason = "a slot's words as what they are: shared memory")]

use std::collections::HashMap;

use mmtrace_format::event::word::{self, AccessContext, CONTEXT_COUNT_MAX, RECORD_WORDS_MAX};
use mmtrace_format::live::{Slot, SlotLabel};
use mmtrace_format::{AccessKind, StreamId, ThreadId, Timestamp};

use crate::cursor::Cursor;
use crate::hash::WordHash;
use crate::primitive::AtomicU64;

/// What a stream's writer keeps of its chunks.
#[derive(Debug)]
pub(crate) struct Chunks {
    stream: StreamId,
    /// None: the recording could give no more.
    slot: Option<Slot>,
    next_chunk: u32,
    /// The contexts that this chunk has defined.
    defined: HashMap<AccessContext, u16, WordHash>,
}

impl Chunks {
    /// Those of a stream that has none yet.
    pub(crate) fn of(stream: StreamId) -> Self {
        Self { stream, slot: None, next_chunk: 0, defined: HashMap::default() }
    }

    #[cfg(feature = "go-runtime")]
    pub(crate) fn stream(&self) -> StreamId {
        self.stream
    }

    #[cfg(feature = "go-runtime")]
    pub(crate) fn has_slot(&self) -> bool {
        self.slot.is_some()
    }
}

/// Who runs as a chunk begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Runs {
    pub(crate) thread: ThreadId,
    pub(crate) switch_count: u64,
}

/// The owner of a stream.
pub(crate) trait SlotWriter {
    fn chunks(&mut self) -> &mut Chunks;

    fn cursor(&mut self) -> &mut Cursor<'static>;

    /// From now on this is the cursor, and no copy of the one before is used.
    fn set_cursor(&mut self, cursor: Cursor<'static>);

    fn now(&self) -> Timestamp;

    /// Forgets what is known of a chunk that is no more, and says who runs.
    fn begin_chunk(&mut self) -> Runs;

    fn acquire(&self, label: &SlotLabel) -> Option<Slot>;

    fn hand_over(&self, slot: Slot, last_time: Timestamp);

    fn count_lost(&self, events: u64);

    /// Appends whole records, in a new slot if need be.
    fn append(&mut self, records: &[u64]) {
        if !self.cursor().push_all(records) {
            self.roll_over();
            if !self.cursor().push_all(records) {
                self.count_lost(1);
            }
        }
    }

    /// Makes sure that a definition and an access fit: they belong into one chunk.
    fn make_room(&mut self) {
        if !self.cursor().has_room(RECORD_WORDS_MAX) {
            self.roll_over();
        }
    }

    /// The beginning of accesses in this context, which is defined if need be; none if the chunk
    /// can have no more contexts.
    fn context(&mut self, context: AccessContext) -> Option<u64> {
        let defined = &self.chunks().defined;
        let index = match defined.get(&context) {
            Some(&index) => index,
            None if defined.len() < CONTEXT_COUNT_MAX => {
                // Below 2^13: just compared.
                let index = defined.len() as u16;
                self.append(&word::context_definition(index, context));
                self.chunks().defined.insert(context, index);
                index
            }
            None => return None,
        };
        // Which kind it is comes from the access: the tag of a read is zero.
        Some(word::access_prefix(AccessKind::Read, index))
    }

    /// Hands the full slot over and goes on in another.
    #[cold]
    #[inline(never)]
    fn roll_over(&mut self) {
        self.give_slot();
        self.open_slot();
    }

    /// Hands the slot over to be sealed.
    fn give_slot(&mut self) {
        self.set_cursor(nowhere());
        if let Some(slot) = self.chunks().slot.take() {
            self.hand_over(slot, self.now());
        }
    }

    /// Goes on in a slot, if there is one; there must be none now.
    fn open_slot(&mut self) {
        let Runs { thread, switch_count } = self.begin_chunk();
        let first_time = self.now();
        let chunks = self.chunks();
        chunks.defined.clear();
        let (stream, number) = (chunks.stream, chunks.next_chunk);
        let label = SlotLabel { stream, number, thread, switch_count, first_time };
        let Some(slot) = self.acquire(&label) else { return };
        self.set_cursor(cursor_of(&slot));
        let chunks = self.chunks();
        chunks.next_chunk += 1;
        chunks.slot = Some(slot);
    }
}

/// What a log without a slot has published. Nobody stores there: it has no room.
static NOTHING_PUBLISHED: AtomicU64 = AtomicU64::new(0);

/// The cursor of a log without a slot.
pub(crate) fn nowhere() -> Cursor<'static> {
    Cursor::new(&[], &NOTHING_PUBLISHED)
}

/// The cursor of a slot; see the module for how long it may be used.
fn cursor_of(slot: &Slot) -> Cursor<'static> {
    let words = slot.words().cast::<AtomicU64>();
    // SAFETY: `words` are `capacity` words in a map that stays mapped as long as the slot, which
    // `Chunks` keeps as long as its owner keeps this cursor (`give_slot` is the only way out and
    // replaces the cursor first). They are aligned, always initialised, and from here on only
    // touched as atomics, but for readers of what is published, which is not stored to again.
    let words = unsafe { std::slice::from_raw_parts(words, slot.capacity()) };
    let published: *const AtomicU64 = slot.published();
    // SAFETY: a header word in the same map, so valid for the same time and for the same reason.
    let published = unsafe { &*published };
    Cursor::new(words, published)
}
