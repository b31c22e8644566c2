//! Sealing: raw words to a compressed chunk.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};

use super::access_lane::{AccessEncoder, CONTEXTS_MAX, LaneAccess};
use super::codec::Compressor;
use super::sync_lane::SyncEncoder;
use super::{AccessContext, CHUNK_HEADER_LEN, CHUNK_WORDS_MAX, Fragment, encode_fragments};
use crate::access::Access;
use crate::event::word::{self, CONTEXT_COUNT_MAX, Form, WordError};
use crate::event::{Event, EventKind};
use crate::id::{StreamId, ThreadId};
use crate::units::Timestamp;

/// What a recorder has written into an open chunk, ready to be sealed.
#[derive(Clone, Copy, Debug)]
pub struct RawChunk<'a> {
    /// The records, whole ones; at most [`CHUNK_WORDS_MAX`] words.
    pub words: &'a [u64],
    /// Who wrote them.
    pub stream: StreamId,
    /// The chunk's place among the stream's, from 0.
    pub number: u32,
    /// Who ran when the chunk was opened.
    pub thread: ThreadId,
    /// How many times that thread was switched to before its present fragment.
    pub switch_count: u64,
    /// When it was opened.
    pub first_time: Timestamp,
    /// When it is sealed; zero if unknown.
    pub last_time: Timestamp,
}

/// A compressed chunk. Lost unless it is appended to a log.
#[must_use = "a sealed chunk is lost unless it is appended to a log"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedChunk {
    /// What [`Chunk::parse`](super::Chunk::parse) reads.
    pub bytes: Vec<u8>,
    /// What the chunk says of itself, for the index.
    pub header: super::ChunkHeader,
}

/// The words are not a chunk. What was sealed is what comes before the damage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// More words than a chunk may have.
    #[error("a chunk of {found} words, expected at most {}", CHUNK_WORDS_MAX)]
    TooLong {
        /// How many there are.
        found: usize,
    },
    /// A record that no recorder writes.
    #[error(transparent)]
    Word(#[from] WordError),
    /// A short access without the definition of its context.
    #[error("word {at}: access in context {context}, which is not defined")]
    Context {
        /// Index of the word.
        at: usize,
        /// The context's index.
        context: u16,
    },
    /// The compressor failed: memory ran out.
    #[error("compression failed: {0}")]
    Compression(String),
}

/// Working memory of [`seal`], to be reused: sealing then allocates only the result.
pub struct SealScratch {
    events: Vec<Event>,
    access_ends: Vec<u32>,
    accesses: Vec<LaneAccess>,
    contexts: Vec<AccessContext>,
    context_ids: HashMap<AccessContext, u16, BuildHasherDefault<ContextHasher>>,
    raw_contexts: Vec<u16>,
    fragments: Vec<Fragment>,
    sync: SyncEncoder,
    access: AccessEncoder,
    lane: Vec<u8>,
    compressor: Compressor,
}

impl fmt::Debug for SealScratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealScratch").finish_non_exhaustive()
    }
}

impl Default for SealScratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Marks raw context indices that are not defined.
const UNDEFINED: u16 = u16::MAX;

impl SealScratch {
    /// Working memory that has allocated nothing yet.
    pub fn new() -> Self {
        Self {
            events: Vec::new(),
            access_ends: Vec::new(),
            accesses: Vec::new(),
            contexts: Vec::new(),
            context_ids: HashMap::default(),
            raw_contexts: Vec::new(),
            fragments: Vec::new(),
            sync: SyncEncoder::default(),
            access: AccessEncoder::default(),
            lane: Vec::new(),
            compressor: Compressor::new(),
        }
    }

