//! The critical path of a wait: who really held it up.
//!
//! # Definition
//! Backwards from the end of the wait: until the event that ended it, the waiting lane itself was
//! late to go on; before that, the lane of that event is to blame for as long as it was doing
//! something. Where that lane was itself waiting, whoever ended that wait is to blame, and so on. A
//! wait that nothing in the log ended is to blame itself. The segments follow each other without a
//! hole from the beginning of the wait to its end, so their lengths sum to it exactly.

use std::sync::Arc;

use mmtrace_format::StackId;

use super::{Engine, duration};
use crate::index::{Span, State};

/// Segments of a path; what is older is one last segment.
const SEGMENTS_MAX: usize = 512;

/// A part of a wait, and who was to blame for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The lane to blame.
    pub lane: usize,
    /// What it did.
    pub state: State,
    /// When the part begins.
    pub from_ns: u64,
    /// When it ends.
    pub to_ns: u64,
    /// Where in the program the lane was.
    pub stack: StackId,
}

/// A wait, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CriticalPath {
    /// The lane that waits.
    pub lane: usize,
    /// The wait.
    pub span: Span,
    /// Its parts, by time.
    pub segments: Vec<Segment>,
    /// The path in words.
    pub lines: Vec<String>,
}

impl Engine<'_> {
    /// The critical path of the wait that a lane is in at a moment; `None` if it does not wait.
    pub fn critical_path(&mut self, lane: usize, time_ns: u64) -> Option<CriticalPath> {
        let index = Arc::clone(&self.index);
        let facts = index.lane(lane);
        let mut number = index.span_at(&facts, time_ns)?;
        let mut span = index.span(&facts, number);
        // Whoever was made runnable still waits, as far as the user is concerned.
        if span.state == State::Runnable && number > 0 {
            number -= 1;
            span = index.span(&facts, number);
        }
        if !span.state.is_waiting() {
            return None;
        }
        let mut segments = Vec::new();
        self.blame(lane, span, span.start_ns, span.end_ns, &mut segments);
        segments.reverse();
        let lines = self.path_lines(span, &segments);
        Some(CriticalPath { lane, span, segments, lines })
    }

    /// Blames somebody for each part from `to_ns` back to `from_ns`. `wait` is what `lane` was in.
    fn blame(
        &mut self,
        lane: usize,
        wait: Span,
        from_ns: u64,
        to_ns: u64,
        segments: &mut Vec<Segment>,
    ) {
        let (mut lane, mut wait, mut to_ns) = (lane, wait, to_ns);
        let mut steps = 0;
        while to_ns > from_ns {
            // Lanes that woke each other at one moment would be gone round for ever.
            steps += 1;
            let waker = self.waker_of(lane, wait.start_ns);
            let waker = waker.filter(|hop| {
                hop.from.lane != lane
                    && hop.from.time_ns > wait.start_ns.min(to_ns)
                    && hop.from.time_ns <= wait.end_ns
            });
            let Some(hop) = waker.filter(|_| steps < SEGMENTS_MAX) else {
                self.segment(lane, wait.state, from_ns.max(wait.start_ns), to_ns, segments);
                to_ns = from_ns.max(wait.start_ns);
                if to_ns > from_ns {
                    // It waited only a part of the time; before that it did something itself.
                    to_ns = self.blame_doing(lane, from_ns, to_ns, segments);
                    let Some(before) = self.wait_before(lane, to_ns, from_ns) else { return };
                    wait = before;
                }
                continue;
            };
            let woken_ns = hop.from.time_ns.clamp(from_ns, to_ns);
            self.segment(lane, State::Runnable, woken_ns, to_ns, segments);
            to_ns = self.blame_doing(hop.from.lane, from_ns, woken_ns, segments);
            let Some(before) = self.wait_before(hop.from.lane, to_ns, from_ns) else { return };
            (lane, wait) = (hop.from.lane, before);
        }
    }

    /// The wait that a lane was in just before a moment.
    fn wait_before(&mut self, lane: usize, to_ns: u64, from_ns: u64) -> Option<Span> {
        if to_ns <= from_ns {
            return None;
        }
        let facts = self.index.lane(lane);
        let number = self.index.span_at(&facts, to_ns - 1)?;
        Some(self.index.span(&facts, number))
    }

    /// Blames a lane for what it did before a moment, back to where it began to wait. Gives where
    /// that is: `from_ns` if it did not wait.
    fn blame_doing(
        &mut self,
        lane: usize,
        from_ns: u64,
        to_ns: u64,
        segments: &mut Vec<Segment>,
    ) -> u64 {
        let index = Arc::clone(&self.index);
        let facts = index.lane(lane);
        let mut to_ns = to_ns;
        while to_ns > from_ns {
            let number = index.span_at(&facts, to_ns - 1);
            let span = number.map_or(
                Span { state: State::NotBorn, start_ns: 0, end_ns: facts.born_ns },
                |number| index.span(&facts, number),
            );
            if span.state.is_waiting() {
                return to_ns;
            }
            let start_ns = span.start_ns.max(from_ns);
            self.segment(lane, span.state, start_ns, to_ns, segments);
            to_ns = start_ns;
        }
        to_ns
    }

    fn segment(
        &mut self,
        lane: usize,
        state: State,
        from_ns: u64,
        to_ns: u64,
        segments: &mut Vec<Segment>,
    ) {
        if from_ns >= to_ns {
            return;
        }
        let event = self.event_at(lane, to_ns - 1);
        let stack = event.map_or(StackId::UNKNOWN, |(_, event)| event.stack);
        segments.push(Segment { lane, state, from_ns, to_ns, stack });
    }

    fn path_lines(&mut self, span: Span, segments: &[Segment]) -> Vec<String> {
        let total = span.len_ns().max(1);
        let mut lines = vec![format!("waited {} for:", duration(span.len_ns()))];
        for segment in segments {
            let who = self.lane_name(self.index.lane(segment.lane).thread);
            let long = segment.to_ns - segment.from_ns;
            let percent = u128::from(long) * 100 / u128::from(total);
            let site = self.names.site(segment.stack).unwrap_or_default();
            let state = segment.state.spec().name;
            lines.push(format!("{percent:>3}% {:>10}  {who} {state}  {site}", duration(long)));
        }
        lines
    }
}
