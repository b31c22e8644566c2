//! `mmtrace record`: runs a program with a log asked for.

use std::fs;
use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use anyhow::Context as _;
use mmtrace_analyzer::order::Trace;
use mmtrace_format::handshake;
use mmtrace_format::log::Log;
use rustix::process::{PidfdFlags, Signal};
use signal_hook::consts as signals;

use crate::args::{Keep, Limits, Record, Shared};
use crate::exit::{Failure, Outcome, note};
use crate::inputs;
use crate::output::make_way;
use crate::quantity;

/// Signals that are passed on. Those of a terminal reach its whole foreground group anyway.
const FORWARDED: [i32; 6] = [
    signals::SIGTERM,
    signals::SIGHUP,
    signals::SIGINT,
    signals::SIGQUIT,
    signals::SIGUSR1,
    signals::SIGUSR2,
];

/// Runs the program, and says what was recorded.
pub(crate) fn run(args: &Record, shared: Shared) -> Result<Outcome, Failure> {
    let asked = std::path::absolute(&args.output)
        .with_context(|| format!("cannot name {}", args.output.display()))
        .map_err(Failure::usage)?;
    let is_folder = args.output.as_os_str().as_bytes().ends_with(b"/") || asked.is_dir();
    let before = if is_folder {
        fs::create_dir_all(&asked)
            .with_context(|| format!("cannot make the folder {}", args.output.display()))
            .map_err(Failure::usage)?;
        logs_in(&args.output)
    } else {
        make_way(&args.output)?;
        Vec::new()
    };
    let (program, arguments) = args.command.split_first().expect("clap requires a command");
    let mut command = Command::new(program);
    command.args(arguments);
    ask_for_log(&mut command, &asked, &args.limits);
    let status = run_forwarding(&mut command)
        .with_context(|| format!("cannot run {}", program.display()))
        .map_err(Failure::usage)?;
    let made = if is_folder {
        logs_in(&args.output).into_iter().filter(|log| !before.contains(log)).collect()
    } else {
        vec![args.output.clone()]
    };
    let recorded = describe(&made, &args.output, shared.quiet);
    let code = exit_code(status);
    Ok(if code == 0 && !recorded { Outcome::Unusable } else { Outcome::Program(code) })
}

/// Tells a program and all that it starts where to write logs, and how long they may get.
pub(super) fn ask_for_log(command: &mut Command, log: &Path, limits: &Limits) {
    command.env(handshake::LOG, log);
    if let Some(limit) = limits.max_log {
        command.env(handshake::MAX_LOG, limit.0.to_string());
    }
    if let Some(keep) = limits.keep {
        let keep = match keep {
            Keep::Oldest => handshake::KEEP_OLDEST,
            Keep::Newest => handshake::KEEP_NEWEST,
        };
        command.env(handshake::KEEP, keep);
    }
}

/// How a program ended, as shells say it: its code, or 128 and the signal.
pub(super) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
    // Codes of processes are bytes on every system that we run on.
    u8::try_from(code).unwrap_or(1)
}

/// The logs in a folder, of which there may be none.
fn logs_in(folder: &Path) -> Vec<PathBuf> {
    inputs::logs(&[folder.to_owned()]).unwrap_or_default()
}

/// Runs a program to its end, and passes signals on to it.
pub(super) fn run_forwarding(command: &mut Command) -> std::io::Result<ExitStatus> {
    // Handlers come first: a signal between the start and the handlers would end us alone.
    let mut received = signal_hook::iterator::Signals::new(FORWARDED)?;
    let mut child = command.spawn()?;
    let pid = rustix::process::Pid::from_child(&child);
    // A handle, not a number: it cannot name another process after the child is gone.
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
    let closer = received.handle();
    let in_foreground = in_foreground();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in &mut received {
                let from_terminal = matches!(number, signals::SIGINT | signals::SIGQUIT);
                if from_terminal && in_foreground {
                    continue;
                }
                if let Some(signal) = Signal::from_named_raw(number) {
                    // The child may have ended in between.
                    let _ = rustix::process::pidfd_send_signal(&handle, signal);
                }
            }
        });
        let status = child.wait();
        closer.close();
        status
    })
}

/// Whether a terminal's keys reach us, and with us the child, as one process group.
fn in_foreground() -> bool {
    let stdin = std::io::stdin();
    stdin.is_terminal()
        && rustix::termios::tcgetpgrp(stdin.as_fd())
            .is_ok_and(|group| group == rustix::process::getpgrp())
}

/// Says what was recorded; whether all of it can be read.
fn describe(made: &[PathBuf], asked: &Path, quiet: bool) -> bool {
    let there: Vec<&PathBuf> = made.iter().filter(|log| log.exists()).collect();
    if there.is_empty() {
        note(&format!(
            "nothing was recorded: the program made no log at {}. It records if it uses \
             mmtrace-recorder, built with the feature `record`",
            asked.display()
        ));
        return false;
    }
    let mut all_readable = true;
    for path in there {
        match inputs::open(path) {
            Ok(log) if !quiet => note(&format!("{}: {}", path.display(), contents(&log))),
            Ok(_) => {}
            Err(failure) => {
                note(&failure.chain());
                all_readable = false;
            }
        }
    }
    if !quiet {
        note(&format!("next: mmtrace analyze {}", asked.display()));
    }
    all_readable
}

/// How much is in a log.
fn contents(log: &Log) -> String {
    let totals = Trace::new(log).totals();
    format!(
        "{}, {}, {}",
        quantity::counted(totals.events, "event"),
        quantity::counted(totals.accesses, "access"),
        quantity::duration(totals.duration_ns),
    )
}
