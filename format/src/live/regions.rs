//! The slots: where they lie in the file, and which are free.
//!
//! # Invariant
//! A region is allocated on disk and its slots are zeroed before its header is written, and its
//! header before the first page counts it: no store to a slot can fail, and no reader finds records
//! in it that nobody published. Regions stay where they are until the log is closed.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::map::{Region, SharedMap, Slot};
use super::{AppendError, LiveLog, lock, slot};
use crate::layout::page::{REGION_COUNT_MAX, StateWord};
use crate::layout::{BLOCK_HEADER_LEN, BlockHeader, BlockKind, PAGE_LEN, SlotRegion, align_up};

/// Slots of the first region, the table slot included. Each further region has twice as many as the
/// one before.
const FIRST_REGION_SLOTS: u32 = 8;
/// Slots of the largest regions.
const REGION_SLOTS_MAX: u32 = 256;
#[derive(Debug, Default)]
pub(super) struct Slots {
    pub(super) regions: Vec<Arc<Region>>,
    pub(super) free: Vec<(u32, u32)>,
}

impl LiveLog {
    pub(super) fn release_slot(&self, slot: Slot) {
        let (region, index) = slot.into_parts();
        region.free(index);
        let mut slots = lock(&self.slots);
        let place = slots.regions.iter().position(|known| Arc::ptr_eq(known, &region));
        // A slot of another log is none of ours.
        if let Some(place) = place {
            slots.free.push((place as u32, index as u32));
        }
    }

    /// Adds a region of slots, all free.
    pub(super) fn add_region(
        &self,
        slots: &mut Slots,
        has_table_slot: bool,
    ) -> Result<(), AppendError> {
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
