//! Why a recording stopped, and why events are missing: numbers in the log, names in reports.
//!
//! # Invariant
//! A number once written keeps its meaning; one that this version does not know is read as the most
//! general reason.

/// Why a recording stopped before its program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StopReason {
    /// The file system is full.
    DiskFull,
    /// The process may not write files of this size (`RLIMIT_FSIZE`).
    FileSizeLimit,
    /// The log reached the size that the user allowed it, and was to keep the oldest.
    SizeCap,
    /// The system refused a write or a mapping for another reason.
    WriteFailed,
    /// The program asked for it.
    Requested,
    /// A reason that this version has no name for.
    Unknown,
}

impl StopReason {
    /// The number written to the log.
    pub const fn code(self) -> u64 {
        match self {
            Self::DiskFull => 1,
            Self::FileSizeLimit => 2,
            Self::SizeCap => 3,
            Self::WriteFailed => 4,
            Self::Requested => 5,
            Self::Unknown => u64::MAX,
        }
    }

    /// The reason with this number; 0 is none.
    pub const fn from_code(code: u64) -> Option<Self> {
        match code {
            0 => None,
            1 => Some(Self::DiskFull),
            2 => Some(Self::FileSizeLimit),
            3 => Some(Self::SizeCap),
            4 => Some(Self::WriteFailed),
            5 => Some(Self::Requested),
            _ => Some(Self::Unknown),
        }
    }

    /// The reason in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiskFull => "the disk is full",
            Self::FileSizeLimit => "the file size limit of the process is reached",
            Self::SizeCap => "the log reached its size cap",
            Self::WriteFailed => "the log could not be written",
            Self::Requested => "the program asked for it",
            Self::Unknown => "an unknown reason",
        }
    }
}

/// Why a recorder lost events; also the detail of a `lost` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LossReason {
    /// The recording had stopped.
    Stopped = 0,
    /// There was no slot to write into.
    NoSlot = 1,
    /// The event happened inside the recorder itself.
    Reentered = 2,
    /// The thread's log was gone already: it is exiting.
    ThreadExit = 3,
    /// The size cap keeps the newest, and these were the oldest.
    Oldest = 4,
    /// Another reason.
    Other = 5,
}

impl LossReason {
    /// Every reason, in the order of their codes.
    pub const ALL: [Self; 6] =
        [Self::Stopped, Self::NoSlot, Self::Reentered, Self::ThreadExit, Self::Oldest, Self::Other];

    /// The reason with this code; an unknown code is [`LossReason::Other`].
    pub fn from_code(code: u32) -> Self {
        Self::ALL.get(code as usize).copied().unwrap_or(Self::Other)
    }

    /// The reason in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stopped => "the recording had stopped",
            Self::NoSlot => "no slot was free",
            Self::Reentered => "inside the recorder",
            Self::ThreadExit => "the thread was exiting",
            Self::Oldest => "dropped to keep the newest",
            Self::Other => "another reason",
        }
    }
}

/// How many events were lost, by [`LossReason`].
pub type LossCounts = [u64; LossReason::ALL.len()];
