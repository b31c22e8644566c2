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

mod close;
mod disk;
mod map;
pub mod slot;
mod space;

#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::chunk::codec::{Compressor, LEVEL_RECORDING};
use crate::chunk::{SealScratch, SealedChunk, seal};
use crate::handshake::Keep;
use crate::id::ModuleId;
use crate::layout::block::padding_len;
use crate::layout::frame::put_frame;
use crate::layout::page::{REGION_COUNT_MAX, StateWord};
use crate::layout::{
    BLOCK_ALIGN, BLOCK_HEADER_LEN, BlockHeader, BlockKind, BlockState, HEADER_MAGIC, Identity,
    LossCounts, LossReason, PAGE_LEN, SlotRegion, State, StopReason, align_up,
};
use crate::log::scan;
use crate::meta::{self, ProcessInfo, SectionPiece};
use crate::table::TableEntry;
use crate::units::Timestamp;
use crate::version::FormatVersion;

pub use close::{CloseError, Closed};
use disk::{Disk, stop_reason};
pub use map::Slot;
use map::{Region, SharedMap};
pub use slot::SlotLabel;
use slot::{SLOT_LEN_DEFAULT, SLOT_LEN_MAX, SLOT_LEN_MIN};
use space::{PlacedChunk, Space};

/// Slots of the first region, the table slot included. Each further region has twice as many as the
/// one before.
const FIRST_REGION_SLOTS: u32 = 8;
/// Slots of the largest regions.
const REGION_SLOTS_MAX: u32 = 256;
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

/// The table slot's fill.
#[derive(Debug, Default)]
struct TableSlot {
    len: usize,
    compressor: Compressor,
    scratch: Vec<u8>,
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

#[derive(Debug, Default)]
struct Slots {
    regions: Vec<Arc<Region>>,
    free: Vec<(u32, u32)>,
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

    /// Adds a table entry. When this returns, events may name it: it survives the process from here
    /// on.
    ///
    /// # Errors
    /// [`AppendError`] if there is no room for it any more.
    pub fn append_table_entry(&self, entry: &TableEntry) -> Result<(), AppendError> {
        self.enter(|log| {
            let mut table = lock(&log.table);
            let mut bytes = std::mem::take(&mut table.scratch);
            bytes.clear();
            meta::put_table_entry(entry, &mut bytes);
            let result = log.put_table_entry(&mut table, &bytes);
            table.scratch = bytes;
            result
        })
    }

    fn put_table_entry(&self, table: &mut TableSlot, bytes: &[u8]) -> Result<(), AppendError> {
        let region = self.table_region()?;
        if !region.put_table(table.len, bytes) {
            self.flush_table(table, &region)?;
            if !region.put_table(0, bytes) {
                // Longer than a slot: a block of its own.
                let (header, payload) = self.table_block(&mut table.compressor, bytes);
                return self.append(header, &payload);
            }
        }
        table.len += bytes.len();
        Ok(())
    }

    /// Appends the table slot's entries as a block, and empties the slot.
    fn flush_table(&self, table: &mut TableSlot, region: &Region) -> Result<(), AppendError> {
        if table.len > 0 {
            let bytes = region.table_bytes(table.len);
            let (header, payload) = self.table_block(&mut table.compressor, &bytes);
            self.append(header, &payload)?;
            region.empty_table();
            table.len = 0;
        }
        Ok(())
    }

    /// The block of what is in the table slot, or was to be there.
    fn table_block(&self, compressor: &mut Compressor, mut slot: &[u8]) -> (BlockHeader, Vec<u8>) {
        let mut entries = Vec::new();
        while !slot.is_empty() {
            // We wrote them. If the program has written over them since, the rest is lost.
            let Ok((entry, rest)) = meta::split_table_entry(slot) else {
                self.count_lost(LossReason::Other, 1);
                break;
            };
            entries.push(entry);
            slot = rest;
        }
        let mut payload = Vec::new();
        let raw = meta::encode_table_frame(&entries);
        put_frame(compressor, self.options.level, &raw, &mut payload);
        let count = entries.len() as u32;
        (BlockHeader { a: count, ..BlockHeader::new(BlockKind::Table, 0, 0) }, payload)
    }

