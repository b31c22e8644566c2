//! Blocks: what a log file is made of after its first page.

use super::{align_up, u32_at, u64_at};
use crate::units::FileOffset;

/// Blocks begin at multiples of this, so that a reader can find the next one behind damage.
pub const BLOCK_ALIGN: u64 = 64;
/// Bytes of a block's header.
pub const BLOCK_HEADER_LEN: u64 = 64;
/// The first bytes of every block.
pub const BLOCK_MAGIC: u32 = u32::from_le_bytes(*b"mBLK");

/// What a block holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockKind {
    /// Nothing: a hole that was given back, or padding.
    Free,
    /// A sealed chunk.
    Chunk,
    /// Table entries.
    Table,
    /// A piece of a module's symbols.
    Symbols,
    /// The process information.
    Meta,
    /// The directory of a closed log.
    Index,
    /// Slots: open chunks, mapped by the recorded program.
    Slots,
    /// A kind of a newer minor version, to be skipped.
    Unknown(u8),
}

impl BlockKind {
    /// The number written to the log.
    pub const fn tag(self) -> u8 {
        match self {
            Self::Free => 1,
            Self::Chunk => 2,
            Self::Table => 3,
            Self::Symbols => 4,
            Self::Meta => 5,
            Self::Index => 6,
            Self::Slots => 7,
            Self::Unknown(tag) => tag,
        }
    }

    /// The kind with this number.
    pub const fn from_tag(tag: u8) -> Self {
        match tag {
            1 => Self::Free,
            2 => Self::Chunk,
            3 => Self::Table,
            4 => Self::Symbols,
            5 => Self::Meta,
            6 => Self::Index,
            7 => Self::Slots,
            other => Self::Unknown(other),
        }
    }

    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Free => "free space",
            Self::Chunk => "chunk",
            Self::Table => "table",
            Self::Symbols => "symbols",
            Self::Meta => "process information",
            Self::Index => "index",
            Self::Slots => "slots",
            Self::Unknown(_) => "block of an unknown kind",
        }
    }

    /// Whether the payload has a checksum. The others are mapped, or nothing.
    pub const fn is_checked(self) -> bool {
        !matches!(self, Self::Free | Self::Slots)
    }
}

/// How far the writing of a block has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlockState {
    /// The place is taken; the payload may be anything.
    Reserved,
    /// The payload is whole.
    Committed,
}

/// A block's header, 64 bytes.
///
/// What the five own fields mean depends on the kind:
///
/// | kind | `a` | `b` | `c` | `d` | `e` | `f` |
/// |---|---|---|---|---|---|---|
/// | chunk | stream | number | events | accesses | first time | last time |
/// | table | entries | 0 | 0 | 0 | 0 | 0 |
/// | symbols | module | 0 | 0 | 0 | 0 | 0 |
/// | process information | edition | 0 | 0 | 0 | 0 | 0 |
/// | slots | slot count | 1 if slot 0 is the table slot | 0 | 0 | offset of slot 0 | slot length |
/// | others | 0 | 0 | 0 | 0 | 0 | 0 |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// What the block holds.
    pub kind: BlockKind,
    /// Whether the payload is whole.
    pub state: BlockState,
    /// Bytes of the payload, which begins right after the header.
    pub payload_len: u64,
    /// Where the block is. A copy of its bytes elsewhere is not a block.
    pub at: FileOffset,
    /// Checksum of the payload; 0 if the kind has none or the block is only reserved.
    pub payload_crc: u32,
    /// Own field.
    pub a: u32,
    /// Own field.
    pub b: u32,
    /// Own field.
    pub c: u32,
    /// Own field.
    pub d: u32,
    /// Own field.
    pub e: u64,
    /// Own field.
    pub f: u64,
}

