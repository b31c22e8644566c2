//! Chunks: the unit of compression, of checksums and of damage.
//!
//! A recorder fills an [`OpenChunk`]'s worth of raw words; [`seal()`] splits them into the two lanes,
//! turns each lane into columns of small numbers ([`sync_lane`], [`access_lane`]) and compresses
//! them ([`codec`]). A sealed chunk reads alone: it needs no other chunk, only the log's tables.
//!
//! ```text
//! header (fixed) | fragments (varints) | sync lane (zstd) | access lane (zstd)
//! ```
//!
//! The header has a checksum of its own, and each lane has one, so that the sync lanes of a log can
//! be read, and trusted, without touching a page of its access lanes (docs/FORMAT.md, "Chunk").

use std::ops::Range;

pub mod access_lane;
pub mod codec;
pub(crate) mod column;
pub mod open;
mod seal;
pub mod sync_lane;

pub use access_lane::{AccessColumns, AccessTag};
pub use open::OpenChunk;
pub use seal::{RawChunk, SealError, SealScratch, SealedChunk, seal};
pub use sync_lane::SyncColumns;

pub use crate::event::word::AccessContext;
use crate::id::{StreamId, ThreadId};
use crate::units::Timestamp;

use codec::Decompressor;
use column::Reader;

/// The most raw words a chunk may have been made of: what a decoder must be ready for.
pub const CHUNK_WORDS_MAX: usize = 1 << 17;

/// Bytes of the fixed part of the header.
pub const CHUNK_HEADER_LEN: usize = 72;

/// The most bytes that a lane may have before compression: 8 bytes a word would be the raw words
/// themselves; columns of hostile events may take up to 64 bytes for each record of three words.
pub const LANE_LEN_MAX: usize = CHUNK_WORDS_MAX * 24;

/// A stretch of a chunk in which one thread runs.
///
/// A thread's program order is its fragments, sorted by `(count, chunk number)`. Each ends where the
/// next of the chunk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fragment {
    /// Who runs.
    pub thread: ThreadId,
    /// How many times that thread was switched to before; a fragment that goes on from the stream's
    /// previous chunk keeps its number.
    pub count: u64,
    /// Index of its first event in the sync lane.
    pub first_event: u32,
    /// Index of its first access in the access lane.
    pub first_access: u32,
}

/// What a chunk says of itself, with what is known of its fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader<F = Vec<Fragment>> {
    /// Who wrote it.
    pub stream: StreamId,
    /// Its place among the stream's chunks, from 0.
    pub number: u32,
    /// When it was opened.
    pub first_time: Timestamp,
    /// When it was sealed, or the time of its last event if that is all that is known.
    pub last_time: Timestamp,
    /// Events in the sync lane.
    pub sync_count: u32,
    /// Accesses in the access lane.
    pub access_count: u32,
    /// Who ran; at least one, by position.
    pub fragments: F,
}

/// What a directory keeps of a chunk: its header with the number of its fragments, of which a log
/// may have many millions.
pub type ChunkSummary = ChunkHeader<u32>;

impl ChunkHeader {
    /// What a directory keeps of it.
    pub fn summary(&self) -> ChunkSummary {
        ChunkHeader {
            stream: self.stream,
            number: self.number,
            first_time: self.first_time,
            last_time: self.last_time,
            sync_count: self.sync_count,
            access_count: self.access_count,
            // Fragments are counted in 32 bits.
            fragments: self.fragments.len() as u32,
        }
    }

    /// Where a fragment's events and accesses are in the two lanes; empty if there is no such
    /// fragment.
    pub fn fragment_extent(&self, fragment: usize) -> (Range<u32>, Range<u32>) {
        let Some(this) = self.fragments.get(fragment) else { return (0..0, 0..0) };
        let (event_end, access_end) =
            self.fragments.get(fragment + 1).map_or((self.sync_count, self.access_count), |next| {
                (next.first_event, next.first_access)
            });
        (this.first_event..event_end, this.first_access..access_end)
    }