    /// Splits the words into the two lanes; stops at the first record that is none.
    fn split(&mut self, raw: &RawChunk<'_>) -> Result<(), SealError> {
        self.events.clear();
        self.access_ends.clear();
        self.accesses.clear();
        self.contexts.clear();
        self.context_ids.clear();
        self.raw_contexts.clear();
        self.raw_contexts.resize(CONTEXT_COUNT_MAX, UNDEFINED);
        self.fragments.clear();
        self.fragments.push(Fragment {
            thread: raw.thread,
            count: raw.switch_count,
            first_event: 0,
            first_access: 0,
        });
        if raw.words.len() > CHUNK_WORDS_MAX {
            return Err(SealError::TooLong { found: raw.words.len() });
        }
        let mut at = 0;
        while let Some(&first) = raw.words.get(at) {
            at = match word::form_of(first) {
                Form::Short => {
                    let (kind, index, address) = word::split_access(first);
                    let context = self.raw_contexts[usize::from(index)];
                    if context == UNDEFINED {
                        return Err(SealError::Context { at, context: index });
                    }
                    self.accesses.push(LaneAccess { address, size: 0, context, kind });
                    at + 1
                }
                Form::Event => self.take_event(raw.words, at, first)?,
                Form::Context => {
                    let (index, context, next) = word::decode_context(raw.words, at, first)?;
                    self.raw_contexts[usize::from(index)] = self.context_id(context);
                    next
                }
                Form::Long => {
                    let (access, next) = word::decode_long(raw.words, at, first)?;
                    self.take_long(access);
                    next
                }
            };
        }
        Ok(())
    }

    /// Decodes an event where it is to stay.
    #[inline]
    fn take_event(&mut self, words: &[u64], at: usize, first: u64) -> Result<usize, SealError> {
        let place = self.events.len();
        self.events.push(Event::new(EventKind::Unknown));
        match word::decode_event(words, at, first, &mut self.events[place]) {
            Ok(next) => {
                let event = &self.events[place];
                if event.kind == EventKind::Switch {
                    let (thread, count) = (event.value, event.extra);
                    self.switch(ThreadId::new(thread as u32), count);
                }
                // At most one access a word, so below 2^17.
                self.access_ends.push(self.accesses.len() as u32);
                Ok(next)
            }
            Err(error) => {
                self.events.truncate(place);
                Err(error.into())
            }
        }
    }

    fn take_long(&mut self, access: Access) {
        // Long for want of a short form, or for its size: only the latter stays long.
        let short_size = u32::try_from(access.size).unwrap_or(0);
        let context = AccessContext { stack: access.stack, size: short_size };
        let context = self.context_id(context);
        let (address, size) = (access.address.0, access.size);
        self.accesses.push(LaneAccess { address, size, context, kind: access.kind });
    }

    /// The last event is a switch to `thread`.
    fn switch(&mut self, thread: ThreadId, count: u64) {
        let fragment = Fragment {
            thread,
            count,
            first_event: self.events.len() as u32 - 1,
            first_access: self.accesses.len() as u32,
        };
        match self.fragments.last_mut() {
            // Nothing happened before the first switch: the opening fragment is empty.
            Some(last)
                if (last.first_event, last.first_access)
                    == (fragment.first_event, fragment.first_access) =>
            {
                *last = fragment;
            }
            _ => self.fragments.push(fragment),
        }
    }

    fn context_id(&mut self, context: AccessContext) -> u16 {
        let next = self.contexts.len();
        let contexts = &mut self.contexts;
        *self.context_ids.entry(context).or_insert_with(|| {
            contexts.push(context);
            // A chunk has 2^17 words and a new context takes two or three of them: 2^16 at most,
            // and one fewer because an access must use it.
            debug_assert!(next < CONTEXTS_MAX);
            next as u16
        })
    }
}

/// A hash of two small numbers. Who writes the words can make them collide, at the cost of the time
/// that sealing this one chunk takes.
#[derive(Default)]
struct ContextHasher(u64);

