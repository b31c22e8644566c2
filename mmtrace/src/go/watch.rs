//! Looks from outside at the logs of programs that run, and says so when one stands still.
//!
//! A race build never notices that all its goroutines wait, and `go test` hides it until its own
//! time is over. Nothing runs inside the program for this: its log is read as it is, like the log of a
//! program that was killed. That is done when a process has used no processor time for a few seconds,
//! and now and then while it works, for some may wait for each other while others go on. What the
//! looks cost is bounded by how long lies between them.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use mmtrace_analyzer::EventRef;
use mmtrace_analyzer::blocked::still::{Standing, standing};
use mmtrace_analyzer::order::Trace;
use mmtrace_format::layout::{Identity, PAGE_LEN};
use mmtrace_format::log::Log;

use crate::process::Process;

/// How often processes are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// A process that was idle for so many periods is looked into.
const IDLE_PERIODS: u32 = 3;
/// Hundredths of a second that an idle process may use in a period: Go's monitor never sleeps quite.
const IDLE_TICKS: u64 = 2;
/// The least time between two looks at a process that works.
const LOOKS_APART: Duration = Duration::from_secs(3);
/// And at least so many times what the last look cost.
const COSTS_APART: u32 = 20;

/// What is said of a program that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody goes on.
    Still,
    /// Those that began to wait with these events will not go on by themselves; others may.
    Stuck(BTreeSet<EventRef>),
}

/// Watches the logs that `logs` lists until `stop` is hung up, and calls `say` for each that stands
/// still, once until it has gone on, and for those who are stuck in it, once.
pub(crate) fn watch(
    stop: &Receiver<()>,
    logs: impl Fn() -> Vec<PathBuf>,
    say: impl Fn(&Path, &Verdict),
) {
    let mut watched: HashMap<PathBuf, Watched> = HashMap::new();
    while stop.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        for log in logs() {
            let Some(process) = pid_of(&log).and_then(Process::of) else {
                watched.remove(&log);
                continue;
            };
            let begin = Instant::now();
            let this = watched.entry(log.clone()).or_insert_with(|| Watched::new(begin));
            let is_idle = this.idle.looks(process.ticks);
            if !is_idle && begin < this.next {
                continue;
            }
            let verdict = standing_of(&log).and_then(|standing| this.judge(standing, is_idle));
            this.next = begin + LOOKS_APART.max(begin.elapsed() * COSTS_APART);
            if let Some(verdict) = verdict {
                say(&log, &verdict);
            }
        }
    }
}

/// What is known of a process.
#[derive(Debug)]
struct Watched {
    idle: Idle,
    /// When it is looked into at the latest.
    next: Instant,
    /// Who was stuck at the last look.
    seen: BTreeSet<EventRef>,
    /// Who was said to be.
    said: BTreeSet<EventRef>,
    /// Whether it was said to stand still, and has not gone on.
    is_still: bool,
}

impl Watched {
    fn new(now: Instant) -> Self {
        let (seen, said) = (BTreeSet::new(), BTreeSet::new());
        Self { idle: Idle::default(), next: now + LOOKS_APART, seen, said, is_still: false }
    }

    /// What is new in how it stands.
    fn judge(&mut self, standing: Standing, is_idle: bool) -> Option<Verdict> {
        let was_still = std::mem::replace(&mut self.is_still, standing.is_still && is_idle);
        let stuck: BTreeSet<EventRef> = standing.stuck.intersection(&self.seen).copied().collect();
        self.seen = standing.stuck;
        if self.is_still {
            // All that wait are told of.
            self.said.extend(&self.seen);
            return (!was_still).then_some(Verdict::Still);
        }
        let is_new = !stuck.is_subset(&self.said);
        self.said.extend(&stuck);
        is_new.then_some(Verdict::Stuck(stuck))
    }
}

/// How long a process has been idle.
#[derive(Clone, Copy, Debug, Default)]
struct Idle {
    ticks: u64,
    periods: u32,
}

impl Idle {
    /// Takes a look; whether it has been idle for just as long as is looked into, or twice that.
    fn looks(&mut self, ticks: u64) -> bool {
        let is_idle = ticks.saturating_sub(self.ticks) <= IDLE_TICKS;
        self.periods = if is_idle { self.periods.saturating_add(1) } else { 0 };
        self.ticks = ticks;
        self.periods == IDLE_PERIODS || self.periods == 2 * IDLE_PERIODS
    }
}

/// The process that a log says it is of.
fn pid_of(log: &Path) -> Option<u32> {
    let mut page = [0; PAGE_LEN as usize];
    File::open(log).and_then(|mut file| file.read_exact(&mut page)).ok()?;
    Identity::decode(&page).ok().map(|identity| identity.pid)
}

/// How a program stands whose log is not closed.
fn standing_of(log: &Path) -> Option<Standing> {
    let log = Log::open(log).ok()?;
    (!log.is_complete()).then(|| standing(&Trace::new(&log)))
}

#[cfg(test)]
mod tests {
    use mmtrace_format::ThreadId;

    use super::*;

    #[test]
    fn an_idle_process_is_looked_into_once_until_it_goes_on() {
        let mut idle = Idle::default();
        let ticks = [50, 50, 51, 51, 51, 51, 90, 90, 90, 90];
        let looked: Vec<bool> = ticks.into_iter().map(|ticks| idle.looks(ticks)).collect();
        let places: Vec<usize> = (0..10).filter(|&place| looked[place]).collect();
        assert_eq!(places, [3, 9]);
        let again: Vec<bool> = (0..5).map(|_| idle.looks(90)).collect();
        assert_eq!(again, [false, false, true, false, false], "and once more after as long");
    }

    fn stuck(threads: &[u32]) -> BTreeSet<EventRef> {
        threads.iter().map(|&t| EventRef { thread: ThreadId::new(t), index: 7 }).collect()
    }

    #[test]
    fn who_is_stuck_at_two_looks_is_told_of_once() {
        let mut watched = Watched::new(Instant::now());
        let mut look = |threads: &[u32]| {
            watched.judge(Standing { is_still: false, stuck: stuck(threads) }, false)
        };
        assert_eq!(look(&[1, 2]), None);
        assert_eq!(look(&[2, 3]), Some(Verdict::Stuck(stuck(&[2]))));
        assert_eq!(look(&[2, 3]), Some(Verdict::Stuck(stuck(&[2, 3]))));
        assert_eq!(look(&[2, 3]), None);
    }

    #[test]
    fn a_program_stands_still_again_only_after_it_has_gone_on() {
        let mut watched = Watched::new(Instant::now());
        let mut look =
            |is_still, is_idle| watched.judge(Standing { is_still, stuck: stuck(&[1]) }, is_idle);
        assert_eq!(look(true, false), None, "it works, or was not idle for long");
        assert_eq!(look(true, true), Some(Verdict::Still));
        assert_eq!(look(true, true), None);
        assert_eq!(look(false, false), None, "who is stuck was told of with the rest");
        assert_eq!(look(true, true), Some(Verdict::Still));
    }
}
