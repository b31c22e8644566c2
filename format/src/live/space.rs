//! Who has which part of the file: the directory of a log that is being written.

use std::collections::{BTreeMap, VecDeque};

use crate::id::StreamId;
use crate::layout::block::block_len;
use crate::layout::{BlockHeader, BlockKind, LossReason, PAGE_LEN, SlotRegion};
use crate::log::{Gap, GapReason, scan};
use crate::meta::BlockRecord;
use crate::units::{FileOffset, Timestamp};

/// A chunk that was given a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlacedChunk {
    pub(super) header: BlockHeader,
    pub(super) is_committed: bool,
}

/// Chunks of a stream that were dropped to keep the newest.
#[derive(Clone, Copy, Debug)]
struct Dropped {
    chunks: u64,
    events: u64,
    first_time: Timestamp,
    last_time: Timestamp,
    last_number: u32,
}

/// A place for a block, and what must be written to make it one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) at: u64,
    /// What is left over of the free space that it was taken from: its new header, to be written
    /// before the block's own.
    pub(super) rest: Option<BlockHeader>,
}

/// The directory.
#[derive(Debug)]
pub(super) struct Space {
    /// Where the last block ends.
    pub(super) tail: u64,
    /// Chunks, oldest first.
    pub(super) chunks: VecDeque<PlacedChunk>,
    /// Committed blocks that are no chunks, as they came.
    pub(super) others: Vec<BlockRecord>,
    pub(super) regions: Vec<SlotRegion>,
    /// Free space before the tail: offset and length, never two that touch.
    free: BTreeMap<u64, u64>,
    dropped: BTreeMap<StreamId, Dropped>,
}

impl Space {
    pub(super) fn new() -> Self {
        Self {
            tail: PAGE_LEN,
            chunks: VecDeque::new(),
            others: Vec::new(),
            regions: Vec::new(),
            free: BTreeMap::new(),
            dropped: BTreeMap::new(),
        }
    }

    /// Takes `len` bytes of free space, if any is large enough.
    pub(super) fn take_free(&mut self, len: u64) -> Option<Place> {
        let (&at, &free) = self.free.iter().find(|&(_, &free)| free >= len)?;
        self.free.remove(&at);
        let left = free - len;
        let rest = (left > 0).then(|| {
            self.free.insert(at + len, left);
            free_block(at + len, left)
        });
        Some(Place { at, rest })
    }

    /// Takes `len` bytes at the end.
    pub(super) fn take_tail(&mut self, len: u64) -> Place {
        let at = self.tail;
        self.tail += len;
        Place { at, rest: None }
    }

    /// Drops the oldest chunk, and gives the header of the free space that its place becomes part
    /// of. `None` if there is none, or it is still being written.
    pub(super) fn drop_oldest(&mut self) -> Option<(BlockHeader, PlacedChunk)> {
        self.chunks.front().filter(|chunk| chunk.is_committed)?;
        let chunk = self.chunks.pop_front()?;
        let header = chunk.header;
        let (first_time, last_time) = (Timestamp::from_ns(header.e), Timestamp::from_ns(header.f));
        let events = u64::from(header.c) + u64::from(header.d);
        let dropped = self.dropped.entry(StreamId::new(header.a)).or_insert(Dropped {
            chunks: 0,
            events: 0,
            first_time,
            last_time,
            last_number: header.b,
        });
        dropped.chunks += 1;
        dropped.events += events;
        dropped.first_time = dropped.first_time.min(first_time);
        dropped.last_time = dropped.last_time.max(last_time);
        dropped.last_number = dropped.last_number.max(header.b);
        Some((self.give_back(header.at.0, header.block_len()), chunk))
    }

    /// Makes a block's place free, together with free space around it.
    pub(super) fn give_back(&mut self, at: u64, len: u64) -> BlockHeader {
        let (mut start, mut end) = (at, at + len);
        if let Some((&before, &len)) = self.free.range(..at).next_back()
            && before + len == at
        {
            self.free.remove(&before);
            start = before;
        }
        if let Some(len) = self.free.remove(&end) {
            end += len;
        }
        self.free.insert(start, end - start);
        free_block(start, end - start)
    }

    /// Notes that a chunk's block is whole.
    pub(super) fn commit_chunk(&mut self, header: BlockHeader) {
        // Blocks are committed soon after they get their place: look from the newest.
        let placed = self.chunks.iter_mut().rev().find(|chunk| chunk.header.at == header.at);
        if let Some(chunk) = placed {
            *chunk = PlacedChunk { header, is_committed: true };
        }
    }

