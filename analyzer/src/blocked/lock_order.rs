//! Locks that are taken in circular order.
//!
//! # Definition
//! An edge says that a thread took one lock while it held another. A cycle of edges may deadlock
//! if its threads are all different, no lock that is held around two of its edges (a *gate*) is the
//! same, no two of its edges are ordered by the starting and joining of threads, and each lock of it
//! is not only read on both sides.
//!
//! # Algorithm and source
//! Goodlock (Havelund, SPIN 2000) with the gates, the single-thread rule and the segments of
//! Bensalem and Havelund (PADTAD 2005): one clock for each thread that only spawns and joins tick.
//! Cycles are searched from their smallest lock, up to [`CYCLE_LEN_MAX`] edges.
//!
//! # What it cannot see
//! A reader that waits behind a waiting writer. Order that a condition or a channel enforces: such a
//! cycle is reported though it cannot happen.

use std::collections::{BTreeMap, HashMap, HashSet};

use mmtrace_format::{Address, Event, EventKind, StackId, ThreadId};

use super::LockMode;
use crate::clock::{Epoch, Slot, VectorClock};
use crate::hash::FastHash;
use crate::order::{EventRef, Trace};

/// The most edges of a cycle that is searched for.
pub const CYCLE_LEN_MAX: usize = 5;

/// The most edges that are remembered, and steps that the search takes: what lies beyond is missed.
const EDGES_MAX: usize = 1 << 20;
const STEPS_MAX: usize = 1 << 22;

/// A thread that took one lock while it held another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockEdge {
    /// The lock that it held.
    pub held: Address,
    /// Where it had taken that.
    pub held_at: EventRef,
    /// The same as a place in the program.
    pub held_stack: StackId,
    /// The lock that it took.
    pub taken: Address,
    /// Where it took that.
    pub taken_at: EventRef,
    /// The same as a place in the program.
    pub taken_stack: StackId,
}

/// Locks taken in circular order: each edge takes what the next one holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockCycle {
    /// The edges, the smallest held lock first.
    pub edges: Vec<LockEdge>,
    /// How many cycles there are at these places of the program.
    pub count: u64,
}

/// Which lock: an address, until its memory is used for something else.
type LockNumber = u32;

#[derive(Clone, Debug)]
struct Held {
    mode: LockMode,
    address: u64,
    at: EventRef,
    stack: StackId,
}

#[derive(Debug)]
struct Edge {
    dense: usize,
    held: LockNumber,
    held_mode: LockMode,
    taken: LockNumber,
    taken_mode: LockMode,
    /// All locks that were held, ascending, `held` included.
    gates: Vec<LockNumber>,
    epoch: Epoch,
    clock: VectorClock,
    shown: LockEdge,
}

impl Edge {
    /// Whether two edges can be part of one deadlock.
    fn can_meet(&self, other: &Self) -> bool {
        self.dense != other.dense
            && !self.gates.iter().any(|gate| other.gates.binary_search(gate).is_ok())
            && !self.epoch.happens_before(&other.clock)
            && !other.epoch.happens_before(&self.clock)
    }

    /// Whether it waits for what `next` holds.
    fn waits_for(&self, next: &Self) -> bool {
        self.taken == next.held
            && !(self.taken_mode == LockMode::Shared && next.held_mode == LockMode::Shared)
    }
}

/// What each thread knows of others by starting and joining alone, and what it holds.
#[derive(Debug, Default)]
struct Thread {
    held: Vec<Held>,
    clock: VectorClock,
    time: u32,
    spawned: VectorClock,
}

/// The lock-order graph, as it grows.
#[derive(Debug)]
pub(super) struct LockOrder<'t> {
    trace: &'t Trace<'t>,
    threads: Vec<Thread>,
    numbers: BTreeMap<u64, LockNumber>,
    lock_count: LockNumber,
    edges: Vec<Edge>,
    known: HashSet<(usize, LockNumber, LockNumber, u32, Vec<LockNumber>), FastHash>,
}

impl<'t> LockOrder<'t> {
    pub(super) fn new(trace: &'t Trace<'t>) -> Self {
        let mut threads = Vec::new();
        threads.resize_with(trace.threads().len(), || Thread { time: 1, ..Thread::default() });
        Self {
            trace,
            threads,
            numbers: BTreeMap::new(),
            lock_count: 0,
            edges: Vec::new(),
            known: HashSet::default(),
        }
    }

    pub(super) fn event(&mut self, dense: usize, at: EventRef, event: &Event) {
        match event.kind {
            EventKind::MutexLock | EventKind::WriteLock => {
                self.lock(dense, at, event, LockMode::Exclusive);
            }
            EventKind::ReadLock => self.lock(dense, at, event, LockMode::Shared),
            EventKind::MutexUnlock | EventKind::WriteUnlock | EventKind::ReadUnlock => {
                self.unlock(dense, event.object);
            }
            EventKind::Spawn | EventKind::Start | EventKind::Join => self.flow(dense, event),
            EventKind::Alloc | EventKind::Retire => self.renew(event.object, event.value),
            _ => {}
        }
    }

