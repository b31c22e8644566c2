//! Who waits, with names, and the findings in it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use mmtrace_format::ThreadId;

use super::thread_name;
use crate::blocked::lock_order::{LockCycle, LockEdge};
use crate::blocked::{Blocked, BlockedThread as Waiting, Waker as Wakes};
use crate::context::Lives;
use crate::finding::grouping::{leader, unite};
use crate::finding::{
    DeadlockEvidence, Evidence, Finding, FindingKind, LockOrderEdge, LockOrderEvidence, Severity,
    thread_in_words,
};
use crate::fingerprint::{Fingerprint, line_free};
use crate::report::{BlockedThread, Waker};
use crate::symbol::{Frame, Place, Symbols, program_frame};

/// The most threads that could wake another of which a report names each.
const WAKERS_MAX: usize = 16;
/// The most threads of which a report names the wakers: a hundred thousand goroutines may wait.
const WITH_WAKERS_MAX: usize = 1_000;
/// The most threads that the title of a finding names.
const TITLE_THREADS_MAX: usize = 3;

/// Gives names to what the blocked pass found.
pub(super) struct Names<'n, 'log> {
    pub(super) lives: &'n Lives<'n>,
    pub(super) symbols: &'n mut Symbols<'log>,
}

impl Names<'_, '_> {
    /// Every thread that was waiting at the end of the log.
    pub(super) fn threads(&mut self, blocked: &Blocked) -> Vec<BlockedThread> {
        let wakers = |number| if number < WITH_WAKERS_MAX { WAKERS_MAX } else { 0 };
        let threads = blocked.threads.iter().enumerate();
        threads.map(|(number, thread)| self.thread(thread, wakers(number))).collect()
    }

    fn name(&self, thread: ThreadId) -> Option<String> {
        thread_name(self.lives, self.symbols, thread)
    }

    fn thread(&mut self, waiting: &Waiting, wakers: usize) -> BlockedThread {
        BlockedThread {
            goroutine: waiting.at.thread.as_u32(),
            goroutine_name: self.name(waiting.at.thread),
            event: waiting.at,
            reason: waiting.reason.name(),
            object: waiting.object,
            since_ns: waiting.since.ns,
            stack: self.symbols.stack(waiting.stack),
            is_deadlocked: waiting.is_deadlocked,
            waker_count: waiting.wakers.len() as u64,
            wakers: waiting.wakers.iter().take(wakers).map(|w| self.waker(w)).collect(),
        }
    }

    fn waker(&mut self, waker: &Wakes) -> Waker {
        Waker {
            goroutine: waker.at.thread.as_u32(),
            goroutine_name: self.name(waker.at.thread),
            event: waker.at,
            stack: self.symbols.stack(waker.stack),
        }
    }

    /// Deadlocks, threads that were left behind, and locks in circular order. `threads` are those
    /// of [`Self::threads`].
    pub(super) fn findings(
        &mut self,
        blocked: &Blocked,
        threads: &[BlockedThread],
    ) -> Vec<Finding> {
        let sets = stuck_sets(blocked);
        let mut findings: Vec<Finding> = sets
            .iter()
            .map(|set| {
                let waits = set.members.iter().map(|&member| threads[member].clone()).collect();
                stuck(waits, set.is_deadlock)
            })
            .collect();
        findings.extend(blocked.lock_cycles.iter().map(|cycle| self.lock_order(cycle)));
        findings
    }

    fn lock_order(&mut self, cycle: &LockCycle) -> Finding {
        let edges: Vec<LockOrderEdge> = cycle.edges.iter().map(|edge| self.edge(edge)).collect();
        let places: Vec<String> = edges.iter().map(|edge| place(&edge.taken_stack)).collect();
        let keys: Vec<String> = edges
            .iter()
            .map(|edge| line_free(&edge.held_stack) + &line_free(&edge.taken_stack))
            .collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        // What a language's own library does with its own locks has reasons that a log does not show.
        let is_own = |edge: &LockOrderEdge| !is_library_only(edge);
        let is_own = edges.iter().any(is_own);
        let severity = if is_own { Severity::Warning } else { Severity::Note };
        Finding {
            kind: FindingKind::LockOrder,
            fingerprint: Fingerprint::new("lock-order", &keys, 0),
            severity,
            title: format!("lock order: {} locks taken in a circle, at {}", edges.len(), {
                places.join(" and at ")
            }),
            count: cycle.count,
            test: None,
            evidence: Evidence::LockOrder(Box::new(LockOrderEvidence {
                edges,
                why: "each of these threads takes a lock that the next one holds, no lock is held \
                      around all of it, and nothing starts one of them after the other: run at \
                      the same time, they may wait for each other for ever"
                    .to_owned(),
            })),
        }
    }

