//! Whether a program that is being recorded stands still: whatever it has to do, somebody waits for.
//!
//! Standing still is weaker than a deadlock, for timers may yet fire, and stronger than idleness:
//! nobody sleeps, computes, or waits for the network or the system. The threads of a language's own
//! runtime do not count: those that wait for the collector, and those that nobody has started.

use mmtrace_format::event::BlockReason;
use mmtrace_format::{Event, EventKind, ThreadId};

use super::is_for_threads;
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

/// Whether every thread of the program that is alive waits for other threads, and there is one.
pub fn is_still(trace: &Trace<'_>) -> bool {
    let mut still = Still { trace, threads: vec![Doing::Nothing; trace.threads().len()] };
    // The main thread has no parent but itself, as the runtime's own have not.
    still.begins(0);
    Merge::new(trace).run(&mut still);
    let mut waits = false;
    for doing in still.threads {
        match doing {
            Doing::Nothing | Doing::Waiting(BlockReason::GarbageCollector) => {}
            Doing::Waiting(reason) if is_for_threads(reason) => waits = true,
            Doing::Waiting(_) | Doing::Going => return false,
        }
    }
    waits
}

impl Still<'_> {
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
        is_still(&Trace::new(&lanes))
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
