//! The index: the directory of a closed log, so that opening one never scans it.

use crate::chunk::codec::Compressor;
use crate::layout::block::block_len;
use crate::layout::frame::{FrameError, Frames, put_frame};
use crate::layout::{BLOCK_ALIGN, PAGE_LEN};
use crate::log::{ChunkEntry, Gap, ThreadSets};
use crate::meta::{self, BlockRecord, ChunkRow, Directory, GapRecord, IndexFrame, MetaError};

/// Chunks, and threads in them, that go into one frame.
const FRAME_WEIGHT: usize = 1 << 15;
/// Gaps or other blocks that go into one frame.
const FRAME_RECORDS: usize = 1 << 12;

/// The index is not what a writer wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// It is not a sequence of frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame holds something else.
    #[error(transparent)]
    Record(#[from] MetaError),
    /// Parts of it are missing.
    #[error("the index lists {found} {what}, and says that there are {expected}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// The blocks that it lists do not tile the file.
    #[error("the index lists a block at byte {found}, expected the next at byte {expected}")]
    Tiling {
        /// Where the block is.
        found: u64,
        /// Where it should be.
        expected: u64,
    },
    /// A chunk cannot have as many fragments as the index says.
    #[error("the index gives the chunk at byte {at} {found} fragments, its length allows {limit}")]
    Fragments {
        /// Where the chunk is.
        at: u64,
        /// How many fragments.
        found: usize,
        /// How many are possible.
        limit: u64,
    },
    /// The threads of a chunk do not ascend, or are more than its fragments.
    #[error(
        "the index gives the chunk at byte {at} {found} threads, expected ascending ones, {limit} at most"
    )]
    Threads {
        /// Where the chunk is.
        at: u64,
        /// How many threads.
        found: usize,
        /// How many are possible.
        limit: u64,
    },
}

/// Collects the directory of a log that is being written, compressed as it comes.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    level: i32,
    payload: Vec<u8>,
    raw: Vec<u8>,
    chunks: Vec<ChunkRow>,
    weight: usize,
    blocks: Vec<BlockRecord>,
    gaps: Vec<GapRecord>,
    counts: [u64; 3],
    compressor: Compressor,
}

impl IndexWriter {
    /// An empty directory that will be compressed this hard.
    pub(crate) fn new(level: i32) -> Self {
        Self {
            level,
            payload: Vec::new(),
            raw: Vec::new(),
            chunks: Vec::new(),
            weight: 0,
            blocks: Vec::new(),
            gaps: Vec::new(),
            counts: [0; 3],
            compressor: Compressor::new(),
        }
    }

    /// Chunks come by ascending offset.
    pub(crate) fn push_chunk(&mut self, row: ChunkRow) {
        self.counts[0] += 1;
        self.weight += 1 + row.threads.len();
        self.chunks.push(row);
        if self.weight >= FRAME_WEIGHT {
            self.flush_chunks();
        }
    }

    /// Blocks come by ascending offset.
    pub(crate) fn push_block(&mut self, block: BlockRecord) {
        self.blocks.push(block);
        self.counts[1] += 1;
        if self.blocks.len() >= FRAME_RECORDS {
            self.flush_blocks();
        }
    }

    pub(crate) fn push_gap(&mut self, gap: &Gap) {
        self.gaps.push(gap.into());
        self.counts[2] += 1;
        if self.gaps.len() >= FRAME_RECORDS {
            self.flush_gaps();
        }
    }

    /// The payload of the index block.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.flush_chunks();
        self.flush_blocks();
        self.flush_gaps();
        let [chunks, blocks, gaps] = self.counts;
        self.put(&IndexFrame::End { chunks, blocks, gaps });
        self.payload
    }

    fn flush_chunks(&mut self) {
        self.weight = 0;
        if !self.chunks.is_empty() {
            let frame = IndexFrame::Directory(Directory::of(&self.chunks));
            self.chunks.clear();
            self.put(&frame);
        }
    }

    fn flush_blocks(&mut self) {
        if !self.blocks.is_empty() {
            let frame = IndexFrame::Blocks(std::mem::take(&mut self.blocks));
            self.put(&frame);
        }
    }

    fn flush_gaps(&mut self) {
        if !self.gaps.is_empty() {
            let frame = IndexFrame::Gaps(std::mem::take(&mut self.gaps));
            self.put(&frame);
        }
    }

    fn put(&mut self, frame: &IndexFrame) {
        self.raw.clear();
        meta::encode_index_frame(frame, &mut self.raw);
        put_frame(&mut self.compressor, self.level, &self.raw, &mut self.payload);
    }
}

/// What an index says.
#[derive(Debug, Default)]
pub(crate) struct IndexContents {
    pub(crate) chunks: Vec<ChunkEntry>,
    pub(crate) sets: ThreadSets,
    pub(crate) blocks: Vec<BlockRecord>,
    pub(crate) gaps: Vec<Gap>,
}

