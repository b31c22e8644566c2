//! `mmtrace record`: runs a program with a log asked for.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use mmtrace_analyzer::order::Trace;
use mmtrace_format::handshake;
use mmtrace_format::log::Log;

use crate::args::{Keep, Limits, Record, Shared};
use crate::child::{Reach, run_forwarding};
use crate::exit::{Failure, Outcome, note};
use crate::inputs;
use crate::output::make_way;
use crate::quantity;

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
    let ended = run_forwarding(&mut command, Reach::Program)
        .with_context(|| format!("cannot run {}", program.display()))
        .map_err(Failure::usage)?;
    let made = if is_folder {
        logs_in(&args.output).into_iter().filter(|log| !before.contains(log)).collect()
    } else {
        vec![args.output.clone()]
    };
    let recorded = describe(&made, &args.output, shared.quiet);
    let code = ended.code();
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

/// The logs in a folder, of which there may be none.
fn logs_in(folder: &Path) -> Vec<PathBuf> {
    inputs::logs(&[folder.to_owned()]).unwrap_or_default()
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
