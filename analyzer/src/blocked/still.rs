//! What can be said of a program that is being recorded: whether it stands still, and who is stuck.
//!
//! Standing still is weaker than a deadlock, for timers may yet fire, and stronger than idleness:
//! nobody sleeps, computes, or waits for the network or the system. The threads of a language's own
//! runtime do not count: those that wait for the collector, and those that nobody has started.
//!
//! Threads can be stuck while others go on. Those that wait for each other's locks will wait for ever.
//! Of those that wait for channels and the like the log knows only who has used what they wait for
//! so far, so idleness is not taken for being stuck: a pool of threads that all wait for work.

use std::collections::BTreeSet;

use mmtrace_format::event::BlockReason;
use mmtrace_format::{Event, EventKind, ThreadId};

use super::sets::stuck_sets;
use super::{Waker, Watch, is_for_threads};
use crate::order::{EventRef, Merge, MergeSink, OrderGap, Trace};

/// What a thread does at the end of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Doing {
    /// It has not been heard of, is over, or is nobody's.
    #[default]
    Nothing,
    Going,
    Waiting(BlockReason),
}

#[derive(Debug)]
struct Still<'t> {
    trace: &'t Trace<'t>,
    threads: Vec<Doing>,
}

/// How a program stands at the end of what has been recorded so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether every thread of the program that is alive waits for other threads, and there is one.
    pub is_still: bool,
    /// The events with which threads began to wait that will not go on by themselves. A log that is
    /// being written has its streams up to different moments: only who is in it twice, seconds
    /// apart, is stuck.
    pub stuck: BTreeSet<EventRef>,
}

/// How a program stands. Costs a walk over the sync lanes.
pub fn standing(trace: &Trace<'_>) -> Standing {
    let mut still = Still { trace, threads: vec![Doing::Nothing; trace.threads().len()] };
    // The main thread has no parent but itself, as the runtime's own have not.
    still.begins(0);
    let mut watch = Watch::new(trace);
    Merge::new(trace).run(&mut (&mut still, &mut watch));
    let blocked = watch.finish();
    let is_stuck = |reason: BlockReason| !is_for_work(reason);
    let sets = stuck_sets(&blocked).into_iter().filter(|set| {
        set.is_deadlock || set.members.iter().any(|&place| is_stuck(blocked.threads[place].reason))
    });
    let stuck = sets.flat_map(|set| set.members).map(|place| blocked.threads[place].at).collect();
    // The runtime's own threads, which begin nowhere, come for their waiters in time: timers.
    let comes_in_time = |waker: &Waker| {
        let dense = trace.dense(waker.at.thread);
        dense.is_some_and(|dense| still.threads[dense] == Doing::Nothing)
    };
    let will_go_on = blocked.threads.iter().any(|thread| thread.wakers.iter().any(comes_in_time));
    Standing { is_still: still.is_still() && !will_go_on, stuck }
}

/// Whether a thread may wait so for as long as nobody has anything for it to do.
fn is_for_work(reason: BlockReason) -> bool {
    matches!(reason, BlockReason::Receive | BlockReason::Select | BlockReason::Condition)
}

impl Still<'_> {
    fn is_still(&self) -> bool {
        let mut waits = false;
        for &doing in &self.threads {
            match doing {
                Doing::Nothing | Doing::Waiting(BlockReason::GarbageCollector) => {}
                Doing::Waiting(reason) if is_for_threads(reason) => waits = true,
                Doing::Waiting(_) | Doing::Going => return false,
            }
        }
        waits
    }

    /// Notes what a thread does now. One that nobody started stays nobody's.
    fn does(&mut self, dense: usize, doing: Doing) {
        if self.threads[dense] != Doing::Nothing {
            self.threads[dense] = doing;
        }
    }

    fn begins(&mut self, thread: u64) {
        let thread = u32::try_from(thread).ok().map(ThreadId::new);
        if let Some(dense) = thread.and_then(|thread| self.trace.dense(thread)) {
            self.threads[dense] = Doing::Going;
        }
    }
}

