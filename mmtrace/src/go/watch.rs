//! Looks from outside at the logs of programs that run, and says so when one stands still.
//!
//! A race build never notices that all its goroutines wait, and `go test` hides it until its own
//! time is over. Nothing runs inside the program for this: a process that has used no processor time
//! for a few seconds has its log read as it is, like the log of a program that was killed.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use mmtrace_analyzer::blocked::still::is_still;
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

/// Watches the logs that `logs` lists until `stop` is hung up, and calls `say` once for each that
/// stands still, again if it has gone on in between.
pub(crate) fn watch(stop: &Receiver<()>, logs: impl Fn() -> Vec<PathBuf>, say: impl Fn(&Path)) {
    let mut processes: HashMap<PathBuf, Idle> = HashMap::new();
    while stop.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        for log in logs() {
            let Some(process) = pid_of(&log).and_then(Process::of) else {
                processes.remove(&log);
                continue;
            };
            let idle = processes.entry(log.clone()).or_default();
            if idle.looks(process.ticks) && stands_still(&log) {
                say(&log);
            }
        }
    }
}

/// How long a process has been idle.
#[derive(Clone, Copy, Debug, Default)]
struct Idle {
    ticks: u64,
    periods: u32,
}

impl Idle {
    /// Takes a look; whether it has been idle for just as long as is looked into.
    fn looks(&mut self, ticks: u64) -> bool {
        let is_idle = ticks.saturating_sub(self.ticks) <= IDLE_TICKS;
        self.periods = if is_idle { self.periods.saturating_add(1) } else { 0 };
        self.ticks = ticks;
        self.periods == IDLE_PERIODS
    }
}

/// The process that a log says it is of.
fn pid_of(log: &Path) -> Option<u32> {
    let mut page = [0; PAGE_LEN as usize];
    File::open(log).and_then(|mut file| file.read_exact(&mut page)).ok()?;
    Identity::decode(&page).ok().map(|identity| identity.pid)
}

fn stands_still(log: &Path) -> bool {
    let Ok(log) = Log::open(log) else { return false };
    !log.is_complete() && is_still(&Trace::new(&log))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_process_is_looked_into_once_until_it_goes_on() {
        let mut idle = Idle::default();
        let ticks = [50, 50, 51, 51, 51, 51, 90, 90, 90, 90];
        let looked: Vec<bool> = ticks.into_iter().map(|ticks| idle.looks(ticks)).collect();
        let places: Vec<usize> = (0..10).filter(|&place| looked[place]).collect();
        assert_eq!(places, [3, 9]);
    }
}
