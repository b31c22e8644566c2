//! A log, run past whoever looks at its accesses, window by window.
//!
//! The first scan walks the log in merged order. It keeps its windows for the scans to come, for as
//! long as it seems that all of them will fit.

mod kept;
mod lanes;
mod touched;

use crate::options::Progress;
use crate::order::merge::Merged;
use crate::order::{Merge, MergeSink, Trace};
use crate::race::RaceGap;
use crate::race::window::{Builder, Window};
use kept::Keeper;
pub(super) use lanes::{AccessLanes, Lane};
pub(super) use touched::Touched;

/// Whether another scan of the same accesses will follow.
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
    /// For the first walk.
    keeper: Option<Keeper>,
    /// All windows of the log, if they fit.
    kept: Option<Vec<Window>>,
}

impl<'t> Scans<'t> {
    /// None yet. Decoded lanes may take about half of `memory` bytes, windows three eighths.
    pub(super) fn new(trace: &'t Trace<'t>, memory: u64) -> Self {
        let totals = trace.totals();
        let keeper = Keeper::new(totals.events + totals.accesses, memory / 8 * 3);
        Self { trace, lanes: AccessLanes::new(trace, memory), keeper: Some(keeper), kept: None }
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
        let Self { trace, lanes, keeper, kept } = self;
        let mut keeper = keeper.take();
        let mut keep = |window: &Window| {
            if let Some(keeper) = &mut keeper {
                keeper.keep(window);
            }
        };
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
                    if let Some(done) = done.take() {
                        keep(&done);
                        builder.recycle(done);
                    }
                    merge.run(&mut (&mut builder, &mut *observer))
                };
                ((), built) = rayon::join(|| lanes.show(&window, consumer), build);
            }
            progress.advance(window.accesses + window.events);
            if is_last {
                done.iter().chain([&window]).for_each(keep);
                break;
            }
            done = Some(window);
        }
        if let Some(keeper) = keeper {
            *kept = keeper.finish();
        }
        Scanned {
            events: builder.events,
            accesses: builder.accesses,
            chains: builder.chain_count(),
            gaps: builder.gaps,
        }
    }

    /// Runs the whole log past a consumer once more.
    pub(super) fn again(&mut self, consumer: &mut impl Consumer, progress: &dyn Progress) {
        let Some(windows) = &self.kept else {
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
