//! Reading a log: [`Log`].
//!
//! A closed log is opened by its index, without looking at anything else. One without an index (its
//! program was killed, the disk filled up, the copy was cut short) is *recovered* in memory: its
//! blocks are walked, damage is stepped over, the open chunks are taken out of their slots. Either
//! way the result is the same, and [`Log::gaps`] says what is missing from it.
//!
//! The file is mapped, never read whole; [`Log::advise_done`] gives memory back.

mod bytes;
mod error;
mod gap;
pub(crate) mod index;
mod lines;
mod open;
pub(crate) mod scan;
mod slots;
mod symbols;
pub(crate) mod threads;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub(crate) use bytes::LogBytes;
use error::mismatch;
pub use error::{OpenError, ReadError};
pub use gap::{Gap, GapReason};
pub use index::IndexError;
pub use threads::FragmentRef;

use crate::chunk::{Chunk, ChunkSummary};
use crate::id::ThreadId;
use crate::layout::{BlockHeader, Identity, State};
use crate::meta::{BlockRecord, ProcessInfo};
use crate::table::Tables;
use crate::units::{FileOffset, Timestamp};

pub(crate) use threads::{ThreadSet, ThreadSets};

/// A chunk of a log, as the directory has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// What the chunk says of itself.
    pub header: ChunkSummary,
    /// Where its block, or the slot that it was taken out of, begins.
    pub offset: FileOffset,
    /// Bytes of the sealed chunk.
    pub payload_len: u64,
    /// Who runs in it: a set of the log's [`ThreadSets`].
    pub(crate) threads: ThreadSet,
    /// Index into [`Log::recovered`], if it was taken out of a slot.
    pub(crate) recovered: Option<u32>,
}

impl ChunkEntry {
    /// Whether the program was killed before it could seal this chunk.
    pub const fn is_recovered(&self) -> bool {
        self.recovered.is_some()
    }

    /// Events and accesses.
    pub fn record_count(&self) -> u64 {
        u64::from(self.header.sync_count) + u64::from(self.header.access_count)
    }
}

/// Whether somebody is recording into a file at this moment.
///
/// # Errors
/// The file cannot be opened, or its file system cannot tell.
pub fn is_being_recorded(path: impl AsRef<Path>) -> io::Result<bool> {
    match File::open(path)?.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A log, opened.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    bytes: LogBytes,
    identity: Identity,
    state: State,
    info: ProcessInfo,
    tables: Tables,
    chunks: Vec<ChunkEntry>,
    blocks: Vec<BlockRecord>,
    recovered: Vec<Vec<u8>>,
    sets: ThreadSets,
    all_threads: OnceLock<Vec<ThreadId>>,
    gaps: Vec<Gap>,
}

