//! Slots: where open chunks lie in the file.
//!
//! ```text
//! word 0  published length: words; bytes in the table slot
//!      1  state
//!      2  stream:32 number:32 (low half first); in the table slot, how often it was emptied
//!      3  thread
//!      4  its switch count
//!      5  time of opening
//!      6  0
//!      7  0
//! word 8  the records
//! ```
//!
//! Every header word is stored whole. The records below the published length never change before the
//! slot is opened again.

use crate::chunk::CHUNK_WORDS_MAX;
use crate::id::{StreamId, ThreadId};
use crate::units::Timestamp;

/// Words of a slot's header.
pub const SLOT_HEADER_WORDS: usize = 8;
/// Bytes of a slot unless asked otherwise.
pub const SLOT_LEN_DEFAULT: u32 = 256 << 10;
/// The shortest slot: a page.
pub const SLOT_LEN_MIN: u64 = 4096;
/// The longest slot: as many records as a chunk may have.
pub const SLOT_LEN_MAX: u64 = CHUNK_WORDS_MAX as u64 * 8;

/// The words of a slot's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum SlotField {
    Len = 0,
    State = 1,
    Place = 2,
    Thread = 3,
    SwitchCount = 4,
    FirstTime = 5,
}

/// What is going on in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SlotState {
    /// Nothing: what it may hold is in a block already.
    Free,
    /// A thread writes into it.
    Open,
}

impl SlotState {
    /// The number written to the log. A fresh file's zeros are free slots.
    pub const fn code(self) -> u64 {
        match self {
            Self::Free => 0,
            Self::Open => 1,
        }
    }

    /// The state with this number.
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => Some(Self::Free),
            1 => Some(Self::Open),
            _ => None,
        }
    }
}

/// Whose records a slot is going to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotLabel {
    /// Who writes.
    pub stream: StreamId,
    /// The chunk's place among the stream's, from 0 without a hole.
    pub number: u32,
    /// Who runs at its beginning.
    pub thread: ThreadId,
    /// How often that thread was switched to before its present fragment.
    pub switch_count: u64,
    /// When it is opened.
    pub first_time: Timestamp,
}

impl SlotLabel {
    pub(crate) const fn place(&self) -> u64 {
        self.stream.as_u32() as u64 | (self.number as u64) << 32
    }
}
