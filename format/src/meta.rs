//! Metadata: process information, table entries, the index. The only user of `bincode`.
//!
//! `bincode` writes numbers as varints and nothing about their meaning, so the shapes below are the
//! format (docs/FORMAT.md, "Metadata"): a field is never added to one of them, a later minor version
//! adds a new frame instead.

mod table;

use bincode::config::{self, Config};
use bincode::{Decode, Encode};

use crate::chunk::{ChunkHeader, Fragment};
use crate::id::{StreamId, ThreadId};
use crate::log::{ChunkEntry, Gap, GapReason};
use crate::units::{FileOffset, Timestamp};

pub use table::{decode_table_frame, encode_table_frame, put_table_entry, split_table_entry};

/// What decoding one record may allocate, whatever its bytes say.
const ALLOCATION_MAX: usize = 64 << 20;

fn configuration() -> impl Config {
    config::standard().with_limit::<ALLOCATION_MAX>()
}

/// Metadata is not what a writer wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {reason}")]
pub struct MetaError {
    /// What was being decoded.
    pub what: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// The setting (`1`) of logs whose streams are in the order of real time: each fragment ran to its end
/// before the next one of its stream began.
pub const SETTING_STREAMS_IN_TIME: &str = "streams-in-time";

/// The process that was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ProcessInfo {
    /// A number that no other run has.
    pub run_id: [u8; 16],
    /// The executable.
    pub program: String,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// The process id.
    pub pid: u32,
    /// The process that started it; 0 if unknown.
    pub parent_pid: u32,
    /// When the recording began: ns since 1970.
    pub start_realtime_ns: u64,
    /// The machine's name; empty if unknown.
    pub host: String,
    /// What recorded, with its version: `mmtrace-recorder 0.1.0`.
    pub recorder: String,
    /// The language and its runtime's version: `rust`, `go 1.26.6`.
    pub runtime: String,
    /// Bytes of a page of memory; 0 if unknown.
    pub page_size: u32,
    /// Processors that the program may use; 0 if unknown.
    pub cpu_count: u32,
    /// Which clock the times come from.
    pub clock: String,
    /// Anything else worth knowing, by name.
    pub settings: Vec<(String, String)>,
}

/// The setting that says where the recorder's own source files were: a folder, as debug information
/// has it.
pub const SETTING_SOURCE: &str = "recorder-source";