/// Reads an index that ends the directory at byte `index_at`.
///
/// The blocks that it lists must tile the file from the first page to the index itself: a block that
/// it does not list would be bytes that nothing checks. That also bounds what can be allocated.
pub(crate) fn read_index(payload: &[u8], index_at: u64) -> Result<IndexContents, IndexError> {
    let contents = read_index_of_unfinished(payload, index_at)?;
    check_tiling(&contents, index_at)?;
    Ok(contents)
}

/// Reads an index that may still lie behind old copies of the blocks that it lists.
pub(crate) fn read_index_of_unfinished(
    payload: &[u8],
    index_at: u64,
) -> Result<IndexContents, IndexError> {
    let mut contents = IndexContents::default();
    let mut frames = Frames::new(payload);
    let mut end = None;
    while let Some(raw) = frames.next_frame()? {
        if end.is_some() {
            return Err(IndexError::Count { what: "frames after the last", found: 1, expected: 0 });
        }
        // What a newer version added is more than is needed.
        let Some(frame) = meta::decode_index_frame(raw)? else { continue };
        match frame {
            IndexFrame::Chunks(records) => {
                for record in records {
                    contents.take_chunk(record.into(), index_at)?;
                }
            }
            IndexFrame::Directory(directory) => {
                for row in directory.rows()? {
                    contents.take_chunk(row, index_at)?;
                }
            }
            IndexFrame::Blocks(records) => {
                for record in records {
                    let previous = contents.blocks.last();
                    let expected =
                        previous.map_or(PAGE_LEN, |last| last.at + block_len(last.payload_len));
                    check_place(record.at, record.payload_len, expected, index_at)?;
                    contents.blocks.push(record);
                }
            }
            IndexFrame::Gaps(records) => contents.gaps.extend(records.into_iter().map(Gap::from)),
            IndexFrame::End { chunks, blocks, gaps } => end = Some([chunks, blocks, gaps]),
        }
    }
    let found = [contents.chunks.len(), contents.blocks.len(), contents.gaps.len()];
    let expected = end.ok_or(IndexError::Count { what: "last frames", found: 0, expected: 1 })?;
    let names = ["chunks", "other blocks", "gaps"];
    for ((what, found), expected) in names.into_iter().zip(found).zip(expected) {
        if found as u64 != expected {
            return Err(IndexError::Count { what, found: found as u64, expected });
        }
    }
    Ok(contents)
}

impl IndexContents {
    fn take_chunk(&mut self, row: ChunkRow, index_at: u64) -> Result<(), IndexError> {
        let ChunkRow { offset, payload_len, summary, threads } = row;
        let last = self.chunks.last();
        let expected = last.map_or(PAGE_LEN, |last| last.offset.0 + block_len(last.payload_len));
        check_place(offset.0, payload_len, expected, index_at)?;
        let at = offset.0;
        let found = summary.fragments;
        // Every fragment takes at least four bytes of its chunk.
        let limit = payload_len / 4;
        if u64::from(found) > limit {
            return Err(IndexError::Fragments { at, found: found as usize, limit });
        }
        let (fragments, found) = (u64::from(found), threads.len());
        let set = self.sets.push(&threads).filter(|_| found as u64 <= fragments);
        let threads = set.ok_or(IndexError::Threads { at, found, limit: fragments })?;
        self.chunks.push(ChunkEntry {
            header: summary,
            offset,
            payload_len,
            threads,
            recovered: None,
        });
        Ok(())
    }
}

/// A block must lie between what came before it and the index.
fn check_place(at: u64, payload_len: u64, expected: u64, index_at: u64) -> Result<(), IndexError> {
    let fits = at >= expected
        && at.is_multiple_of(BLOCK_ALIGN)
        && at < index_at
        && payload_len < index_at
        && block_len(payload_len) <= index_at - at;
    if fits { Ok(()) } else { Err(IndexError::Tiling { found: at, expected }) }
}

fn check_tiling(contents: &IndexContents, index_at: u64) -> Result<(), IndexError> {
    let mut chunks = contents.chunks.iter().map(|c| (c.offset.0, c.payload_len)).peekable();
    let mut blocks = contents.blocks.iter().map(|b| (b.at, b.payload_len)).peekable();
    let mut expected = PAGE_LEN;
    loop {
        let next = match (chunks.peek(), blocks.peek()) {
            (Some(chunk), Some(block)) if chunk.0 < block.0 => chunks.next(),
            (_, Some(_)) => blocks.next(),
            (Some(_), None) => chunks.next(),
            (None, None) => break,
        };
        let Some((found, payload_len)) = next else { break };
        if found != expected {
            return Err(IndexError::Tiling { found, expected });
        }
        expected += block_len(payload_len);
    }
    if expected == index_at {
        Ok(())
    } else {
        Err(IndexError::Tiling { found: index_at, expected })
    }
}
