//! Metadata: process information, table entries, the index. The only user of `bincode`.
//!
//! `bincode` writes numbers as varints and nothing about their meaning, so the shapes below are the
//! format (docs/FORMAT.md, "Metadata"): a field is never added to one of them, a later minor version
//! adds a new frame instead.

use bincode::config::{self, Config};
use bincode::{BorrowDecode, Decode, Encode};

use crate::chunk::{ChunkHeader, Fragment};
use crate::id::{CallSiteId, ModuleId, StackId, StreamId, StringId, ThreadId};
use crate::log::{ChunkEntry, Gap, GapReason};
use crate::table::{CallSite, Module, SourceLocation, StackNode, TableEntry};
use crate::units::{FileOffset, Timestamp};

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

/// A table entry on disk.
#[derive(Encode, BorrowDecode)]
enum EntryRecord<'a> {
    String(u32, &'a str),
    Code { id: u32, module: u32, offset: u64, location: Option<LocationRecord> },
    Source { id: u32, location: LocationRecord, function: u32 },
    Stack { id: u32, parent: u32, site: u32 },
    Module { id: u32, path: u32, build_id: &'a [u8], base: u64, len: u64 },
}

#[derive(Clone, Copy, Encode, Decode)]
struct LocationRecord {
    file: u32,
    line: u32,
    column: u32,
}

impl From<SourceLocation> for LocationRecord {
    fn from(location: SourceLocation) -> Self {
        let SourceLocation { file, line, column } = location;
        Self { file: file.as_u32(), line, column }
    }
}

impl From<LocationRecord> for SourceLocation {
    fn from(record: LocationRecord) -> Self {
        let LocationRecord { file, line, column } = record;
        Self { file: StringId::new(file), line, column }
    }
}

impl<'a> From<&'a TableEntry> for EntryRecord<'a> {
    fn from(entry: &'a TableEntry) -> Self {
        match entry {
            TableEntry::String(id, text) => Self::String(id.as_u32(), text),
            TableEntry::CallSite(id, CallSite::Code { module, offset, location }) => Self::Code {
                id: id.as_u32(),
                module: module.as_u32(),
                offset: *offset,
                location: location.map(Into::into),
            },
            TableEntry::CallSite(id, CallSite::Source { location, function }) => Self::Source {
                id: id.as_u32(),
                location: (*location).into(),
                function: function.as_u32(),
            },
            TableEntry::Stack(id, StackNode { parent, site }) => {
                Self::Stack { id: id.as_u32(), parent: parent.as_u32(), site: site.as_u32() }
            }
            TableEntry::Module(id, Module { path, build_id, base, len }) => Self::Module {
                id: id.as_u32(),
                path: path.as_u32(),
                build_id,
                base: *base,
                len: *len,
            },
        }
    }
}

impl From<EntryRecord<'_>> for TableEntry {
    fn from(record: EntryRecord<'_>) -> Self {
        match record {
            EntryRecord::String(id, text) => Self::String(StringId::new(id), text.to_owned()),
            EntryRecord::Code { id, module, offset, location } => Self::CallSite(
                CallSiteId::new(id),
                CallSite::Code {
                    module: ModuleId::new(module),
                    offset,
                    location: location.map(Into::into),
                },
            ),
            EntryRecord::Source { id, location, function } => Self::CallSite(
                CallSiteId::new(id),
                CallSite::Source { location: location.into(), function: StringId::new(function) },
            ),
            EntryRecord::Stack { id, parent, site } => Self::Stack(
                StackId::new(id),
                StackNode { parent: StackId::new(parent), site: CallSiteId::new(site) },
            ),
            EntryRecord::Module { id, path, build_id, base, len } => Self::Module(
                ModuleId::new(id),
                Module { path: StringId::new(path), build_id: build_id.to_vec(), base, len },
            ),
        }
    }
}

/// Appends a table entry: its length, 32 bits, and its bytes. Gives the number of bytes appended.
pub fn put_table_entry(entry: &TableEntry, out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let len = put(&EntryRecord::from(entry), out);
    out[start..start + 4].copy_from_slice(&(len as u32).to_le_bytes());
    out.len() - start
}

/// Reads the table entry at the beginning of `bytes`, and gives the bytes after it.
///
/// # Errors
/// [`MetaError`] if there is no whole entry.
pub fn split_table_entry(bytes: &[u8]) -> Result<(TableEntry, &[u8]), MetaError> {
    const WHAT: &str = "table entry";
    let short = |needed: usize| MetaError {
        what: WHAT,
        reason: format!("{needed} bytes, but only {} are left", bytes.len()),
    };
    let (len, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| short(4))?;
    let len = u32::from_le_bytes(*len) as usize;
    let (record, rest) = rest.split_at_checked(len).ok_or_else(|| short(len))?;
    let (entry, read): (EntryRecord<'_>, usize) =
        bincode::borrow_decode_from_slice(record, configuration())
            .map_err(|error| MetaError { what: WHAT, reason: error.to_string() })?;
    whole(WHAT, read, len)?;
    Ok((entry.into(), rest))
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
    fn every_kind_of_table_entry_comes_back() {
        let location = SourceLocation { file: StringId::new(1), line: 2, column: 3 };
        let code = |location| CallSite::Code { module: ModuleId::new(1), offset: 99, location };
        let entries = [
            TableEntry::String(StringId::new(1), "säge.rs".to_owned()),
            TableEntry::CallSite(CallSiteId::new(1), code(None)),
            TableEntry::CallSite(CallSiteId::new(2), code(Some(location))),
            TableEntry::CallSite(
                CallSiteId::new(3),
                CallSite::Source { location, function: StringId::new(4) },
            ),
            TableEntry::Stack(
                StackId::new(5),
                StackNode { parent: StackId::new(4), site: CallSiteId::new(3) },
            ),
            TableEntry::Module(
                ModuleId::new(0),
                Module { path: StringId::new(1), build_id: vec![7; 20], base: 1 << 40, len: 9 },
            ),
        ];
        let mut bytes = Vec::new();
        for entry in &entries {
            put_table_entry(entry, &mut bytes);
        }
        let mut rest = bytes.as_slice();
        for entry in &entries {
            let (read, after) = split_table_entry(rest).unwrap();
            assert_eq!(read, *entry);
            rest = after;
        }
        assert!(rest.is_empty());
    }

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

    #[test]
    fn a_hostile_length_is_refused_before_anything_is_allocated() {
        // A string of 2^60 bytes.
        let mut record = vec![0, 1, 253];
        record.extend_from_slice(&(1u64 << 60).to_le_bytes());
        let mut bytes = (record.len() as u32).to_le_bytes().to_vec();
        bytes.extend_from_slice(&record);
        assert!(split_table_entry(&bytes).is_err());
    }
}
