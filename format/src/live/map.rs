//! The maps that a recorder writes through, and the slots in them.
//!
//! This is where recording buys `unsafe`: a word stored into a shared map survives the death of its
//! process at the next instruction, and costs a store. The safe way, a `write` for each event, costs
//! a system call: some hundred times as much.
//!
//! Rules that make it sound:
//! - Header words (of the page and of slots) are only ever touched as [`AtomicU64`].
//! - A slot's records belong to the one [`Slot`] that stands for it. Others read them only below the
//!   published length, where nothing is stored until the slot is opened again, which takes the
//!   [`Slot`] itself back.
//! - A map is never unmapped while a [`Slot`] points into it: the [`Slot`] holds the map.
//! - The pages are allocated in the file before they are mapped, so that a store cannot fail for want
//!   of disk space, which the system would report by killing the process. (A file system that copies
//!   on write may break this promise of its own; so may a stranger who truncates the file.)

#![expect(unsafe_code, reason = "memory maps; each block says why it holds")]

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use memmap2::{MmapOptions, MmapRaw};

use super::slot::{SLOT_HEADER_WORDS, SlotField, SlotLabel, SlotState};
use crate::chunk::RawChunk;
use crate::id::{StreamId, ThreadId};
use crate::units::Timestamp;

#[cfg(target_endian = "big")]
compile_error!("recorders store native words, and the format is little-endian");

/// A part of the log, mapped for reading and writing and shared with the file.
pub(crate) struct SharedMap {
    raw: MmapRaw,
}

impl fmt::Debug for SharedMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMap").field("len", &self.raw.len()).finish_non_exhaustive()
    }
}

impl SharedMap {
    /// Maps `len` bytes from `at`, both multiples of the page length, allocated in the file.
    pub(crate) fn map(file: &File, at: u64, len: usize) -> io::Result<Self> {
        let raw = MmapOptions::new().offset(at).len(len).map_raw(file)?;
        Ok(Self { raw })
    }

