//! Table entries: one by one in the table slot, where a kill may come after each; column by column
//! in a block (docs/FORMAT.md, "Table").

use bincode::{BorrowDecode, Decode, Encode};

use super::{MetaError, configuration, decode, put, whole};
use crate::id::{CallSiteId, ModuleId, StackId, StringId};
use crate::table::{CallSite, Module, SourceLocation, StackNode, TableEntry};

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

/// Entries of a block. Neighbours resemble each other field by field: a column of differences of
/// one field takes a fraction of the same entries one after the other.
#[derive(Default, Encode, Decode)]
struct TableFrame {
    /// What each entry is: [`Row::kind`].
    kinds: Vec<u8>,
    /// One column for each field of each kind: [`FIELDS`] says how many. Differences from one entry
    /// of the kind to the next.
    columns: Vec<Vec<i64>>,
    /// Texts of strings and build identifiers of modules, in the order of the entries.
    texts: Vec<Vec<u8>>,
}

/// How many numbers an entry of each kind has: string, code without and with a location, source,
/// stack, module.
const FIELDS: [usize; 6] = [1, 3, 6, 5, 3, 4];
const FIELDS_MAX: usize = 6;
const COLUMN_COUNT: usize = 22;

/// An entry as numbers and a text.
#[derive(Clone, Copy)]
struct Row<'a> {
    kind: u8,
    numbers: [u64; FIELDS_MAX],
    text: Option<&'a [u8]>,
}

/// The place of a kind's first column.
fn first_column(kind: usize) -> usize {
    FIELDS[..kind].iter().sum()
}

impl<'a> From<&'a TableEntry> for Row<'a> {
    fn from(entry: &'a TableEntry) -> Self {
        let row = |kind, numbers: &[u64], text| {
            let mut all = [0; FIELDS_MAX];
            all[..numbers.len()].copy_from_slice(numbers);
            Row { kind, numbers: all, text }
        };
        let n = u64::from;
        match EntryRecord::from(entry) {
            EntryRecord::String(id, text) => row(0, &[n(id)], Some(text.as_bytes())),
            EntryRecord::Code { id, module, offset, location: None } => {
                row(1, &[n(id), n(module), offset], None)
            }
            EntryRecord::Code { id, module, offset, location: Some(at) } => {
                row(2, &[n(id), n(module), offset, n(at.file), n(at.line), n(at.column)], None)
            }
            EntryRecord::Source { id, location: at, function } => {
                row(3, &[n(id), n(at.file), n(at.line), n(at.column), n(function)], None)
            }
            EntryRecord::Stack { id, parent, site } => row(4, &[n(id), n(parent), n(site)], None),
            EntryRecord::Module { id, path, build_id, base, len } => {
                row(5, &[n(id), n(path), base, len], Some(build_id))
            }
        }
    }
}

impl Row<'_> {
    fn entry(&self) -> Result<TableEntry, MetaError> {
        let wrong = |what: &str| MetaError { what: FRAME, reason: what.to_owned() };
        let n = |field: usize| {
            u32::try_from(self.numbers[field]).map_err(|_| wrong("a number of more than 32 bits"))
        };
        let text = self.text.unwrap_or_default();
        let location = |first: usize| {
            Ok(LocationRecord { file: n(first)?, line: n(first + 1)?, column: n(first + 2)? })
        };
        let record = match self.kind {
            0 => {
                let text = std::str::from_utf8(text).map_err(|_| wrong("a string is not UTF-8"))?;
                EntryRecord::String(n(0)?, text)
            }
            1 => EntryRecord::Code {
                id: n(0)?,
                module: n(1)?,
                offset: self.numbers[2],
                location: None,
            },
            2 => EntryRecord::Code {
                id: n(0)?,
                module: n(1)?,
                offset: self.numbers[2],
                location: Some(location(3)?),
            },
            3 => EntryRecord::Source { id: n(0)?, location: location(1)?, function: n(4)? },
            4 => EntryRecord::Stack { id: n(0)?, parent: n(1)?, site: n(2)? },
            _ => EntryRecord::Module {
                id: n(0)?,
                path: n(1)?,
                build_id: text,
                base: self.numbers[2],
                len: self.numbers[3],
            },
        };
        Ok(record.into())
    }
}

