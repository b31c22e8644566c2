//! Running a program in our place: signals are handed on to it, and its end is ours.

use std::collections::HashSet;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions};
use signal_hook::consts as signals;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;

use crate::process::{Process, descendants_of};

/// Signals that are handed on, and ask for an end.
const ENDING: [i32; 4] = [signals::SIGTERM, signals::SIGHUP, signals::SIGINT, signals::SIGQUIT];
/// Signals that are handed on, and mean what the program makes of them.
const OTHERS: [i32; 2] = [signals::SIGUSR1, signals::SIGUSR2];
/// How often is looked whether processes that were told to end have.
const LOOK: Duration = Duration::from_millis(20);
/// Walks over all processes that one signal may take: whoever is told stops starting others.
const WALKS_MAX: u32 = 16;

/// Who is to get the signals that we get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The program, which knows what to do about its own children.
    Program,
    /// The program and all that it has started in our process group, as with the keys of a terminal.
    /// Once it was asked to end, the end of all of them is waited for.
    Group {
        /// How long processes may take that outlive the program, before they are killed; `None` is
        /// as long as it takes.
        patience: Option<Duration>,
    },
}

/// How a program ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    /// What the system says of it.
    pub(crate) status: ExitStatus,
    /// The last signal by which it was asked to end, wherever from.
    pub(crate) signal: Option<i32>,
}

impl Ended {
    /// How it ended, as shells say it: its code, or 128 and the signal.
    pub(crate) fn code(self) -> u8 {
        let signal = self.status.signal().unwrap_or_default();
        // Codes of processes are bytes on every system that we run on.
        u8::try_from(self.status.code().unwrap_or(128 + signal)).unwrap_or(1)
    }

    /// The same, and 128 and the signal as well if it failed after it was asked to end, whatever it
    /// made of that: scripts stop there.
    pub(crate) fn code_or_signal(self) -> u8 {
        match (self.code(), self.signal.and_then(|signal| u8::try_from(signal).ok())) {
            (failed, Some(signal)) if failed != 0 => 128 + signal,
            (code, _) => code,
        }
    }
}

/// Runs a program to its end, and hands signals on. When it is over they mean to us again what they
/// mean to any program.
///
/// # Errors
/// The program cannot be started, or the system gives no handles for signals.
pub(crate) fn run_forwarding(command: &mut Command, reach: Reach) -> io::Result<Ended> {
    let is_over = Arc::new(AtomicBool::new(false));
    let forwarded = ENDING.into_iter().chain(OTHERS);
    // Handlers come first: a signal between the start and the handlers would end us alone.
    let mut received = SignalsInfo::<WithOrigin>::new(forwarded.clone())?;
    for signal in forwarded {
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&is_over))?;
    }
    let mut child = command.spawn()?;
    let program = Process::of(child.id());
    let (closer, asked) = (received.handle(), AtomicI32::new(0));
    let status = std::thread::scope(|scope| {
        scope.spawn(|| {
            for origin in &mut received {
                if ENDING.contains(&origin.signal) {
                    asked.store(origin.signal, Ordering::Relaxed);
                    if reach != Reach::Program {
                        adopt_orphans();
                    }
                }
                let Some(signal) = Signal::from_named_raw(origin.signal) else { continue };
                // The kernel's own signals are those of a terminal, which all of its group get.
                match reach {
                    _ if origin.cause == Cause::Kernel => {}
                    Reach::Program => program.iter().for_each(|program| program.signal(signal)),
                    // Whoever only starts others has no use for it, and would end.
                    Reach::Group { .. } if OTHERS.contains(&origin.signal) => {
                        tell_group(signal, program);
                    }
                    Reach::Group { .. } => tell_group(signal, None),
                }
            }
        });
        let status = child.wait();
        if let Reach::Group { patience } = reach
            && asked.load(Ordering::Relaxed) != 0
        {
            outlast_group(patience);
        }
        is_over.store(true, Ordering::Relaxed);
        closer.close();
        status
    })?;
    let signal = Some(asked.into_inner()).filter(|&signal| signal != 0);
    Ok(Ended { status, signal })
}

/// Whoever loses its parent from now on becomes our child, and can still be told and waited for. Not
/// before: what a program leaves behind on purpose would have to be buried by us.
fn adopt_orphans() {
    // Linux has had it for longer than the handles without which we were not here.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
}

/// Waits for those that the program has left behind in our group.
fn outlast_group(patience: Option<Duration>) {
    let begin = Instant::now();
    loop {
        let are_gone = of_group().is_empty();
        // Those that have become our children are ours to bury.
        while matches!(rustix::process::waitpgid(group(), WaitOptions::NOHANG), Ok(Some(_))) {}
        if are_gone {
            return;
        }
        if patience.is_some_and(|patience| begin.elapsed() > patience) {
            tell_group(Signal::KILL, None);
        }
        std::thread::sleep(LOOK);
    }
}

fn group() -> Pid {
    rustix::process::getpgrp()
}

/// All that we and ours have started in our group, parents first.
fn of_group() -> Vec<Process> {
    let group = group().as_raw_pid().unsigned_abs();
    let mut processes = descendants_of(std::process::id());
    processes.retain(|process| process.group == group);
    processes
}

/// Sends a signal to each of our group once, but not to `except`.
fn tell_group(signal: Signal, except: Option<Process>) {
    let mut told: HashSet<_> = except.iter().map(Process::identity).collect();
    // A process that starts another one before it is told makes another walk necessary.
    for _ in 0..WALKS_MAX {
        let mut processes = of_group();
        processes.retain(|process| told.insert(process.identity()));
        if processes.is_empty() {
            return;
        }
        for process in processes {
            process.signal(signal);
        }
    }
}