impl Hasher for ContextHasher {
    fn finish(&self) -> u64 {
        // The high bits have seen every input bit; tables look at the low ones, too.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(23) ^ u64::from(number)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Seals a chunk: splits, predicts, compresses, sums up.
///
/// If the words hold something that no recorder writes, the chunk is sealed up to there and the
/// error says where the rest was lost: a reader of a killed program's open chunks keeps what is
/// good. Costs about 4 ns a word, most of it compression.
pub fn seal(
    raw: &RawChunk<'_>,
    level: i32,
    scratch: &mut SealScratch,
) -> (SealedChunk, Option<SealError>) {
    let mut problem = scratch.split(raw).err();
    let sync_count = scratch.events.len();
    let access_count = scratch.accesses.len();
    let last_time = scratch.events.last().map_or(raw.first_time, |event| event.time);
    let last_time = last_time.max(raw.last_time).max(raw.first_time);

    let mut bytes = vec![0; CHUNK_HEADER_LEN];
    encode_fragments(&scratch.fragments, &mut bytes);
    let fragments_len = bytes.len() - CHUNK_HEADER_LEN;

    scratch.lane.clear();
    let first_time = raw.first_time.ns;
    scratch.sync.encode(first_time, &scratch.events, &scratch.access_ends, &mut scratch.lane);
    let sync = scratch.append_lane(level, &mut bytes);
    scratch.lane.clear();
    scratch.access.encode(&scratch.accesses, &scratch.contexts, &mut scratch.lane);
    let access = scratch.append_lane(level, &mut bytes);

    let (sync, access) = match (sync, access) {
        (Ok(sync), Ok(access)) => (sync, access),
        (Err(error), _) | (_, Err(error)) => {
            problem = Some(SealError::Compression(error.to_string()));
            (LaneLens::default(), LaneLens::default())
        }
    };
    let counts_hold = sync.raw_len > 0 || sync_count == 0;
    let counts_hold = counts_hold && (access.raw_len > 0 || access_count == 0);
    if !counts_hold {
        bytes.truncate(CHUNK_HEADER_LEN);
        scratch.fragments.truncate(1);
        encode_fragments(&scratch.fragments, &mut bytes);
    }
    let (sync_count, access_count) =
        if counts_hold { (sync_count as u32, access_count as u32) } else { (0, 0) };
    let fragments_len = if counts_hold { fragments_len } else { bytes.len() - CHUNK_HEADER_LEN };

    let header = super::ChunkHeader {
        stream: raw.stream,
        number: raw.number,
        first_time: raw.first_time,
        last_time,
        sync_count,
        access_count,
        fragments: scratch.fragments.clone(),
    };
    write_header(&mut bytes, &header, fragments_len, sync, access);
    (SealedChunk { bytes, header }, problem)
}

#[derive(Clone, Copy, Default)]
struct LaneLens {
    len: u32,
    raw_len: u32,
    crc: u32,
}

impl SealScratch {
    fn append_lane(&mut self, level: i32, bytes: &mut Vec<u8>) -> std::io::Result<LaneLens> {
        let start = bytes.len();
        let len = self.compressor.compress(level, &self.lane, bytes)?;
        // A lane is at most LANE_LEN_MAX bytes, far below 2^32.
        Ok(LaneLens {
            len: len as u32,
            raw_len: self.lane.len() as u32,
            crc: crc32fast::hash(&bytes[start..]),
        })
    }
}

fn write_header(
    bytes: &mut [u8],
    header: &super::ChunkHeader,
    fragments_len: usize,
    sync: LaneLens,
    access: LaneLens,
) {
    let mut put_u32 = |at: usize, number: u32| {
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    };
    put_u32(4, header.stream.as_u32());
    put_u32(8, header.number);
    put_u32(28, header.sync_count);
    put_u32(32, header.access_count);
    put_u32(36, sync.len);
    put_u32(40, sync.raw_len);
    put_u32(44, sync.crc);
    put_u32(48, access.len);
    put_u32(52, access.raw_len);
    put_u32(56, access.crc);
    put_u32(60, fragments_len as u32);
    put_u32(64, header.fragments.len() as u32);
    bytes[12..20].copy_from_slice(&header.first_time.ns.to_le_bytes());
    bytes[20..28].copy_from_slice(&header.last_time.ns.to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[4..CHUNK_HEADER_LEN + fragments_len]);
    bytes[..4].copy_from_slice(&hasher.finalize().to_le_bytes());
}