impl MergeSink for Still<'_> {
    fn event(&mut self, dense: usize, at: EventRef, event: &Event) {
        match event.kind {
            // One that was started and never ran is none of the program's, if all is idle.
            EventKind::Start if event.value != u64::from(at.thread.as_u32()) => {
                self.begins(u64::from(at.thread.as_u32()));
            }
            EventKind::Block => {
                self.does(dense, Doing::Waiting(BlockReason::from_detail(event.detail)));
            }
            EventKind::Ready => {
                let ready = u32::try_from(event.value).ok().map(ThreadId::new);
                if let Some(ready) = ready.and_then(|ready| self.trace.dense(ready)) {
                    self.does(ready, Doing::Going);
                }
            }
            EventKind::End => self.does(dense, Doing::Nothing),
            _ => self.does(dense, Doing::Going),
        }
    }

    fn accesses(&mut self, dense: usize, _: EventRef, _: usize, _: u32, _: u32) {
        self.does(dense, Doing::Going);
    }

    fn thread_done(&mut self, _: usize) {}

    fn gap(&mut self, _: &OrderGap) {}
}

#[cfg(test)]
mod tests {
    use mmtrace_fixtures::notation::trace;

    use super::*;
    use crate::order::memory::MemoryLanes;

    fn is_still_in(story: &str) -> bool {
        let lanes = MemoryLanes::new(trace(story).lines(), 64);
        standing(&Trace::new(&lanes)).is_still
    }

    /// The threads that are stuck.
    fn stuck_in(story: &str) -> Vec<u32> {
        let lanes = MemoryLanes::new(trace(story).lines(), 64);
        let standing = standing(&Trace::new(&lanes));
        assert!(!standing.is_still, "somebody goes on");
        standing.stuck.iter().map(|at| at.thread.as_u32()).collect()
    }

    const OTHERS: &str = "t0 spawn t1\nt0 spawn t2\nt0 spawn t3\nt0 make c cap=1\n";

    fn beside_a_sleeper(story: &str) -> Vec<u32> {
        stuck_in(&format!("{OTHERS}{story}\nt3 block sleep\nt0 block sleep"))
    }

    #[test]
    fn locks_in_a_circle_are_stuck_whatever_others_do() {
        let circle = "t1 lock a\nt2 lock b\nt1 block mutex b\nt2 block mutex a";
        assert_eq!(beside_a_sleeper(circle), [1, 2]);
        let behind = format!("{circle}\nt3 lock d\nt3 unlock d\nt3 block mutex a");
        assert_eq!(stuck_in(&format!("{OTHERS}{behind}\nt0 block sleep")), [1, 2, 3]);
        assert_eq!(beside_a_sleeper("t1 lock a\nt1 block mutex a"), [1]);
    }

    #[test]
    fn who_waits_for_somebody_that_goes_on_is_not_stuck() {
        assert_eq!(beside_a_sleeper("t3 lock a\nt1 block mutex a"), [0; 0]);
        assert_eq!(beside_a_sleeper("t1 recv c\nt3 send c\nt1 block receive c"), [0; 0]);
    }

    #[test]
    fn a_pool_without_work_is_not_stuck_and_who_waits_for_its_end_is() {
        let pool = "t1 make d cap=1\nt1 send d\nt2 recv d\nt1 block receive d\nt2 block receive d";
        assert_eq!(beside_a_sleeper(pool), [0; 0]);
        let sender = pool.replace("t1 block receive d", "t1 block send d");
        assert_eq!(beside_a_sleeper(&sender), [1, 2]);
    }

    #[test]
    fn a_program_stands_still_if_all_its_threads_wait_for_each_other() {
        assert!(is_still_in("t0 spawn t1\nt1 block mutex a\nt0 block wait-group g"));
    }

    #[test]
    fn whoever_sleeps_or_waits_for_the_network_will_go_on() {
        assert!(!is_still_in("t0 spawn t1\nt1 block sleep\nt0 block wait-group g"));
        assert!(!is_still_in("t0 spawn t1\nt1 block io\nt0 block wait-group g"));
    }

    /// What a ticker has sent to before: Go's timers run on threads of the runtime's.
    #[test]
    fn whoever_a_thread_of_the_runtimes_has_come_for_will_go_on() {
        let ticked = "live t9\nt0 make c cap=1\nt9 send c\nt0 recv c\nt0 block receive c";
        assert!(!is_still_in(ticked));
        assert!(is_still_in(&format!("t0 spawn t9\n{ticked}\nt9 block mutex m")));
    }

    #[test]
    fn a_thread_that_is_over_is_not_waited_for() {
        assert!(is_still_in("t0 spawn t1\nt1 write x\nt0 block mutex b"));
        assert!(!is_still_in("t0 spawn t1\nt1 block mutex b\nt0 write x\nt0 block sleep"));
    }

    #[test]
    fn a_program_of_which_all_threads_are_over_does_not_stand_still() {
        assert!(!is_still_in("t0 spawn t1\nt1 write x\nt0 write y"));
    }
}