    fn lock(&mut self, dense: usize, at: EventRef, event: &Event, mode: LockMode) {
        let thread = &mut self.threads[dense];
        let by_trying = event.detail & 1 != 0;
        if !by_trying && !thread.held.is_empty() {
            // Only locks that are taken inside of each other need numbers: most never are.
            let (numbers, count) = (&mut self.numbers, &mut self.lock_count);
            let mut number = |address| {
                let number = *numbers.entry(address).or_insert(*count);
                *count += u32::from(number == *count);
                number
            };
            let held: Vec<(LockNumber, &Held)> =
                thread.held.iter().map(|held| (number(held.address), held)).collect();
            let lock = number(event.object);
            let mut gates: Vec<LockNumber> = held.iter().map(|&(lock, _)| lock).collect();
            gates.sort_unstable();
            gates.dedup();
            let slot = Slot::new(u32::try_from(dense).expect("threads have 32-bit numbers"));
            for &(held_lock, held) in held.iter().filter(|&&(held, _)| held != lock) {
                let key = (dense, held_lock, lock, thread.time, gates.clone());
                if self.edges.len() == EDGES_MAX || !self.known.insert(key) {
                    continue;
                }
                self.edges.push(Edge {
                    dense,
                    held: held_lock,
                    held_mode: held.mode,
                    taken: lock,
                    taken_mode: mode,
                    gates: gates.clone(),
                    epoch: Epoch { slot, time: thread.time },
                    clock: thread.clock.clone(),
                    shown: LockEdge {
                        held: Address(held.address),
                        held_at: held.at,
                        held_stack: held.stack,
                        taken: Address(event.object),
                        taken_at: at,
                        taken_stack: event.stack,
                    },
                });
            }
        }
        thread.held.push(Held { mode, address: event.object, at, stack: event.stack });
    }

    fn unlock(&mut self, dense: usize, object: u64) {
        let own = &mut self.threads[dense].held;
        if let Some(place) = own.iter().rposition(|held| held.address == object) {
            own.remove(place);
            return;
        }
        // Go lets a thread unlock what another has locked.
        for thread in &mut self.threads {
            if let Some(place) = thread.held.iter().rposition(|held| held.address == object) {
                thread.held.remove(place);
                return;
            }
        }
    }

    fn flow(&mut self, dense: usize, event: &Event) {
        if event.kind == EventKind::Start {
            let spawned = std::mem::take(&mut self.threads[dense].spawned);
            self.threads[dense].clock.join(&spawned);
            return;
        }
        let child = u32::try_from(event.value).ok().map(ThreadId::new);
        let Some(child) = child.and_then(|child| self.trace.dense(child)) else { return };
        let slot_of = |dense| Slot::new(u32::try_from(dense).expect("as above"));
        if event.kind == EventKind::Spawn {
            let parent = &mut self.threads[dense];
            let mut clock = parent.clock.clone();
            clock.learn(Epoch { slot: slot_of(dense), time: parent.time });
            parent.time = parent.time.saturating_add(1);
            self.threads[child].spawned = clock;
        } else {
            let ended = &self.threads[child];
            let (clock, time) = (ended.clock.clone(), ended.time);
            let parent = &mut self.threads[dense];
            parent.clock.join(&clock);
            parent.clock.learn(Epoch { slot: slot_of(child), time });
            // What was locked before the join is not ordered after the child.
            parent.time = parent.time.saturating_add(1);
        }
    }

    /// Locks in this memory are other locks from here on.
    fn renew(&mut self, start: u64, len: u64) {
        let end = start.saturating_add(len);
        let gone: Vec<u64> = self.numbers.range(start..end).map(|(&address, _)| address).collect();
        for address in gone {
            self.numbers.remove(&address);
        }
    }

    /// All cycles, one for each set of places in the program.
    pub(super) fn cycles(&self) -> Vec<LockCycle> {
        let mut by_held: HashMap<LockNumber, Vec<usize>, FastHash> = HashMap::default();
        for (number, edge) in self.edges.iter().enumerate() {
            by_held.entry(edge.held).or_default().push(number);
        }
        let mut search = Search {
            edges: &self.edges,
            by_held,
            path: Vec::new(),
            steps: 0,
            found: BTreeMap::new(),
        };
        for first in 0..self.edges.len() {
            search.path.push(first);
            search.extend();
            search.path.pop();
        }
        let mut cycles: Vec<LockCycle> = search.found.into_values().collect();
        cycles.sort_by_key(|cycle| cycle.edges.first().map(|edge| edge.held_at));
        cycles
    }
}

struct Search<'e> {
    edges: &'e [Edge],
    by_held: HashMap<LockNumber, Vec<usize>, FastHash>,
    path: Vec<usize>,
    steps: usize,
    /// By the places of the edges.
    found: BTreeMap<Vec<(StackId, StackId)>, LockCycle>,
}

impl Search<'_> {
    fn extend(&mut self) {
        let edges = self.edges;
        let (Some(&first), Some(&last)) = (self.path.first(), self.path.last()) else { return };
        let Some(candidates) = self.by_held.get(&edges[last].taken).cloned() else { return };
        for next in candidates {
            self.steps += 1;
            if self.steps > STEPS_MAX {
                return;
            }
            let edge = &edges[next];
            // A cycle is found from its smallest lock only.
            let is_fit = edge.held > edges[first].held
                && edges[last].waits_for(edge)
                && self.path.iter().all(|&other| edges[other].can_meet(edge));
            if !is_fit {
                continue;
            }
            self.path.push(next);
            if edge.waits_for(&edges[first]) {
                self.report();
            } else if self.path.len() < CYCLE_LEN_MAX {
                self.extend();
            }
            self.path.pop();
        }
    }

    fn report(&mut self) {
        let shown: Vec<LockEdge> = self.path.iter().map(|&edge| self.edges[edge].shown).collect();
        let mut places: Vec<(StackId, StackId)> =
            shown.iter().map(|edge| (edge.held_stack, edge.taken_stack)).collect();
        places.sort_unstable();
        self.found.entry(places).or_insert(LockCycle { edges: shown, count: 0 }).count += 1;
    }
}
