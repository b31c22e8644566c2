//! Recording: the log of a program that is running.
//!
//! A thread of the program fills a [`Slot`], a stretch of the mapped file, with raw words; what it
//! published survives whatever happens to the process. A full slot is sealed: compressed and
//! appended as a block with plain writes, after which the slot is free again. Table entries go the
//! same way through a slot of their own, before any event names them.
//!
//! # What holds when the process is killed
//! - Between any two steps: a block is first written as *reserved*, then its payload, then its header
//!   again as *committed*; a reader skips what is only reserved. A slot becomes free after its
//!   block is committed, so its records are always in at least one of the two; if in both, the
//!   numbers of the chunks are equal and the reader takes the block.
//! - Free space is marked before it is used: the header of what remains is written first, then that
//!   of the block, so that at every moment the headers tile the file.
//! - The first page's fields are single words, stored whole.
//!
//! That is about the death of the process, not of the machine: what was stored is the kernel's to
//! write, and nothing here waits for the disk.
//!
//! # What holds when the disk is full
//! Slots and the first page are allocated beforehand, so stores never fail. An append that fails
//! stops the recording: the reason and the number of lost events are in the first page, everything
//! published until then stays in slots and blocks, and the program goes on.

mod append;
mod close;
mod disk;
mod map;
mod regions;
pub mod slot;
mod space;
mod tables;

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use crate::chunk::codec::{Compressor, LEVEL_RECORDING};
use crate::chunk::{SealScratch, SealedChunk, seal};
use crate::handshake::Keep;
use crate::id::ModuleId;
use crate::layout::frame::put_frame;
use crate::layout::page::StateWord;
use crate::layout::{
    BlockHeader, BlockKind, HEADER_MAGIC, Identity, LossCounts, LossReason, PAGE_LEN, State,
    StopReason,
};
use crate::meta::{self, ProcessInfo, SectionPiece};
use crate::units::Timestamp;
use crate::version::FormatVersion;

pub use close::{CloseError, Closed};
use disk::Disk;
use map::SharedMap;
pub use map::Slot;
use regions::Slots;
pub use slot::SlotLabel;
use slot::{SLOT_LEN_DEFAULT, SLOT_LEN_MAX, SLOT_LEN_MIN};
use space::Space;
use tables::TableSlot;

/// Bytes of a section that go into one block.
const SYMBOLS_PIECE_LEN: usize = 1 << 20;

/// How to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveOptions {
    /// Bytes of a slot: a multiple of 4096 of at most 1 MiB; other values are rounded.
    pub slot_len: u32,
    /// How long the file may get while recording.
    pub max_log: Option<u64>,
    /// What to keep then.
    pub keep: Keep,
    /// How hard to compress.
    pub level: i32,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            slot_len: SLOT_LEN_DEFAULT,
            max_log: None,
            keep: Keep::default(),
            level: LEVEL_RECORDING,
        }
    }
}

/// Why a log could not be begun.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// Another process records into this file, or another log of this one.
    #[error("{}: is being recorded into by somebody else", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// There is something else in the file, which a log must not overwrite.
    #[error("{}: is there and is no log: not overwritten", path.display())]
    NotALog {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{}: cannot be recorded into: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why something could not be added to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The recording has stopped, now or before.
    #[error("the recording stopped: {}", .0.name())]
    Stopped(StopReason),
    /// The log is closed.
    #[error("the log is closed")]
    Closed,
    /// There are as many slots as there can be, and all are in use.
    #[error("no slot is free")]
    NoSlot,
}

/// A log that is being recorded. All methods can be called by many threads at once.
///
/// Dropping it without [`LiveLog::close`] leaves what a kill would leave; that is also what a forked
/// child should do with its parent's.
#[derive(Debug)]
pub struct LiveLog {
    disk: Disk,
    page: SharedMap,
    identity: Identity,
    options: LiveOptions,
    /// How often the process information was written.
    info_editions: AtomicU32,
    /// The stop reason's code; 0 while recording. The page has it, too, but not after closing.
    stopped: AtomicU64,
    /// Whether the log is closed. Everything that changes the file holds it for reading.
    gate: RwLock<bool>,
    space: Mutex<Space>,
    slots: Mutex<Slots>,
    table: Mutex<TableSlot>,
}

