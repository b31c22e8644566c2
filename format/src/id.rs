//! Dense identifiers, each minted by one table or counter and meaningless outside its log.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $letter:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u32);

        impl $name {
            /// The identifier with this number, as read from a log or minted by its table.
            #[inline]
            pub const fn new(number: u32) -> Self {
                Self(number)
            }

            /// The number, as written to the log.
            #[inline]
            pub const fn as_u32(self) -> u32 {
                self.0
            }

            /// The number as an index into a dense table.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($letter, "{}"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self, f)
            }
        }
    )*};
}

ids! {
    /// A logical thread: an OS thread or a goroutine. Dense from 0, the main thread, in one log.
    ThreadId = "t";
    /// What one writer wrote: an OS thread, or a Go P. Dense from 0 in one log.
    StreamId = "s";
    /// An interned path of call sites, innermost first. 0 is "unknown".
    StackId = "st";
    /// An interned place in the program's code. 0 is "unknown".
    CallSiteId = "cs";
    /// An interned string. 0 is the empty string.
    StringId = "str";
    /// An executable or shared object that was mapped while recording.
    ModuleId = "m";
}

impl ThreadId {
    /// The thread that the program began with.
    pub const MAIN: Self = Self(0);
}

impl StackId {
    /// No stack is known.
    pub const UNKNOWN: Self = Self(0);
}

impl CallSiteId {
    /// No call site is known.
    pub const UNKNOWN: Self = Self(0);
}

impl StringId {
    /// The empty string.
    pub const EMPTY: Self = Self(0);
}
