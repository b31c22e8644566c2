//! How a block gets its place in the file, and becomes part of the log.
//!
//! # Invariant
//! At every moment the headers tile the file up to its tail. A block is first written as *reserved*,
//! then its payload, then its header again as *committed*; the header of what remains of free space
//! is written before that of the block that takes its beginning. A failed write stops the recording,
//! and the place is given back.

use std::io;
use std::sync::atomic::Ordering;

use super::disk::stop_reason;
use super::space::{PlacedChunk, Space};
use super::{AppendError, LiveLog, lock};
use crate::chunk::SealedChunk;
use crate::handshake::Keep;
use crate::layout::block::padding_len;
use crate::layout::page::StateWord;
use crate::layout::{
    BLOCK_ALIGN, BLOCK_HEADER_LEN, BlockHeader, BlockKind, BlockState, LossReason, StopReason,
};
use crate::log::scan;

impl LiveLog {
    pub(super) fn append_chunk(&self, chunk: &SealedChunk) -> Result<(), AppendError> {
        let header = scan::chunk_block(&chunk.header.summary(), 0, 0, 0);
        self.append(header, &chunk.bytes)
    }

    /// Appends a block: reserved, payload, committed.
    pub(super) fn append(&self, header: BlockHeader, payload: &[u8]) -> Result<(), AppendError> {
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
    pub(super) fn write_payload(&self, at: u64, payload: &[u8]) -> io::Result<()> {
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
    pub(super) fn take_back(&self, space: &mut Space, header: &BlockHeader) {
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
    pub(super) fn find_place(
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

    pub(super) fn publish_tail(&self, space: &Space) {
        // Relaxed: for readers after our death, to whom every store of ours is visible.
        self.state(StateWord::TAIL).store(space.tail, Ordering::Relaxed);
    }

    pub(super) fn fail(&self, error: &io::Error) -> AppendError {
        let reason = stop_reason(error);
        self.stop(reason);
        AppendError::Stopped(reason)
    }
}
