//! What this thread has seen already: the filter that keeps repeated observations out of the log.
//!
//! A load that observes the same write as this thread's previous load of the same place, with the
//! same memory order, tells nothing new if this thread published nothing in between: every thread
//! that is ordered against the one is ordered against the other. The same goes for a completed
//! once. So a spinning reader or a hot `LazyLock` writes one event, not millions.
//!
//! Per thread, 16 entries, direct-mapped by address: two places that a loop alternates between
//! normally both fit. An entry that was displaced costs an event, never an edge.

use std::cell::Cell;

use crate::emit;

/// The observation of a completed once; the others are memory orders.
pub(super) const ONCE: u32 = u32::MAX;

/// Added to a memory order's detail: the observation was a failed compare-exchange.
pub(super) const FAILED_EXCHANGE: u32 = 1 << 8;

const ENTRY_COUNT: usize = 16;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    address: u64,
    /// Which write was observed.
    version: u64,
    /// How: a memory order's detail, or [`ONCE`].
    how: u32,
    /// How often this thread had published then. A once never becomes stale.
    releases: u64,
    /// Which recording it was; numbers begin anew in the next.
    recording: u64,
}

const EMPTY: Entry = Entry { address: 0, version: 0, how: 0, releases: 0, recording: 0 };

thread_local! {
    static SEEN: [Cell<Entry>; ENTRY_COUNT] = const { [const { Cell::new(EMPTY) }; ENTRY_COUNT] };
}

fn entry(address: u64, version: u64, how: u32) -> Entry {
    let releases = if how == ONCE { 0 } else { emit::releases() };
    Entry { address, version, how, releases, recording: emit::recording() }
}

fn slot(address: u64) -> usize {
    ((address >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60) as usize
}

/// Whether this thread has recorded this very observation, and published nothing since.
#[inline]
pub(super) fn before(address: u64, version: u64, how: u32) -> bool {
    let wanted = entry(address, version, how);
    SEEN.try_with(|seen| seen[slot(address)].get() == wanted).unwrap_or(false)
}

/// Notes that this observation is in the log.
#[inline]
pub(super) fn remember(address: u64, version: u64, how: u32) {
    let new = entry(address, version, how);
    // A thread that is being torn down remembers nothing, and records more.
    let _ = SEEN.try_with(|seen| seen[slot(address)].set(new));
}
