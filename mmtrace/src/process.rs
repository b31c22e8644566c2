//! Other processes of this machine, as `/proc` tells of them.

use std::collections::HashMap;
use std::fs;

use rustix::process::{Pid, PidfdFlags, Signal};

/// A process at the moment when it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: u32,
    /// The process that it is a child of.
    parent: u32,
    /// The process group that it is in.
    pub(crate) group: u32,
    /// The processor time that it has used, in hundredths of a second.
    pub(crate) ticks: u64,
    /// When it began, in hundredths of a second since the machine did. Two processes that follow
    /// each other under one number differ in it.
    start: u64,
}

impl Process {
    /// The process with this number; none if there is none, or if it is over.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// What `/proc/PID/stat` says. The name of the program, in parentheses, may have spaces and
    /// parentheses of its own.
    fn parse(stat: &str) -> Option<Self> {
        let (before, rest) = stat.rsplit_once(')')?;
        let pid = before.split_once(" (")?.0.parse().ok()?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The first of them is what the manual calls field 3.
        let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
        if matches!(fields.first(), Some(&"Z" | &"X")) {
            return None;
        }
        Some(Self {
            pid,
            parent: number(4)?.try_into().ok()?,
            group: number(5)?.try_into().ok()?,
            ticks: number(14)? + number(15)?,
            start: number(22)?,
        })
    }

    /// What no other process ever has: its number, and when it began.
    pub(crate) fn identity(&self) -> (u32, u64) {
        (self.pid, self.start)
    }

    /// All that run.
    fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter_map(Self::of).collect()
    }

    /// Sends it a signal, if it is still the process that was looked at.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else { return };
        // A handle, not a number: it cannot come to name another process in between.
        let Ok(handle) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else { return };
        if Self::of(self.pid).is_some_and(|now| now.identity() == self.identity()) {
            // It may have ended in between.
            let _ = rustix::process::pidfd_send_signal(&handle, signal);
        }
    }
}

/// The processes that `root` has started, and those that they have, parents before children.
pub(crate) fn descendants_of(root: u32) -> Vec<Process> {
    below(root, &Process::all())
}

fn below(root: u32, all: &[Process]) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(*process);
    }
    let mut found = children.remove(&root).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = found.get(next) {
        // Taken out: numbers that were used again in the middle of the walk make no circle.
        found.extend(children.remove(&process.pid).unwrap_or_default());
        next += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "77 (a (b) c) S 5 6 1 0 -1 4194304 100 0 0 0 12 30 0 0 20 0 5 0 1000";

    #[test]
    fn a_process_is_understood_whatever_its_name() {
        let process = Process { pid: 77, parent: 5, group: 6, ticks: 42, start: 1000 };
        assert_eq!(Process::parse(STAT), Some(process));
        assert_eq!(Process::parse(&STAT.replace(") S", ") Z")), None, "it is over");
        assert_eq!(Process::parse("77 (a"), None);
        let own = Process::of(std::process::id()).unwrap();
        assert_eq!(own.pid, std::process::id());
    }

    #[test]
    fn parents_come_before_their_children_and_strangers_not_at_all() {
        let process = |pid, parent| Process { pid, parent, group: 1, ticks: 0, start: 0 };
        let all = [process(9, 4), process(4, 2), process(5, 1), process(3, 2), process(2, 9)];
        let pids: Vec<u32> = below(2, &all).iter().map(|process| process.pid).collect();
        assert_eq!(pids, [4, 3, 9, 2], "whose numbers make a circle is met once");
        assert!(below(7, &all).is_empty());
    }
}