    fn edge(&mut self, edge: &LockEdge) -> LockOrderEdge {
        LockOrderEdge {
            goroutine: edge.taken_at.thread.as_u32(),
            goroutine_name: self.name(edge.taken_at.thread),
            held: edge.held,
            held_event: edge.held_at,
            held_stack: self.symbols.stack(edge.held_stack),
            taken: edge.taken,
            taken_event: edge.taken_at,
            taken_stack: self.symbols.stack(edge.taken_stack),
        }
    }
}

/// Whether both locks of an edge were taken by the library, for its own purposes.
fn is_library_only(edge: &LockOrderEdge) -> bool {
    // The innermost frame is the lock's own.
    let by_library = |stack: &[Frame]| stack.iter().take(2).all(Frame::is_library);
    by_library(&edge.held_stack) && by_library(&edge.taken_stack)
}

/// Threads that wait for each other only, as places among the blocked.
struct StuckSet {
    members: Vec<usize>,
    /// Whether they are in the way of the program: they hold each other's locks, or the main thread
    /// is one of them. What a program leaves waiting when it ends need not be a mistake.
    is_deadlock: bool,
}

/// The deadlocked threads, taken apart into sets that do not wait for each other.
fn stuck_sets(blocked: &Blocked) -> Vec<StuckSet> {
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
    // Who closes the circle comes first, in its order; then those that wait behind it.
    let in_cycles: BTreeSet<usize> = blocked.deadlocks.iter().flatten().copied().collect();
    let cycles = blocked.deadlocks.iter().flatten().copied();
    let others = deadlocked.iter().copied().filter(|place| !in_cycles.contains(place));
    let mut sets: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for place in cycles.chain(others) {
        sets.entry(leader(&mut leaders, place)).or_default().push(place);
    }
    let is_main = |place: usize| threads[place].at.thread == ThreadId::MAIN;
    sets.into_values()
        .map(|members| {
            let is_deadlock =
                members.iter().any(|&place| in_cycles.contains(&place) || is_main(place));
            StuckSet { members, is_deadlock }
        })
        .collect()
}

fn stuck(waits: Vec<BlockedThread>, is_deadlock: bool) -> Finding {
    let keys: BTreeSet<String> = waits.iter().map(|wait| line_free(&wait.stack)).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let (kind, key, severity) = if is_deadlock {
        (FindingKind::Deadlock, "deadlock", Severity::Error)
    } else {
        (FindingKind::Leak, "leak", Severity::Note)
    };
    let why = match (&waits[..], is_deadlock) {
        ([alone], _) if alone.reason == "nil-channel" => {
            "nothing is ever sent or received on a nil channel".to_owned()
        }
        ([_], _) => "only the thread itself could end its wait".to_owned(),
        (_, true) => "whoever could end one of these waits waits itself: none can go on".to_owned(),
        (_, false) => "whoever ever used what they wait for has ended, or waits itself: nobody \
                       came for them before the log ended"
            .to_owned(),
    };
    Finding {
        kind,
        fingerprint: Fingerprint::new(key, &keys, 0),
        severity,
        title: title(&waits, is_deadlock),
        count: waits.len() as u64,
        test: None,
        evidence: Evidence::Deadlock(Box::new(DeadlockEvidence {
            since_ns: waits.iter().map(|wait| wait.since_ns).max().unwrap_or(0),
            waits,
            why,
        })),
    }
}

fn title(waits: &[BlockedThread], is_deadlock: bool) -> String {
    let named = waits.iter().take(TITLE_THREADS_MAX).map(|wait| {
        let thread = thread_in_words(wait.goroutine, wait.goroutine_name.as_deref());
        format!("{thread} for {} at {}", wait.reason, place(&wait.stack))
    });
    let named: Vec<String> = named.collect();
    let more = match waits.len().saturating_sub(TITLE_THREADS_MAX) {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let what = if is_deadlock { "deadlock" } else { "left waiting" };
    format!("{what}: {}{more}", named.join(", "))
}

fn place(stack: &[Frame]) -> String {
    program_frame(stack)
        .map_or_else(|| "an unknown place".to_owned(), |frame| Place(frame).to_string())
}
