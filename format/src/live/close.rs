//! Closing: what was spread over slots and blocks becomes a compact file with an index.
//!
//! The slots are holes in the middle of the file that a finished log has no use for. Blocks from the
//! end are moved into them, then the file is cut. Killed at any step, the log is readable and has
//! everything:
//!
//! 1. *Seal.* Open chunks and table entries are appended as blocks, as while recording. Slots keep
//!    what they hold; a chunk that is in both counts once.
//! 2. *Give up the slots.* The first page names no regions any more, and one free block's header is
//!    written over the beginning of each hole. From here on a walk over the blocks skips the holes,
//!    whatever is in them. Our maps of the slots are replaced by private memory first, so that a
//!    thread that still stores events stores them nowhere.
//! 3. *Copy.* Blocks from the end are copied into the holes, each behind the 64 bytes of the hole's
//!    header: no walk can see them. The originals stay.
//! 4. *Commit.* The index is appended. It lists every block at its final place, holes cut down to the
//!    free blocks that step 5 will write. One store of its offset into the first page makes it count:
//!    before, the log is read by walking (the originals), after, by the index (the copies).
//! 5. *Tidy.* The holes' remains get headers of their own and zeros; what these overwrite is in the
//!    index nowhere. The index is copied down to where the last block ends, if it does not overlap
//!    its old place there; one store of its new offset. The file is cut behind it.
//! 6. *Finish.* The first page is written once more as a whole, complete and with its checksum.
//!
//! A full disk can stop steps 1 and 4, which need space. The log then stays as step 1 or 3 left it:
//! not complete, readable by walking, and the first page says why.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::disk::stop_reason;
use super::space::{PlacedChunk, Space, free_block};
use super::{LiveLog, lock};
use crate::chunk::codec::LEVEL_RECORDING;
use crate::chunk::{Chunk, SealScratch, seal};
use crate::layout::block::block_len;
use crate::layout::page::{StateWord, phase_code};
use crate::layout::{
    BLOCK_HEADER_LEN, BlockError, BlockHeader, BlockKind, BlockState, LossReason, PAGE_LEN, Phase,
    State,
};
use crate::log::index::IndexWriter;
use crate::log::{LogBytes, scan};
use crate::meta::{BlockRecord, ChunkRow};
use crate::units::{FileOffset, Timestamp};

/// Bytes of the file that are looked at before their pages are given back.
const MAPPED_MAX: u64 = 1 << 20;

/// A log was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Bytes of the file.
    pub file_len: u64,
    /// Chunks in it.
    pub chunks: u64,
    /// Events in them.
    pub events: u64,
    /// Accesses in them.
    pub accesses: u64,
}

/// A log could not be closed. It stays readable, as that of a killed program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloseError {
    /// It was closed before.
    #[error("the log is closed already")]
    AlreadyClosed,
    /// The system refused a write.
    #[error("the log could not be closed: {0}")]
    Io(#[from] io::Error),
    /// A block that we wrote cannot be read back.
    #[error("the log could not be closed: {0}")]
    Block(#[from] BlockError),
}

/// A block that goes from one place to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    from: u64,
    to: u64,
    len: u64,
}

/// What is free between two blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hole {
    at: u64,
    end: u64,
    /// Up to where it is filled; a hole's own header comes first.
    filled: u64,
}

/// Where every block will be.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    moves: Vec<Move>,
    holes: Vec<Hole>,
    /// Where the last block will end.
    end: u64,
}

impl Plan {
    /// Fills holes from the front with blocks from the back, as long as the last block fits
    /// somewhere. `blocks` are sorted; `tail` is where the file's blocks end now.
    fn new(blocks: &[(u64, u64)], tail: u64) -> Self {
        let mut holes = Vec::new();
        let mut at = PAGE_LEN;
        for &(start, len) in blocks.iter().chain([&(tail, 0)]) {
            if start > at {
                holes.push(Hole { at, end: start, filled: at + BLOCK_HEADER_LEN });
            }
            at = start + len;
        }
        let mut moves = Vec::new();
        let mut rest = blocks;
        while let Some((&(from, len), before)) = rest.split_last() {
            let fits = |hole: &&mut Hole| hole.at < from && hole.end - hole.filled >= len;
            let Some(hole) = holes.iter_mut().find(fits) else { break };
            moves.push(Move { from, to: hole.filled, len });
            hole.filled += len;
            rest = before;
        }
        let last = rest.last().map_or(PAGE_LEN, |&(at, len)| at + len);
        let used = |hole: &&Hole| hole.filled > hole.at + BLOCK_HEADER_LEN;
        let filled = holes.iter().filter(used).map(|hole| hole.filled).max();
        let end = last.max(filled.unwrap_or(PAGE_LEN));
        Self { moves, holes, end }
    }

