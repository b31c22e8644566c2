//! Who let whom go on: the edges of happens-before between lanes, and walks along them.
//!
//! The edges come from the analyzer's walk in merged order, so they are those of
//! [`mmtrace_analyzer::rules`], and exact. 24 bytes each are kept twice, by lane: the earliest
//! [`EDGES_MAX`] of a log; [`Causality::is_partial`] says whether there were more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use mmtrace_analyzer::happens_before::{Step, SyncVisitor, walk};
use mmtrace_analyzer::order::{OrderGap, Trace};
use mmtrace_analyzer::rules::Rule;
use mmtrace_format::event::BlockReason;
use mmtrace_format::{EventKind, Log, ThreadId};

use super::{Engine, Moment};
use crate::index::Index;

/// Edges that are kept.
pub const EDGES_MAX: usize = 1 << 21;

/// Lanes whose knowledge is shown in words.
const KNOWN_SHOWN: usize = 12;

/// Spans that are gone through backwards for one that somebody made runnable.
const SPANS_BACK_MAX: usize = 1 << 16;

/// Logs with more edges than this have a moment's clock worked out only when it is shaded: it takes
/// all edges before the moment.
const EDGES_FOR_CLOCKS: usize = 1 << 15;

/// One end of an edge, as seen from the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct End {
    /// The place in the lane that this is kept under.
    here: u64,
    /// The other lane, and the place in it.
    lane: u32,
    rule: Rule,
    there: u64,
}

/// An edge between two lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Where it comes from.
    pub from: Moment,
    /// Where it goes to.
    pub to: Moment,
    /// Why: the rule that draws it; `None` if it is that the one made the other runnable, which the
    /// recorder saw, and orders nothing.
    pub rule: Option<Rule>,
}

impl Hop {
    /// What it is, in a word.
    pub fn name(&self) -> &'static str {
        self.rule.map_or("READY", Rule::name)
    }

    /// What it is, in a sentence.
    pub fn meaning(&self) -> &'static str {
        self.rule.map_or("the scheduler was told to let it go on", |rule| rule.row().meaning)
    }
}

/// All edges of a log.
#[derive(Debug, Default)]
pub struct Causality {
    /// By lane, by the place they arrive at.
    arriving: Vec<Vec<End>>,
    /// By lane, by the place they leave.
    leaving: Vec<Vec<End>>,
    count: usize,
    is_partial: bool,
    has_gaps: bool,
}

/// Up to which place each lane is known, or from which place on it knows: by lane.
pub type Cone = BTreeMap<usize, u64>;

struct Collector<'a> {
    index: &'a Index,
    edges: Causality,
}

impl SyncVisitor for Collector<'_> {
    fn visit(&mut self, step: &Step<'_>) {
        if step.edges.is_empty() {
            return;
        }
        let Some(to) = self.index.lane_of(step.at.thread) else { return };
        for edge in step.edges {
            let Some(from) = self.index.lane_of(edge.from.thread) else { continue };
            if self.edges.count == EDGES_MAX {
                self.edges.is_partial = true;
                return;
            }
            self.edges.count += 1;
            let (here, there, rule) = (step.at.index, edge.from.index, edge.rule);
            // Lanes are fewer than threads, which are u32.
            let arriving = End { here, lane: from as u32, rule, there };
            let leaving = End { here: there, lane: to as u32, rule, there: here };
            self.edges.arriving[to].push(arriving);
            self.edges.leaving[from].push(leaving);
        }
    }

    fn gap(&mut self, _: &OrderGap) {
        self.edges.has_gaps = true;
    }
}

impl Causality {
    /// Collects the edges of a log.
    pub fn of(log: &Log, index: &Index) -> Self {
        let lanes = index.lane_count();
        let mut edges = Self::default();
        edges.arriving.resize_with(lanes, Vec::new);
        edges.leaving.resize_with(lanes, Vec::new);
        let mut collector = Collector { index, edges };
        walk(&Trace::new(log), &mut collector);
        let mut edges = collector.edges;
        for ends in edges.arriving.iter_mut().chain(&mut edges.leaving) {
            ends.sort_by_key(|end| end.here);
            ends.shrink_to_fit();
        }
        edges
    }

    /// Whether only the earliest edges are here.
    pub fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// Whether the order of the log has holes.
    pub fn has_gaps(&self) -> bool {
        self.has_gaps
    }

