//! Who waits for ever, and who nearly did.
//!
//! # Definition
//! A thread is *blocked* if the log ends while it waits. Blocked threads are *deadlocked* if none of
//! them can go on unless another of them does: a thread that waits for a lock needs all that hold
//! it, any other needs one of those who ever used what it waits for. A *lock-order cycle* is what
//! may become a deadlock in another run: locks that several threads take in circular order.
//!
//! # Algorithm and source
//! One walk over the sync lanes in merged order keeps what each thread holds and waits for. The
//! deadlocked threads are the greatest set that satisfies the definition, found by taking out who
//! can go on until nobody can (Knapp, "Deadlock detection in distributed databases", 1987: AND waits
//! for locks, OR waits for the rest). Lock order: [`lock_order`].
//!
//! # Where we differ
//! Waiting for time, the network or the system is not deadlock, however long it takes.
//!
//! # What it cannot see
//! A thread that would have woken another but never touched the object before. Waits that the
//! recorder was not told of.

pub mod lock_order;
pub mod sets;
pub mod still;

use std::collections::HashMap;

use mmtrace_format::event::{BlockReason, EventGroup};
use mmtrace_format::{Address, Event, EventKind, StackId, Timestamp};

use crate::hash::FastHash;
use crate::order::{EventRef, Merge, MergeSink, OrderGap, Trace};
use lock_order::{LockCycle, LockOrder};

/// Users of one object that are remembered as those who might wake its waiters.
const USERS_MAX: usize = 64;

/// A thread that was waiting when the log ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockedThread {
    /// The event with which it began to wait.
    pub at: EventRef,
    /// When.
    pub since: Timestamp,
    /// Where.
    pub stack: StackId,
    /// What it waits for.
    pub reason: BlockReason,
    /// The object that it waits on; 0 if unknown.
    pub object: Address,
    /// Who could let it go on, ascending: the holders of a lock, otherwise the living threads that
    /// ever used the object.
    pub wakers: Vec<Waker>,
    /// Whether it is in a set of threads that wait for each other only.
    pub is_deadlocked: bool,
}

/// A thread that could let another go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waker {
    /// Its last event on the object: where it took the lock, or used the channel.
    pub at: EventRef,
    /// Where in the program that is.
    pub stack: StackId,
}

/// All that waits, or might have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// The threads that were waiting when the log ended, by thread.
    pub threads: Vec<BlockedThread>,
    /// Deadlocks: each thread waits for a lock that the next one holds, and the last for one of the
    /// first's. Indices into `threads`, the smallest first.
    pub deadlocks: Vec<Vec<usize>>,
    /// Locks taken in circular order, by the first event of their first edge.
    pub lock_cycles: Vec<LockCycle>,
}

/// Finds all that waits, or might have.
pub fn find(trace: &Trace<'_>) -> Blocked {
    let mut watch = Watch::new(trace);
    Merge::new(trace).run(&mut watch);
    watch.finish()
}

/// How a lock is held, or wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockMode {
    /// By one thread alone.
    Exclusive,
    /// By any number of readers.
    Shared,
}

#[derive(Debug, Default)]
struct Thread {
    wait: Option<(EventRef, Event)>,
    is_over: bool,
}

/// What each thread holds and waits for, at some moment.
#[derive(Debug)]
pub struct Watch<'t> {
    trace: &'t Trace<'t>,
    threads: Vec<Thread>,
    /// By lock: who holds it.
    holders: HashMap<u64, Vec<(usize, Waker)>, FastHash>,
    /// By any other object: who used it.
    users: HashMap<u64, Vec<(usize, Waker)>, FastHash>,
    order: LockOrder<'t>,
}

impl<'t> Watch<'t> {
    /// Nobody waits, and nothing is held.
    pub fn new(trace: &'t Trace<'t>) -> Self {
        let mut threads = Vec::new();
        threads.resize_with(trace.threads().len(), Thread::default);
        let (holders, users) = (HashMap::default(), HashMap::default());
        Self { trace, threads, holders, users, order: LockOrder::new(trace) }
    }