    /// A header word.
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        let pointer = self.pointer(index, 1).cast::<AtomicU64>();
        // SAFETY: the pointer is in the map and aligned (see `pointer`), the map lives as long as
        // the reference, any bit pattern is an `AtomicU64`, and header words are only touched as
        // such: that is this module's first rule.
        unsafe { &*pointer }
    }

    /// Where `count` words from word `index` are. Checks that they lie in the map.
    #[expect(clippy::cast_ptr_alignment, reason = "maps begin at a page")]
    fn pointer(&self, index: usize, count: usize) -> *mut u64 {
        let words = self.raw.len() / 8;
        assert!(index <= words && count <= words - index, "a place inside the map");
        // SAFETY: inside the map, or one past its end: checked above. Maps begin at a page, so the
        // result is aligned for words.
        unsafe { self.raw.as_mut_ptr().cast::<u64>().add(index) }
    }

    /// Copies bytes into the map. The caller is the only one to touch them meanwhile.
    ///
    /// # Safety
    /// Nobody else reads or writes these words until this returns.
    unsafe fn write_bytes(&self, word: usize, offset: usize, bytes: &[u8]) {
        let place = self.pointer(word, (offset + bytes.len()).div_ceil(8)).cast::<u8>();
        // SAFETY: inside the map: `pointer` checked the words that these bytes are part of.
        let place = unsafe { place.add(offset) };
        // SAFETY: the target was checked, nobody else touches it (the caller's promise), and a
        // slice of ours does not overlap a map that nobody has a slice of.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), place, bytes.len()) };
    }

    /// Puts memory of our own, all zeros, in the place of the file's. From then on late stores of
    /// threads that did not notice the end go nowhere, and the file's bytes can be used again.
    pub(crate) fn detach(&self) -> io::Result<()> {
        let (start, len) = (self.raw.as_mut_ptr().cast(), self.raw.len());
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: replaces exactly our own map, whole pages of it, by memory of the same length and
        // rights: every pointer into it stays valid, and `raw` will unmap it as before. The words
        // become zero, which every reader of header words takes; records are read below a
        // published length alone, and that is zero then.
        let mapped = unsafe { libc::mmap(start, len, protection, flags, -1, 0) };
        if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

/// A run of slots, mapped.
#[derive(Debug)]
pub(crate) struct Region {
    map: SharedMap,
    slot_words: usize,
    slot_count: usize,
    /// Whether slot 0 holds table entries.
    pub(crate) has_table_slot: bool,
}

impl Region {
    pub(crate) fn new(
        map: SharedMap,
        slot_len: u32,
        slot_count: u32,
        has_table_slot: bool,
    ) -> Self {
        let (slot_words, slot_count) = (slot_len as usize / 8, slot_count as usize);
        assert!(slot_words > SLOT_HEADER_WORDS && slot_words * slot_count * 8 <= map.raw.len());
        Self { map, slot_words, slot_count, has_table_slot }
    }

    /// The slots that hold events.
    pub(crate) fn event_slots(&self) -> std::ops::Range<usize> {
        usize::from(self.has_table_slot)..self.slot_count
    }

    /// Words of a slot's records.
    pub(crate) fn capacity(&self) -> usize {
        self.slot_words - SLOT_HEADER_WORDS
    }

    fn field(&self, slot: usize, field: SlotField) -> &AtomicU64 {
        self.map.word(slot * self.slot_words + field as usize)
    }

    /// What an event slot holds that is in no block yet; `None` if nothing.
    pub(crate) fn open_chunk(&self, slot: usize) -> Option<RawChunk<'_>> {
        let load = |field| self.field(slot, field).load(Ordering::Relaxed);
        if SlotState::from_code(load(SlotField::State)) == Some(SlotState::Free) {
            return None;
        }
        // Acquire: pairs with the Release of `publish`, so that the records below are there.
        let len = self.field(slot, SlotField::Len).load(Ordering::Acquire) as usize;
        let words = self.records(slot, len.min(self.capacity()));
        let place = load(SlotField::Place);
        let first_time = Timestamp::from_ns(load(SlotField::FirstTime));
        (!words.is_empty()).then_some(RawChunk {
            words,
            stream: StreamId::new(place as u32),
            number: (place >> 32) as u32,
            thread: ThreadId::new(load(SlotField::Thread) as u32),
            switch_count: load(SlotField::SwitchCount),
            first_time,
            last_time: first_time,
        })
    }

    /// The first `len` records' words, which have been published.
    fn records(&self, slot: usize, len: usize) -> &[u64] {
        assert!(len <= self.capacity());
        let pointer = self.map.pointer(slot * self.slot_words + SLOT_HEADER_WORDS, len);
        // SAFETY: in the map and aligned (`pointer`), initialised as every mapped byte is, and
        // not written while borrowed: records below the published length change only after `open`,
        // which needs the `Slot` back; `open_chunk` is called when no slot is opened any more (the
        // log's gate is shut), `Slot::as_raw` borrows the `Slot`.
        unsafe { std::slice::from_raw_parts(pointer, len) }
    }

    /// Marks the slot as one whose records are in a block, or that has none.
    pub(crate) fn free(&self, slot: usize) {
        // Release: whoever finds it free finds the block, too.
        self.field(slot, SlotField::State).store(SlotState::Free.code(), Ordering::Release);
    }

    /// Begins a new chunk in a free slot.
    pub(crate) fn open(self: &Arc<Self>, slot: usize, label: &SlotLabel) -> Slot {
        let store = |field, value| self.field(slot, field).store(value, Ordering::Relaxed);
        store(SlotField::Len, 0);
        store(SlotField::Place, label.place());
        store(SlotField::Thread, u64::from(label.thread.as_u32()));
        store(SlotField::SwitchCount, label.switch_count);
        store(SlotField::FirstTime, label.first_time.ns);
        // Release: whoever finds it open finds its label.
        self.field(slot, SlotField::State).store(SlotState::Open.code(), Ordering::Release);
        // A reader of the live file that sees a record of this chunk sees its label, too.
        fence(Ordering::Release);
        let first_word = slot * self.slot_words + SLOT_HEADER_WORDS;
        let words = self.map.pointer(first_word, self.capacity());
        Slot { words, index: slot, region: Arc::clone(self) }
    }

    /// Appends to the table slot; false if it does not fit. `len` is the present length in bytes.
    pub(crate) fn put_table(&self, len: usize, bytes: &[u8]) -> bool {
        assert!(self.has_table_slot);
        if len + bytes.len() > self.capacity() * 8 {
            return false;
        }
        // SAFETY: only the holder of the log's table lock calls this, and readers in this process
        // (`table_bytes`) hold it as well.
        unsafe { self.map.write_bytes(SLOT_HEADER_WORDS, len, bytes) };
        self.field(0, SlotField::State).store(SlotState::Open.code(), Ordering::Relaxed);
        // Release: whoever sees the length sees the entry.
        self.field(0, SlotField::Len).store((len + bytes.len()) as u64, Ordering::Release);
        true
    }

    /// The first `len` bytes of the table slot, which have been published.
    pub(crate) fn table_bytes(&self, len: usize) -> Vec<u8> {
        let words = self.records(0, len.div_ceil(8));
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }

    /// Empties the table slot: its entries are in a block.
    pub(crate) fn empty_table(&self) {
        self.field(0, SlotField::Place).fetch_add(1, Ordering::Relaxed);
        // Release: a reader of the live file that sees later entries sees the higher number, too,
        // and so knows that it copied a mixture.
        self.field(0, SlotField::Len).store(0, Ordering::Release);
        fence(Ordering::Release);
    }

    pub(crate) fn detach(&self) -> io::Result<()> {
        self.map.detach()
    }
}

