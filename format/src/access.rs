//! Memory accesses: the access lane's one record.

use crate::id::StackId;
use crate::units::Address;

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AccessKind {
    /// A plain read.
    Read = 0,
    /// A plain write.
    Write = 1,
    /// The read side of an atomic operation. Races with plain writes, never with atomics.
    AtomicRead = 2,
    /// The write side of an atomic operation. Races with plain accesses, never with atomics.
    AtomicWrite = 3,
    /// A plain read of a whole range, e.g. a slice that is copied.
    RangeRead = 4,
    /// A plain write of a whole range.
    RangeWrite = 5,
    /// Not an access: a function was entered at this call site (compilers' instrumentation).
    Enter = 6,
    /// Not an access: the innermost function returned.
    Exit = 7,
}

impl AccessKind {
    /// Every kind, in the order of their tags.
    pub const ALL: [Self; 8] = [
        Self::Read,
        Self::Write,
        Self::AtomicRead,
        Self::AtomicWrite,
        Self::RangeRead,
        Self::RangeWrite,
        Self::Enter,
        Self::Exit,
    ];

    /// The kind with this tag; only the low three bits count, so every tag has a kind.
    #[inline]
    pub const fn from_tag(tag: u8) -> Self {
        Self::ALL[(tag & 7) as usize]
    }

    /// The tag as written to the log, below 8.
    #[inline]
    pub const fn tag(self) -> u8 {
        self as u8
    }

    /// Whether memory is changed.
    #[inline]
    pub const fn is_write(self) -> bool {
        matches!(self, Self::Write | Self::AtomicWrite | Self::RangeWrite)
    }

    /// Whether it is part of an atomic operation.
    #[inline]
    pub const fn is_atomic(self) -> bool {
        matches!(self, Self::AtomicRead | Self::AtomicWrite)
    }

    /// Whether memory is touched at all; false for [`AccessKind::Enter`] and [`AccessKind::Exit`].
    #[inline]
    pub const fn touches_memory(self) -> bool {
        !matches!(self, Self::Enter | Self::Exit)
    }

    /// The name in dumps and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::AtomicRead => "atomic-read",
            Self::AtomicWrite => "atomic-write",
            Self::RangeRead => "range-read",
            Self::RangeWrite => "range-write",
            Self::Enter => "enter",
            Self::Exit => "exit",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A read or write of `size` bytes at `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Access {
    /// What was done.
    pub kind: AccessKind,
    /// The first byte.
    pub address: Address,
    /// How many bytes.
    pub size: u64,
    /// Where in the program.
    pub stack: StackId,
}
