//! A log file written from its beginning to its end.

use std::io::{self, Seek, SeekFrom, Write};

use crate::chunk::codec::{Compressor, LEVEL_OFFLINE};
use crate::chunk::{ChunkHeader, SealedChunk};
use crate::id::ModuleId;
use crate::layout::block::padding_len;
use crate::layout::frame::put_frame;
use crate::layout::{
    BLOCK_ALIGN, BLOCK_HEADER_LEN, BlockHeader, BlockKind, Identity, PAGE_LEN, Phase, State,
};
use crate::live::symbols_payload;
use crate::log::index::IndexWriter;
use crate::log::{Gap, scan};
use crate::meta::{self, ChunkRow, ProcessInfo, SectionPiece};
use crate::table::TableEntry;
use crate::units::FileOffset;
use crate::version::FormatVersion;

/// Bytes of table entries that go into one frame.
const TABLE_FRAME_LEN: usize = 1 << 18;
/// Bytes of a section that go into one block.
const SYMBOLS_PIECE_LEN: usize = 1 << 20;

/// A log could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system refused.
    #[error("byte {at}: {source}")]
    Io {
        /// Where in the log.
        at: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Thread numbers are dense; this one is far beyond the others.
    #[error("thread number {found}, expected at most {limit}")]
    Thread {
        /// The number.
        found: u32,
        /// The largest possible.
        limit: u32,
    },
    /// What was pushed cannot be sealed.
    #[error("a chunk could not be sealed: {0}")]
    Seal(#[from] crate::chunk::SealError),
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the file.
    pub file_len: u64,
    /// Chunks in it.
    pub chunks: u64,
    /// Events in them.
    pub events: u64,
    /// Accesses in them.
    pub accesses: u64,
}

/// Writes blocks one after the other, then the index, then the first page.
///
/// Killed before [`LogWriter::finish`], it leaves a log that says that it is not complete.
#[derive(Debug)]
pub struct LogWriter<W> {
    sink: W,
    identity: Identity,
    at: u64,
    index: IndexWriter,
    summary: Summary,
    compressor: Compressor,
    level: i32,
}

impl<W: Write + Seek> LogWriter<W> {
    /// Begins a log at the beginning of `sink`.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn new(sink: W, info: &ProcessInfo) -> Result<Self, WriteError> {
        let identity = Identity {
            version: FormatVersion::CURRENT,
            run_id: info.run_id,
            pid: info.pid,
            slot_len: 0,
            start_realtime_ns: info.start_realtime_ns,
        };
        let mut writer = Self {
            sink,
            identity,
            at: PAGE_LEN,
            index: IndexWriter::new(LEVEL_OFFLINE),
            summary: Summary::default(),
            compressor: Compressor::new(),
            level: LEVEL_OFFLINE,
        };
        let state = State { tail: PAGE_LEN, ..State::default() };
        let page = state.encode(&identity);
        writer.sink.write_all(&*page).map_err(|source| WriteError::Io { at: 0, source })?;
        let mut payload = Vec::new();
        put_frame(&mut writer.compressor, writer.level, &meta::encode_info(info), &mut payload);
        writer.append_other(BlockHeader::new(BlockKind::Meta, 0, 0), &payload)?;
        Ok(writer)
    }

    /// Appends a sealed chunk.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn append_sealed(&mut self, chunk: &SealedChunk) -> Result<(), WriteError> {
        self.append_chunk(&chunk.header, &chunk.bytes)
    }

    pub(crate) fn append_chunk(
        &mut self,
        header: &ChunkHeader,
        bytes: &[u8],
    ) -> Result<(), WriteError> {
        let payload_len = bytes.len() as u64;
        let block =
            scan::chunk_block(&header.summary(), self.at, payload_len, crc32fast::hash(bytes));
        self.append(&block, bytes)?;
        self.summary.chunks += 1;
        self.summary.events += u64::from(header.sync_count);
        self.summary.accesses += u64::from(header.access_count);
        self.index.push_chunk(ChunkRow::new(block.at, payload_len, header));
        Ok(())
    }

    /// Appends table entries.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn append_entries(
        &mut self,
        entries: impl IntoIterator<Item = TableEntry>,
    ) -> Result<(), WriteError> {
        let (mut pending, mut len) = (Vec::new(), 0);
        for entry in entries {
            len += 16 + entry.text_len();
            pending.push(entry);
            if len >= TABLE_FRAME_LEN {
                self.append_table(&pending)?;
                pending.clear();
                len = 0;
            }
        }
        if pending.is_empty() { Ok(()) } else { self.append_table(&pending) }
    }

    fn append_table(&mut self, entries: &[TableEntry]) -> Result<(), WriteError> {
        let mut payload = Vec::new();
        let raw = meta::encode_table_frame(entries);
        put_frame(&mut self.compressor, self.level, &raw, &mut payload);
        let header =
            BlockHeader { a: entries.len() as u32, ..BlockHeader::new(BlockKind::Table, 0, 0) };
        self.append_other(header, &payload)
    }

    /// Appends a section of a module.
    ///
    /// # Errors
    /// [`WriteError::Io`].
    pub fn append_symbols(
        &mut self,
        module: ModuleId,
        name: &str,
        address: u64,
        bytes: &[u8],
    ) -> Result<(), WriteError> {
        let total_len = bytes.len() as u64;
        let pieces = bytes.chunks(SYMBOLS_PIECE_LEN);
        // An empty section is a piece, too.
        let empty = bytes.is_empty().then_some(bytes);
        let mut at = 0;
        for part in pieces.chain(empty) {
            let piece = SectionPiece { name: name.to_owned(), address, total_len, at };
            let payload = symbols_payload(&mut self.compressor, &piece, part);
            self.append_symbols_block(module, &payload)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    pub(crate) fn append_symbols_block(
        &mut self,
        module: ModuleId,
        payload: &[u8],
    ) -> Result<(), WriteError> {
        let header =
            BlockHeader { a: module.as_u32(), ..BlockHeader::new(BlockKind::Symbols, 0, 0) };
        self.append_other(header, payload)
    }

    /// Records that something is missing.
    pub fn push_gap(&mut self, gap: &Gap) {
        self.index.push_gap(gap);
    }

    /// Writes the index and the first page, and flushes.
    ///
    /// # Errors
    /// [`WriteError::Io`]; the log then is not complete.
    pub fn finish(mut self) -> Result<(Summary, W), WriteError> {
        let index_at = self.at;
        let payload = std::mem::replace(&mut self.index, IndexWriter::new(self.level)).finish();
        let index = BlockHeader {
            payload_crc: crc32fast::hash(&payload),
            ..BlockHeader::new(BlockKind::Index, index_at, payload.len() as u64)
        };
        self.append(&index, &payload)?;
        let file_len = self.at;
        let state = State {
            phase: Phase::Complete,
            tail: file_len,
            index_at,
            file_len,
            ..State::default()
        };
        let page = state.encode(&self.identity);
        self.write_page(&page[..]).map_err(|source| WriteError::Io { at: 0, source })?;
        Ok((Summary { file_len, ..self.summary }, self.sink))
    }

    fn write_page(&mut self, page: &[u8]) -> io::Result<()> {
        // The blocks before the page that says that they are there.
        self.sink.flush()?;
        self.sink.seek(SeekFrom::Start(0))?;
        self.sink.write_all(page)?;
        self.sink.flush()
    }

    fn append_other(&mut self, header: BlockHeader, payload: &[u8]) -> Result<(), WriteError> {
        let header = BlockHeader {
            at: FileOffset(self.at),
            payload_len: payload.len() as u64,
            payload_crc: crc32fast::hash(payload),
            ..header
        };
        self.append(&header, payload)?;
        self.index.push_block(scan::record_of(&header));
        Ok(())
    }

    fn append(&mut self, header: &BlockHeader, payload: &[u8]) -> Result<(), WriteError> {
        debug_assert_eq!(header.at.0, self.at);
        debug_assert_eq!(header.block_len() % BLOCK_HEADER_LEN, 0);
        let padding = [0; BLOCK_ALIGN as usize];
        let padding = &padding[..padding_len(header.payload_len) as usize];
        for bytes in [&header.encode(), payload, padding] {
            let at = self.at;
            self.sink.write_all(bytes).map_err(|source| WriteError::Io { at, source })?;
        }
        self.at = header.end();
        Ok(())
    }
}
