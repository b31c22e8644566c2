//! Checking every byte of a log.

use std::path::{Path, PathBuf};

use crate::chunk::{AccessColumns, Chunk, LaneDecoder, SyncColumns};
use crate::id::ThreadId;
use crate::layout::frame::Frames;
use crate::layout::{BlockError, BlockHeader, BlockKind, BlockState, PAGE_LEN, Phase};
use crate::log::{Gap, Log, OpenError, ReadError, scan};
use crate::meta;
use crate::units::FileOffset;

/// What is known of a block after every byte of it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockReport {
    /// Where it begins.
    pub offset: FileOffset,
    /// Its bytes, header and padding included.
    pub len: u64,
    /// What it is; `None` if no header could be read here.
    pub kind: Option<BlockKind>,
    /// Events and accesses, table entries, or 0.
    pub records: u64,
    /// What is wrong with it; `None` if it is whole.
    pub problem: Option<String>,
}

/// The result of [`verify`].
#[derive(Clone, Debug)]
pub struct Verification {
    /// The log.
    pub path: PathBuf,
    /// Bytes of the file.
    pub file_len: u64,
    /// How far the recording had come.
    pub phase: Phase,
    /// The first page and every block, in the order of the file.
    pub blocks: Vec<BlockReport>,
    /// What is missing, damage found only by reading everything included.
    pub gaps: Vec<Gap>,
}

impl Verification {
    /// Whether the log is closed, and every byte of it is what was written.
    pub fn is_whole(&self) -> bool {
        self.gaps.is_empty() && self.blocks.iter().all(|block| block.problem.is_none())
    }
}

/// Reads and checks everything.
///
/// # Errors
/// [`OpenError`] if the file is no log. What is wrong with it otherwise is in the result.
pub fn verify(path: impl AsRef<Path>) -> Result<Verification, OpenError> {
    Ok(verify_log(&Log::open(path)?))
}

/// Reads and checks everything in an open log.
pub fn verify_log(log: &Log) -> Verification {
    let bytes = log.raw_bytes();
    let file_len = bytes.len() as u64;
    let mut verifier = Verifier::default();
    let page_problem = log.gaps().iter().find(|gap| gap.offset.0 < PAGE_LEN);
    let mut blocks = vec![BlockReport {
        offset: FileOffset(0),
        len: PAGE_LEN,
        kind: None,
        records: 0,
        problem: page_problem.map(ToString::to_string),
    }];
    let complete = log.state().phase == Phase::Complete;
    let mut at = PAGE_LEN;
    while at < file_len {
        let report = match BlockHeader::decode(bytes, at) {
            Ok(header) => verifier.block(bytes, &header, complete),
            Err(error) => {
                let next = scan::next_block(bytes, at + crate::layout::BLOCK_ALIGN);
                let end = next.unwrap_or(file_len);
                let unused = !complete && next.is_none() && at >= log.state().tail;
                BlockReport {
                    offset: FileOffset(at),
                    len: end - at,
                    kind: None,
                    records: 0,
                    problem: (!unused).then(|| error.to_string()),
                }
            }
        };
        bytes.advise_done(at as usize..at.saturating_add(report.len) as usize);
        at = at.saturating_add(report.len);
        blocks.push(report);
    }
    let mut gaps = log.gaps().to_vec();
    for (index, entry) in log.chunks().iter().enumerate() {
        let report = blocks.binary_search_by_key(&entry.offset, |block| block.offset);
        let problem = match report {
            Ok(found) => blocks[found].problem.clone(),
            // Taken out of a slot, and checked by that.
            Err(_) if entry.is_recovered() => None,
            Err(_) => Some("there is no block here".to_owned()),
        };
        // The directory may contradict a block that is whole in itself.
        let problem = problem.or_else(|| contradiction(log, index));
        if let Some(problem) = problem {
            gaps.push(log.gap_of(index, &problem));
        }
    }
    let phase = log.state().phase;
    Verification { path: log.path().to_owned(), file_len, phase, blocks, gaps }
}

/// What the directory says of a chunk, and the chunk itself does not.
fn contradiction(log: &Log, index: usize) -> Option<String> {
    let chunk = match log.chunk(index) {
        Ok(chunk) => chunk,
        Err(error) => return Some(error.to_string()),
    };
    let found = chunk.header().threads();
    let expected: Vec<ThreadId> = log.threads_of(index).collect();
    (found != expected).then(|| format!("threads {found:?} run in it, expected {expected:?}"))
}

/// Reads blocks, reusing its memory.
#[derive(Debug, Default)]
struct Verifier {
    decoder: LaneDecoder,
    events: SyncColumns,
    accesses: AccessColumns,
}

impl Verifier {
    fn block(&mut self, file: &[u8], header: &BlockHeader, complete: bool) -> BlockReport {
        let result = self.content(file, header, complete);
        BlockReport {
            offset: header.at,
            len: header.block_len(),
            kind: Some(header.kind),
            records: *result.as_ref().unwrap_or(&0),
            problem: result.err(),
        }
    }

    /// The number of records in a block.
    fn content(
        &mut self,
        file: &[u8],
        header: &BlockHeader,
        complete: bool,
    ) -> Result<u64, String> {
        if header.state == BlockState::Reserved {
            // Of no consequence while a program records, or when it was killed.
            return if complete { Err("it was never finished".to_owned()) } else { Ok(0) };
        }
        let at = header.at;
        match header.kind {
            BlockKind::Free if complete => {
                scan::check_free(file, header).map_err(|error| error.to_string())?;
                Ok(0)
            }
            BlockKind::Free | BlockKind::Slots if complete => {
                Err("slots in a closed log".to_owned())
            }
            BlockKind::Free | BlockKind::Slots => payload_only(header, file),
            BlockKind::Chunk => self.chunk(file, header).map_err(|error| error.to_string()),
            BlockKind::Table | BlockKind::Symbols | BlockKind::Meta | BlockKind::Index => {
                let payload = header.checked_payload(file).map_err(|error| error.to_string())?;
                let mut frames = Frames::new(payload);
                let mut records = 0;
                loop {
                    let frame = frames.next_frame();
                    match frame.map_err(|source| ReadError::Frame { at, source }.to_string())? {
                        None => return Ok(records),
                        Some(raw) if header.kind == BlockKind::Table => {
                            records += count_entries(raw)?;
                        }
                        Some(_) => {}
                    }
                }
            }
            BlockKind::Unknown(tag) => {
                header.checked_payload(file).map_err(|error| error.to_string())?;
                Err(format!("kind {tag} is not known to this version"))
            }
        }
    }

    fn chunk(&mut self, file: &[u8], header: &BlockHeader) -> Result<u64, ReadError> {
        let at = header.at;
        let payload = header.checked_payload(file)?;
        let in_chunk = |source| ReadError::Chunk { at, source };
        let chunk = Chunk::parse(payload).map_err(in_chunk)?;
        chunk.decode_sync(&mut self.decoder, &mut self.events).map_err(in_chunk)?;
        chunk.decode_accesses(&mut self.decoder, &mut self.accesses).map_err(in_chunk)?;
        Ok(u64::from(header.c) + u64::from(header.d))
    }
}

fn payload_only(header: &BlockHeader, file: &[u8]) -> Result<u64, String> {
    header.payload(file).map(|_| 0).map_err(|error: BlockError| error.to_string())
}

fn count_entries(raw: &[u8]) -> Result<u64, String> {
    let entries = meta::decode_table_frame(raw).map_err(|error| error.to_string())?;
    Ok(entries.len() as u64)
}
