//! Opening: by the index, or else by walking what is there.

use std::collections::HashSet;
use std::path::Path;
use std::sync::OnceLock;

use super::index::{self, IndexContents, IndexError};
use super::scan::{self, Scan};
use super::slots::{self, Harvested};
use super::threads::ThreadSets;
use super::{ChunkEntry, Gap, GapReason, Log, LogBytes, ReadError};
use crate::id::StreamId;
use crate::layout::frame::Frames;
use crate::layout::page::IDENTITY_LEN;
use crate::layout::{
    BlockError, BlockHeader, BlockKind, BlockState, HEADER_MAGIC, Identity, LossReason, PAGE_LEN,
    PageError, Phase, State,
};
use crate::meta::{self, BlockRecord, ProcessInfo};
use crate::table::{TableEntry, Tables};
use crate::units::FileOffset;

/// Whether a damaged identity is the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderTrust {
    Checked,
    Damaged,
}

/// Why the index was not used.
#[derive(Debug, thiserror::Error)]
enum NoIndex {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error("found {found}, expected an index")]
    Kind { found: &'static str },
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the index ends at byte {found}, the file at byte {expected}")]
    NotLast { found: u64, expected: u64 },
    #[error(transparent)]
    Read(#[from] ReadError),
}

pub(super) fn open(path: &Path, bytes: LogBytes, trust: HeaderTrust) -> Result<Log, PageError> {
    let mut gaps = Vec::new();
    let identity = read_identity(&bytes, trust, &mut gaps)?;
    let state = read_state(&bytes, &mut gaps)?;
    let mut log = Log {
        path: path.to_owned(),
        bytes,
        identity,
        state,
        info: ProcessInfo::default(),
        tables: Tables::new(),
        chunks: Vec::new(),
        blocks: Vec::new(),
        recovered: Vec::new(),
        sets: ThreadSets::default(),
        all_threads: OnceLock::new(),
        gaps,
    };
    match log.read_index() {
        Ok(Some(contents)) => {
            log.chunks = contents.chunks;
            log.blocks = contents.blocks;
            log.sets = contents.sets;
            // The index says the same by stream.
            let is_oldest = |gap: &Gap| gap.reason == GapReason::Lost(LossReason::Oldest);
            if contents.gaps.iter().any(is_oldest) {
                log.gaps.retain(|gap| !is_oldest(gap));
            }
            log.gaps.extend(contents.gaps);
            log.read_tables(Vec::new());
        }
        Ok(None) => log.walk(),
        Err(error) => {
            let gap = Gap::new(GapReason::DamagedIndex, FileOffset(log.state.index_at));
            log.gaps.push(gap.with_detail(error));
            log.walk();
        }
    }
    log.read_info();
    log.chunks.sort_by_key(|entry| (entry.header.stream, entry.header.number, entry.offset));
    Ok(log)
}

fn read_identity(
    bytes: &LogBytes,
    trust: HeaderTrust,
    gaps: &mut Vec<Gap>,
) -> Result<Identity, PageError> {
    let error = match Identity::decode(bytes) {
        Ok(identity) => return Ok(identity),
        Err(error) => error,
    };
    let page = bytes.first_chunk::<IDENTITY_LEN>();
    match (trust, &error, page) {
        (HeaderTrust::Damaged, PageError::Identity { .. }, Some(page))
            if bytes.len() as u64 >= PAGE_LEN && page.starts_with(&HEADER_MAGIC) =>
        {
            let gap = Gap::new(GapReason::DamagedHeader, FileOffset(0)).with_detail(&error);
            gaps.push(gap);
            Ok(Identity::decode_unchecked(page))
        }
        _ => Err(error),
    }
}

/// Reads the state, and makes gaps of what it says is missing.
fn read_state(bytes: &LogBytes, gaps: &mut Vec<Gap>) -> Result<State, PageError> {
    let file_len = bytes.len() as u64;
    let words = bytes
        .copy_words(0, PAGE_LEN as usize / 8)
        .ok_or(PageError::Truncated { found: file_len })?;
    let mut page = [0; PAGE_LEN as usize];
    for (bytes, word) in page.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    let (state, problem) = State::decode(&page);
    let at = FileOffset(IDENTITY_LEN as u64);
    if let Some(problem) = problem {
        gaps.push(Gap::new(GapReason::DamagedHeader, at).with_detail(problem));
    }
    if state.phase == Phase::Complete {
        if state.file_len != file_len {
            let detail = format!("{file_len} bytes, expected {}", state.file_len);
            let end = FileOffset(file_len.min(state.file_len));
            gaps.push(Gap::new(GapReason::Truncated, end).with_detail(detail));
        }
    } else {
        gaps.push(Gap::new(GapReason::Unfinished, at));
    }
    if let Some(reason) = state.stop {
        gaps.push(Gap::new(GapReason::Stopped(reason), at));
    }
    for (reason, &count) in LossReason::ALL.into_iter().zip(&state.losses) {
        if count > 0 {
            let gap = Gap::new(GapReason::Lost(reason), at);
            gaps.push(Gap { events: Some(count), ..gap });
        }
    }
    Ok(state)
}

impl Log {
    /// The index's content; `None` if the log was never given one.
    fn read_index(&mut self) -> Result<Option<IndexContents>, NoIndex> {
        let at = self.state.index_at;
        if at == 0 {
            return Ok(None);
        }
        let header = BlockHeader::decode(&self.bytes, at)?;
        if (header.kind, header.state) != (BlockKind::Index, BlockState::Committed) {
            return Err(NoIndex::Kind { found: header.kind.name() });
        }
        let payload = header.checked_payload(&self.bytes)?;
        let file_len = self.bytes.len() as u64;
        // While a log is being closed there may be old copies behind the index.
        if self.state.phase == Phase::Complete && header.end() != file_len {
            return Err(NoIndex::NotLast { found: header.end(), expected: file_len });
        }
        let contents = if self.state.phase == Phase::Complete {
            index::read_index(payload, at)?
        } else {
            // The index may still be behind the blocks that it lists, with old copies in between.
            index::read_index_of_unfinished(payload, at)?
        };
        if self.state.phase == Phase::Complete {
            for block in contents.blocks.iter().filter(|b| b.kind == BlockKind::Free.tag()) {
                let header = BlockHeader::decode(&self.bytes, block.at)?;
                scan::check_block(&header, block)?;
                scan::check_free(&self.bytes, &header)?;
            }
        }
        Ok(Some(contents))
    }

    /// Finds everything without an index.
    fn walk(&mut self) {
        let slot_len = u64::from(self.identity.slot_len);
        // Slots before blocks: in a log that is being recorded, chunks go from the one to the other.
        let mut harvests = vec![slots::harvest(&self.bytes, &self.state.regions, slot_len)];
        self.map_what_was_appended();
        let Scan { mut chunks, sets, blocks, reserved, mut regions, gaps, .. } =
            scan::scan(&self.bytes, self.state.tail);
        self.sets = sets;
        self.gaps.extend(gaps);
        self.blocks = blocks;
        // A block that was moved while the log was closed may be there twice.
        let mut present = HashSet::new();
        chunks.retain(|entry| present.insert((entry.header.stream, entry.header.number)));
        self.chunks = chunks;
        // Those that the first page does not name, because it is damaged.
        regions.retain(|region| self.state.regions.iter().all(|known| known.at != region.at));
        harvests.push(slots::harvest(&self.bytes, &regions, slot_len));
        let mut entries = Vec::new();
        for harvest in harvests {
            self.gaps.extend(harvest.gaps);
            entries.extend(harvest.entries);
            for harvested in harvest.chunks {
                let header = &harvested.chunk.header;
                if present.insert((header.stream, header.number)) {
                    self.take_harvested(harvested);
                }
            }
        }
        self.read_tables(entries);
        // What was only reserved is still where it came from, or was lost with the memory of a
        // writer that had no slots.
        for header in reserved.into_iter().filter(|header| header.kind == BlockKind::Chunk) {
            if present.insert((StreamId::new(header.a), header.b)) {
                let gap = Gap::new(GapReason::MissingChunks, header.at);
                let gap = gap.with_detail("it was being written");
                self.gaps.push(scan::of_chunk(gap, &header));
            }
        }
        self.chunks.sort_by_key(|entry| (entry.header.stream, entry.header.number));
        let missing = missing_chunks(&self.chunks);
        self.gaps.extend(missing);
    }

    /// Maps the file anew: it may be longer than when it was opened.
    fn map_what_was_appended(&mut self) {
        if matches!(self.bytes, LogBytes::Mapped(_))
            && let Ok(now) = super::open_bytes(&self.path)
            && now.len() > self.bytes.len()
            && Identity::decode(&now).is_ok_and(|identity| identity == self.identity)
        {
            self.bytes = now;
        }
    }

    fn take_harvested(&mut self, harvested: Harvested) {
        let Harvested { chunk, offset, gap } = harvested;
        self.gaps.extend(gap);
        self.chunks.push(ChunkEntry {
            header: chunk.header.summary(),
            threads: self.sets.push_all(&chunk.header.threads()),
            offset,
            payload_len: chunk.bytes.len() as u64,
            recovered: Some(self.recovered.len() as u32),
        });
        self.recovered.push(chunk.bytes);
    }

    /// Reads all table blocks, and the entries that were in a slot.
    fn read_tables(&mut self, entries: Vec<TableEntry>) {
        let records: Vec<BlockRecord> = self.blocks_of(BlockKind::Table).copied().collect();
        let mut tables = std::mem::take(&mut self.tables);
        for record in records {
            if let Err(error) = self.read_table_block(&record, &mut tables) {
                let gap = Gap::new(GapReason::DamagedTable, FileOffset(record.at));
                self.gaps.push(gap.with_detail(error));
            }
        }
        self.tables = tables;
        for entry in entries {
            if let Err(error) = self.tables.apply(entry) {
                let gap = Gap::new(GapReason::DamagedTable, FileOffset(PAGE_LEN));
                self.gaps.push(gap.with_detail(error));
            }
        }
    }

    fn read_table_block(&self, record: &BlockRecord, tables: &mut Tables) -> Result<(), ReadError> {
        let at = FileOffset(record.at);
        let payload = self.block_payload(record)?;
        let mut frames = Frames::new(payload);
        while let Some(raw) =
            frames.next_frame().map_err(|source| ReadError::Frame { at, source })?
        {
            let entries =
                meta::decode_table_frame(raw).map_err(|source| ReadError::Record { at, source })?;
            for entry in entries {
                tables.apply(entry).map_err(|error| ReadError::Mismatch {
                    at,
                    found: error.to_string(),
                    expected: "an entry that fits the others".to_owned(),
                })?;
            }
        }
        Ok(())
    }

    /// Reads the process information: the last edition counts.
    fn read_info(&mut self) {
        let mut records: Vec<BlockRecord> = self.blocks_of(BlockKind::Meta).copied().collect();
        records.sort_by_key(|record| record.owner);
        if records.is_empty() {
            self.gaps.push(
                Gap::new(GapReason::DamagedInfo, FileOffset(PAGE_LEN)).with_detail("there is none"),
            );
        }
        for record in records {
            match self.read_info_block(&record) {
                Ok(info) => self.info = info,
                Err(error) => {
                    let gap = Gap::new(GapReason::DamagedInfo, FileOffset(record.at));
                    self.gaps.push(gap.with_detail(error));
                }
            }
        }
    }

    fn read_info_block(&self, record: &BlockRecord) -> Result<ProcessInfo, ReadError> {
        let at = FileOffset(record.at);
        let mut frames = Frames::new(self.block_payload(record)?);
        let raw = frames.next_frame().map_err(|source| ReadError::Frame { at, source })?;
        let info = meta::decode_info(raw.unwrap_or_default());
        info.map_err(|source| ReadError::Record { at, source })
    }

    fn blocks_of(&self, kind: BlockKind) -> impl Iterator<Item = &BlockRecord> {
        self.blocks.iter().filter(move |block| block.kind == kind.tag())
    }
}

/// The holes in the streams' numbering; `chunks` are sorted by stream and number.
pub(crate) fn missing_chunks(chunks: &[ChunkEntry]) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut previous: Option<&ChunkEntry> = None;
    for entry in chunks {
        let before = previous.filter(|before| before.header.stream == entry.header.stream);
        let expected = before.map_or(0, |before| u64::from(before.header.number) + 1);
        let found = u64::from(entry.header.number);
        if found > expected {
            let detail = format!("chunks {expected} to {} are missing", found - 1);
            gaps.push(Gap {
                stream: Some(entry.header.stream),
                first_time: before.map(|before| before.header.last_time),
                last_time: Some(entry.header.first_time),
                ..Gap::new(GapReason::MissingChunks, entry.offset).with_detail(detail)
            });
        }
        previous = Some(entry);
    }
    gaps
}
