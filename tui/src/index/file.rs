//! How an index lies on disk: a header, a table of sections, the sections. All words little-endian.
//!
//! It is derived data that can be made again at any time, so it promises no compatibility: another
//! version, another log or a wrong checksum means that it is built anew. Bulk sections are not
//! covered by the checksum: every read of them is bounds-checked, and what is wrong in them is wrong
//! on the screen until the file is removed.

use std::io::{self, Write};

use mmtrace_format::Log;

/// Changes with the layout or the meaning of anything in it.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"MMTRIX02");

/// The sections, in the order of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Section {
    /// Lane records.
    Lanes,
    /// Groups.
    Groups,
    /// The lanes of each group, group after group.
    Members,
    /// Records by bin.
    Density,
    /// Time in each state by bin: of all lanes, then of the groups that have bins.
    Bins,
    /// Collections of garbage.
    Collections,
    /// What lanes wait for: address and number, by address.
    Waited,
    /// Channels that were made: address, time and room, ascending.
    Makes,
    /// Where each chunk's objects begin; one more than there are chunks.
    ChunkStarts,
    /// Fragments of all lanes.
    Fragments,
    /// Spans of all lanes.
    Spans,
    /// Sums over spans.
    Sums,
    /// Links of spans: what is waited for, or who ended the wait before.
    Links,
    /// Locks that lanes hold beyond a fragment.
    Holds,
    /// The objects of each chunk, ascending.
    Objects,
}

/// How many sections there are.
pub(crate) const SECTION_COUNT: usize = 15;

/// Sections up to this one are covered by the checksum.
const CHECKED: usize = Section::ChunkStarts as usize;

/// Words of the header: mark, key, first and last time, checksum, then offset and length of each
/// section, in words.
pub(crate) const HEADER_WORDS: usize = 8 + 2 * SECTION_COUNT;

/// The word in eight bytes.
pub(crate) fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// FNV-1a over words: not for adversaries, for files that were cut or mixed up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checksum(pub(crate) u64);

impl Checksum {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        self.0 ^= self.0 >> 29;
    }

    pub(crate) fn add_all(mut self, words: impl IntoIterator<Item = u64>) -> Self {
        words.into_iter().for_each(|word| self.add(word));
        self
    }
}

/// What a log holds, in a number: two logs with the same key are the same recording, to the same
/// length. It costs O(chunks): only the directory is looked at.
pub fn content_key(log: &Log) -> u64 {
    let identity = log.identity();
    let mut sum = Checksum::new();
    let (low, high) = identity.run_id.split_at(8);
    for part in [word(low), word(high), u64::from(identity.pid), identity.start_realtime_ns] {
        sum.add(part);
    }
    sum.add(log.gaps().len() as u64);
    for entry in log.chunks() {
        let header = &entry.header;
        sum.add(u64::from(header.stream.as_u32()) << 32 | u64::from(header.number));
        sum.add(header.first_time.ns);
        sum.add(header.last_time.ns);
        sum.add(u64::from(header.sync_count) << 32 | u64::from(header.access_count));
        sum.add(entry.payload_len);
    }
    sum.0
}

/// A section that is being written: words, or a longer sequence that is not in memory.
pub(crate) enum Source<'a> {
    Words(&'a [u64]),
    Spill(&'a mut super::spill::Spill),
}

impl Source<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Words(words) => words.len() as u64,
            Self::Spill(spill) => spill.word_count(),
        }
    }
}

/// Writes an index. `sections` come in the order of [`Section`].
pub(crate) fn write(
    sink: &mut impl Write,
    key: u64,
    range: (u64, u64),
    sections: &mut [Source<'_>; SECTION_COUNT],
) -> io::Result<()> {
    let mut sum = Checksum::new();
    for section in &sections[..=CHECKED] {
        if let Source::Words(words) = section {
            sum = sum.add_all(words.iter().copied());
        }
    }
    let mut header = vec![MAGIC, key, range.0, range.1, 0, 0, 0, 0];
    let mut at = HEADER_WORDS as u64;
    for section in sections.iter() {
        header.extend([at, section.len()]);
        at += section.len();
    }
    header[5] = Checksum::new().add_all(header[8..].iter().copied()).0;
    header[4] = sum.0;
    header.iter().try_for_each(|word| sink.write_all(&word.to_le_bytes()))?;
    for section in sections {
        match section {
            Source::Words(words) => {
                words.iter().try_for_each(|word| sink.write_all(&word.to_le_bytes()))?;
            }
            Source::Spill(spill) => spill.copy_to(sink)?,
        }
    }
    sink.flush()
}

/// Where the sections of these bytes lie, in words, if they are the index with this key.
pub(crate) fn check(bytes: &[u8], key: u64) -> Option<[(usize, usize); SECTION_COUNT]> {
    let at = |index: usize| bytes.get(index * 8..).map_or(0, word);
    let header: Vec<u64> = (0..HEADER_WORDS).map(at).collect();
    if header[0] != MAGIC || header[1] != key {
        return None;
    }
    if Checksum::new().add_all(header[8..].iter().copied()).0 != header[5] {
        return None;
    }
    let total = bytes.len() / 8;
    let mut sections = [(0, 0); SECTION_COUNT];
    for (section, pair) in sections.iter_mut().zip(header[8..].chunks_exact(2)) {
        let (start, len) = (usize::try_from(pair[0]).ok()?, usize::try_from(pair[1]).ok()?);
        if start.checked_add(len)? > total {
            return None;
        }
        *section = (start, len);
    }
    let mut sum = Checksum::new();
    for &(start, len) in &sections[..=CHECKED] {
        sum = sum.add_all((start..start + len).map(at));
    }
    (sum.0 == header[4]).then_some(sections)
}