    /// The last edge that arrives at a lane at or before a place: lane and place it comes from, and
    /// the place it arrives at. Of several that arrive at once, the one drawn last.
    fn last_arriving(&self, lane: usize, at: u64) -> Option<End> {
        let ends = self.arriving.get(lane)?;
        ends[..ends.partition_point(|end| end.here <= at)].last().copied()
    }

    /// The first edge that leaves a lane at or after a place.
    fn first_leaving(&self, lane: usize, at: u64) -> Option<End> {
        let ends = self.leaving.get(lane)?;
        ends.get(ends.partition_point(|end| end.here < at)).copied()
    }

    /// What happens before a place: for each other lane, its last place that does.
    pub fn past(&self, lane: usize, at: u64) -> Cone {
        let mut cone = Cone::new();
        let mut todo = VecDeque::from([(lane, at)]);
        while let Some((lane, at)) = todo.pop_front() {
            let known = cone.get(&lane).copied();
            if known.is_some_and(|known| known >= at) {
                continue;
            }
            let Some(ends) = self.arriving.get(lane) else { continue };
            cone.insert(lane, at);
            // What arrives at what was known already has been followed.
            let from = known.map_or(0, |known| ends.partition_point(|end| end.here <= known));
            for end in &ends[from..ends.partition_point(|end| end.here <= at)] {
                let other = end.lane as usize;
                if cone.get(&other).is_none_or(|&known| known < end.there) {
                    todo.push_back((other, end.there));
                }
            }
        }
        cone
    }

    /// What happens after a place: for each other lane, its first place that does.
    pub fn future(&self, lane: usize, at: u64) -> Cone {
        let mut cone = Cone::new();
        let mut todo = VecDeque::from([(lane, at)]);
        while let Some((lane, at)) = todo.pop_front() {
            if cone.get(&lane).is_some_and(|&known| known <= at) {
                continue;
            }
            let Some(ends) = self.leaving.get(lane) else { continue };
            let to = cone.insert(lane, at);
            let until = to.map_or(ends.len(), |to| ends.partition_point(|end| end.here < to));
            for end in &ends[ends.partition_point(|end| end.here < at).min(until)..until] {
                let other = end.lane as usize;
                if cone.get(&other).is_none_or(|&known| end.there < known) {
                    todo.push_back((other, end.there));
                }
            }
        }
        cone
    }
}

