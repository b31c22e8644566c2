//! Windows: a quarter of a million accesses at a time, each with what its thread knew.
//!
//! The sync pass is sequential and cheap, the accesses are many and independent. So the sync pass
//! runs one window ahead: while a window's accesses are looked at in parallel, the next window's
//! *segments* (accesses of one thread with one epoch and one clock) are put together.

mod lanes;
mod touched;

use mmtrace_format::{Event, EventKind};

use crate::clock::{Epoch, VectorClock};
use crate::happens_before::HappensBefore;
use crate::options::Progress;
use crate::order::merge::Merged;
use crate::order::{EventRef, Merge, MergeSink, OrderGap, Trace};
use crate::race::RaceGap;
pub(super) use lanes::{AccessLanes, Lane};
pub(super) use touched::Touched;

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
/// About as many accesses make a part: the unit of parallel work, whatever the number of workers.
const PART_ACCESSES: u64 = 1 << 14;

/// When a segment is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    pub(super) epoch: Epoch,
    /// Index of what the thread knew, in the window's clocks.
    pub(super) clock: u32,
}

/// Consecutive accesses of one thread, between two of its events.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) chunk: u32,
    /// The first one in the chunk's access lane.
    pub(super) offset: u32,
    pub(super) count: u32,
    pub(super) first: EventRef,
    /// One more than the place of the thread's last event before; 0 if there is none.
    pub(super) after_event: u64,
}

/// These bytes are another object from here on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reset {
    /// The segment before which it takes place.
    pub(super) before: u32,
    pub(super) start: u64,
    pub(super) len: u64,
}

/// A stretch of merged order.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) segments: Vec<Segment>,
    /// Of each segment, what the filter looks at for every access: close together.
    pub(super) moments: Vec<Moment>,
    pub(super) clocks: Vec<VectorClock>,
    pub(super) resets: Vec<Reset>,
    pub(super) accesses: u64,
    pub(super) events: u64,
    /// How many accesses came before, in merged order.
    pub(super) first_access: u64,
    clock_bytes: usize,
}

/// A part of a window: a range of its segments, and the resets among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) segments: std::ops::Range<usize>,
    pub(super) resets: std::ops::Range<usize>,
    /// How many accesses came before, in merged order.
    pub(super) first_access: u64,
}

/// One thing of a part, in merged order.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item<'w> {
    Segment(u32, &'w Segment),
    Reset(&'w Reset),
}

impl Window {
    /// Cuts the window into parts of about equal work.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let (mut start, mut reset_start, mut accesses) = (0, 0, 0);
        let mut before = self.first_access;
        for (index, segment) in self.segments.iter().enumerate() {
            accesses += u64::from(segment.count);
            let is_last = index + 1 == self.segments.len();
            if accesses >= PART_ACCESSES && !is_last {
                let reset_end = self.resets.partition_point(|r| r.before as usize <= index);
                parts.push(Part {
                    segments: start..index + 1,
                    resets: reset_start..reset_end,
                    first_access: before,
                });
                (start, reset_start) = (index + 1, reset_end);
                before += accesses;
                accesses = 0;
            }
        }
        parts.push(Part {
            segments: start..self.segments.len(),
            resets: reset_start..self.resets.len(),
            first_access: before,
        });
        parts
    }

    /// What a part holds, in merged order.
    pub(super) fn items<'w>(&'w self, part: &Part) -> impl Iterator<Item = Item<'w>> {
        let mut resets = self.resets[part.resets.clone()].iter().peekable();
        let mut segments = part.segments.clone();
        std::iter::from_fn(move || {
            let next = segments.start;
            if let Some(reset) =
                resets.next_if(|reset| reset.before as usize <= next || segments.is_empty())
            {
                return Some(Item::Reset(reset));
            }
            segments.next().map(|index| {
                let number = u32::try_from(index).expect("a window has few segments");
                Item::Segment(number, &self.segments[index])
            })
        })
    }

    /// About how much memory it takes.
    fn bytes(&self) -> u64 {
        let segments = self.segments.len() * (size_of::<Segment>() + size_of::<Moment>());
        (segments + self.resets.len() * size_of::<Reset>() + self.clock_bytes) as u64
    }

    /// Takes no more memory than it needs.
    fn shrink(&mut self) {
        self.segments.shrink_to_fit();
        self.moments.shrink_to_fit();
        self.clocks.shrink_to_fit();
        self.resets.shrink_to_fit();
    }

    /// The chunks whose accesses the window needs, ascending.
    fn chunks(&self) -> Vec<u32> {
        let mut chunks: Vec<u32> = Vec::new();
        for segment in &self.segments {
            if chunks.last() != Some(&segment.chunk) {
                chunks.push(segment.chunk);
            }
        }
        chunks.sort_unstable();
        chunks.dedup();
        chunks
    }
}

/// Whether another pass over the same accesses will follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextPass {
    /// No.
    None,
    /// That depends on what is still to come.
    Possible,
    /// Yes.
    Certain,
}

/// Looks at windows, one after the other, in merged order.
pub(super) trait Consumer: Send {
    /// What is known already of a pass after this one.
    fn next_pass(&self) -> NextPass;

    /// What it wants to see, if that is not everything.
    fn wanted(&self) -> Option<&Touched>;

    /// The next window. The access lanes of its chunks are in `lanes`, but for those that touch
    /// nothing that is wanted, or cannot be read.
    fn consume(&mut self, window: &Window, lanes: &AccessLanes<'_>);
}

/// What a scan met beside accesses.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) events: u64,
    pub(super) accesses: u64,
    pub(super) chains: usize,
    /// Where the order was not known.
    pub(super) gaps: Vec<RaceGap>,
}

