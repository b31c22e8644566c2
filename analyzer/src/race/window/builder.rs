//! From merged order to windows.

use mmtrace_format::{Event, EventKind};

use super::{Moment, Reset, Segment, Window};
use crate::happens_before::HappensBefore;
use crate::order::{EventRef, MergeSink, OrderGap, Trace};
use crate::race::RaceGap;

/// A window is full at so many accesses.
const ACCESSES_MAX: u64 = 1 << 18;
/// Or at so many segments: their numbers must fit into 26 bits of a routed record.
const SEGMENTS_MAX: usize = 1 << 19;
/// Or at so many resets.
const RESETS_MAX: usize = 1 << 19;
/// Or when the snapshots of clocks take about so many bytes.
const CLOCK_BYTES_MAX: usize = 16 << 20;
/// A wide clock shares most of itself with the one before.
const CLOCK_BYTES_NEW_MAX: usize = 16 << 10;
/// Longer stretches are cut, so that work can be divided.
const SEGMENT_ACCESSES_MAX: u32 = 1 << 13;

/// Turns what the merge gives into windows.
pub(in crate::race) struct Builder<'t> {
    state: HappensBefore<'t>,
    window: Window,
    spare: Option<Window>,
    /// For each thread, one more than the place of its last event.
    after_event: Vec<u64>,
    /// For each thread, the window in which its clock was last snapshot, and the snapshot.
    snapshots: Vec<(u32, u32)>,
    /// The number of the window that is being built, from 1.
    number: u32,
    pub(in crate::race) accesses: u64,
    pub(in crate::race) events: u64,
    /// Where the order was not known.
    pub(in crate::race) gaps: Vec<RaceGap>,
}

impl<'t> Builder<'t> {
    pub(in crate::race) fn new(trace: &'t Trace<'t>) -> Self {
        let count = trace.threads().len();
        Self {
            state: HappensBefore::new(trace),
            window: Window::default(),
            spare: None,
            after_event: vec![0; count],
            snapshots: vec![(0, 0); count],
            number: 1,
            accesses: 0,
            events: 0,
            gaps: Vec::new(),
        }
    }

    /// How many chains the threads so far were put into.
    pub(in crate::race) fn chain_count(&self) -> usize {
        self.state.chain_count()
    }

    /// The window that was built.
    pub(in crate::race) fn take(&mut self) -> Window {
        let mut next = self.spare.take().unwrap_or_default();
        next.first_access = self.accesses;
        self.number += 1;
        std::mem::replace(&mut self.window, next)
    }

    /// Keeps a window's storage for another one.
    pub(in crate::race) fn recycle(&mut self, mut window: Window) {
        window.segments.clear();
        window.moments.clear();
        for clock in window.clocks.drain(..) {
            self.state.recycle(clock);
        }
        window.resets.clear();
        (window.accesses, window.events, window.clock_bytes) = (0, 0, 0);
        self.spare = Some(window);
    }

    /// The index of what the thread knows now, in the window's clocks.
    fn snapshot(&mut self, dense: usize) -> u32 {
        let clock = self.state.knowledge(dense).clock;
        let (number, index) = self.snapshots[dense];
        if number == self.number && self.window.clocks[index as usize].shares_all_with(clock) {
            return index;
        }
        let index = u32::try_from(self.window.clocks.len()).expect("fewer clocks than segments");
        self.snapshots[dense] = (self.number, index);
        let width_bytes = self.state.chain_count() * size_of::<u32>();
        self.window.clock_bytes += width_bytes.clamp(64, CLOCK_BYTES_NEW_MAX);
        self.window.clocks.push(clock.clone());
        index
    }
}

impl MergeSink for Builder<'_> {
    fn event(&mut self, dense: usize, at: EventRef, event: &Event) {
        self.state.event(dense, at, event);
        self.after_event[dense] = at.index + 1;
        self.events += 1;
        self.window.events += 1;
        if matches!(event.kind, EventKind::Alloc | EventKind::Retire) && event.value > 0 {
            let before = u32::try_from(self.window.segments.len()).expect("see SEGMENTS_MAX");
            self.window.resets.push(Reset { before, start: event.object, len: event.value });
        }
    }

    fn accesses(&mut self, dense: usize, first: EventRef, chunk: usize, offset: u32, count: u32) {
        let epoch = self.state.access(dense);
        let clock = self.snapshot(dense);
        let chunk = u32::try_from(chunk).expect("a log has fewer than 2^32 chunks");
        let after_event = self.after_event[dense];
        let mut done = 0;
        while done < count {
            let piece = (count - done).min(SEGMENT_ACCESSES_MAX);
            let first = EventRef { index: first.index + u64::from(done), ..first };
            let offset = offset + done;
            self.window.segments.push(Segment { chunk, offset, count: piece, first, after_event });
            self.window.moments.push(Moment { epoch, clock });
            done += piece;
        }
        self.window.accesses += u64::from(count);
        self.accesses += u64::from(count);
    }

    fn thread_done(&mut self, dense: usize) {
        self.state.thread_done(dense);
    }

    fn gap(&mut self, gap: &OrderGap) {
        self.state.gap(gap);
        self.gaps.push(RaceGap { accesses_before: self.accesses, gap: *gap });
    }

    fn is_full(&self) -> bool {
        self.window.accesses >= ACCESSES_MAX
            || self.window.segments.len() >= SEGMENTS_MAX
            || self.window.resets.len() >= RESETS_MAX
            || self.window.clock_bytes >= CLOCK_BYTES_MAX
    }
}