/// There is no whole block where one should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The file ends inside the block.
    #[error("{at}: {what} needs {needed} bytes, but the file has {available} left")]
    Truncated {
        /// Where the block begins.
        at: FileOffset,
        /// What was being read.
        what: &'static str,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that are there.
        available: u64,
    },
    /// There is something else.
    #[error("{at}: found {found:#010x}, expected the mark of a block, {:#010x}", BLOCK_MAGIC)]
    Magic {
        /// Where the block should begin.
        at: FileOffset,
        /// The first four bytes.
        found: u32,
    },
    /// The header or the payload is not what was written.
    #[error("{at}: {what} has checksum {found:#010x}, expected {expected:#010x}")]
    Checksum {
        /// Where the block begins.
        at: FileOffset,
        /// The damaged part.
        what: &'static str,
        /// The checksum of what is there.
        found: u32,
        /// The checksum that was written.
        expected: u32,
    },
    /// The header was written for another place.
    #[error("{at}: this block says that it belongs at {found}")]
    Misplaced {
        /// Where it was found.
        at: FileOffset,
        /// Where it says it belongs.
        found: FileOffset,
    },
    /// A field has a value that no writer writes.
    #[error("{at}: {what} is {found}, expected {expected}")]
    Field {
        /// Where the block begins.
        at: FileOffset,
        /// The field.
        what: &'static str,
        /// Its value.
        found: u64,
        /// What it may be.
        expected: u64,
    },
}

impl BlockHeader {
    /// A committed block of this kind with every own field zero.
    pub const fn new(kind: BlockKind, at: u64, payload_len: u64) -> Self {
        Self {
            kind,
            state: BlockState::Committed,
            payload_len,
            at: FileOffset(at),
            payload_crc: 0,
            a: 0,
            b: 0,
            c: 0,
            d: 0,
            e: 0,
            f: 0,
        }
    }

    /// Bytes from this block's beginning to the next one's.
    ///
    /// Headers that were decoded have been checked to be below 2^63.
    pub const fn block_len(&self) -> u64 {
        block_len(self.payload_len)
    }

    /// The offset of the byte after the block.
    pub const fn end(&self) -> u64 {
        self.at.0 + self.block_len()
    }

    /// The bytes to be written.
    pub fn encode(&self) -> [u8; BLOCK_HEADER_LEN as usize] {
        let mut bytes = [0; BLOCK_HEADER_LEN as usize];
        bytes[0..4].copy_from_slice(&BLOCK_MAGIC.to_le_bytes());
        bytes[4] = self.kind.tag();
        bytes[5] = match self.state {
            BlockState::Reserved => 1,
            BlockState::Committed => 2,
        };
        bytes[8..16].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.at.0.to_le_bytes());
        for (at, number) in
            [(24, self.payload_crc), (28, self.a), (32, self.b), (36, self.c), (40, self.d)]
        {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        bytes[44..52].copy_from_slice(&self.e.to_le_bytes());
        bytes[52..60].copy_from_slice(&self.f.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of the block that begins at `at` in a file's bytes.
    ///
    /// # Errors
    /// [`BlockError`] if there is none, or if it is damaged. A block whose payload ends beyond the
    /// file is not an error here: [`BlockHeader::payload`] says so.
    pub fn decode(file: &[u8], at: u64) -> Result<Self, BlockError> {
        let offset = FileOffset(at);
        let available = (file.len() as u64).saturating_sub(at);
        let rest = usize::try_from(at).ok().and_then(|start| file.get(start..));
        let bytes = rest.and_then(|rest| rest.first_chunk::<{ BLOCK_HEADER_LEN as usize }>());
        let bytes = bytes.ok_or(BlockError::Truncated {
            at: offset,
            what: "block header",
            needed: BLOCK_HEADER_LEN,
            available,
        })?;
        let found = u32_at(bytes, 0);
        if found != BLOCK_MAGIC {
            return Err(BlockError::Magic { at: offset, found });
        }
        let (found, expected) = (crc32fast::hash(&bytes[..60]), u32_at(bytes, 60));
        if found != expected {
            return Err(BlockError::Checksum { at: offset, what: "block header", found, expected });
        }
        let written_at = FileOffset(u64_at(bytes, 16));
        if written_at != offset {
            return Err(BlockError::Misplaced { at: offset, found: written_at });
        }
        let field =
            |what, found: u64, expected| BlockError::Field { at: offset, what, found, expected };
        let state = match bytes[5] {
            1 => BlockState::Reserved,
            2 => BlockState::Committed,
            other => return Err(field("block state", u64::from(other), 2)),
        };
        let reserved = u64::from(u16::from_le_bytes([bytes[6], bytes[7]]));
        if reserved != 0 {
            return Err(field("reserved header field", reserved, 0));
        }
        let payload_len = u64_at(bytes, 8);
        if payload_len >= 1 << 62 || at >= 1 << 62 {
            return Err(field("payload length", payload_len, available));
        }
        Ok(Self {
            kind: BlockKind::from_tag(bytes[4]),
            state,
            payload_len,
            at: offset,
            payload_crc: u32_at(bytes, 24),
            a: u32_at(bytes, 28),
            b: u32_at(bytes, 32),
            c: u32_at(bytes, 36),
            d: u32_at(bytes, 40),
            e: u64_at(bytes, 44),
            f: u64_at(bytes, 52),
        })
    }

    /// The block's payload in the file's bytes; the zeros after it are checked.
    ///
    /// # Errors
    /// [`BlockError`] if the file ends inside the block or the padding is damaged.
    pub fn payload<'a>(&self, file: &'a [u8]) -> Result<&'a [u8], BlockError> {
        let start = self.at.0 + BLOCK_HEADER_LEN;
        let truncated = BlockError::Truncated {
            at: self.at,
            what: self.kind.name(),
            needed: self.block_len(),
            available: (file.len() as u64).saturating_sub(self.at.0),
        };
        let block = usize::try_from(start)
            .ok()
            .zip(usize::try_from(self.end()).ok())
            .and_then(|(start, end)| file.get(start..end))
            .ok_or(truncated)?;
        // In bounds: the payload is at most as long as the block's rest.
        let (payload, padding) = block.split_at(self.payload_len as usize);
        match padding.iter().find(|&&byte| byte != 0) {
            None => Ok(payload),
            Some(&byte) => Err(BlockError::Field {
                at: self.at,
                what: "padding byte after the block",
                found: u64::from(byte),
                expected: 0,
            }),
        }
    }