    fn used(&mut self, dense: usize, waker: Waker, object: u64) {
        let users = self.users.entry(object).or_default();
        if let Some(known) = users.iter().position(|(user, _)| *user == dense) {
            users[known].1 = waker;
        } else if users.len() < USERS_MAX {
            users.push((dense, waker));
        }
    }

    /// Who could let a waiting thread go on, with their dense numbers.
    fn wakers(&self, dense: usize, wait: &Event) -> Vec<(usize, Waker)> {
        let reason = BlockReason::from_detail(wait.detail);
        if reason == BlockReason::Join {
            // The object of a join is the thread it waits for.
            let child = u32::try_from(wait.object).ok().map(mmtrace_format::ThreadId::new);
            let Some(child) = child.and_then(|child| self.trace.dense(child)) else {
                return Vec::new();
            };
            let at = EventRef { thread: self.trace.threads()[child], index: 0 };
            return vec![(child, Waker { at, stack: StackId::UNKNOWN })];
        }
        if wait.object == 0 {
            // What it waits for is not known: not the same as what others wait for.
            return Vec::new();
        }
        let of = if needs_all(reason) { &self.holders } else { &self.users };
        let mut wakers: Vec<(usize, Waker)> = of
            .get(&wait.object)
            .into_iter()
            .flatten()
            .copied()
            .filter(|&(waker, _)| !self.threads[waker].is_over)
            // Who holds a mutex and locks it again waits for itself.
            .filter(|&(waker, _)| waker != dense || needs_all(reason))
            .collect();
        wakers.sort_unstable_by_key(|&(_, waker)| waker);
        wakers
    }

    /// What was found, at the end of the walk.
    pub fn finish(self) -> Blocked {
        let waiting: Vec<(usize, EventRef, Event)> = self
            .threads
            .iter()
            .enumerate()
            .filter_map(|(dense, thread)| thread.wait.map(|(at, event)| (dense, at, event)))
            .collect();
        let wakers: Vec<Vec<(usize, Waker)>> =
            waiting.iter().map(|(dense, _, event)| self.wakers(*dense, event)).collect();
        let places: HashMap<usize, usize> =
            waiting.iter().enumerate().map(|(place, (dense, ..))| (*dense, place)).collect();
        let needs: Vec<Vec<Option<usize>>> = wakers
            .iter()
            .map(|wakers| wakers.iter().map(|(dense, _)| places.get(dense).copied()).collect())
            .collect();
        let reasons: Vec<BlockReason> =
            waiting.iter().map(|(.., event)| BlockReason::from_detail(event.detail)).collect();
        let deadlocked = deadlocked(&reasons, &needs);
        let threads = waiting
            .iter()
            .zip(wakers)
            .zip(&deadlocked)
            .map(|(((_, at, event), wakers), &is_deadlocked)| BlockedThread {
                at: *at,
                since: event.time,
                stack: event.stack,
                reason: BlockReason::from_detail(event.detail),
                object: Address(event.object),
                wakers: wakers.into_iter().map(|(_, waker)| waker).collect(),
                is_deadlocked,
            })
            .collect();
        let deadlocks = cycles(&reasons, &needs, &deadlocked);
        Blocked { threads, deadlocks, lock_cycles: self.order.cycles() }
    }
}

/// Whether all that hold the object must let go of it; otherwise one of its users is enough.
fn needs_all(reason: BlockReason) -> bool {
    matches!(
        reason,
        BlockReason::Mutex | BlockReason::ReadLock | BlockReason::WriteLock | BlockReason::Join
    )
}

/// Whether only another thread of the program can end such a wait.
fn is_for_threads(reason: BlockReason) -> bool {
    !matches!(
        reason,
        BlockReason::Unknown
            | BlockReason::Sleep
            | BlockReason::Io
            | BlockReason::Syscall
            | BlockReason::GarbageCollector
    )
}

