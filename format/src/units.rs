//! Quantities with their units: addresses of the recorded process, times, places in the file.

use std::fmt;

/// A byte address in the recorded process, never in ours: it cannot be dereferenced.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(pub u64);

/// Nanoseconds since the log began, on the recording machine's monotonic clock.
///
/// Orders events within one stream. Across streams it is for drawing only: sequence numbers and
/// the analyzer's clocks say what happens before what.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Nanoseconds since the log began.
    pub ns: u64,
}

/// A byte position in a log file.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileOffset(pub u64);

impl Timestamp {
    /// The time this many nanoseconds after the log began.
    #[inline]
    pub const fn from_ns(ns: u64) -> Self {
        Self { ns }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.ns)
    }
}

impl fmt::Debug for FileOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}", self.0)
    }
}

impl fmt::Display for FileOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// How many order counters a recorder has: see [`stripe_of`].
pub const STRIPE_COUNT: usize = 1 << 16;

/// The order counter that numbers the events of the object at `object` (docs/FORMAT.md, "Order").
///
/// Events of one stripe are numbered consecutively from 1, in the order in which they happened;
/// so the events of each object are, too. Objects that share a stripe are ordered for nothing:
/// that costs the merge a little freedom and means nothing for happens-before.
#[inline]
pub const fn stripe_of(object: u64) -> usize {
    ((object >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as usize
}
