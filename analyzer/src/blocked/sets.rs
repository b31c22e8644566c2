//! Deadlocked threads, taken apart into those that have to do with each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mmtrace_format::ThreadId;
use mmtrace_format::event::BlockReason;

use super::Blocked;
use crate::finding::grouping::{leader, unite};

/// Threads that wait for each other only, as places among the blocked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StuckSet {
    /// Who closes the circle first, in its order; then those that wait behind it.
    pub members: Vec<usize>,
    /// Whether they are in the way of the program: they hold each other's locks, or the main thread
    /// is one of them. What a program leaves waiting when it ends need not be a mistake, nor is a
    /// main thread that has nothing more to do than to wait for ever (`select {}`).
    pub is_deadlock: bool,
}

/// The deadlocked threads, taken apart into sets that do not wait for each other.
pub fn stuck_sets(blocked: &Blocked) -> Vec<StuckSet> {
    let threads = &blocked.threads;
    let deadlocked: Vec<usize> =
        (0..threads.len()).filter(|&place| threads[place].is_deadlocked).collect();
    let place_of: HashMap<ThreadId, usize> =
        deadlocked.iter().map(|&place| (threads[place].at.thread, place)).collect();
    let mut leaders: Vec<usize> = (0..threads.len()).collect();
    for &place in &deadlocked {
        for waker in &threads[place].wakers {
            if let Some(&other) = place_of.get(&waker.at.thread) {
                unite(&mut leaders, place, other);
            }
        }
    }
    // In the order that is promised.
    let in_cycles: BTreeSet<usize> = blocked.deadlocks.iter().flatten().copied().collect();
    let cycles = blocked.deadlocks.iter().flatten().copied();
    let others = deadlocked.iter().copied().filter(|place| !in_cycles.contains(place));
    let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for place in cycles.chain(others) {
        sets.entry(leader(&mut leaders, place)).or_default().push(place);
    }
    let is_main = |place: usize| {
        let thread = &threads[place];
        thread.at.thread == ThreadId::MAIN && thread.reason != BlockReason::NilChannel
    };
    sets.into_values()
        .map(|members| {
            let is_deadlock =
                members.iter().any(|&place| in_cycles.contains(&place) || is_main(place));
            StuckSet { members, is_deadlock }
        })
        .collect()
}
