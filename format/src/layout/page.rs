//! The first page: who recorded, and how far the recording has come.

use super::reason::{LossCounts, LossReason, StopReason};
use super::{HEADER_MAGIC, bytes_at, u32_at, u64_at};
use crate::version::FormatVersion;

/// Bytes of the first page.
pub const PAGE_LEN: u64 = 4096;
/// Bytes of the identity, at the page's beginning.
pub const IDENTITY_LEN: usize = 64;
/// Words of the state, which follows the identity to the page's end.
pub const STATE_WORDS: usize = (PAGE_LEN as usize - IDENTITY_LEN) / 8;

/// What never changes in a log: read first, by readers of every version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The format's version.
    pub version: FormatVersion,
    /// A number that no other run has.
    pub run_id: [u8; 16],
    /// The recorded process.
    pub pid: u32,
    /// Bytes of a slot, header included; 0 in logs that never had slots.
    pub slot_len: u32,
    /// When the log was begun: ns since 1970.
    pub start_realtime_ns: u64,
}

/// The first page is not that of a log that this version can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The file does not begin as logs do.
    #[error("byte 0: found {found:02x?}, expected the mark of a log, {:02x?}", HEADER_MAGIC)]
    Magic {
        /// The first bytes of the file, at most eight.
        found: Vec<u8>,
    },
    /// The file is shorter than a log's first page.
    #[error("byte {found}: the file ends in its header, which takes {} bytes", PAGE_LEN)]
    Truncated {
        /// The file's length.
        found: u64,
    },
    /// The identity is not what was written.
    #[error("byte 0: the header has checksum {found:#010x}, expected {expected:#010x}")]
    Identity {
        /// The checksum of what is there.
        found: u32,
        /// The checksum that was written.
        expected: u32,
    },
    /// The log was written by a later version.
    #[error(
        "byte 8: the log has format version {found}, this program reads {}.x",
        FormatVersion::CURRENT.major
    )]
    Version {
        /// The log's version.
        found: FormatVersion,
    },
    /// The state of a complete log is not what was written.
    #[error("byte {IDENTITY_LEN}: the state has checksum {found:#018x}, expected {expected:#018x}")]
    State {
        /// The checksum of what is there.
        found: u64,
        /// The checksum that was written.
        expected: u64,
    },
    /// A field of the state has a value that no writer writes.
    #[error("byte {at}: {what} is {found}, which no recorder writes")]
    Field {
        /// Where the field is.
        at: u64,
        /// The field.
        what: &'static str,
        /// Its value.
        found: u64,
    },
}

impl Identity {
    /// The bytes to be written.
    pub fn encode(&self) -> [u8; IDENTITY_LEN] {
        let mut bytes = [0; IDENTITY_LEN];
        bytes[0..8].copy_from_slice(&HEADER_MAGIC);
        bytes[8..10].copy_from_slice(&self.version.major.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.version.minor.to_le_bytes());
        bytes[12..16].copy_from_slice(&(PAGE_LEN as u32).to_le_bytes());
        bytes[16..32].copy_from_slice(&self.run_id);
        bytes[32..36].copy_from_slice(&self.pid.to_le_bytes());
        bytes[36..40].copy_from_slice(&self.slot_len.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.start_realtime_ns.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the identity from a file's first bytes.
    ///
    /// # Errors
    /// [`PageError`] if the file is no log, is cut short, is damaged here, or is too new.
    pub fn decode(file: &[u8]) -> Result<Self, PageError> {
        let found = &file[..file.len().min(HEADER_MAGIC.len())];
        if found.is_empty() || !HEADER_MAGIC.starts_with(found) {
            return Err(PageError::Magic { found: found.to_vec() });
        }
        let Some(bytes) = file.first_chunk::<IDENTITY_LEN>() else {
            return Err(PageError::Truncated { found: file.len() as u64 });
        };
        let (found, expected) = (crc32fast::hash(&bytes[..60]), u32_at(bytes, 60));
        if found != expected {
            return Err(PageError::Identity { found, expected });
        }
        let identity = Self::decode_unchecked(bytes);
        if !identity.version.is_readable() {
            return Err(PageError::Version { found: identity.version });
        }
        if (file.len() as u64) < PAGE_LEN {
            return Err(PageError::Truncated { found: file.len() as u64 });
        }
        Ok(identity)
    }

    /// Reads the fields without asking whether they are what was written.
    pub(crate) fn decode_unchecked(bytes: &[u8; IDENTITY_LEN]) -> Self {
        let u16_at = |at| u16::from_le_bytes(bytes_at(bytes, at));
        Self {
            version: FormatVersion { major: u16_at(8), minor: u16_at(10) },
            run_id: bytes_at(bytes, 16),
            pid: u32_at(bytes, 32),
            slot_len: u32_at(bytes, 36),
            start_realtime_ns: u64_at(bytes, 40),
        }
    }
}

/// How far a recording has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Recording, or killed while recording.
    #[default]
    Recording,
    /// Being closed, or killed while being closed.
    Closing,
    /// Closed; nothing changes any more.
    Complete,
}

/// Where in the state a field is: an index into its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StateWord(pub(crate) usize);

impl StateWord {
    pub(crate) const PHASE: Self = Self(0);
    pub(crate) const STOP: Self = Self(1);
    pub(crate) const TAIL: Self = Self(2);
    pub(crate) const INDEX_AT: Self = Self(3);
    pub(crate) const FILE_LEN: Self = Self(4);
    pub(crate) const REGION_COUNT: Self = Self(5);
    pub(crate) const DROPPED_CHUNKS: Self = Self(6);
    pub(crate) const CHECKSUM: Self = Self(STATE_WORDS - 1);

