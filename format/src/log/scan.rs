//! Walking the blocks of a log that has no index, stepping over damage.

use crate::chunk::{Chunk, ChunkHeader};
use crate::id::StreamId;
use crate::layout::block::BLOCK_MAGIC;
use crate::layout::{
    BLOCK_ALIGN, BLOCK_HEADER_LEN, BlockError, BlockHeader, BlockKind, BlockState, PAGE_LEN,
    SlotRegion,
};
use crate::log::{ChunkEntry, Gap, GapReason, ReadError};
use crate::meta::BlockRecord;
use crate::units::{FileOffset, Timestamp};

/// What a walk found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    pub(crate) chunks: Vec<ChunkEntry>,
    /// Tables, symbols, process information; committed ones.
    pub(crate) blocks: Vec<BlockRecord>,
    /// Blocks that were being written.
    pub(crate) reserved: Vec<BlockHeader>,
    pub(crate) regions: Vec<SlotRegion>,
    pub(crate) gaps: Vec<Gap>,
    /// Where the walk ended: the end of the last block, even if the file ends before.
    pub(crate) end: u64,
}

/// The block of a chunk with this header.
pub(crate) fn chunk_block(
    header: &ChunkHeader,
    at: u64,
    payload_len: u64,
    payload_crc: u32,
) -> BlockHeader {
    BlockHeader {
        payload_crc,
        a: header.stream.as_u32(),
        b: header.number,
        c: header.sync_count,
        d: header.access_count,
        e: header.first_time.ns,
        f: header.last_time.ns,
        ..BlockHeader::new(BlockKind::Chunk, at, payload_len)
    }
}

/// What a chunk's block says of the chunk: all but its fragments.
pub(crate) fn header_without_fragments(block: &BlockHeader) -> ChunkHeader {
    ChunkHeader {
        stream: StreamId::new(block.a),
        number: block.b,
        first_time: Timestamp::from_ns(block.e),
        last_time: Timestamp::from_ns(block.f),
        sync_count: block.c,
        access_count: block.d,
        fragments: Vec::new(),
    }
}

/// The directory's record of a block that is no chunk.
pub(crate) fn record_of(header: &BlockHeader) -> BlockRecord {
    BlockRecord {
        kind: header.kind.tag(),
        at: header.at.0,
        payload_len: header.payload_len,
        owner: match header.kind {
            BlockKind::Symbols | BlockKind::Meta => header.a,
            _ => 0,
        },
    }
}

/// Whether a block is the one that the directory has.
pub(crate) fn check_block(header: &BlockHeader, record: &BlockRecord) -> Result<(), ReadError> {
    if record_of(header) == *record && header.state == BlockState::Committed {
        return Ok(());
    }
    Err(ReadError::Mismatch {
        at: header.at,
        found: format!("{header:?}"),
        expected: format!("{record:?}"),
    })
}

/// Walks all blocks. `tail` is where the writer had reserved up to, as far as is known.
pub(crate) fn scan(file: &[u8], tail: u64) -> Scan {
    let mut scan = Scan::default();
    let file_len = file.len() as u64;
    let mut at = PAGE_LEN;
    while at < file_len {
        match BlockHeader::decode(file, at) {
            Ok(header) => {
                scan.take(file, &header);
                at = header.end();
            }
            Err(error) => {
                let next = next_block(file, at + BLOCK_ALIGN);
                // Behind the tail, a block that was being appended: nothing promised it.
                if next.is_none() && at >= tail {
                    break;
                }
                let end = next.unwrap_or(file_len);
                scan.step_over(at, end, &error);
                at = end;
            }
        }
        scan.end = at;
    }
    scan.end = scan.end.max(PAGE_LEN);
    scan.take_committed_meanwhile(file);
    if scan.end < tail {
        let detail = format!("the blocks end at byte {}, expected {tail}", scan.end);
        let gap = Gap::new(GapReason::Truncated, FileOffset(scan.end)).with_detail(detail);
        scan.gaps.push(gap);
    }
    scan
}

/// The next place at which a whole block header stands.
pub(crate) fn next_block(file: &[u8], from: u64) -> Option<u64> {
    let magic = BLOCK_MAGIC.to_le_bytes();
    let mut at = from;
    loop {
        let start = usize::try_from(at).ok()?;
        let found = file.get(start..start.checked_add(4)?)?;
        if found == magic && BlockHeader::decode(file, at).is_ok() {
            return Some(at);
        }
        at += BLOCK_ALIGN;
    }
}

