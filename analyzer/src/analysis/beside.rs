//! What is learned beside the races, from the same walk over the log.

use mmtrace_format::{Event, EventKind};

use super::Input;
use crate::blocked::Watch;
use crate::context::Lives;
use crate::heap::{HeapHistory, Limits, LiveHeap};
use crate::options::Options;
use crate::order::{EventRef, MergeSink, OrderGap, Trace};

/// Everything that needs the events in merged order, and neither clocks nor accesses.
pub(super) struct Beside<'t> {
    pub(super) lives: Lives<'t>,
    pub(super) watch: Watch<'t>,
    pub(super) heap: Heap,
}

/// The heap, if the log has anything about it.
pub(super) struct Heap {
    live: LiveHeap,
    is_recorded: bool,
}

impl<'t> Beside<'t> {
    pub(super) fn new(trace: &'t Trace<'t>, input: &Input<'_>, options: &Options) -> Self {
        let limits = Limits::within(options.memory);
        let live = LiveHeap::new(limits).with_collector(input.is_collected);
        Self {
            lives: Lives::new(trace.threads()),
            watch: Watch::new(trace),
            heap: Heap { live, is_recorded: false },
        }
    }
}

impl Heap {
    /// What the heap did from beginning to end; `None` if nobody recorded it.
    pub(super) fn finish(self) -> Option<HeapHistory> {
        self.is_recorded.then(|| self.live.finish())
    }
}

impl MergeSink for Beside<'_> {
    fn event(&mut self, dense: usize, at: EventRef, event: &Event) {
        self.heap.is_recorded |= matches!(event.kind, EventKind::Alloc | EventKind::Free);
        self.heap.live.event(event);
        self.lives.event(dense, at, event);
        self.watch.event(dense, at, event);
    }

    fn accesses(&mut self, dense: usize, first: EventRef, chunk: usize, offset: u32, count: u32) {
        self.watch.accesses(dense, first, chunk, offset, count);
    }

    fn thread_done(&mut self, _: usize) {}

    fn gap(&mut self, _: &OrderGap) {}
}