    pub(crate) const fn loss(reason: LossReason) -> Self {
        Self(16 + reason as usize)
    }

    pub(crate) const fn region(index: usize) -> Self {
        Self(64 + index)
    }

    /// The word's place in the file.
    pub(crate) const fn offset(self) -> u64 {
        (IDENTITY_LEN + self.0 * 8) as u64
    }
}

/// The most slot regions that a log can have.
pub const REGION_COUNT_MAX: usize = 64;

/// A run of slots, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotRegion {
    /// Where slot 0 begins: a multiple of the page length.
    pub at: u64,
    /// How many slots there are.
    pub slot_count: u32,
    /// Whether slot 0 holds table entries.
    pub has_table_slot: bool,
}

impl SlotRegion {
    pub(crate) const fn to_word(self) -> u64 {
        (self.at / PAGE_LEN) << 20 | (self.has_table_slot as u64) << 19 | self.slot_count as u64
    }

    pub(crate) const fn from_word(word: u64) -> Self {
        Self {
            at: (word >> 20) * PAGE_LEN,
            slot_count: word as u32 & ((1 << 19) - 1),
            has_table_slot: word >> 19 & 1 != 0,
        }
    }
}

/// The state, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// How far the recording has come.
    pub phase: Phase,
    /// Why it stopped, if it did.
    pub stop: Option<StopReason>,
    /// Where the next block would have been put; every block ends at or before it.
    pub tail: u64,
    /// Where the index is; 0 if there is none.
    pub index_at: u64,
    /// The file's length; 0 until the log is complete.
    pub file_len: u64,
    /// Where the slots are.
    pub regions: Vec<SlotRegion>,
    /// Chunks that were dropped to keep the newest.
    pub dropped_chunks: u64,
    /// Events that the recorder lost.
    pub losses: LossCounts,
}

impl State {
    /// Reads the state from a log's first page; what is wrong with it comes second.
    ///
    /// Only a complete log's state has a checksum; that of another one is as good as the moment at
    /// which its program was killed.
    pub fn decode(page: &[u8; PAGE_LEN as usize]) -> (Self, Option<PageError>) {
        let word = |word: StateWord| u64_at(page, word.offset() as usize);
        let mut problem = None;
        let phase = match word(StateWord::PHASE) {
            1 => Phase::Recording,
            2 => Phase::Closing,
            3 => Phase::Complete,
            found => {
                let at = StateWord::PHASE.offset();
                problem = Some(PageError::Field { at, what: "the log's phase", found });
                Phase::Recording
            }
        };
        if phase == Phase::Complete {
            let (found, expected) = (state_checksum(page), word(StateWord::CHECKSUM));
            if found != expected {
                problem = Some(PageError::State { found, expected });
            }
        }
        let region_count = word(StateWord::REGION_COUNT);
        if region_count > REGION_COUNT_MAX as u64 {
            let at = StateWord::REGION_COUNT.offset();
            problem =
                Some(PageError::Field { at, what: "number of slot regions", found: region_count });
        }
        let region_count = region_count.min(REGION_COUNT_MAX as u64) as usize;
        let regions = (0..region_count)
            .map(|index| SlotRegion::from_word(word(StateWord::region(index))))
            .collect();
        let state = Self {
            phase,
            stop: StopReason::from_code(word(StateWord::STOP)),
            tail: word(StateWord::TAIL),
            index_at: word(StateWord::INDEX_AT),
            file_len: word(StateWord::FILE_LEN),
            regions,
            dropped_chunks: word(StateWord::DROPPED_CHUNKS),
            losses: LossReason::ALL.map(|reason| word(StateWord::loss(reason))),
        };
        (state, problem)
    }