impl Log {
    /// Opens a log.
    ///
    /// A log that is still being recorded opens, too: what was published until now is in it.
    ///
    /// # Errors
    /// [`OpenError`] if the file is no log. Whatever else is wrong with it is a [`Gap`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        Self::from_log_bytes(path, open_bytes(path)?)
    }

    /// Opens a log that is in memory. `path` is for messages.
    ///
    /// # Errors
    /// [`OpenError`] if the bytes are no log. Whatever else is wrong with them is a [`Gap`].
    pub fn from_bytes(path: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        if bytes.is_empty() {
            return Err(OpenError::Empty { path: path.to_owned() });
        }
        Self::from_log_bytes(path, LogBytes::Owned(bytes))
    }

    fn from_log_bytes(path: &Path, bytes: LogBytes) -> Result<Self, OpenError> {
        open::open(path, bytes, open::HeaderTrust::Checked)
            .map_err(|source| OpenError::Page { path: path.to_owned(), source })
    }

    /// Opens a log whose identity may be damaged: that is a [`Gap`] then, as long as the file still
    /// begins as logs do.
    pub(crate) fn open_damaged(path: &Path) -> Result<Self, OpenError> {
        open::open(path, open_bytes(path)?, open::HeaderTrust::Damaged)
            .map_err(|source| OpenError::Page { path: path.to_owned(), source })
    }

    /// Where the log was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Who recorded it, in which version of the format.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the first page says of the recording.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The recorded process.
    pub fn info(&self) -> &ProcessInfo {
        &self.info
    }

    /// What the events name.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The directory of chunks: those of a stream by number, streams by number.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// What is missing. Damage inside a chunk shows only when that chunk is read:
    /// [`Log::gap_of`] makes a gap of it.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Whether nothing is missing, as far as the directory tells.
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty()
    }

    /// Reads a chunk's header. Its lanes are neither read nor checked before they are decoded.
    ///
    /// # Errors
    /// [`ReadError`] if the chunk is damaged or not the one that the directory has.
    ///
    /// # Panics
    /// If there is no such chunk.
    pub fn chunk(&self, index: usize) -> Result<Chunk<'_>, ReadError> {
        let entry = &self.chunks[index];
        let at = entry.offset;
        if let Some(recovered) = entry.recovered {
            let bytes = &self.recovered[recovered as usize];
            return Chunk::parse(bytes).map_err(|source| ReadError::Chunk { at, source });
        }
        let block = BlockHeader::decode(&self.bytes, at.0)?;
        let header = &entry.header;
        let expected = scan::chunk_block(header, at.0, entry.payload_len, block.payload_crc);
        if block != expected {
            return Err(mismatch(at, &block, &expected));
        }
        let payload = block.payload(&self.bytes)?;
        let chunk = Chunk::parse(payload).map_err(|source| ReadError::Chunk { at, source })?;
        let found = chunk.header().summary();
        if found != *header {
            return Err(mismatch(at, &found, header));
        }
        Ok(chunk)
    }

    /// Says that a chunk's bytes will not be needed soon: they no longer count as memory in use.
    ///
    /// # Panics
    /// If there is no such chunk.
    pub fn advise_done(&self, index: usize) {
        let entry = &self.chunks[index];
        if entry.recovered.is_none() {
            let start = entry.offset.0;
            let end = start.saturating_add(crate::layout::block::block_len(entry.payload_len));
            self.bytes.advise_done(start as usize..end as usize);
        }
    }

    /// Says that nothing of the file will be needed soon. Reading one chunk may map pages of its
    /// neighbours, too: whoever goes through all of them says this now and then.
    pub fn advise_all_done(&self) {
        self.bytes.advise_done(0..self.bytes.len());
    }

    /// The gap that a chunk leaves which cannot be read.
    ///
    /// # Panics
    /// If there is no such chunk.
    pub fn gap_of(&self, index: usize, error: &impl std::fmt::Display) -> Gap {
        let entry = &self.chunks[index];
        Gap {
            stream: Some(entry.header.stream),
            thread: match (self.threads_of(index).next(), entry.header.fragments) {
                (only, 1) => only,
                _ => None,
            },
            events: Some(entry.record_count()),
            first_time: Some(entry.header.first_time),
            last_time: Some(entry.header.last_time),
            ..Gap::new(GapReason::DamagedChunk, entry.offset).with_detail(error)
        }
    }

    /// The indices of the chunks that reach into a time window, its ends included.
    pub fn chunks_between(
        &self,
        first: Timestamp,
        last: Timestamp,
    ) -> impl Iterator<Item = usize> + '_ {
        let reaches = move |entry: &ChunkEntry| {
            entry.header.first_time <= last && entry.header.last_time >= first
        };
        self.chunks.iter().enumerate().filter_map(move |(i, entry)| reaches(entry).then_some(i))
    }

    /// Events of all chunks, without accesses.
    pub fn event_count(&self) -> u64 {
        self.chunks.iter().map(|entry| u64::from(entry.header.sync_count)).sum()
    }

    /// Accesses of all chunks.
    pub fn access_count(&self) -> u64 {
        self.chunks.iter().map(|entry| u64::from(entry.header.access_count)).sum()
    }

    /// When the first chunk begins and the last one ends; `None` in a log without chunks.
    pub fn time_range(&self) -> Option<(Timestamp, Timestamp)> {
        let first = self.chunks.iter().map(|entry| entry.header.first_time).min()?;
        let last = self.chunks.iter().map(|entry| entry.header.last_time).max()?;
        Some((first, last))
    }

    /// The checked payload of a block that is no chunk.
    fn block_payload(&self, record: &BlockRecord) -> Result<&[u8], ReadError> {
        let header = BlockHeader::decode(&self.bytes, record.at)?;
        scan::check_block(&header, record)?;
        Ok(header.checked_payload(&self.bytes)?)
    }

    pub(crate) fn raw_bytes(&self) -> &LogBytes {
        &self.bytes
    }

    pub(crate) fn blocks(&self) -> &[BlockRecord] {
        &self.blocks
    }

    pub(crate) fn chunk_bytes(&self, index: usize) -> Result<&[u8], ReadError> {
        let entry = &self.chunks[index];
        if let Some(recovered) = entry.recovered {
            return Ok(&self.recovered[recovered as usize]);
        }
        let header = BlockHeader::decode(&self.bytes, entry.offset.0)?;
        Ok(header.checked_payload(&self.bytes)?)
    }
}

fn open_bytes(path: &Path) -> Result<LogBytes, OpenError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => OpenError::Missing { path: path.to_owned() },
        io::ErrorKind::IsADirectory => OpenError::Folder { path: path.to_owned() },
        _ => OpenError::Io { path: path.to_owned(), source },
    };
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if metadata.is_dir() {
        return Err(OpenError::Folder { path: path.to_owned() });
    }
    if !metadata.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file");
        return Err(OpenError::Io { path: path.to_owned(), source });
    }
    if metadata.len() == 0 {
        return Err(OpenError::Empty { path: path.to_owned() });
    }
    LogBytes::map(&file, metadata.len()).map_err(io)
}
