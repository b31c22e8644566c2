//! For any two events: whether one happens before the other, and by what.
//!
//! # Definition
//! `a` happens before `b` iff a path of edges leads from `a` to `b`: see [`crate::rules`]. An edge
//! that is shown is one that the log proves; program order is shown as the rule `PO`.
//!
//! # Algorithm
//! One walk in merged order spreads two marks, one from each event: a thread is marked from the
//! first edge on that leaves a marked place. The first edge into a thread is the earliest one, so
//! one edge a thread is enough to find the path again. If no mark arrives, the same walk has noted
//! what each side published and took nearest to its event; its edges, gone through backwards, say
//! what each side knows, and a second walk finds the last event that both know. Memory is O(threads)
//! and at most [`EDGES_MAX`] edges, the latest ones.
//!
//! # What it cannot see
//! What the analyzer cannot: order that no recorded event stands for.

mod describe;
pub mod text;

use std::collections::{HashMap, VecDeque};

use mmtrace_format::{Access, Event, ThreadId};

use crate::context::{acquires, releases};
use crate::happens_before::{Edge, Step, SyncVisitor, walk};
use crate::order::{EventRef, OrderGap, Trace};
use crate::rules::Rule;

/// What happened at a place of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An event of the sync lane.
    Event(Event),
    /// A memory access.
    Access(Access),
}

/// An event with what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Which.
    pub at: EventRef,
    /// What happened there.
    pub what: What,
}

/// A step on the path from one event to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathEdge {
    /// The rule that draws it.
    pub rule: Rule,
    /// Where it leaves.
    pub from: Moment,
    /// Where it arrives.
    pub to: Moment,
    /// It is there by an accident of the implementation: promised by nobody.
    pub weak: bool,
}

/// How two events are ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They are one.
    Same,
    /// The first happens before the second, along this path.
    Before(Vec<PathEdge>),
    /// The second happens before the first, along this path.
    After(Vec<PathEdge>),
    /// Neither happens before the other.
    Concurrent(Box<NearMiss>),
}

/// What comes nearest to an edge between two concurrent events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NearMiss {
    /// What the first side published first after its event.
    pub first_release: Option<Moment>,
    /// What the second side took last before its event.
    pub second_acquire: Option<Moment>,
    /// What the second side published first after its event.
    pub second_release: Option<Moment>,
    /// What the first side took last before its event.
    pub first_acquire: Option<Moment>,
    /// The last event, in merged order, that both sides know of.
    pub common_past: Option<Moment>,
}

/// The answer about two events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The first event.
    pub first: Moment,
    /// The second event.
    pub second: Moment,
    /// How they are ordered.
    pub relation: Relation,
    /// Whether the order of the log has holes: "concurrent" may then be for want of events.
    pub has_gaps: bool,
}

/// An event cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The log has no such event.
    #[error("the log has no event {event}: {}", match len {
        0 => "there is no such thread".to_owned(),
        len => format!("that thread ends with {}#{}", event.thread, len - 1),
    })]
    NoSuchEvent {
        /// The event asked for.
        event: EventRef,
        /// How many events and accesses its thread has.
        len: u64,
    },
}

/// What happened at a place of a thread; `None` if the log does not have it.
pub fn moment(trace: &Trace<'_>, at: EventRef) -> Option<What> {
    describe::moments(trace, &[at]).remove(&at)
}

/// Says how two events are ordered, and why.
///
/// # Errors
/// [`ExplainError::NoSuchEvent`] if the log does not have one of them.
pub fn explain(
    trace: &Trace<'_>,
    first: EventRef,
    second: EventRef,
) -> Result<Explanation, ExplainError> {
    let marks = [Mark::new(first), Mark::new(second)];
    let mut spread = Spread { marks, edges: VecDeque::new(), has_gaps: false };
    walk(trace, &mut spread);
    let [from_first, from_second] = &spread.marks;
    let relation = if first == second {
        Found::Same
    } else if let Some(path) = from_first.path_to(second) {
        Found::Before(path)
    } else if let Some(path) = from_second.path_to(first) {
        Found::After(path)
    } else {
        let pasts = [spread.past_of(first), spread.past_of(second)];
        let mut common = CommonPast { pasts, last: None };
        walk(trace, &mut common);
        Found::Concurrent(common.last)
    };
    let has_gaps = spread.has_gaps;
    relation.describe(trace, &spread.marks, has_gaps)
}

/// The relation before its events are looked up.
enum Found {
    Same,
    Before(Vec<Hop>),
    After(Vec<Hop>),
    Concurrent(Option<EventRef>),
}

#[derive(Clone, Copy, Debug)]
struct Hop {
    rule: Rule,
    from: EventRef,
    to: EventRef,
    weak: bool,
}

impl Found {
    fn describe(
        self,
        trace: &Trace<'_>,
        marks: &[Mark; 2],
        has_gaps: bool,
    ) -> Result<Explanation, ExplainError> {
        let [first, second] = marks;
        let mut wanted = vec![first.event, second.event];
        match &self {
            Self::Same => {}
            Self::Before(path) | Self::After(path) => {
                wanted.extend(path.iter().flat_map(|hop| [hop.from, hop.to]));
            }
            Self::Concurrent(common) => {
                let near = marks.iter().flat_map(|mark| [mark.release, mark.acquire]);
                wanted.extend(near.chain([*common]).flatten());
            }
        }
        let found = describe::moments(trace, &wanted);
        let moment = |at: EventRef| match found.get(&at) {
            Some(&what) => Ok(Moment { at, what }),
            None => {
                Err(ExplainError::NoSuchEvent { event: at, len: describe::len(trace, at.thread) })
            }
        };
        let maybe = |at: Option<EventRef>| at.map(moment).transpose();
        let path = |hops: Vec<Hop>| -> Result<Vec<PathEdge>, ExplainError> {
            hops.into_iter()
                .map(|Hop { rule, from, to, weak }| {
                    Ok(PathEdge { rule, from: moment(from)?, to: moment(to)?, weak })
                })
                .collect()
        };
        Ok(Explanation {
            first: moment(first.event)?,
            second: moment(second.event)?,
            relation: match self {
                Self::Same => Relation::Same,
                Self::Before(hops) => Relation::Before(path(hops)?),
                Self::After(hops) => Relation::After(path(hops)?),
                Self::Concurrent(common) => Relation::Concurrent(Box::new(NearMiss {
                    first_release: maybe(first.release)?,
                    second_acquire: maybe(second.acquire)?,
                    second_release: maybe(second.release)?,
                    first_acquire: maybe(first.acquire)?,
                    common_past: maybe(common)?,
                })),
            },
            has_gaps,
        })
    }
}