const FRAME: &str = "table";

/// The bytes of a block's frame with these entries.
pub fn encode_table_frame<'a>(entries: impl IntoIterator<Item = &'a TableEntry>) -> Vec<u8> {
    let mut frame = TableFrame { columns: vec![Vec::new(); COLUMN_COUNT], ..TableFrame::default() };
    let mut last = [0; COLUMN_COUNT];
    for entry in entries {
        let row = Row::from(entry);
        let kind = usize::from(row.kind);
        frame.kinds.push(row.kind);
        for (field, &number) in row.numbers[..FIELDS[kind]].iter().enumerate() {
            let column = first_column(kind) + field;
            frame.columns[column].push(number.wrapping_sub(last[column]).cast_signed());
            last[column] = number;
        }
        frame.texts.extend(row.text.map(<[u8]>::to_vec));
    }
    let mut bytes = Vec::new();
    put(&frame, &mut bytes);
    bytes
}

/// Reads the entries of a block's frame.
///
/// # Errors
/// [`MetaError`] if the bytes are something else.
pub fn decode_table_frame(bytes: &[u8]) -> Result<Vec<TableEntry>, MetaError> {
    let short = || MetaError { what: FRAME, reason: "a column has too few entries".to_owned() };
    let frame: TableFrame = decode(FRAME, bytes)?;
    if frame.columns.len() != COLUMN_COUNT {
        let reason = format!("{} columns, expected {COLUMN_COUNT}", frame.columns.len());
        return Err(MetaError { what: FRAME, reason });
    }
    let mut columns: Vec<_> = frame.columns.into_iter().map(Vec::into_iter).collect();
    let mut last = [0u64; COLUMN_COUNT];
    let mut texts = frame.texts.iter();
    let mut entries = Vec::with_capacity(frame.kinds.len());
    for kind in frame.kinds {
        let fields = *FIELDS
            .get(usize::from(kind))
            .ok_or_else(|| MetaError { what: FRAME, reason: format!("an entry of kind {kind}") })?;
        let mut row = Row { kind, numbers: [0; FIELDS_MAX], text: None };
        for field in 0..fields {
            let column = first_column(usize::from(kind)) + field;
            let step = columns[column].next().ok_or_else(short)?;
            last[column] = last[column].wrapping_add(step.cast_unsigned());
            row.numbers[field] = last[column];
        }
        if matches!(kind, 0 | 5) {
            row.text = Some(texts.next().ok_or_else(short)?);
        }
        entries.push(row.entry()?);
    }
    if columns.iter().any(|column| column.len() > 0) || texts.len() > 0 {
        return Err(MetaError { what: FRAME, reason: "a column has too many entries".to_owned() });
    }
    Ok(entries)
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
        // Twice, so that differences are not only from zero.
        let twice: Vec<TableEntry> = entries.iter().chain(&entries).cloned().collect();
        let frame = encode_table_frame(&twice);
        assert_eq!(decode_table_frame(&frame), Ok(twice));
        for len in 0..frame.len() {
            assert!(decode_table_frame(&frame[..len]).is_err(), "{len} bytes");
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

    #[test]
    fn columns_that_do_not_fit_the_kinds_are_an_error() {
        let entries = [TableEntry::String(StringId::new(1), "a".to_owned())];
        let good = encode_table_frame(&entries);
        for at in 0..good.len() {
            // Miri takes a tenth of a second for each: there, one is enough.
            for byte in (0..=255).step_by(if cfg!(miri) { 256 } else { 1 }) {
                let mut bad = good.clone();
                bad[at] = byte;
                // An error or other entries, but always an answer.
                let _ = decode_table_frame(&bad);
            }
        }
        let mut frame = TableFrame { kinds: vec![9], ..TableFrame::default() };
        frame.columns = vec![Vec::new(); COLUMN_COUNT];
        let mut bytes = Vec::new();
        put(&frame, &mut bytes);
        assert!(decode_table_frame(&bytes).unwrap_err().reason.contains("kind 9"));
        frame.kinds = vec![];
        frame.columns[3] = vec![1];
        bytes.clear();
        put(&frame, &mut bytes);
        assert!(decode_table_frame(&bytes).unwrap_err().reason.contains("too many"));
    }
}