impl Scan {
    fn take(&mut self, file: &[u8], header: &BlockHeader) {
        match (header.kind, header.state) {
            (BlockKind::Chunk, BlockState::Committed) => self.take_chunk(file, header),
            (_, BlockState::Reserved) => self.reserved.push(*header),
            (BlockKind::Table | BlockKind::Symbols | BlockKind::Meta, BlockState::Committed) => {
                match header.payload(file) {
                    Ok(_) => self.blocks.push(record_of(header)),
                    Err(error) => self.damaged(header, &error),
                }
            }
            (BlockKind::Slots, BlockState::Committed) => self.regions.push(SlotRegion {
                at: header.e,
                slot_count: header.a,
                has_table_slot: header.b == 1,
            }),
            (BlockKind::Unknown(tag), BlockState::Committed) => {
                let gap = Gap::new(GapReason::UnknownBlock, header.at);
                self.gaps.push(gap.with_detail(format!("kind {tag}")));
            }
            // Free space is free. An index that the first page does not name was not finished; what
            // it lists is here.
            (BlockKind::Free | BlockKind::Index, _) => {}
        }
    }

    /// Looks again at what was being written: in a log that is being recorded, a chunk may have
    /// been committed, and the next of its stream after it, before the walk came to that one.
    fn take_committed_meanwhile(&mut self, file: &[u8]) {
        for reserved in std::mem::take(&mut self.reserved) {
            let now = BlockHeader::decode(file, reserved.at.0).ok();
            let is_whole =
                |now: &BlockHeader| now.kind == reserved.kind && now.end() <= file.len() as u64;
            self.take(file, &now.filter(is_whole).unwrap_or(reserved));
        }
    }

    fn take_chunk(&mut self, file: &[u8], header: &BlockHeader) {
        let at = header.at;
        let chunk = header.payload(file).map_err(ReadError::from).and_then(|payload| {
            Chunk::parse(payload).map_err(|source| ReadError::Chunk { at, source })
        });
        match chunk {
            Ok(chunk) => {
                let own = chunk.header();
                let expected = chunk_block(own, at.0, header.payload_len, header.payload_crc);
                if expected == *header {
                    self.chunks.push(ChunkEntry {
                        header: own.clone(),
                        offset: at,
                        payload_len: header.payload_len,
                        recovered: None,
                    });
                } else {
                    let expected = format!("{header:?}");
                    let found = format!("{own:?}");
                    self.damaged(header, &ReadError::Mismatch { at, found, expected });
                }
            }
            Err(error) => self.damaged(header, &error),
        }
    }

    fn damaged(&mut self, header: &BlockHeader, error: &impl std::fmt::Display) {
        let reason = match header.kind {
            BlockKind::Chunk => GapReason::DamagedChunk,
            BlockKind::Table => GapReason::DamagedTable,
            BlockKind::Meta => GapReason::DamagedInfo,
            _ => GapReason::DamagedBlock,
        };
        let gap = Gap::new(reason, header.at).with_detail(error);
        self.gaps.push(if header.kind == BlockKind::Chunk { of_chunk(gap, header) } else { gap });
    }

    fn step_over(&mut self, at: u64, end: u64, error: &BlockError) {
        let skipped = format!("{error}; {} bytes were skipped", end - at);
        let gap = Gap::new(GapReason::DamagedBlock, FileOffset(at)).with_detail(skipped);
        self.gaps.push(gap);
    }
}

/// Adds what a chunk's block header says of it.
pub(crate) fn of_chunk(gap: Gap, header: &BlockHeader) -> Gap {
    Gap {
        stream: Some(StreamId::new(header.a)),
        events: Some(u64::from(header.c) + u64::from(header.d)),
        first_time: Some(Timestamp::from_ns(header.e)),
        last_time: Some(Timestamp::from_ns(header.f)),
        ..gap
    }
}

/// Whether a free block of a closed log holds nothing but zeros, as it must.
pub(crate) fn check_free(file: &[u8], header: &BlockHeader) -> Result<(), BlockError> {
    let start = header.at.0 + BLOCK_HEADER_LEN;
    let payload = header.payload(file)?;
    match payload.iter().position(|&byte| byte != 0) {
        None => Ok(()),
        Some(index) => Err(BlockError::Field {
            at: FileOffset(start + index as u64),
            what: "byte of free space",
            found: u64::from(payload[index]),
            expected: 0,
        }),
    }
}