    /// The free blocks of the finished file: each hole's header, and what is not filled.
    fn free_blocks(&self) -> Vec<BlockHeader> {
        let mut blocks = Vec::new();
        for hole in self.holes.iter().filter(|hole| hole.at < self.end) {
            let end = hole.end.min(self.end);
            if hole.filled == hole.at + BLOCK_HEADER_LEN {
                // Nothing fitted: one piece.
                blocks.push(free_block(hole.at, end - hole.at));
            } else {
                blocks.push(free_block(hole.at, BLOCK_HEADER_LEN));
                if hole.filled < end {
                    blocks.push(free_block(hole.filled, end - hole.filled));
                }
            }
        }
        blocks
    }
}

impl LiveLog {
    /// Ends the recording: seals what is open, writes the index, compacts the file.
    ///
    /// Events of threads that still run are not recorded any more: their appends fail, their stores
    /// into slots go nowhere. `now` is the end of the chunks that are still open.
    ///
    /// # Errors
    /// [`CloseError`]; the log then stays readable as that of a killed program.
    pub fn close(&self, now: Timestamp) -> Result<Closed, CloseError> {
        {
            let mut closed = self.gate.write().unwrap_or_else(PoisonError::into_inner);
            if *closed {
                return Err(CloseError::AlreadyClosed);
            }
            *closed = true;
        }
        self.state(StateWord::PHASE).store(phase_code(Phase::Closing), Ordering::Relaxed);
        let result = self.finish(now);
        if let Err(CloseError::Io(error)) = &result {
            self.stop(stop_reason(error));
        }
        result
    }

    fn finish(&self, now: Timestamp) -> Result<Closed, CloseError> {
        let mut space = lock(&self.space);
        self.seal_slots(&mut space, now)?;
        self.flush_last_table(&mut space)?;
        let plan = Plan::new(&space.committed(), space.tail);
        self.give_up_slots(&plan)?;
        // Every block that is read or moved below was committed before this.
        let bytes = LogBytes::map(self.disk.file(), self.disk.file().metadata()?.len())?;
        for step in &plan.moves {
            self.copy_block(&bytes, step)?;
        }
        bytes.advise_done(0..bytes.len());
        let mut free = plan.free_blocks();
        let (mut closed, mut index) = build_index(&space, &plan, &free, &bytes)?;
        let index_len = |index: &[u8]| block_len(index.len() as u64);
        if plan.end < space.tail && plan.end + index_len(&index) > space.tail {
            // Its final place would overlap its first one: it stays, behind what is free then.
            free.push(free_block(plan.end, space.tail - plan.end));
            (closed, index) = build_index(&space, &plan, &free, &bytes)?;
        }
        let index_at = self.commit_index(&mut space, &index)?;
        let index_at = self.tidy(&plan, &free, index_at, &index)?;
        let file_len = index_at + index_len(&index);
        self.disk.set_len(file_len)?;
        self.write_final_page(index_at, file_len)?;
        Ok(Closed { file_len, ..closed })
    }

    /// Step 1, the chunks.
    fn seal_slots(&self, space: &mut Space, now: Timestamp) -> Result<(), CloseError> {
        let regions = lock(&self.slots).regions.clone();
        let sealed: HashSet<_> = space.sealed().collect();
        let mut scratch = SealScratch::new();
        for region in &regions {
            for slot in region.event_slots() {
                let Some(raw) = region.open_chunk(slot) else { continue };
                if sealed.contains(&(raw.stream, raw.number))
                    || space.was_dropped(raw.stream, raw.number)
                {
                    continue;
                }
                let raw = crate::chunk::RawChunk { last_time: now, ..raw };
                let (chunk, problem) = seal(&raw, LEVEL_RECORDING, &mut scratch);
                if problem.is_some() {
                    self.count_lost(LossReason::Other, 1);
                }
                let header = scan::chunk_block(&chunk.header.summary(), 0, 0, 0);
                let header = self.append_last(space, header, &chunk.bytes)?;
                space.chunks.push_back(PlacedChunk { header, is_committed: true });
            }
        }
        Ok(())
    }