    /// The threads that run in it, ascending, each once.
    pub fn threads(&self) -> Vec<ThreadId> {
        let mut threads: Vec<ThreadId> = self.fragments.iter().map(|it| it.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        threads
    }
}

/// A chunk is not what a writer wrote. It costs the reader this chunk, or this lane of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkError {
    /// The bytes end inside the chunk.
    #[error("{part} of {needed} bytes, but only {available} are left")]
    Truncated {
        /// Which part of the chunk.
        part: &'static str,
        /// Its length.
        needed: u64,
        /// Bytes that are there.
        available: u64,
    },
    /// The bytes are not those that were written.
    #[error("{part}: checksum is {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// Which part of the chunk.
        part: &'static str,
        /// The checksum of what is there.
        found: u32,
        /// The checksum that was written.
        expected: u32,
    },
    /// A number is outside what any writer writes.
    #[error("{what} is {found}, expected at most {limit}")]
    Limit {
        /// What is numbered.
        what: &'static str,
        /// The number.
        found: u64,
        /// The largest that is possible.
        limit: u64,
    },
    /// The compressed bytes do not decompress to what the header says.
    #[error("{part}: {reason}")]
    Compression {
        /// Which lane.
        part: &'static str,
        /// What the decompressor said.
        reason: String,
    },
    /// The columns contradict themselves or the header.
    #[error("{part}: {what} at byte {at} of its columns")]
    Column {
        /// Which lane.
        part: &'static str,
        /// What is wrong.
        what: &'static str,
        /// Where in the decompressed lane.
        at: u64,
    },
}

/// The working memory of decoding, to be reused from lane to lane: what was decoded holds none of it.
#[derive(Debug, Default)]
pub struct LaneDecoder {
    decompressor: Decompressor,
    /// The lane's columns, decompressed.
    bytes: Vec<u8>,
    model: access_lane::Model,
}

/// Where a lane lies in a chunk's bytes, and what it must be.
#[derive(Clone, Copy, Debug)]
struct LaneExtent {
    start: usize,
    len: usize,
    raw_len: usize,
    crc: u32,
}

/// A sealed chunk's bytes, with the header decoded and checked.
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    bytes: &'a [u8],
    header: ChunkHeader,
    sync: LaneExtent,
    access: LaneExtent,
}

impl<'a> Chunk<'a> {
    /// Reads and checks the header of the chunk that these bytes are. The lanes are not touched.
    ///
    /// # Errors
    /// [`ChunkError`] if the header is damaged or promises more than the bytes can hold.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        const PART: &str = "chunk header";
        let available = bytes.len() as u64;
        let needed = CHUNK_HEADER_LEN as u64;
        let truncated = ChunkError::Truncated { part: PART, needed, available };
        let (fixed, rest) = bytes.split_first_chunk::<CHUNK_HEADER_LEN>().ok_or(truncated)?;
        let u32_at = |at: usize| u32::from_le_bytes(array(fixed, at));
        let u64_at = |at: usize| u64::from_le_bytes(array(fixed, at));
        let fragments_len = u32_at(60) as usize;
        let fragment_bytes = rest.get(..fragments_len).ok_or(ChunkError::Truncated {
            part: "chunk fragments",
            needed: fragments_len as u64,
            available: rest.len() as u64,
        })?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&fixed[4..]);
        hasher.update(fragment_bytes);
        let (found, expected) = (hasher.finalize(), u32_at(0));
        if found != expected {
            return Err(ChunkError::Checksum { part: PART, found, expected });
        }
        let (sync_count, access_count) = (u32_at(28), u32_at(32));
        for (what, found) in [("event count", sync_count), ("access count", access_count)] {
            limit(what, u64::from(found), CHUNK_WORDS_MAX as u64)?;
        }
        limit("reserved header field", u64::from(u32_at(68)), 0)?;
        let fragments = decode_fragments(fragment_bytes, u32_at(64), sync_count, access_count)?;
        let sync_start = CHUNK_HEADER_LEN + fragments_len;
        let sync = lane(bytes, sync_start, u32_at(36), u32_at(40), u32_at(44), "sync lane")?;
        let access_start = sync_start + sync.len;
        let access = lane(bytes, access_start, u32_at(48), u32_at(52), u32_at(56), "access lane")?;
        let surplus = bytes.len() - (access_start + access.len);
        limit("bytes after the access lane", surplus as u64, 0)?;
        let header = ChunkHeader {
            stream: StreamId::new(u32_at(4)),
            number: u32_at(8),
            first_time: Timestamp::from_ns(u64_at(12)),
            last_time: Timestamp::from_ns(u64_at(20)),
            sync_count,
            access_count,
            fragments,
        };
        Ok(Self { bytes, header, sync, access })
    }

    /// What the chunk says of itself.
    pub fn header(&self) -> &ChunkHeader {
        &self.header
    }

    /// Decodes the sync lane into `columns`, whose storage is reused.
    ///
    /// # Errors
    /// [`ChunkError`] if the lane is damaged; `columns` is then empty.
    pub fn decode_sync(
        &self,
        decoder: &mut LaneDecoder,
        columns: &mut SyncColumns,
    ) -> Result<(), ChunkError> {
        let result = self.lane_bytes(self.sync, "sync lane").and_then(|bytes| {
            sync_lane::decode(bytes, self.sync.raw_len, &self.header, decoder, columns)
        });
        if result.is_err() {
            columns.clear();
        }
        result
    }

    /// Decodes the access lane into `columns`, whose storage is reused.
    ///
    /// # Errors
    /// [`ChunkError`] if the lane is damaged; `columns` is then empty.
    pub fn decode_accesses(
        &self,
        decoder: &mut LaneDecoder,
        columns: &mut AccessColumns,
    ) -> Result<(), ChunkError> {
        let count = self.header.access_count as usize;
        let result = self.lane_bytes(self.access, "access lane").and_then(|bytes| {
            access_lane::decode(bytes, self.access.raw_len, count, decoder, columns)
        });
        if result.is_err() {
            columns.clear();
        }
        result
    }

    fn lane_bytes(&self, lane: LaneExtent, part: &'static str) -> Result<&'a [u8], ChunkError> {
        let needed = lane.len as u64;
        let bytes = self.bytes.get(lane.start..lane.start + lane.len);
        let bytes = bytes.ok_or(ChunkError::Truncated { part, needed, available: 0 })?;
        let found = crc32fast::hash(bytes);
        if found == lane.crc {
            Ok(bytes)
        } else {
            Err(ChunkError::Checksum { part, found, expected: lane.crc })
        }
    }
}

