//! An open chunk in memory, for writers that are not inside a running program.

use std::collections::HashMap;

use super::{CHUNK_WORDS_MAX, RawChunk};
use crate::access::Access;
use crate::event::Event;
use crate::event::word::{self, AccessContext, CONTEXT_COUNT_MAX, RECORD_WORDS_MAX};
use crate::id::{StreamId, ThreadId};
use crate::units::Timestamp;

/// Raw words being collected. Contexts are defined as accesses need them.
#[derive(Clone, Debug)]
pub struct OpenChunk {
    words: Vec<u64>,
    contexts: HashMap<AccessContext, u16>,
    capacity: usize,
}

/// The most words that one push may take: a definition and an access, or an event.
const PUSH_WORDS_MAX: usize = RECORD_WORDS_MAX;

impl OpenChunk {
    /// An empty chunk that is full at `capacity` words.
    ///
    /// # Panics
    /// If the capacity is above [`CHUNK_WORDS_MAX`] or too small for one record.
    pub fn new(capacity: usize) -> Self {
        assert!((PUSH_WORDS_MAX..=CHUNK_WORDS_MAX).contains(&capacity));
        Self { words: Vec::new(), contexts: HashMap::new(), capacity }
    }

    /// Whether nothing was pushed.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Whether the next push might not fit. A full chunk is to be sealed and cleared.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.words.len() + PUSH_WORDS_MAX > self.capacity
    }

    /// How many words there are.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Appends an event. The chunk must not be full.
    #[inline]
    pub fn push_event(&mut self, event: &Event) {
        let mut record = [0; RECORD_WORDS_MAX];
        let len = word::encode_event(event, &mut record);
        self.words.extend_from_slice(&record[..len]);
    }

    /// Appends an access. The chunk must not be full.
    #[inline]
    pub fn push_access(&mut self, access: &Access) {
        let size = u32::try_from(access.size).unwrap_or(0);
        if size == 0 || !word::fits_short(access.address.0) {
            return self.words.extend_from_slice(&word::long_access(access));
        }
        let context = AccessContext { stack: access.stack, size };
        let index = match self.contexts.get(&context) {
            Some(&index) => index,
            None if self.contexts.len() < CONTEXT_COUNT_MAX => self.define(context),
            None => return self.words.extend_from_slice(&word::long_access(access)),
        };
        self.words.push(word::access_prefix(access.kind, index) | access.address.0);
    }

    fn define(&mut self, context: AccessContext) -> u16 {
        // Below 2^13: the caller saw to it.
        let index = self.contexts.len() as u16;
        self.contexts.insert(context, index);
        self.words.extend_from_slice(&word::context_definition(index, context));
        index
    }

    /// The words as a chunk to be sealed.
    pub fn as_raw(
        &self,
        stream: StreamId,
        number: u32,
        thread: ThreadId,
        switch_count: u64,
        times: (Timestamp, Timestamp),
    ) -> RawChunk<'_> {
        let (first_time, last_time) = times;
        RawChunk { words: &self.words, stream, number, thread, switch_count, first_time, last_time }
    }

    /// Forgets everything, keeps the storage.
    pub fn clear(&mut self) {
        self.words.clear();
        self.contexts.clear();
    }
}