    /// Step 1, the table entries.
    fn flush_last_table(&self, space: &mut Space) -> Result<(), CloseError> {
        let mut table = lock(&self.table);
        let Some(region) = lock(&self.slots).regions.first().cloned() else { return Ok(()) };
        if table.len > 0 {
            let entries = region.table_bytes(table.len);
            let (header, payload) = self.table_block(&mut table.compressor, &entries);
            let header = self.append_last(space, header, &payload)?;
            space.commit_other(&header);
            region.empty_table();
            table.len = 0;
        }
        Ok(())
    }

    /// Appends a block at the end, whatever the size cap: closing makes the file shorter.
    fn append_last(
        &self,
        space: &mut Space,
        header: BlockHeader,
        payload: &[u8],
    ) -> io::Result<BlockHeader> {
        let payload_crc = crc32fast::hash(payload);
        let at = FileOffset(space.tail);
        let header = BlockHeader {
            at,
            payload_len: payload.len() as u64,
            payload_crc,
            state: BlockState::Committed,
            ..header
        };
        // Nobody else appends any more, so the tail says that the block is there, and can do so last.
        self.write_payload(at.0, payload)?;
        self.disk.write(at.0, &header.encode())?;
        space.tail = header.end();
        self.publish_tail(space);
        Ok(header)
    }

    /// Step 2.
    fn give_up_slots(&self, plan: &Plan) -> Result<(), CloseError> {
        for region in &lock(&self.slots).regions {
            region.detach()?;
        }
        self.state(StateWord::REGION_COUNT).store(0, Ordering::Relaxed);
        for hole in &plan.holes {
            self.disk.write(hole.at, &free_block(hole.at, hole.end - hole.at).encode())?;
        }
        Ok(())
    }

    /// Step 3.
    fn copy_block(&self, bytes: &LogBytes, step: &Move) -> Result<(), CloseError> {
        let header = BlockHeader::decode(bytes, step.from)?;
        let payload = header.payload(bytes)?;
        let header = BlockHeader { at: FileOffset(step.to), ..header };
        self.disk.write(step.to, &header.encode())?;
        self.write_payload(step.to, payload)?;
        Ok(())
    }

    /// Step 4.
    fn commit_index(&self, space: &mut Space, payload: &[u8]) -> Result<u64, CloseError> {
        let header = BlockHeader::new(BlockKind::Index, 0, 0);
        let header = self.append_last(space, header, payload)?;
        self.point_at_index(header.at.0);
        Ok(header.at.0)
    }

    fn point_at_index(&self, at: u64) {
        // Release: the index and all that it lists are written.
        self.state(StateWord::INDEX_AT).store(at, Ordering::Release);
    }

    /// Step 5; gives the index's final place.
    fn tidy(&self, plan: &Plan, free: &[BlockHeader], first: u64, index: &[u8]) -> io::Result<u64> {
        for block in free {
            self.write_free(block)?;
        }
        let header = BlockHeader {
            payload_crc: crc32fast::hash(index),
            ..BlockHeader::new(BlockKind::Index, plan.end, index.len() as u64)
        };
        if header.end() > first {
            return Ok(first);
        }
        self.write_payload(plan.end, index)?;
        self.disk.write(plan.end, &header.encode())?;
        self.point_at_index(plan.end);
        Ok(plan.end)
    }

    /// Writes a free block's header, and zeros behind it.
    fn write_free(&self, block: &BlockHeader) -> io::Result<()> {
        static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
        self.disk.write(block.at.0, &block.encode())?;
        let mut at = block.at.0 + BLOCK_HEADER_LEN;
        while at < block.end() {
            let len = (block.end() - at).min(ZEROS.len() as u64);
            self.disk.write(at, &ZEROS[..len as usize])?;
            at += len;
        }
        Ok(())
    }

    /// Step 6.
    fn write_final_page(&self, index_at: u64, file_len: u64) -> Result<(), CloseError> {
        let state = State {
            phase: Phase::Complete,
            stop: self.stopped(),
            tail: file_len,
            index_at,
            file_len,
            regions: Vec::new(),
            dropped_chunks: self.state(StateWord::DROPPED_CHUNKS).load(Ordering::Relaxed),
            losses: self.lost(),
        };
        // Threads that still count lost events count them nowhere: the page gets a checksum.
        self.page.detach()?;
        self.disk.write(0, &*state.encode(&self.identity))?;
        Ok(())
    }
}