    /// The payload, with its checksum checked.
    ///
    /// # Errors
    /// [`BlockError`] if the block is not whole.
    pub fn checked_payload<'a>(&self, file: &'a [u8]) -> Result<&'a [u8], BlockError> {
        let payload = self.payload(file)?;
        let (found, expected) = (crc32fast::hash(payload), self.payload_crc);
        if found == expected {
            Ok(payload)
        } else {
            Err(BlockError::Checksum { at: self.at, what: self.kind.name(), found, expected })
        }
    }
}

/// Bytes of a whole block with this much payload, below 2^62.
pub(crate) const fn block_len(payload_len: u64) -> u64 {
    match align_up(BLOCK_HEADER_LEN + payload_len, BLOCK_ALIGN) {
        Some(len) => len,
        None => u64::MAX,
    }
}

/// Zero bytes between a payload's end and the block's.
pub(crate) const fn padding_len(payload_len: u64) -> u64 {
    block_len(payload_len) - BLOCK_HEADER_LEN - payload_len
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Vec<u8> {
        let mut header = BlockHeader::new(BlockKind::Chunk, 64, 5);
        (header.a, header.b, header.c, header.d, header.e, header.f) = (1, 2, 3, 4, 5, 6);
        header.payload_crc = crc32fast::hash(b"hello");
        let mut file = vec![0; 64];
        file.extend_from_slice(&header.encode());
        file.extend_from_slice(b"hello");
        file.resize(192, 0);
        file
    }

    #[test]
    fn a_header_comes_back() {
        let file = file();
        let header = BlockHeader::decode(&file, 64).unwrap();
        assert_eq!(header.encode(), file[64..128]);
        assert_eq!((header.kind, header.a, header.f), (BlockKind::Chunk, 1, 6));
        assert_eq!(header.checked_payload(&file).unwrap(), b"hello");
        assert_eq!((header.block_len(), header.end()), (128, 192));
    }

    #[test]
    fn every_flipped_byte_of_a_block_is_noticed() {
        for at in 64..192 {
            let mut file = file();
            file[at] ^= 0x10;
            let read = BlockHeader::decode(&file, 64)
                .and_then(|header| header.checked_payload(&file).map(<[u8]>::to_vec));
            assert!(read.is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_block_that_was_copied_elsewhere_is_none() {
        let mut moved = file();
        moved.drain(..64);
        let error = BlockHeader::decode(&moved, 0).unwrap_err();
        assert_eq!(error, BlockError::Misplaced { at: FileOffset(0), found: FileOffset(64) });
    }

    #[test]
    fn every_truncation_of_a_block_is_noticed() {
        for len in 0..192 {
            let file = &file()[..len];
            let read = BlockHeader::decode(file, 64).and_then(|header| header.payload(file));
            assert!(read.is_err(), "{len} bytes");
        }
    }

    #[test]
    fn kinds_have_their_own_tags() {
        for tag in 0..=u8::MAX {
            assert_eq!(BlockKind::from_tag(tag).tag(), tag);
        }
    }
}
