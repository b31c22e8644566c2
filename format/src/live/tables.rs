//! Table entries on their way into the log: one by one into a slot of their own, and from there, when
//! it is full, into a block.
//!
//! # Invariant
//! An entry is in the slot, or in a committed block, before anybody is told so: an event that names it
//! is never without it. The slot is emptied after its block is committed; entries that are in both
//! say the same twice.

use std::sync::Arc;

use super::map::Region;
use super::{AppendError, LiveLog, lock};
use crate::chunk::codec::Compressor;
use crate::layout::frame::put_frame;
use crate::layout::{BlockHeader, BlockKind, LossReason};
use crate::meta;
use crate::table::TableEntry;

/// The table slot's fill.
#[derive(Debug, Default)]
pub(super) struct TableSlot {
    pub(super) len: usize,
    pub(super) compressor: Compressor,
    scratch: Vec<u8>,
}

impl LiveLog {
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
    pub(super) fn flush_table(
        &self,
        table: &mut TableSlot,
        region: &Region,
    ) -> Result<(), AppendError> {
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
    pub(super) fn table_block(
        &self,
        compressor: &mut Compressor,
        mut slot: &[u8],
    ) -> (BlockHeader, Vec<u8>) {
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

    pub(super) fn table_region(&self) -> Result<Arc<Region>, AppendError> {
        let slots = lock(&self.slots);
        slots.regions.first().cloned().ok_or(AppendError::NoSlot)
    }
}
