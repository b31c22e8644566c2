//! Taking open chunks out of the slots of a log whose program was killed, or still runs.

use std::collections::HashSet;
use std::sync::atomic::{Ordering, fence};

use crate::chunk::codec::LEVEL_RECORDING;
use crate::chunk::{CHUNK_WORDS_MAX, Chunk, RawChunk, SealScratch, seal};
use crate::id::{StreamId, ThreadId};
use crate::layout::SlotRegion;
use crate::live::slot::{SLOT_HEADER_WORDS, SLOT_LEN_MAX, SLOT_LEN_MIN, SlotField, SlotState};
use crate::log::{ChunkEntry, Gap, GapReason, LogBytes};
use crate::meta;
use crate::table::TableEntry;
use crate::units::{FileOffset, Timestamp};

/// What was found in slots.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    pub(super) chunks: Vec<ChunkEntry>,
    /// The sealed bytes of those chunks.
    pub(super) sealed: Vec<Vec<u8>>,
    pub(super) entries: Vec<TableEntry>,
    pub(super) gaps: Vec<Gap>,
}

/// Takes out of all slots what is published in them and is in no block yet.
pub(super) fn harvest(
    bytes: &LogBytes,
    regions: &[SlotRegion],
    slot_len: u64,
    sealed: &HashSet<(StreamId, u32)>,
) -> Harvest {
    let mut harvest = Harvest::default();
    let mut scratch = SealScratch::new();
    let mut seen = sealed.clone();
    let valid = (SLOT_LEN_MIN..=SLOT_LEN_MAX).contains(&slot_len) && slot_len.is_multiple_of(8);
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
            let is_table = region.has_table_slot && index == 0;
            let Some(copy) = copy_slot(bytes, at, slot_len, is_table) else { continue };
            if is_table {
                harvest.take_table(at, &copy);
            } else {
                harvest.take_events(at, &copy, &mut seen, &mut scratch);
            }
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

/// `None` if the slot is free, or changed hands while it was copied: what was in it is then in a
/// block, and a later opening will see it.
fn copy_slot(bytes: &LogBytes, at: u64, slot_len: u64, is_table: bool) -> Option<SlotCopy> {
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
    let same = |field: SlotField| after[field as usize] == header[field as usize];
    // The state may go from open to sealing meanwhile, and the length may grow.
    let unchanged = same(SlotField::Place)
        && same(SlotField::FirstTime)
        && after[SlotField::Len as usize] >= len
        && SlotState::from_code(after[SlotField::State as usize]) != Some(SlotState::Free);
    unchanged.then_some(SlotCopy { header, words })
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

    fn take_events(
        &mut self,
        at: u64,
        slot: &SlotCopy,
        seen: &mut HashSet<(StreamId, u32)>,
        scratch: &mut SealScratch,
    ) {
        let offset = FileOffset(at);
        let place = slot.field(SlotField::Place);
        let (stream, number) = (StreamId::new(place as u32), (place >> 32) as u32);
        if !seen.insert((stream, number)) {
            return;
        }
        let first_time = Timestamp::from_ns(slot.field(SlotField::FirstTime));
        let raw = RawChunk {
            words: &slot.words[..slot.words.len().min(CHUNK_WORDS_MAX)],
            stream,
            number,
            thread: ThreadId::new(slot.field(SlotField::Thread) as u32),
            switch_count: slot.field(SlotField::SwitchCount),
            first_time,
            last_time: first_time,
        };
        let (chunk, problem) = seal(&raw, LEVEL_RECORDING, scratch);
        let missing = slot.field(SlotField::Len) - slot.words.len() as u64;
        let detail = match problem {
            Some(error) => Some(error.to_string()),
            None if missing > 0 => Some(format!("{missing} words more than the slot has")),
            None if SlotState::from_code(slot.field(SlotField::State)).is_none() => {
                Some(format!("slot state {}", slot.field(SlotField::State)))
            }
            None => None,
        };
        if let Some(detail) = detail {
            let gap = Gap::new(GapReason::DamagedSlot, offset).with_detail(detail);
            self.gaps.push(Gap { stream: Some(stream), first_time: Some(first_time), ..gap });
        }
        debug_assert!(Chunk::parse(&chunk.bytes).is_ok());
        self.chunks.push(ChunkEntry {
            header: chunk.header,
            offset,
            payload_len: chunk.bytes.len() as u64,
            recovered: Some(self.sealed.len() as u32),
        });
        self.sealed.push(chunk.bytes);
    }
}