/// The payload of the index of the finished file.
fn build_index(
    space: &Space,
    plan: &Plan,
    free: &[BlockHeader],
    bytes: &LogBytes,
) -> Result<(Closed, Vec<u8>), CloseError> {
    let moved: HashMap<u64, u64> = plan.moves.iter().map(|step| (step.from, step.to)).collect();
    let place = |at: u64| moved.get(&at).copied().unwrap_or(at);
    let mut index = IndexWriter::new(LEVEL_RECORDING);
    let mut touched = 0;
    let mut closed = Closed { file_len: 0, chunks: 0, events: 0, accesses: 0 };
    let committed = space.chunks.iter().filter(|chunk| chunk.is_committed);
    let mut chunks: Vec<(u64, BlockHeader)> =
        committed.map(|chunk| (place(chunk.header.at.0), chunk.header)).collect();
    chunks.sort_unstable_by_key(|&(at, _)| at);
    for (at, header) in chunks {
        // Who runs in it is in the chunk's own header: to keep it of all chunks in memory while
        // recording would cost the recorded program too much. The originals are still there.
        let chunk = Chunk::parse(header.payload(bytes)?)
            .map_err(|error| io::Error::other(format!("{}: {error}", header.at)))?;
        closed.chunks += 1;
        closed.events += u64::from(header.c);
        closed.accesses += u64::from(header.d);
        index.push_chunk(ChunkRow::new(FileOffset(at), header.payload_len, chunk.header()));
        // What is mapped counts as memory of the recorded program.
        touched += header.payload_len;
        if touched >= MAPPED_MAX {
            bytes.advise_done(0..bytes.len());
            touched = 0;
        }
    }
    let others = space.others.iter().map(|block| BlockRecord { at: place(block.at), ..*block });
    let mut others: Vec<_> = others.chain(free.iter().map(scan::record_of)).collect();
    others.sort_unstable_by_key(|block| block.at);
    for block in others {
        index.push_block(block);
    }
    for gap in space.gaps() {
        index.push_gap(&gap);
    }
    Ok((closed, index.finish()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Blocks of these lengths, with a hole for each negative one.
    fn layout(lens: &[i64]) -> (Vec<(u64, u64)>, u64) {
        let mut at = PAGE_LEN;
        let mut blocks = Vec::new();
        for &len in lens {
            if len > 0 {
                blocks.push((at, len.unsigned_abs()));
            }
            at += len.unsigned_abs();
        }
        (blocks, at)
    }

    /// The finished file's blocks tile it.
    fn check(lens: &[i64]) -> Plan {
        let (blocks, tail) = layout(lens);
        let plan = Plan::new(&blocks, tail);
        let place = |at| plan.moves.iter().find(|m| m.from == at).map_or(at, |m| m.to);
        let mut all: BTreeSet<(u64, u64)> =
            blocks.iter().map(|&(at, len)| (place(at), len)).collect();
        all.extend(plan.free_blocks().iter().map(|free| (free.at.0, free.block_len())));
        let mut expected = PAGE_LEN;
        for &(at, len) in &all {
            assert_eq!(at, expected, "{lens:?} {plan:?}");
            expected = at + len;
        }
        assert_eq!(plan.end, expected, "{lens:?} {plan:?}");
        plan
    }

    #[test]
    fn a_log_without_holes_stays_as_it_is() {
        assert_eq!(check(&[640, 128]).moves, []);
        assert_eq!(check(&[]).end, PAGE_LEN);
    }

    #[test]
    fn blocks_from_the_end_fill_the_holes() {
        let plan = check(&[128, -6400, 640, 640]);
        assert_eq!(plan.end, PAGE_LEN + 128 + 64 + 1280);
        check(&[-640, 128, -640, 128, 640, 64]);
        check(&[-64, 128]);
        check(&[-128, 128]);
        check(&[128, -256, 1024, -64, 64, -64]);
        check(&[-1024, 64, 64, -64, 896, 64]);
    }

    #[test]
    fn a_hole_at_the_end_is_cut_off() {
        assert_eq!(check(&[640, -6400]).end, PAGE_LEN + 640);
    }
}
