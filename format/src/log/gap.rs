//! Gaps: what a log is known not to have.

use std::fmt;

use crate::id::{StreamId, ThreadId};
use crate::layout::{LossReason, StopReason};
use crate::units::{FileOffset, Timestamp};

/// Something that should be in a log and is not, or cannot be trusted.
///
/// A log without gaps is complete: it has every event that its program's recorder saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// Where in the file it shows.
    pub offset: FileOffset,
    /// Whose events are missing, if that is known.
    pub stream: Option<StreamId>,
    /// Whose events are missing, if that is known.
    pub thread: Option<ThreadId>,
    /// How many events and accesses are missing, if that is known.
    pub events: Option<u64>,
    /// The missing events are not older than this, if that is known.
    pub first_time: Option<Timestamp>,
    /// The missing events are not younger than this, if that is known.
    pub last_time: Option<Timestamp>,
    /// What was found and expected there; empty if the reason says it all.
    pub detail: String,
}

/// Why something is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The log was never closed: its program was killed, or still runs. What was published until
    /// then is here.
    Unfinished,
    /// The file is shorter, or longer, than what was written.
    Truncated,
    /// The first page is damaged.
    DamagedHeader,
    /// The index is damaged; it was rebuilt from the blocks that could be found.
    DamagedIndex,
    /// There is no whole block where one should be. It may have been of any kind.
    DamagedBlock,
    /// A chunk is damaged.
    DamagedChunk,
    /// Table entries are damaged: some strings, places or stacks have no name.
    DamagedTable,
    /// The process information is damaged.
    DamagedInfo,
    /// A slot holds what no recorder writes.
    DamagedSlot,
    /// A stream's chunks are not numbered without a hole.
    MissingChunks,
    /// A block of a kind that this version does not know.
    UnknownBlock,
    /// The recording stopped before the program's end.
    Stopped(StopReason),
    /// The recorder lost events.
    Lost(LossReason),
}

impl GapReason {
    /// The numbers written to the log.
    pub(crate) const fn code(self) -> (u8, u64) {
        match self {
            Self::Unfinished => (1, 0),
            Self::Truncated => (2, 0),
            Self::DamagedHeader => (3, 0),
            Self::DamagedIndex => (4, 0),
            Self::DamagedBlock => (5, 0),
            Self::DamagedChunk => (6, 0),
            Self::DamagedTable => (7, 0),
            Self::DamagedInfo => (8, 0),
            Self::DamagedSlot => (9, 0),
            Self::MissingChunks => (10, 0),
            Self::UnknownBlock => (11, 0),
            Self::Stopped(reason) => (12, reason.code()),
            Self::Lost(reason) => (13, reason as u64),
        }
    }

    /// The reason with these numbers. What a newer version calls otherwise is damage to us.
    pub(crate) fn from_code(code: u8, sub: u64) -> Self {
        match code {
            1 => Self::Unfinished,
            2 => Self::Truncated,
            3 => Self::DamagedHeader,
            4 => Self::DamagedIndex,
            6 => Self::DamagedChunk,
            7 => Self::DamagedTable,
            8 => Self::DamagedInfo,
            9 => Self::DamagedSlot,
            10 => Self::MissingChunks,
            11 => Self::UnknownBlock,
            12 => Self::Stopped(StopReason::from_code(sub).unwrap_or(StopReason::Unknown)),
            13 => Self::Lost(LossReason::from_code(u32::try_from(sub).unwrap_or(u32::MAX))),
            _ => Self::DamagedBlock,
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unfinished => f.write_str("the log was never closed"),
            Self::Truncated => f.write_str("the file does not have its length"),
            Self::DamagedHeader => f.write_str("the first page is damaged"),
            Self::DamagedIndex => f.write_str("the index is damaged"),
            Self::DamagedBlock => f.write_str("a block is damaged"),
            Self::DamagedChunk => f.write_str("a chunk is damaged"),
            Self::DamagedTable => f.write_str("table entries are damaged"),
            Self::DamagedInfo => f.write_str("the process information is damaged"),
            Self::DamagedSlot => f.write_str("an open chunk is damaged"),
            Self::MissingChunks => f.write_str("chunks are missing"),
            Self::UnknownBlock => f.write_str("a block has a kind that only a newer version knows"),
            Self::Stopped(reason) => write!(f, "the recording stopped: {}", reason.name()),
            Self::Lost(reason) => write!(f, "events were lost: {}", reason.name()),
        }
    }
}

impl Gap {
    /// A gap of which only the reason and the place are known.
    pub const fn new(reason: GapReason, offset: FileOffset) -> Self {
        Self {
            reason,
            offset,
            stream: None,
            thread: None,
            events: None,
            first_time: None,
            last_time: None,
            detail: String::new(),
        }
    }

    /// The same gap, with what was found and expected there.
    #[must_use]
    pub fn with_detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = detail.to_string();
        self
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.offset, self.reason)?;
        if let Some(stream) = self.stream {
            write!(f, ", stream {stream}")?;
        }
        if let Some(thread) = self.thread {
            write!(f, ", thread {thread}")?;
        }
        if let Some(events) = self.events {
            write!(f, ", {events} events")?;
        }
        if let (Some(first), Some(last)) = (self.first_time, self.last_time) {
            write!(f, ", between {first:?} and {last:?}")?;
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_comes_back_from_its_code() {
        let mut all = vec![
            GapReason::Unfinished,
            GapReason::Truncated,
            GapReason::DamagedHeader,
            GapReason::DamagedIndex,
            GapReason::DamagedBlock,
            GapReason::DamagedChunk,
            GapReason::DamagedTable,
            GapReason::DamagedInfo,
            GapReason::DamagedSlot,
            GapReason::MissingChunks,
            GapReason::UnknownBlock,
            GapReason::Stopped(StopReason::SizeCap),
        ];
        all.extend(LossReason::ALL.map(GapReason::Lost));
        for reason in all {
            let (code, sub) = reason.code();
            assert_eq!(GapReason::from_code(code, sub), reason);
        }
    }

    #[test]
    fn a_gap_says_what_where_and_how_much() {
        let mut gap = Gap::new(GapReason::DamagedChunk, FileOffset(4160)).with_detail("checksum");
        gap.stream = Some(StreamId::new(3));
        gap.events = Some(17);
        assert_eq!(
            gap.to_string(),
            "byte 4160: a chunk is damaged, stream s3, 17 events (checksum)"
        );
    }
}