impl Engine<'_> {
    /// What let a lane go on, last before a place of it: an edge, or who made it runnable.
    pub fn cause(&mut self, lane: usize, at: u64) -> Option<Hop> {
        let edge = self.arriving(lane, at);
        let ready = self.readied(lane, at);
        // Of both at once the edge says more.
        [ready, edge].into_iter().flatten().max_by_key(|hop| hop.to.index)
    }

    fn arriving(&mut self, lane: usize, at: u64) -> Option<Hop> {
        let causality = self.causality.clone()?;
        let end = causality.last_arriving(lane, at)?;
        let (to, _) = self.moment_of(lane, end.here)?;
        let (from, _) = self.moment_of(end.lane as usize, end.there)?;
        Some(Hop { from, to, rule: Some(end.rule) })
    }

    /// Who made a lane runnable, last before a place of it.
    fn readied(&mut self, lane: usize, at: u64) -> Option<Hop> {
        let index = Arc::clone(&self.index);
        let facts = index.lane(lane);
        let (here, _) = self.moment_of(lane, at)?;
        let last = index.span_at(&facts, here.time_ns)?;
        let woken = |number: &usize| index.woken_by(&facts, *number).is_some();
        let number = (0..=last).rev().take(SPANS_BACK_MAX).find(woken)?;
        self.readying(lane, number).filter(|hop| hop.to.index <= at)
    }

    /// Who made a lane runnable when one of its spans began.
    fn readying(&mut self, lane: usize, number: usize) -> Option<Hop> {
        let index = Arc::clone(&self.index);
        let facts = index.lane(lane);
        let waker = index.lane_of(index.woken_by(&facts, number)?)?;
        let span = index.span(&facts, number);
        let from = self.event_where(waker, span.start_ns, |event| {
            event.kind == EventKind::Ready && event.value == u64::from(facts.thread.as_u32())
        })?;
        // The first thing that it did after that.
        let (before, record) = self.moment_at(lane, span.start_ns)?;
        let next = before.index + u64::from(record.time_ns() <= span.start_ns);
        let to = self.moment_of(lane, next).map_or(before, |(to, _)| to);
        Some(Hop { from, to, rule: None })
    }

    /// The first thing with which a lane lets another go on, at or after a place of it: an edge, or
    /// that it makes the other runnable.
    pub fn effect(&mut self, lane: usize, at: u64) -> Option<Hop> {
        let edge = self.leaving(lane, at);
        let ready = self.makes_ready(lane, at);
        [edge, ready].into_iter().flatten().min_by_key(|hop| hop.from.index)
    }

    fn leaving(&mut self, lane: usize, at: u64) -> Option<Hop> {
        let causality = self.causality.clone()?;
        let end = causality.first_leaving(lane, at)?;
        let (from, _) = self.moment_of(lane, end.here)?;
        let (to, _) = self.moment_of(end.lane as usize, end.there)?;
        Some(Hop { from, to, rule: Some(end.rule) })
    }

    fn makes_ready(&mut self, lane: usize, at: u64) -> Option<Hop> {
        let (from, event) = self.next_event(lane, at, |event| event.kind == EventKind::Ready)?;
        let target = self.index.lane_of(ThreadId::new(u32::try_from(event.value).ok()?))?;
        let index = Arc::clone(&self.index);
        let facts = index.lane(target);
        // The span that it begins, if it is what ended the wait.
        let number = index.span_at(&facts, from.time_ns)?;
        self.readying(target, number).filter(|hop| hop.from == from)
    }

    /// Who ended the wait that a lane is in: who made it runnable, if the recorder saw that; else
    /// the edge that is the last to come of those that arrive at the first event after the wait that
    /// has any. What came before the wait began did not end it, and nobody ends a sleep.
    pub fn waker_of(&mut self, lane: usize, time_ns: u64) -> Option<Hop> {
        let facts = self.index.lane(lane);
        let number = self.index.span_at(&facts, time_ns)?;
        let is_waiting = self.index.span(&facts, number).state.is_waiting();
        let next = number + usize::from(is_waiting);
        let is_there = next < self.index.span_count(&facts);
        let ready = is_there.then(|| self.readying(lane, next)).flatten();
        ready.or_else(|| self.waker_by_edges(lane, time_ns))
    }

    fn waker_by_edges(&mut self, lane: usize, time_ns: u64) -> Option<Hop> {
        /// Events after a wait among which the one that it was for is looked for.
        const NEAR: u64 = 3;
        let causality = self.causality.clone()?;
        let (block, event) = self.event_at(lane, time_ns)?;
        let is_block = event.kind == EventKind::Block;
        if is_block && BlockReason::from_detail(event.detail) == BlockReason::Sleep {
            return None;
        }
        let ends = causality.arriving.get(lane)?;
        let first = ends.partition_point(|end| end.here <= block.index);
        let here = ends.get(first)?.here;
        if here > block.index + NEAR {
            return None;
        }
        let arriving: Vec<End> =
            ends[first..].iter().take_while(|end| end.here == here).copied().collect();
        let (to, _) = self.moment_of(lane, here)?;
        let mut wakers: Vec<Hop> = Vec::new();
        for end in arriving {
            if let Some((from, _)) = self.moment_of(end.lane as usize, end.there) {
                wakers.push(Hop { from, to, rule: Some(end.rule) });
            }
        }
        let last = wakers.into_iter().max_by_key(|hop| hop.from.time_ns)?;
        (!is_block || last.from.time_ns >= block.time_ns).then_some(last)
    }

    /// What a moment knows of the other lanes: its vector clock in words.
    pub(crate) fn clock_lines(&mut self, moment: Option<Moment>) -> Vec<String> {
        let (Some(causality), Some(moment)) = (self.causality.clone(), moment) else {
            return Vec::new();
        };
        if causality.count > EDGES_FOR_CLOCKS {
            return Vec::new();
        }
        let past = causality.past(moment.lane, moment.index);
        let others: Vec<(usize, u64)> =
            past.into_iter().filter(|&(lane, _)| lane != moment.lane).collect();
        let count = others.len();
        let mut lines = Vec::new();
        for (lane, at) in others.into_iter().take(KNOWN_SHOWN) {
            let thread: ThreadId = self.index.lane(lane).thread;
            let when = self
                .moment_of(lane, at)
                .map_or(String::new(), |(moment, _)| format!(", {}", super::time(moment.time_ns)));
            lines.push(format!("{} up to {thread}#{at}{when}", self.lane_name(thread)));
        }
        if count > KNOWN_SHOWN {
            lines.push(format!("and {} more lanes", count - KNOWN_SHOWN));
        }
        if lines.is_empty() {
            lines.push("nothing of any other lane".to_owned());
        }
        lines
    }
}