/// For each waiting thread whether it is deadlocked: the greatest set of which nobody can go on.
/// `needs` has for each its wakers, as places among the waiting; `None` is one that does not wait.
///
/// Whoever can go on is taken out, and then only those are asked again who need it.
fn deadlocked(reasons: &[BlockReason], needs: &[Vec<Option<usize>>]) -> Vec<bool> {
    let mut stuck: Vec<bool> = reasons.iter().map(|&reason| is_for_threads(reason)).collect();
    let mut needed_by = vec![Vec::new(); needs.len()];
    for (place, needs) in needs.iter().enumerate() {
        for &need in needs.iter().flatten() {
            needed_by[need].push(place);
        }
    }
    let can_go = |stuck: &[bool], place: usize| {
        let is_stuck = |need: &Option<usize>| need.is_some_and(|need| stuck[need]);
        if reasons[place] == BlockReason::NilChannel {
            false
        } else if needs_all(reasons[place]) {
            !needs[place].iter().any(is_stuck)
        } else {
            // Nobody who ever used it: somebody might yet, and we do not know who.
            needs[place].is_empty() || !needs[place].iter().all(is_stuck)
        }
    };
    let mut asked: Vec<usize> = (0..needs.len()).collect();
    while let Some(place) = asked.pop() {
        if stuck[place] && can_go(&stuck, place) {
            stuck[place] = false;
            asked.extend(&needed_by[place]);
        }
    }
    stuck
}

/// The cycles of deadlocked threads that wait for each other's locks.
fn cycles(
    reasons: &[BlockReason],
    needs: &[Vec<Option<usize>>],
    deadlocked: &[bool],
) -> Vec<Vec<usize>> {
    let next = |place: usize| {
        let waits = deadlocked[place] && needs_all(reasons[place]);
        let mut stuck = needs[place].iter().flatten().filter(|&&need| deadlocked[need]);
        waits.then(|| stuck.next().copied()).flatten()
    };
    let mut cycles = Vec::new();
    // Each place has one next: who is met twice from the same start is on a cycle.
    let mut visited_from = vec![usize::MAX; needs.len()];
    for start in 0..needs.len() {
        let mut place = start;
        while visited_from[place] == usize::MAX {
            visited_from[place] = start;
            let Some(after) = next(place) else { break };
            if visited_from[after] == start {
                let mut cycle = vec![after];
                let mut member = next(after);
                while let Some(other) = member.filter(|&other| other != after) {
                    cycle.push(other);
                    member = next(other);
                }
                let first = cycle.iter().enumerate().min_by_key(|(_, place)| **place);
                let first = first.map_or(0, |(index, _)| index);
                cycle.rotate_left(first);
                cycles.push(cycle);
                break;
            }
            place = after;
        }
    }
    cycles
}

impl MergeSink for Watch<'_> {
    fn event(&mut self, dense: usize, at: EventRef, event: &Event) {
        use EventKind as Kind;

        self.threads[dense].wait = None;
        let waker = Waker { at, stack: event.stack };
        match event.kind {
            Kind::Block => self.threads[dense].wait = Some((at, *event)),
            Kind::Ready => {
                let ready = u32::try_from(event.value).ok().map(mmtrace_format::ThreadId::new);
                if let Some(ready) = ready.and_then(|ready| self.trace.dense(ready)) {
                    self.threads[ready].wait = None;
                }
            }
            Kind::End => self.threads[dense].is_over = true,
            Kind::MutexLock | Kind::WriteLock | Kind::ReadLock => {
                self.holders.entry(event.object).or_default().push((dense, waker));
            }
            Kind::MutexUnlock | Kind::WriteUnlock | Kind::ReadUnlock => {
                if let Some(holders) = self.holders.get_mut(&event.object) {
                    // Go lets a thread unlock what another has locked.
                    let own = holders.iter().rposition(|(holder, _)| *holder == dense);
                    if !holders.is_empty() {
                        holders.remove(own.unwrap_or(holders.len() - 1));
                    }
                }
            }
            kind if matches!(kind.spec().group, EventGroup::Channel | EventGroup::Rendezvous) => {
                self.used(dense, waker, event.object);
            }
            _ => {}
        }
        self.order.event(dense, at, event);
    }

    fn accesses(&mut self, dense: usize, _: EventRef, _: usize, _: u32, _: u32) {
        self.threads[dense].wait = None;
    }

    fn thread_done(&mut self, _: usize) {}

    fn gap(&mut self, _: &OrderGap) {}
}

#[cfg(test)]
mod tests;