    fn table_region(&self) -> Result<Arc<Region>, AppendError> {
        let slots = lock(&self.slots);
        slots.regions.first().cloned().ok_or(AppendError::NoSlot)
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

    fn release_slot(&self, slot: Slot) {
        let (region, index) = slot.into_parts();
        region.free(index);
        let mut slots = lock(&self.slots);
        let place = slots.regions.iter().position(|known| Arc::ptr_eq(known, &region));
        // A slot of another log is none of ours.
        if let Some(place) = place {
            slots.free.push((place as u32, index as u32));
        }
    }

    fn append_chunk(&self, chunk: &SealedChunk) -> Result<(), AppendError> {
        let header = scan::chunk_block(&chunk.header.summary(), 0, 0, 0);
        self.append(header, &chunk.bytes)
    }

    /// Appends a block: reserved, payload, committed.
    fn append(&self, header: BlockHeader, payload: &[u8]) -> Result<(), AppendError> {
        self.check_running()?;
        let payload_crc = crc32fast::hash(payload);
        let payload_len = payload.len() as u64;
        let header = BlockHeader { payload_len, payload_crc, ..header };
        let reserved = self.reserve(header)?;
        let committed = BlockHeader { state: BlockState::Committed, ..reserved };
        let at = committed.at.0;
        let written =
            self.write_payload(at, payload).and_then(|()| self.disk.write(at, &committed.encode()));
        let mut space = lock(&self.space);
        match written {
            Ok(()) if committed.kind == BlockKind::Chunk => space.commit_chunk(committed),
            Ok(()) => space.commit_other(&committed),
            Err(error) => {
                space.forget_chunk(committed.at);
                drop(space);
                return Err(self.fail(&error));
            }
        }
        Ok(())
    }

    /// Writes the payload of the block at `at`, and the zeros that fill up the block.
    fn write_payload(&self, at: u64, payload: &[u8]) -> io::Result<()> {
        let start = at + BLOCK_HEADER_LEN;
        let len = payload.len() as u64;
        let padding = [0; BLOCK_ALIGN as usize];
        self.disk.write(start, payload)?;
        self.disk.write(start + len, &padding[..padding_len(len) as usize])
    }

    /// Finds a place for a block and marks it as taken.
    fn reserve(&self, header: BlockHeader) -> Result<BlockHeader, AppendError> {
        let mut space = lock(&self.space);
        let place = self.find_place(&mut space, |_| header.block_len())?;
        let at = crate::units::FileOffset(place);
        let header = BlockHeader { at, state: BlockState::Reserved, ..header };
        if let Err(error) = self.disk.write(place, &header.encode()) {
            self.take_back(&mut space, &header);
            return Err(self.fail(&error));
        }
        if header.kind == BlockKind::Chunk {
            space.chunks.push_back(PlacedChunk { header, is_committed: false });
        }
        self.publish_tail(&space);
        Ok(header)
    }

    /// Gives back a place whose header could not be written.
    fn take_back(&self, space: &mut Space, header: &BlockHeader) {
        if header.end() == space.tail {
            space.tail = header.at.0;
        } else {
            // Taken from free space. If its mark cannot be restored either, a reader will find
            // damage here, and the next block behind it.
            let free = space.give_back(header.at.0, header.block_len());
            let _ = self.disk.write(free.at.0, &free.encode());
        }
    }

    /// Finds room, dropping the oldest chunks if that was asked for. `len_at` gives the length that a
    /// block beginning there would have.
    fn find_place(
        &self,
        space: &mut Space,
        len_at: impl Fn(u64) -> u64,
    ) -> Result<u64, AppendError> {
        loop {
            let len = len_at(space.tail);
            // Where in free space the block would begin is not known beforehand: at most one page
            // of padding more.
            if let Some(place) = space.take_free(len_at(u64::MAX)) {
                if let Some(rest) = place.rest {
                    self.disk
                        .write(rest.at.0, &rest.encode())
                        .map_err(|error| self.fail(&error))?;
                }
                return Ok(place.at);
            }
            let end = space.tail.saturating_add(len);
            match self.options.max_log {
                Some(max) if end > max => {}
                _ => return Ok(space.take_tail(len).at),
            }
            if self.options.keep == Keep::Oldest {
                self.stop(StopReason::SizeCap);
                return Err(AppendError::Stopped(StopReason::SizeCap));
            }
            let Some((free, chunk)) = space.drop_oldest() else {
                self.stop(StopReason::SizeCap);
                return Err(AppendError::Stopped(StopReason::SizeCap));
            };
            self.disk.write(free.at.0, &free.encode()).map_err(|error| self.fail(&error))?;
            self.state(StateWord::DROPPED_CHUNKS).fetch_add(1, Ordering::Relaxed);
            let records = u64::from(chunk.header.c) + u64::from(chunk.header.d);
            self.count_lost(LossReason::Oldest, records);
        }
    }

    fn publish_tail(&self, space: &Space) {
        // Relaxed: for readers after our death, to whom every store of ours is visible.
        self.state(StateWord::TAIL).store(space.tail, Ordering::Relaxed);
    }

    fn fail(&self, error: &io::Error) -> AppendError {
        let reason = stop_reason(error);
        self.stop(reason);
        AppendError::Stopped(reason)
    }

    /// Adds a region of slots, all free.
    fn add_region(&self, slots: &mut Slots, has_table_slot: bool) -> Result<(), AppendError> {
        let count = FIRST_REGION_SLOTS << slots.regions.len().min(16);
        let count = count.min(REGION_SLOTS_MAX);
        if slots.regions.len() >= REGION_COUNT_MAX {
            return Err(AppendError::NoSlot);
        }
        let slots_len = u64::from(count) * u64::from(self.options.slot_len);
        let region = self.allocate_region(slots_len, count, has_table_slot)?;
        let map = SharedMap::map(self.disk.file(), region.at, slots_len as usize)
            .map_err(|error| self.fail(&error))?;
        let index = slots.regions.len() as u32;
        // Used from the first slot on: the last pushed is the first taken.
        slots.free.extend((u32::from(has_table_slot)..count).rev().map(|slot| (index, slot)));
        let region = Region::new(map, self.options.slot_len, count, has_table_slot);
        slots.regions.push(Arc::new(region));
        Ok(())
    }

    fn allocate_region(
        &self,
        slots_len: u64,
        slot_count: u32,
        has_table_slot: bool,
    ) -> Result<SlotRegion, AppendError> {
        // Slots begin at the page boundary after the header.
        let first_slot = |at: u64| align_up(at + BLOCK_HEADER_LEN, PAGE_LEN).unwrap_or(at);
        let len_at = |at: u64| {
            let padding = if at == u64::MAX { PAGE_LEN } else { first_slot(at) - at };
            padding + slots_len
        };
        let mut space = lock(&self.space);
        let before = space.tail;
        let at = self.find_place(&mut space, len_at)?;
        let region = SlotRegion { at: first_slot(at), slot_count, has_table_slot };
        let len = if at == before { len_at(at) } else { len_at(u64::MAX) };
        let header = BlockHeader {
            a: slot_count,
            b: u32::from(has_table_slot),
            e: region.at,
            f: u64::from(self.options.slot_len),
            ..BlockHeader::new(BlockKind::Slots, at, len - BLOCK_HEADER_LEN)
        };
        if let Err(error) = self.prepare_region(&header, at == before) {
            self.take_back(&mut space, &header);
            return Err(self.fail(&error));
        }
        self.publish_tail(&space);
        let index = space.regions.len();
        space.regions.push(region);
        let word = self.state(StateWord::region(index));
        word.store(region.to_word(), Ordering::Relaxed);
        // Release: whoever sees the count sees the regions.
        self.state(StateWord::REGION_COUNT).store(index as u64 + 1, Ordering::Release);
        Ok(region)
    }

    /// Allocates a region's bytes, zeroes its slots, writes its header, in this order.
    fn prepare_region(&self, header: &BlockHeader, is_new: bool) -> io::Result<()> {
        self.disk.allocate(header.at.0, header.block_len())?;
        if !is_new {
            // Blocks were here: what is left of them must not look like published records.
            let zeros = [0; 8 * slot::SLOT_HEADER_WORDS];
            for slot in 0..u64::from(header.a) {
                self.disk.write(header.e + slot * header.f, &zeros)?;
            }
        }
        self.disk.write(header.at.0, &header.encode())
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
