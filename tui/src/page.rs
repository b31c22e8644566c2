//! What is asked for and answered to draw timelines: plain data.

use crate::index::{BIN_COUNT, State};

/// A row of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Row {
    /// One lane.
    Lane(usize),
    /// All lanes that were started at one place, in one row.
    Group(usize),
}

/// Which part of the log: from `from_ns` up to, not including, `to_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first moment.
    pub from_ns: u64,
    /// One past the last.
    pub to_ns: u64,
}

impl Window {
    /// How long it is.
    pub fn len_ns(self) -> u64 {
        self.to_ns.saturating_sub(self.from_ns)
    }

    /// Where column `column` of `columns` begins.
    pub fn start_of(self, column: u16, columns: u16) -> u64 {
        let part = u128::from(self.len_ns()) * u128::from(column) / u128::from(columns.max(1));
        // Part of a length that is a u64.
        self.from_ns + u64::try_from(part).unwrap_or(u64::MAX)
    }

    /// The column of `columns` that a moment lies in, if any.
    pub fn column_of(self, time_ns: u64, columns: u16) -> Option<u16> {
        if time_ns < self.from_ns || time_ns >= self.to_ns {
            return None;
        }
        let guess = u128::from(time_ns - self.from_ns) * u128::from(columns)
            / u128::from(self.len_ns().max(1));
        let mut column = u16::try_from(guess).unwrap_or(u16::MAX).min(columns.saturating_sub(1));
        while column > 0 && self.start_of(column, columns) > time_ns {
            column -= 1;
        }
        while column + 1 < columns && self.start_of(column + 1, columns) <= time_ns {
            column += 1;
        }
        Some(column)
    }
}

/// How bad what happened in a cell is: bits, so that no zoom loses any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(pub u8);

impl Marks {
    /// A racing access.
    pub const RACE: Self = Self(1);
    /// A deadlock, or a lock order that may become one.
    pub const DEADLOCK: Self = Self(2);
    /// A leak: a thread that waits for ever, a heap that grows.
    pub const LEAK: Self = Self(4);
    /// Any other finding.
    pub const OTHER: Self = Self(8);
    /// Events were lost.
    pub const GAP: Self = Self(16);
    /// A mark of the user's.
    pub const NOTE: Self = Self(32);

    /// Both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in it.
    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether a finding is in it.
    pub fn has_finding(self) -> bool {
        self.0 & 0x0f != 0
    }
}

/// What to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The rows on the screen, from the top.
    pub rows: Vec<Row>,
    /// The part of the log.
    pub window: Window,
    /// Columns for it.
    pub columns: u16,
    /// Columns for the whole log in the overview.
    pub overview_columns: u16,
}

/// A cell of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The state in which most of its time was spent.
    pub state: State,
    /// How much of it, in percent; of a group's, of the time of the lanes that were there.
    pub share: u8,
    /// How many lanes were there, on average; for a single lane 0 or 1.
    pub alive: u32,
    /// What is in it.
    pub marks: Marks,
    /// An event in it, if the zoom shows events.
    pub event: Option<EventGlyph>,
}

/// What stands for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventGlyph {
    /// A memory access.
    Access,
    /// An atomic operation.
    Atomic,
    /// The heap.
    Heap,
    /// Another event.
    Other,
    /// A lock is taken.
    Lock,
    /// A lock is given up.
    Unlock,
    /// A send or close of a channel.
    Send,
    /// A receive.
    Receive,
    /// Another lane begins, ends or is joined.
    Flow,
    /// A mark of the program's own, or a span.
    Mark,
}

impl EventGlyph {
    /// Its cell.
    pub fn glyph(self) -> char {
        match self {
            Self::Access => '*',
            Self::Atomic => 'A',
            Self::Heap => 'H',
            Self::Other => 'E',
            Self::Lock => 'L',
            Self::Unlock => 'U',
            Self::Send => 'S',
            Self::Receive => 'R',
            Self::Flow => 'T',
            Self::Mark => 'M',
        }
    }
}

/// A column of the overview.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverviewCell {
    /// Records, from 0 to 8, in eighths of the densest column.
    pub density: u8,
    /// What is in it.
    pub marks: Marks,
}

/// The strips under the lanes, on the same clock: one value a column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strips {
    /// Lanes that were there.
    pub lanes: Vec<u64>,
    /// Live bytes of the heap, if the analysis has them.
    pub heap: Vec<Option<u64>>,
    /// Whether a collection ran.
    pub collecting: Vec<bool>,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The question.
    pub request: PageRequest,
    /// The rows' cells.
    pub rows: Vec<Vec<Cell>>,
    /// The whole log.
    pub overview: Vec<OverviewCell>,
    /// The strips.
    pub strips: Strips,
}

/// Columns of the overview are never more than there are bins.
pub const OVERVIEW_COLUMNS_MAX: u16 = BIN_COUNT as u16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_moment_lies_in_exactly_one_column(
            from in 0..u64::MAX / 2,
            len in 1..1_u64 << 50,
            at in 0.0..1.0_f64,
            columns in 1..400_u16,
        ) {
            let window = Window { from_ns: from, to_ns: from + len };
            #[expect(clippy::cast_sign_loss, reason = "a share of a length")]
            let time = from + ((len as f64 * at) as u64).min(len - 1);
            let column = window.column_of(time, columns).unwrap();
            prop_assert!(window.start_of(column, columns) <= time);
            prop_assert!(column + 1 == columns || window.start_of(column + 1, columns) > time);
        }
    }
}