fn array<const N: usize>(bytes: &[u8; CHUNK_HEADER_LEN], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

fn limit(what: &'static str, found: u64, limit: u64) -> Result<(), ChunkError> {
    if found <= limit { Ok(()) } else { Err(ChunkError::Limit { what, found, limit }) }
}

fn lane(
    bytes: &[u8],
    start: usize,
    len: u32,
    raw_len: u32,
    crc: u32,
    part: &'static str,
) -> Result<LaneExtent, ChunkError> {
    limit(part, u64::from(raw_len), LANE_LEN_MAX as u64)?;
    let available = bytes.len() - start;
    if len as usize > available {
        let (needed, available) = (u64::from(len), available as u64);
        return Err(ChunkError::Truncated { part, needed, available });
    }
    Ok(LaneExtent { start, len: len as usize, raw_len: raw_len as usize, crc })
}

fn encode_fragments(fragments: &[Fragment], out: &mut Vec<u8>) {
    let mut last = Fragment { thread: ThreadId::MAIN, count: 0, first_event: 0, first_access: 0 };
    for &fragment in fragments {
        column::put(out, u64::from(fragment.thread.as_u32()));
        column::put(out, fragment.count);
        column::put(out, u64::from(fragment.first_event - last.first_event));
        column::put(out, u64::from(fragment.first_access - last.first_access));
        last = fragment;
    }
}

fn decode_fragments(
    bytes: &[u8],
    count: u32,
    sync_count: u32,
    access_count: u32,
) -> Result<Vec<Fragment>, ChunkError> {
    const PART: &str = "chunk fragments";
    // Every fragment takes at least four bytes, so this bounds the allocation.
    limit("fragment count", u64::from(count), bytes.len() as u64 / 4)?;
    let mut reader = Reader::new(PART, bytes, 0);
    let mut fragments: Vec<Fragment> = Vec::with_capacity(count as usize);
    let (mut first_event, mut first_access) = (0u32, 0u32);
    for _ in 0..count {
        let thread = ThreadId::new(reader.number_u32()?);
        let count = reader.number()?;
        first_event = first_event.saturating_add(reader.number_u32()?);
        first_access = first_access.saturating_add(reader.number_u32()?);
        limit("fragment's first event", u64::from(first_event), u64::from(sync_count))?;
        limit("fragment's first access", u64::from(first_access), u64::from(access_count))?;
        fragments.push(Fragment { thread, count, first_event, first_access });
    }
    reader.finish()?;
    match fragments.first() {
        Some(Fragment { first_event: 0, first_access: 0, .. }) => Ok(fragments),
        _ => Err(ChunkError::Column { part: PART, what: "no fragment begins the chunk", at: 0 }),
    }
}

#[cfg(test)]
mod tests;