/// A log, to be run past consumers as often as needed: walked in merged order the first time, and
/// from then on replayed from the windows of the first time if they fit into memory.
pub(super) struct Scans<'t> {
    trace: &'t Trace<'t>,
    lanes: AccessLanes<'t>,
    kept: Kept,
}

impl<'t> Scans<'t> {
    /// None yet. Decoded lanes may take about half of `memory` bytes, windows a quarter.
    pub(super) fn new(trace: &'t Trace<'t>, memory: u64) -> Self {
        let totals = trace.totals();
        let kept = Kept::new(totals.events + totals.accesses, memory / 4);
        Self { trace, lanes: AccessLanes::new(trace, memory), kept }
    }

    /// The chunks whose access lanes could not be read.
    pub(super) fn lost(&self) -> &[usize] {
        self.lanes.lost()
    }

    /// Runs the whole log, in merged order, past a consumer and, without windows, past an observer.
    pub(super) fn walk(
        &mut self,
        consumer: &mut impl Consumer,
        observer: &mut (impl MergeSink + Send),
        progress: &dyn Progress,
    ) -> Scanned {
        let Self { trace, lanes, kept } = self;
        let mut merge = Merge::new(trace);
        let mut builder = Builder::new(trace);
        lanes.rewind();
        let mut built = merge.run(&mut (&mut builder, &mut *observer));
        let mut done: Option<Window> = None;
        loop {
            let window = builder.take();
            let is_last = built == Merged::All;
            if is_last {
                lanes.show(&window, consumer);
            } else {
                let build = || {
                    if let Some(done) = done.take().and_then(|done| kept.keep(done)) {
                        builder.recycle(done);
                    }
                    merge.run(&mut (&mut builder, &mut *observer))
                };
                ((), built) = rayon::join(|| lanes.show(&window, consumer), build);
            }
            progress.advance(window.accesses + window.events);
            if is_last {
                done.into_iter().chain([window]).for_each(|window| drop(kept.keep(window)));
                kept.is_whole = true;
                break;
            }
            done = Some(window);
        }
        Scanned {
            events: builder.events,
            accesses: builder.accesses,
            chains: builder.state.chain_count(),
            gaps: builder.gaps,
        }
    }

    /// Runs the whole log past a consumer once more.
    pub(super) fn again(&mut self, consumer: &mut impl Consumer, progress: &dyn Progress) {
        let Some(windows) = self.kept.windows() else {
            self.walk(consumer, &mut (), progress);
            return;
        };
        self.lanes.rewind();
        for window in windows {
            self.lanes.show(window, consumer);
            progress.advance(window.accesses + window.events);
        }
    }
}

impl AccessLanes<'_> {
    fn show(&mut self, window: &Window, consumer: &mut impl Consumer) {
        self.load(window, consumer.wanted());
        consumer.consume(window, self);
        self.release(window, consumer.next_pass());
    }
}

/// The windows of a walk, for as long as it seems that all of them will fit.
struct Kept {
    windows: Vec<Window>,
    bytes: u64,
    bytes_max: u64,
    /// Events and accesses of the windows offered.
    records: u64,
    /// Of all windows.
    records_total: u64,
    /// There are too many: none of them is of use.
    is_hopeless: bool,
    /// All windows of a walk have been offered.
    is_whole: bool,
}

impl Kept {
    /// For a log of so many events and accesses.
    fn new(records_total: u64, bytes_max: u64) -> Self {
        let (windows, is_hopeless, is_whole) = (Vec::new(), false, false);
        Self { windows, bytes: 0, bytes_max, records: 0, records_total, is_hopeless, is_whole }
    }

    /// Keeps a window, or gives it back.
    fn keep(&mut self, mut window: Window) -> Option<Window> {
        if self.is_whole || self.is_hopeless {
            return Some(window);
        }
        self.bytes += window.bytes();
        self.records += window.accesses + window.events;
        // The windows to come take as much again for each record, or half as much.
        let to_come = self.records_total.saturating_sub(self.records) / self.records.max(1);
        self.is_hopeless = self.bytes + self.bytes / 2 * to_come > self.bytes_max;
        if self.is_hopeless {
            self.windows = Vec::new();
            return Some(window);
        }
        window.shrink();
        self.windows.push(window);
        None
    }

    /// All windows of the log, if they are here.
    fn windows(&self) -> Option<&[Window]> {
        (self.is_whole && !self.is_hopeless).then_some(&self.windows)
    }
}

/// Turns what the merge gives into windows.
struct Builder<'t> {
    state: HappensBefore<'t>,
    window: Window,
    spare: Option<Window>,
    /// For each thread, one more than the place of its last event.
    after_event: Vec<u64>,
    /// For each thread, the window in which its clock was last snapshot, and the snapshot.
    snapshots: Vec<(u32, u32)>,
    /// The number of the window that is being built, from 1.
    number: u32,
    accesses: u64,
    events: u64,
    gaps: Vec<RaceGap>,
}

impl<'t> Builder<'t> {
    fn new(trace: &'t Trace<'t>) -> Self {
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

    fn take(&mut self) -> Window {
        let mut next = self.spare.take().unwrap_or_default();
        next.first_access = self.accesses;
        self.number += 1;
        std::mem::replace(&mut self.window, next)
    }

    /// Keeps a window's storage for another one.
    fn recycle(&mut self, mut window: Window) {
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