impl LiveLog {
    /// Begins a log at `path`. An old log in that file is lost, unless somebody is recording into it.
    ///
    /// # Errors
    /// [`CreateError`]; a file that could not be begun is left empty or unfinished.
    pub fn create(
        path: impl AsRef<Path>,
        info: &ProcessInfo,
        options: LiveOptions,
    ) -> Result<Self, CreateError> {
        let path = path.as_ref();
        let io = |source| CreateError::Io { path: path.to_owned(), source };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io)?;
        // A file system without locks cannot say who else is there, so nobody is assumed.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(CreateError::InUse { path: path.to_owned() });
        }
        if !is_empty_or_log(&file).map_err(io)? {
            return Err(CreateError::NotALog { path: path.to_owned() });
        }
        Self::begin(file, info, options).map_err(io)
    }

    fn begin(file: File, info: &ProcessInfo, mut options: LiveOptions) -> io::Result<Self> {
        let slot_len = u64::from(options.slot_len).clamp(SLOT_LEN_MIN, SLOT_LEN_MAX);
        options.slot_len = (slot_len / PAGE_LEN * PAGE_LEN) as u32;
        let identity = Identity {
            version: FormatVersion::CURRENT,
            run_id: info.run_id,
            pid: info.pid,
            slot_len: options.slot_len,
            start_realtime_ns: info.start_realtime_ns,
        };
        let disk = Disk::new(file);
        disk.set_len(0)?;
        let state = State { tail: PAGE_LEN, ..State::default() };
        disk.write(0, &*state.encode(&identity))?;
        disk.allocate(0, PAGE_LEN)?;
        let page = SharedMap::map(disk.file(), 0, PAGE_LEN as usize)?;
        let log = Self {
            disk,
            page,
            identity,
            options,
            info_editions: AtomicU32::new(0),
            stopped: AtomicU64::new(0),
            gate: RwLock::new(false),
            space: Mutex::new(Space::new()),
            slots: Mutex::new(Slots::default()),
            table: Mutex::new(TableSlot::default()),
        };
        log.update_info(info).map_err(io::Error::other)?;
        let mut slots = lock(&log.slots);
        log.add_region(&mut slots, true).map_err(io::Error::other)?;
        drop(slots);
        Ok(log)
    }

    /// Replaces the process information, e.g. when more is known.
    ///
    /// # Errors
    /// [`AppendError`] if it could not be written.
    pub fn update_info(&self, info: &ProcessInfo) -> Result<(), AppendError> {
        self.enter(|log| {
            let mut payload = Vec::new();
            let raw = meta::encode_info(info);
            put_frame(&mut Compressor::new(), log.options.level, &raw, &mut payload);
            // Relaxed: only unique and ascending.
            let a = log.info_editions.fetch_add(1, Ordering::Relaxed);
            log.append(BlockHeader { a, ..BlockHeader::new(BlockKind::Meta, 0, 0) }, &payload)
        })
    }

    /// A slot for a thread to write into; `None` if the recording has stopped, or if no more slots
    /// can be had.
    pub fn acquire_slot(&self, label: &SlotLabel) -> Option<Slot> {
        self.enter(|log| {
            log.check_running()?;
            let mut slots = lock(&log.slots);
            if slots.free.is_empty() {
                log.add_region(&mut slots, false)?;
            }
            let (region, slot) = slots.free.pop().ok_or(AppendError::NoSlot)?;
            Ok(slots.regions[region as usize].open(slot as usize, label))
        })
        .ok()
    }

    /// Seals what a slot holds, appends it, and makes the slot free.
    ///
    /// If that fails, the slot keeps what it has, for [`LiveLog::close`] or for whoever recovers the
    /// log: nothing that was published is lost.
    ///
    /// # Errors
    /// [`AppendError`] if the chunk could not be appended.
    pub fn seal(
        &self,
        slot: Slot,
        last_time: Timestamp,
        scratch: &mut SealScratch,
    ) -> Result<(), AppendError> {
        self.enter(|log| {
            if !slot.is_empty() {
                // A record that cannot be sealed is a bug of the recorder's. What comes before it
                // is kept, and the hole is counted.
                let (chunk, problem) = seal(&slot.as_raw(last_time), log.options.level, scratch);
                if problem.is_some() {
                    log.count_lost(LossReason::Other, 1);
                }
                log.append_chunk(&chunk)?;
            }
            log.release_slot(slot);
            Ok(())
        })
    }

    /// Makes a slot free without keeping what it holds.
    ///
    /// For a slot that is empty, or whose records were sealed and given to
    /// [`LiveLog::append_sealed`].
    pub fn release(&self, slot: Slot) {
        // A closed log has no use for free slots.
        let _ = self.enter(|log| {
            log.release_slot(slot);
            Ok(())
        });
    }

    /// Appends a sealed chunk.
    ///
    /// # Errors
    /// [`AppendError`] if it could not be written.
    pub fn append_sealed(&self, chunk: &SealedChunk) -> Result<(), AppendError> {
        self.enter(|log| log.append_chunk(chunk))
    }

    /// Copies a section of a module into the log, so that it can be read without the program.
    ///
    /// # Errors
    /// [`AppendError`] if it could not be written whole.
    pub fn append_symbols(
        &self,
        module: ModuleId,
        name: &str,
        address: u64,
        bytes: &[u8],
    ) -> Result<(), AppendError> {
        let total_len = bytes.len() as u64;
        let mut compressor = Compressor::new();
        let mut at = 0;
        loop {
            let end = bytes.len().min(at + SYMBOLS_PIECE_LEN);
            let piece = SectionPiece { name: name.to_owned(), address, total_len, at: at as u64 };
            let payload = symbols_payload(&mut compressor, &piece, &bytes[at..end]);
            let header =
                BlockHeader { a: module.as_u32(), ..BlockHeader::new(BlockKind::Symbols, 0, 0) };
            self.enter(|log| log.append(header, &payload))?;
            at = end;
            if at == bytes.len() {
                return Ok(());
            }
        }
    }

    /// Counts events that were not recorded.
    pub fn count_lost(&self, reason: LossReason, events: u64) {
        // Relaxed: a counter; whoever reads it reads it after the process.
        self.state(StateWord::loss(reason)).fetch_add(events, Ordering::Relaxed);
    }

    /// How many events were not recorded, by reason.
    pub fn lost(&self) -> LossCounts {
        LossReason::ALL.map(|reason| self.state(StateWord::loss(reason)).load(Ordering::Relaxed))
    }

    /// Stops recording. The first reason stays.
    pub fn stop(&self, reason: StopReason) {
        let code = reason.code();
        // Relaxed: a flag; nothing is published by it.
        let set = self.stopped.compare_exchange(0, code, Ordering::Relaxed, Ordering::Relaxed);
        if set.is_ok() {
            self.state(StateWord::STOP).store(code, Ordering::Relaxed);
        }
    }

    /// Why the recording stopped; `None` while it goes on. One load.
    #[inline]
    pub fn stopped(&self) -> Option<StopReason> {
        StopReason::from_code(self.stopped.load(Ordering::Relaxed))
    }

    /// A field of the first page.
    fn state(&self, field: StateWord) -> &AtomicU64 {
        self.page.word(field.offset() as usize / 8)
    }

    fn check_running(&self) -> Result<(), AppendError> {
        self.stopped().map_or(Ok(()), |reason| Err(AppendError::Stopped(reason)))
    }

    /// Does something to the log, unless it is closed.
    fn enter<T>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, AppendError>,
    ) -> Result<T, AppendError> {
        let closed = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        if *closed { Err(AppendError::Closed) } else { work(self) }
    }
}

/// Whether a file may be overwritten by a log.
fn is_empty_or_log(file: &File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    let mut mark = [0; HEADER_MAGIC.len()];
    let len = metadata.len().min(mark.len() as u64) as usize;
    file.read_exact_at(&mut mark[..len], 0)?;
    Ok(metadata.is_file() && HEADER_MAGIC.starts_with(&mark[..len]))
}

/// The payload of a symbols block: what the piece is, and its bytes.
pub(crate) fn symbols_payload(
    compressor: &mut Compressor,
    piece: &SectionPiece,
    bytes: &[u8],
) -> Vec<u8> {
    let mut payload = Vec::new();
    let description = meta::encode_section_piece(piece);
    put_frame(compressor, LEVEL_RECORDING, &description, &mut payload);
    put_frame(compressor, LEVEL_RECORDING, bytes, &mut payload);
    payload
}

/// Takes a lock. A panic of another holder left nothing half-done that matters: every field is
/// written after what it says has happened.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