impl ProcessInfo {
    /// The setting with this name.
    pub fn setting(&self, name: &str) -> Option<&str> {
        self.settings.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A named section of a module, as [`crate::log::Log::symbols`] gives it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Its name: `.debug_info`, `.symtab`, `.gopclntab`.
    pub name: String,
    /// The address it is loaded at, relative to the module's base.
    pub address: u64,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What a piece of a section says of itself; its bytes are the block's second frame.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct SectionPiece {
    pub(crate) name: String,
    pub(crate) address: u64,
    /// Bytes of the whole section.
    pub(crate) total_len: u64,
    /// Where in it this piece begins.
    pub(crate) at: u64,
}

/// What a frame of the index holds.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum IndexFrame {
    /// Chunks, by ascending offset.
    Chunks(Vec<ChunkRecord>),
    /// The other blocks, by ascending offset.
    Blocks(Vec<BlockRecord>),
    /// Gaps.
    Gaps(Vec<GapRecord>),
    /// The last frame: how many of the above there were.
    End { chunks: u64, blocks: u64, gaps: u64 },
    /// As `Chunks`, but a chunk without fragments has them in its own header alone.
    LeanChunks(Vec<ChunkRecord>),
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct ChunkRecord {
    at: u64,
    payload_len: u64,
    stream: u32,
    number: u32,
    first_time: u64,
    last_time: u64,
    sync_count: u32,
    access_count: u32,
    fragments: Vec<FragmentRecord>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct FragmentRecord {
    thread: u32,
    count: u64,
    first_event: u32,
    first_access: u32,
}

/// A block that is no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct BlockRecord {
    pub(crate) kind: u8,
    pub(crate) at: u64,
    pub(crate) payload_len: u64,
    /// The header's field `a` of symbols (the module) and process information (the edition).
    pub(crate) owner: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct GapRecord {
    reason: (u8, u64),
    offset: u64,
    stream: Option<u32>,
    thread: Option<u32>,
    events: Option<u64>,
    first_time: Option<u64>,
    last_time: Option<u64>,
    detail: String,
}

impl ChunkRecord {
    /// Whether its fragments are in the chunk's own header alone.
    pub(crate) fn is_lean(&self) -> bool {
        self.fragments.is_empty()
    }
}

impl From<&ChunkEntry> for ChunkRecord {
    fn from(entry: &ChunkEntry) -> Self {
        let header = &entry.header;
        let fragment = |fragment: &Fragment| FragmentRecord {
            thread: fragment.thread.as_u32(),
            count: fragment.count,
            first_event: fragment.first_event,
            first_access: fragment.first_access,
        };
        Self {
            at: entry.offset.0,
            payload_len: entry.payload_len,
            stream: header.stream.as_u32(),
            number: header.number,
            first_time: header.first_time.ns,
            last_time: header.last_time.ns,
            sync_count: header.sync_count,
            access_count: header.access_count,
            fragments: header.fragments.iter().map(fragment).collect(),
        }
    }
}

impl From<ChunkRecord> for ChunkEntry {
    fn from(record: ChunkRecord) -> Self {
        let fragment = |fragment: FragmentRecord| Fragment {
            thread: ThreadId::new(fragment.thread),
            count: fragment.count,
            first_event: fragment.first_event,
            first_access: fragment.first_access,
        };
        Self {
            header: ChunkHeader {
                stream: StreamId::new(record.stream),
                number: record.number,
                first_time: Timestamp::from_ns(record.first_time),
                last_time: Timestamp::from_ns(record.last_time),
                sync_count: record.sync_count,
                access_count: record.access_count,
                fragments: record.fragments.into_iter().map(fragment).collect(),
            },
            offset: FileOffset(record.at),
            payload_len: record.payload_len,
            recovered: None,
        }
    }
}

impl From<&Gap> for GapRecord {
    fn from(gap: &Gap) -> Self {
        Self {
            reason: gap.reason.code(),
            offset: gap.offset.0,
            stream: gap.stream.map(StreamId::as_u32),
            thread: gap.thread.map(ThreadId::as_u32),
            events: gap.events,
            first_time: gap.first_time.map(|time| time.ns),
            last_time: gap.last_time.map(|time| time.ns),
            detail: gap.detail.clone(),
        }
    }
}

impl From<GapRecord> for Gap {
    fn from(record: GapRecord) -> Self {
        Self {
            reason: GapReason::from_code(record.reason.0, record.reason.1),
            offset: FileOffset(record.offset),
            stream: record.stream.map(StreamId::new),
            thread: record.thread.map(ThreadId::new),
            events: record.events,
            first_time: record.first_time.map(Timestamp::from_ns),
            last_time: record.last_time.map(Timestamp::from_ns),
            detail: record.detail,
        }
    }
}

/// The bytes of the process information.
pub fn encode_info(info: &ProcessInfo) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(info, &mut bytes);
    bytes
}

/// Reads the process information back.
///
/// # Errors
/// [`MetaError`] if the bytes are something else.
pub fn decode_info(bytes: &[u8]) -> Result<ProcessInfo, MetaError> {
    decode("process information", bytes)
}

pub(crate) fn encode_index_frame(frame: &IndexFrame, out: &mut Vec<u8>) {
    put(frame, out);
}

pub(crate) fn decode_index_frame(bytes: &[u8]) -> Result<IndexFrame, MetaError> {
    decode("index", bytes)
}

pub(crate) fn encode_section_piece(piece: &SectionPiece) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(piece, &mut bytes);
    bytes
}

pub(crate) fn decode_section_piece(bytes: &[u8]) -> Result<SectionPiece, MetaError> {
    decode("symbols", bytes)
}

fn put(record: &impl Encode, out: &mut Vec<u8>) -> usize {
    bincode::encode_into_std_write(record, out, configuration())
        .expect("our records hold nothing that has no encoding, and memory does not refuse")
}

fn decode<T: Decode<()>>(what: &'static str, bytes: &[u8]) -> Result<T, MetaError> {
    let (value, read) = bincode::decode_from_slice(bytes, configuration())
        .map_err(|error| MetaError { what, reason: error.to_string() })?;
    whole(what, read, bytes.len())?;
    Ok(value)
}

fn whole(what: &'static str, read: usize, len: usize) -> Result<(), MetaError> {
    if read == len {
        Ok(())
    } else {
        Err(MetaError { what, reason: format!("ends after {read} of {len} bytes") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn process_information_comes_back_and_no_part_of_it_passes_for_the_whole() {
        let info = ProcessInfo {
            program: "/bin/x".to_owned(),
            args: vec!["a".to_owned(), String::new()],
            settings: vec![("k".to_owned(), "v".to_owned())],
            ..ProcessInfo::default()
        };
        let bytes = encode_info(&info);
        assert_eq!(decode_info(&bytes), Ok(info.clone()));
        assert_eq!(info.setting("k"), Some("v"));
        for len in 0..bytes.len() {
            assert!(decode_info(&bytes[..len]).is_err(), "{len} bytes");
        }
    }
}