/// What one event reaches, and what is near it.
#[derive(Debug)]
struct Mark {
    event: EventRef,
    /// For each marked thread but the event's own, the first edge that marks it, and where to.
    reached: HashMap<ThreadId, (Edge, EventRef)>,
    release: Option<EventRef>,
    acquire: Option<EventRef>,
}

impl Mark {
    fn new(event: EventRef) -> Self {
        Self { event, reached: HashMap::new(), release: None, acquire: None }
    }

    /// From where on a thread is marked.
    fn from(&self, thread: ThreadId) -> Option<u64> {
        if thread == self.event.thread {
            return Some(self.event.index);
        }
        Some(self.reached.get(&thread)?.1.index)
    }

    fn spread(&mut self, step: &Step<'_>) {
        if self.from(step.at.thread).is_some() {
            return;
        }
        let leaves_mark = |edge: &&Edge| {
            self.from(edge.from.thread).is_some_and(|marked| marked <= edge.from.index)
        };
        if let Some(&edge) = step.edges.iter().find(leaves_mark) {
            self.reached.insert(step.at.thread, (edge, step.at));
        }
    }

    fn look_around(&mut self, step: &Step<'_>) {
        if step.at.thread != self.event.thread {
            return;
        }
        if step.at.index < self.event.index && acquires(step.at, step.event) {
            self.acquire = Some(step.at);
        }
        if step.at.index > self.event.index && self.release.is_none() && releases(step.event) {
            self.release = Some(step.at);
        }
    }

    /// The path to an event that is marked, program order included.
    fn path_to(&self, to: EventRef) -> Option<Vec<Hop>> {
        if self.from(to.thread)? > to.index {
            return None;
        }
        let mut path = Vec::new();
        let mut at = to;
        while at.thread != self.event.thread {
            let &(edge, arrives) = self.reached.get(&at.thread)?;
            path.extend(program_order(arrives, at));
            path.push(Hop { rule: edge.rule, from: edge.from, to: arrives, weak: edge.weak });
            at = edge.from;
        }
        path.extend(program_order(self.event, at));
        path.reverse();
        Some(path)
    }
}

fn program_order(from: EventRef, to: EventRef) -> Option<Hop> {
    (from != to).then_some(Hop { rule: Rule::ProgramOrder, from, to, weak: false })
}

/// How many edges are kept, 24 bytes each. What is known through older ones alone is not found.
pub const EDGES_MAX: usize = 1 << 22;

/// The first walk.
#[derive(Debug)]
struct Spread {
    marks: [Mark; 2],
    /// In merged order.
    edges: VecDeque<Arrow>,
    has_gaps: bool,
}

/// An edge between two threads.
#[derive(Clone, Copy, Debug)]
struct Arrow {
    from_thread: ThreadId,
    to_thread: ThreadId,
    from: u64,
    to: u64,
}

impl SyncVisitor for Spread {
    fn visit(&mut self, step: &Step<'_>) {
        for mark in &mut self.marks {
            mark.spread(step);
            mark.look_around(step);
        }
        for edge in step.edges {
            if self.edges.len() == EDGES_MAX {
                self.edges.pop_front();
            }
            self.edges.push_back(Arrow {
                from_thread: edge.from.thread,
                to_thread: step.at.thread,
                from: edge.from.index,
                to: step.at.index,
            });
        }
    }

    fn gap(&mut self, _gap: &OrderGap) {
        self.has_gaps = true;
    }
}

impl Spread {
    /// What happens before an event: for each thread, the last place of it that does.
    fn past_of(&self, event: EventRef) -> HashMap<ThreadId, u64> {
        let mut past = HashMap::new();
        if let Some(before) = event.index.checked_sub(1) {
            past.insert(event.thread, before);
        }
        // What arrives at the event itself is known to it.
        let arrives_in_past = |past: &HashMap<ThreadId, u64>, arrow: &Arrow| {
            (arrow.to_thread == event.thread && arrow.to <= event.index)
                || past.get(&arrow.to_thread).is_some_and(|&last| arrow.to <= last)
        };
        for arrow in self.edges.iter().rev() {
            if arrives_in_past(&past, arrow) {
                let last = past.entry(arrow.from_thread).or_insert(arrow.from);
                *last = arrow.from.max(*last);
            }
        }
        past
    }
}

/// The second walk: the last publishing event that both sides know of.
struct CommonPast {
    pasts: [HashMap<ThreadId, u64>; 2],
    last: Option<EventRef>,
}

impl SyncVisitor for CommonPast {
    fn visit(&mut self, step: &Step<'_>) {
        let is_in = |past: &HashMap<ThreadId, u64>| {
            past.get(&step.at.thread).is_some_and(|&last| step.at.index <= last)
        };
        if releases(step.event) && self.pasts.iter().all(is_in) {
            self.last = Some(step.at);
        }
    }
}