    /// Forgets a chunk that could not be written.
    pub(super) fn forget_chunk(&mut self, at: FileOffset) {
        self.chunks.retain(|chunk| chunk.header.at != at);
    }

    /// The chunks that are in committed blocks.
    pub(super) fn sealed(&self) -> impl Iterator<Item = (StreamId, u32)> {
        let committed = self.chunks.iter().filter(|chunk| chunk.is_committed);
        committed.map(|chunk| (StreamId::new(chunk.header.a), chunk.header.b))
    }

    /// Whether a chunk was in a block that was dropped.
    pub(super) fn was_dropped(&self, stream: StreamId, number: u32) -> bool {
        self.dropped.get(&stream).is_some_and(|dropped| number <= dropped.last_number)
    }

    /// What was dropped, as gaps.
    pub(super) fn gaps(&self) -> Vec<Gap> {
        let gap = |(&stream, dropped): (&StreamId, &Dropped)| Gap {
            stream: Some(stream),
            events: Some(dropped.events),
            first_time: Some(dropped.first_time),
            last_time: Some(dropped.last_time),
            ..Gap::new(GapReason::Lost(LossReason::Oldest), FileOffset(PAGE_LEN))
                .with_detail(format_args!("{} chunks", dropped.chunks))
        };
        self.dropped.iter().map(gap).collect()
    }

    /// Every committed block: where it is and how long, by offset.
    pub(super) fn committed(&self) -> Vec<(u64, u64)> {
        let chunks = self.chunks.iter().filter(|chunk| chunk.is_committed);
        let chunks = chunks.map(|chunk| (chunk.header.at.0, chunk.header.block_len()));
        let others = self.others.iter().map(|block| (block.at, block_len(block.payload_len)));
        let mut all: Vec<_> = chunks.chain(others).collect();
        all.sort_unstable();
        all
    }

    /// Notes a committed block that is no chunk.
    pub(super) fn commit_other(&mut self, header: &BlockHeader) {
        self.others.push(scan::record_of(header));
    }
}

/// The header of `len` bytes of free space, a multiple of the block alignment.
pub(super) fn free_block(at: u64, len: u64) -> BlockHeader {
    BlockHeader::new(BlockKind::Free, at, len - crate::layout::BLOCK_HEADER_LEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(space: &mut Space, number: u32, len: u64) -> u64 {
        let at = space.take_tail(len).at;
        let header =
            BlockHeader { b: number, c: 10, ..BlockHeader::new(BlockKind::Chunk, at, len - 64) };
        space.chunks.push_back(PlacedChunk { header, is_committed: true });
        at
    }

    #[test]
    fn space_of_neighbours_becomes_one_piece_in_whatever_order_it_is_given_back() {
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut space = Space::new();
            let at = space.take_tail(640 * 3).at;
            let headers = order.map(|i| space.give_back(at + i * 640, 640));
            assert_eq!(headers[2], free_block(at, 1920), "{order:?}");
            assert_eq!(space.take_free(1920).map(|place| place.at), Some(at));
            assert!(space.take_free(64).is_none());
        }
    }

    #[test]
    fn what_is_left_of_free_space_stays_free() {
        let mut space = Space::new();
        let at = space.take_tail(1024).at;
        space.give_back(at, 1024);
        let place = space.take_free(960).unwrap();
        assert_eq!((place.at, place.rest), (at, Some(free_block(at + 960, 64))));
        assert_eq!(space.take_free(64).unwrap().at, at + 960);
    }

    #[test]
    fn dropped_chunks_are_counted_by_stream_and_count_as_written() {
        let mut space = Space::new();
        chunk(&mut space, 0, 640);
        chunk(&mut space, 1, 640);
        let kept = chunk(&mut space, 2, 640);
        space.drop_oldest().unwrap();
        space.drop_oldest().unwrap();
        let gaps = space.gaps();
        assert_eq!(gaps.len(), 1);
        assert_eq!((gaps[0].events, gaps[0].stream), (Some(20), Some(StreamId::new(0))));
        let dropped = [0, 1, 2].map(|number| space.was_dropped(StreamId::new(0), number));
        assert_eq!(dropped, [true, true, false]);
        assert_eq!(space.sealed().collect::<Vec<_>>(), [(StreamId::new(0), 2)]);
        assert_eq!(space.committed(), [(kept, 640)]);
    }

    #[test]
    fn a_chunk_that_is_being_written_is_not_dropped() {
        let mut space = Space::new();
        chunk(&mut space, 0, 640);
        space.chunks[0].is_committed = false;
        assert!(space.drop_oldest().is_none());
    }
}