/// An open chunk in the file: one thread's to write into.
///
/// Dropping it keeps what was published; only [`super::LiveLog::release`] or
/// [`super::LiveLog::seal`] make the slot free for others.
pub struct Slot {
    words: *mut u64,
    index: usize,
    region: Arc<Region>,
}

// SAFETY: the pointer leads into the region's map, which the slot keeps alive wherever it goes, and
// the slot is the only one to write there.
unsafe impl Send for Slot {}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (index, len) = (self.index, self.len());
        f.debug_struct("Slot").field("index", &index).field("len", &len).finish_non_exhaustive()
    }
}

impl Slot {
    /// Where the records go: [`Slot::capacity`] words, valid as long as the slot.
    ///
    /// Writing through it is sound at and above the published length alone, and by one thread at a
    /// time. Records are published whole, by [`Slot::publish`] or a Release store of one's own.
    pub fn words(&self) -> *mut u64 {
        self.words
    }

    /// How many words there is room for.
    pub fn capacity(&self) -> usize {
        self.region.capacity()
    }

    /// The published length, for writers that store it themselves; with Release, so that a reader
    /// who sees the length sees the words below it.
    pub fn published(&self) -> &AtomicU64 {
        self.region.field(self.index, SlotField::Len)
    }

    /// How many words are published.
    pub fn len(&self) -> usize {
        (self.published().load(Ordering::Relaxed) as usize).min(self.capacity())
    }

    /// Whether nothing is published.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Publishes the first `len` words: from here on they survive the process.
    #[inline]
    pub fn publish(&mut self, len: usize) {
        debug_assert!(len <= self.capacity());
        self.published().store(len as u64, Ordering::Release);
    }

    /// Appends whole records and publishes them; false if they do not fit.
    ///
    /// The safe way, and not the fastest: it reads the length back from the map.
    pub fn push(&mut self, records: &[u64]) -> bool {
        let len = self.len();
        if records.len() > self.capacity() - len {
            return false;
        }
        // SAFETY: `len` is within the capacity.
        let place = unsafe { self.words.add(len) };
        // SAFETY: the words from `len` on are in the map, ours (`&mut self`) and unpublished; the
        // source is a slice, which never overlaps a map that nobody has a writable slice of.
        unsafe { std::ptr::copy_nonoverlapping(records.as_ptr(), place, records.len()) };
        self.publish(len + records.len());
        true
    }

    /// What was published, to be sealed.
    pub(crate) fn as_raw(&self, last_time: Timestamp) -> RawChunk<'_> {
        let load = |field| self.region.field(self.index, field).load(Ordering::Relaxed);
        let place = load(SlotField::Place);
        RawChunk {
            words: self.region.records(self.index, self.len()),
            stream: StreamId::new(place as u32),
            number: (place >> 32) as u32,
            thread: ThreadId::new(load(SlotField::Thread) as u32),
            switch_count: load(SlotField::SwitchCount),
            first_time: Timestamp::from_ns(load(SlotField::FirstTime)),
            last_time,
        }
    }

    pub(crate) fn into_parts(self) -> (Arc<Region>, usize) {
        (self.region, self.index)
    }
}
