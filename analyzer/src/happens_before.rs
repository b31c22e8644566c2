//! Pass 1: sync events only, in merged order, lowered to operations on vector clocks.
//!
//! # Definition
//! `a` happens before `b` iff there is a path from `a` to `b` along the edges of
//! [`crate::rules::RULES`].
//!
//! # Algorithm and source
//! Vector clocks as in DJIT+ and `FastTrack` (Flanagan and Freund, PLDI 2009). Each object has a
//! state of its own kind (`objects`): what has been published to it and is still to be taken. An
//! event takes ([`VectorClock::join`]) and publishes (a shared copy of the thread's clock).
//!
//! # Where we differ
//! - A thread's own time ticks lazily: at the first access, or the first news, after something was
//!   published. So an epoch names exactly one state of the clock, and a join is skipped when the
//!   publisher's epoch is already known.
//! - Unlocks by a thread that does not hold the lock (Go allows it), read unlocks and `Done`s merge
//!   where a copy would lose an edge.
//! - Every edge can be asked for with the event it comes from: see [`Step::edges`].
//!
//! # What it cannot see
//! Order that no recorded event stands for: foreign code, shared memory between processes, signals.

mod atomics;
mod channel;
mod clocks;
mod lock;
mod lower;
mod objects;
mod publication;
mod rendezvous;

use mmtrace_format::Event;

use crate::clock::{Epoch, VectorClock};
use crate::order::{EventRef, Merge, MergeSink, OrderGap, Trace};
use crate::rules::Rule;

pub use lower::HappensBefore;

/// An edge of happens-before other than program order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The rule that draws it.
    pub rule: Rule,
    /// The event it comes from; it goes to the event of the step.
    pub from: EventRef,
    /// It is there by an accident of the implementation: real in this run, promised by nobody.
    pub weak: bool,
}

/// What a thread knows at some moment, itself included.
#[derive(Clone, Copy, Debug)]
pub struct Knowledge<'a> {
    /// The thread's own epoch; `None` as long as nobody could learn anything from it.
    pub epoch: Option<Epoch>,
    /// What it knows of all chains but its own.
    pub clock: &'a VectorClock,
}

impl Knowledge<'_> {
    /// Whether everything up to `epoch` happens before this moment, or is the same thread's past.
    pub fn knows(&self, epoch: Epoch) -> bool {
        match self.epoch {
            Some(own) if own.slot == epoch.slot => epoch.time <= own.time,
            _ => epoch.happens_before(self.clock),
        }
    }
}

/// One event of the sync lanes, in merged order.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Which event.
    pub at: EventRef,
    /// Its place in merged order, from 0: the same in every walk over the same log.
    pub position: u64,
    /// The event.
    pub event: &'a Event,
    /// What its thread knows after it.
    pub knows: Knowledge<'a>,
    /// The edges that arrive at it, program order aside. Edges from the same thread are left out.
    pub edges: &'a [Edge],
}

/// Sees every event of the sync lanes, in merged order.
pub trait SyncVisitor {
    /// The next event.
    fn visit(&mut self, step: &Step<'_>);

    /// A stretch of accesses of one thread, before its next event: `count` of them, the first being
    /// `first`, in `chunk`'s access lane from `offset` on.
    fn accesses(&mut self, first: EventRef, chunk: usize, offset: u32, count: u32) {
        let _ = (first, chunk, offset, count);
    }

    /// The order was not known here.
    fn gap(&mut self, gap: &OrderGap) {
        let _ = gap;
    }
}

/// Walks all sync lanes of a log in merged order, with clocks and edges.
///
/// Damage to parts of the log is told to [`SyncVisitor::gap`].
pub fn walk(trace: &Trace<'_>, visitor: &mut dyn SyncVisitor) {
    let state = HappensBefore::with_edges(trace);
    let mut walker = Walker { state, visitor, position: 0 };
    Merge::new(trace).run(&mut walker);
}

struct Walker<'t, 'v> {
    state: HappensBefore<'t>,
    visitor: &'v mut dyn SyncVisitor,
    position: u64,
}

impl MergeSink for Walker<'_, '_> {
    fn event(&mut self, dense: usize, at: EventRef, event: &Event) {
        self.state.event(dense, at, event);
        let knows = self.state.knowledge(dense);
        let edges = self.state.edges();
        self.visitor.visit(&Step { at, position: self.position, event, knows, edges });
        self.position += 1;
    }

    fn accesses(&mut self, dense: usize, first: EventRef, chunk: usize, offset: u32, count: u32) {
        self.state.access(dense);
        self.visitor.accesses(first, chunk, offset, count);
    }

    fn thread_done(&mut self, dense: usize) {
        self.state.thread_done(dense);
    }

    fn gap(&mut self, gap: &OrderGap) {
        self.state.gap(gap);
        self.visitor.gap(gap);
    }
}

#[cfg(test)]
mod tests;