    /// The whole first page: the identity, this state, and its checksum if the log is complete.
    pub fn encode(&self, identity: &Identity) -> Box<[u8; PAGE_LEN as usize]> {
        let mut page = Box::new([0; PAGE_LEN as usize]);
        page[..IDENTITY_LEN].copy_from_slice(&identity.encode());
        let mut put = |word: StateWord, number: u64| {
            let at = word.offset() as usize;
            page[at..at + 8].copy_from_slice(&number.to_le_bytes());
        };
        put(StateWord::PHASE, phase_code(self.phase));
        put(StateWord::STOP, self.stop.map_or(0, StopReason::code));
        put(StateWord::TAIL, self.tail);
        put(StateWord::INDEX_AT, self.index_at);
        put(StateWord::FILE_LEN, self.file_len);
        put(StateWord::REGION_COUNT, self.regions.len() as u64);
        put(StateWord::DROPPED_CHUNKS, self.dropped_chunks);
        for (reason, &count) in LossReason::ALL.iter().zip(&self.losses) {
            put(StateWord::loss(*reason), count);
        }
        for (index, region) in self.regions.iter().take(REGION_COUNT_MAX).enumerate() {
            put(StateWord::region(index), region.to_word());
        }
        if self.phase == Phase::Complete {
            let checksum = state_checksum(&page);
            let at = StateWord::CHECKSUM.offset() as usize;
            page[at..at + 8].copy_from_slice(&checksum.to_le_bytes());
        }
        page
    }

    /// Events that were lost, for whatever reason.
    pub fn lost_events(&self) -> u64 {
        self.losses.iter().fold(0, |sum, &count| sum.saturating_add(count))
    }
}

/// The number written for a phase.
pub(crate) const fn phase_code(phase: Phase) -> u64 {
    match phase {
        Phase::Recording => 1,
        Phase::Closing => 2,
        Phase::Complete => 3,
    }
}

fn state_checksum(page: &[u8; PAGE_LEN as usize]) -> u64 {
    u64::from(crc32fast::hash(&page[IDENTITY_LEN..StateWord::CHECKSUM.offset() as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            version: FormatVersion::CURRENT,
            run_id: *b"0123456789abcdef",
            pid: 42,
            slot_len: 4096,
            start_realtime_ns: 7,
        }
    }

    fn state() -> State {
        State {
            phase: Phase::Complete,
            stop: Some(StopReason::DiskFull),
            tail: 1 << 40,
            index_at: 8192,
            file_len: 9000,
            regions: vec![SlotRegion { at: 4096 * 9, slot_count: 77, has_table_slot: true }],
            dropped_chunks: 3,
            losses: [1, 2, 3, 4, 5, 6],
        }
    }

    #[test]
    fn the_page_comes_back() {
        let page = state().encode(&identity());
        assert_eq!(Identity::decode(&*page), Ok(identity()));
        assert_eq!(State::decode(&page), (state(), None));
    }

    #[test]
    fn every_flipped_byte_of_a_complete_page_is_noticed() {
        // Miri computes a checksum of a page in a second.
        let step = if cfg!(miri) { 509 } else { 1 };
        for at in (0..PAGE_LEN as usize).step_by(step) {
            let mut page = state().encode(&identity());
            page[at] ^= 0x01;
            let noticed = Identity::decode(&*page).is_err()
                || State::decode(&page).1.is_some()
                || State::decode(&page).0.phase != Phase::Complete;
            assert!(noticed, "byte {at}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_that_is_no_log_is_told_apart() {
        let page = state().encode(&identity());
        assert!(matches!(Identity::decode(b""), Err(PageError::Magic { .. })));
        assert!(matches!(Identity::decode(b"\x7fELF\x02\x01"), Err(PageError::Magic { .. })));
        assert_eq!(Identity::decode(&page[..3]), Err(PageError::Truncated { found: 3 }));
        assert_eq!(Identity::decode(&page[..4095]), Err(PageError::Truncated { found: 4095 }));
        let newer = Identity { version: FormatVersion { major: 2, minor: 3 }, ..identity() };
        let error = Identity::decode(&*state().encode(&newer)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "byte 8: the log has format version 2.3, this program reads 1.x"
        );
    }
}
