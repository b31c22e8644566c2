//! The windows of a walk, for the scans to come.

use crate::race::window::Window;

/// Keeps the windows of a walk, for as long as it seems that all of them will fit.
pub(super) struct Keeper {
    /// `None`: there are too many.
    windows: Option<Vec<Window>>,
    bytes: u64,
    bytes_max: u64,
    /// Events and accesses of the windows offered.
    records: u64,
    /// Of all windows.
    records_total: u64,
}

impl Keeper {
    /// For a log of so many events and accesses.
    pub(super) fn new(records_total: u64, bytes_max: u64) -> Self {
        Self { windows: Some(Vec::new()), bytes: 0, bytes_max, records: 0, records_total }
    }

    /// Keeps a window, or sees that there is no point in it.
    pub(super) fn keep(&mut self, window: &Window) {
        let Some(windows) = &mut self.windows else { return };
        let kept = window.packed();
        self.bytes += kept.bytes();
        self.records += window.accesses + window.events;
        windows.push(kept);
        // The windows to come take as much again for each record, or half as much.
        let to_come = self.records_total.saturating_sub(self.records) / self.records.max(1);
        if self.bytes + self.bytes / 2 * to_come > self.bytes_max {
            self.windows = None;
        }
    }

    /// All windows that were offered, if they are here.
    pub(super) fn finish(self) -> Option<Vec<Window>> {
        self.windows
    }
}
