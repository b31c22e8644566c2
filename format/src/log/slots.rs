//! Taking open chunks out of the slots of a log whose program was killed, or still runs.

use std::sync::atomic::{Ordering, fence};

use crate::chunk::codec::LEVEL_RECORDING;
use crate::chunk::{CHUNK_WORDS_MAX, RawChunk, SealScratch, SealedChunk, seal};
use crate::id::{StreamId, ThreadId};
use crate::layout::SlotRegion;
use crate::live::slot::{SLOT_HEADER_WORDS, SLOT_LEN_MAX, SLOT_LEN_MIN, SlotField, SlotState};
use crate::log::{Gap, GapReason, LogBytes};
use crate::meta;
use crate::table::TableEntry;
use crate::units::{FileOffset, Timestamp};

/// What was found in slots.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    pub(super) chunks: Vec<Harvested>,
    pub(super) entries: Vec<TableEntry>,
    pub(super) gaps: Vec<Gap>,
}

/// An open chunk, sealed.
#[derive(Debug)]
pub(super) struct Harvested {
    pub(super) chunk: SealedChunk,
    /// Where its slot is.
    pub(super) offset: FileOffset,
    /// What could not be sealed.
    pub(super) gap: Option<Gap>,
}

/// Takes out of all slots what is published in them. It may be in a block as well.
///
/// In a log that is being recorded, each stream's chunks are copied backwards, and none that was
/// begun after the first look: what comes before a chunk that is there is whole. Names come last:
/// they are published before they are used, so those of the events are there.
pub(super) fn harvest(bytes: &LogBytes, regions: &[SlotRegion], slot_len: u64) -> Harvest {
    let mut harvest = Harvest::default();
    let mut scratch = SealScratch::new();
    let valid = (SLOT_LEN_MIN..=SLOT_LEN_MAX).contains(&slot_len) && slot_len.is_multiple_of(8);
    let mut tables = Vec::new();
    let mut open = Vec::new();
    for region in regions {
        let end = u64::from(region.slot_count).checked_mul(slot_len);
        let end = end.and_then(|len| len.checked_add(region.at));
        if !valid || end.is_none_or(|end| end > bytes.len() as u64) {
            let detail = format!("{} slots of {slot_len} bytes", region.slot_count);
            let gap = Gap::new(GapReason::DamagedSlot, FileOffset(region.at));
            harvest.gaps.push(gap.with_detail(detail));
            continue;
        }
        for index in 0..region.slot_count {
            let at = region.at + u64::from(index) * slot_len;
            if region.has_table_slot && index == 0 {
                tables.push(at);
            } else if let Some(place) = place_of(bytes, at) {
                open.push((place, at));
            }
        }
    }
    // By number, which is in the upper half, and so backwards in each stream.
    open.sort_unstable_by(|a, b| b.cmp(a));
    for (place, at) in open {
        if let Some(slot) = copy_slot(bytes, at, slot_len, false)
            && slot.field(SlotField::Place) == place
        {
            harvest.chunks.push(take_events(at, &slot, &mut scratch));
        }
    }
    for at in tables {
        if let Some(slot) = copy_slot(bytes, at, slot_len, true) {
            harvest.take_table(at, &slot);
        }
    }
    harvest
}

/// A slot's header and what was published in it, as of one moment.
struct SlotCopy {
    header: Vec<u64>,
    words: Vec<u64>,
}

impl SlotCopy {
    fn field(&self, field: SlotField) -> u64 {
        self.header[field as usize]
    }
}

/// Which chunk is in a slot; `None` if it is free.
fn place_of(bytes: &LogBytes, at: u64) -> Option<u64> {
    let header = bytes.copy_words(at, SLOT_HEADER_WORDS)?;
    let state = SlotState::from_code(header[SlotField::State as usize]);
    (state != Some(SlotState::Free)).then_some(header[SlotField::Place as usize])
}

/// `None` if the slot is free, or changed hands while it was copied: what was in it is then in a
/// block.
fn copy_slot(bytes: &LogBytes, at: u64, slot_len: u64, is_table: bool) -> Option<SlotCopy> {
    // The label is read before and after everything else: if it is the same, all of it is of one
    // chunk. Numbers of chunks only grow, so it cannot have changed twice.
    let before = bytes.copy_words(at, SLOT_HEADER_WORDS)?;
    fence(Ordering::Acquire);
    let header = bytes.copy_words(at, SLOT_HEADER_WORDS)?;
    // Acquire: the words below a published length are at least as new as the length. Pairs with the
    // Release store of it in the recorder.
    fence(Ordering::Acquire);
    let state = SlotState::from_code(header[SlotField::State as usize]);
    let capacity = slot_len / 8 - SLOT_HEADER_WORDS as u64;
    let len = header[SlotField::Len as usize];
    if state == Some(SlotState::Free) || len == 0 {
        return None;
    }
    // The table slot counts bytes. A length beyond the slot is damage, and found later.
    let word_count = if is_table { len.div_ceil(8) } else { len }.min(capacity) as usize;
    let words = bytes.copy_words(at + 8 * SLOT_HEADER_WORDS as u64, word_count)?;
    fence(Ordering::Acquire);
    let after = bytes.copy_words(at, SLOT_HEADER_WORDS)?;
    let same = |field: SlotField| {
        let field = field as usize;
        before[field] == header[field] && header[field] == after[field]
    };
    (same(SlotField::Place) && same(SlotField::FirstTime)).then_some(SlotCopy { header, words })
}

impl Harvest {
    fn take_table(&mut self, at: u64, slot: &SlotCopy) {
        let len = slot.field(SlotField::Len) as usize;
        let bytes: Vec<u8> = slot.words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let Some(mut rest) = bytes.get(..len) else {
            let gap = Gap::new(GapReason::DamagedSlot, FileOffset(at));
            self.gaps.push(gap.with_detail(format!("{len} bytes of table entries")));
            return;
        };
        while !rest.is_empty() {
            match meta::split_table_entry(rest) {
                Ok((entry, after)) => {
                    self.entries.push(entry);
                    rest = after;
                }
                Err(error) => {
                    let gap = Gap::new(GapReason::DamagedTable, FileOffset(at));
                    self.gaps.push(gap.with_detail(error));
                    return;
                }
            }
        }
    }
}

fn take_events(at: u64, slot: &SlotCopy, scratch: &mut SealScratch) -> Harvested {
    let offset = FileOffset(at);
    let place = slot.field(SlotField::Place);
    let first_time = Timestamp::from_ns(slot.field(SlotField::FirstTime));
    let raw = RawChunk {
        words: &slot.words[..slot.words.len().min(CHUNK_WORDS_MAX)],
        stream: StreamId::new(place as u32),
        number: (place >> 32) as u32,
        thread: ThreadId::new(slot.field(SlotField::Thread) as u32),
        switch_count: slot.field(SlotField::SwitchCount),
        first_time,
        last_time: first_time,
    };
    let (chunk, problem) = seal(&raw, LEVEL_RECORDING, scratch);
    let missing = slot.field(SlotField::Len) - slot.words.len() as u64;
    let state = slot.field(SlotField::State);
    let detail = match problem {
        Some(error) => Some(error.to_string()),
        None if missing > 0 => Some(format!("{missing} words more than the slot has")),
        None if SlotState::from_code(state).is_none() => Some(format!("slot state {state}")),
        None => None,
    };
    let gap = detail.map(|detail| Gap {
        stream: Some(raw.stream),
        first_time: Some(first_time),
        ..Gap::new(GapReason::DamagedSlot, offset).with_detail(detail)
    });
    Harvested { chunk, offset, gap }
}
