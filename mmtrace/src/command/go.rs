//! `mmtrace go`: builds, runs and tests Go programs that record themselves, and judges the logs.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, anyhow};
use mmtrace_analyzer::finding::{Evidence, Finding};
use mmtrace_analyzer::symbol::Frame;
use mmtrace_analyzer::{EventRef, analyze_waiting};

use super::analyze::{Judging, judge, options, text};
use super::record::ask_for_log;
use crate::args::{Go, Resources, Shared};
use crate::child::{Ended, Reach, run_forwarding};
use crate::exit::{Failure, Outcome, note};
use crate::go::arguments::{Arguments, Verb};
use crate::go::toolchain::Toolchain;
use crate::go::watch::{self, Verdict};
use crate::go::{overlay, runtime};
use crate::inputs;
use crate::output::{Output, make_way};
use crate::quantity;

/// Where the logs of tests go if nobody says.
const TEST_LOGS: &str = "mmtrace-logs";
/// Where the log of a program goes if nobody says.
const RUN_LOG: &str = "run.log";
/// Asks the recorder for every access, repeated ones as well.
const FULL: &str = "MMTRACE_FULL";
/// How long test programs may outlive a `go test` that was asked to end. Nobody hears them any more.
const ORPHANS_PATIENCE: Duration = Duration::from_secs(5);

/// Does what `go` would do, and says what was found in the logs.
pub(crate) fn run(args: &Go, shared: Shared) -> Result<Outcome, Failure> {
    let arguments = Arguments::parse(&args.command)?;
    if arguments.verb() == Verb::Build && args.output.is_some() {
        return Err(Failure::usage(anyhow!(
            "building writes no log: -o for the program comes after `build`"
        )));
    }
    let toolchain = Toolchain::find(&arguments)?;
    let mut go = command(&arguments, &toolchain)?;
    let reach =
        Reach::Group { patience: Some(ORPHANS_PATIENCE).filter(|_| arguments.verb() != Verb::Run) };
    if !arguments.runs {
        let ended = run_forwarding(&mut go, reach);
        let ended = ended.context("cannot run `go`").map_err(Failure::usage)?;
        return Ok(Outcome::Program(ended.code_or_signal()));
    }
    let logs = Logs::begin(args, arguments.verb())?;
    ask_for_log(&mut go, &logs.asked, &args.limits);
    if args.full {
        go.env(FULL, "1");
    }
    let ended = watched(args, &logs, &mut go, reach)?;
    let failed = Some(ended.code_or_signal()).filter(|&code| code != 0);
    let made = logs.made();
    if !made.is_empty() {
        return verdict(args, shared, failed, &logs, &made);
    }
    if let Some(code) = failed {
        return Ok(Outcome::Program(code));
    }
    if arguments.verb() == Verb::Test && has_nothing_to_run(&mut go) {
        note("no package has tests: nothing was recorded");
        return Ok(Outcome::Clean);
    }
    note(&format!("nothing was recorded: no program wrote a log at {}", logs.shown.display()));
    Ok(Outcome::Unusable)
}

/// Whether this `go test` runs no program at all, from what Go says that it would do.
fn has_nothing_to_run(go: &mut Command) -> bool {
    let words: Vec<OsString> = go.get_args().map(OsString::from).collect();
    let Some((verb, rest)) = words.split_first() else { return false };
    // `-C` stays the first flag.
    let folder = rest.len().min(if rest.first().is_some_and(|word| word == "-C") { 2 } else { 0 });
    let (folder, rest) = rest.split_at(folder);
    let mut asked = Toolchain::command();
    asked.arg(verb).args(folder).arg("-n").args(rest).stdin(Stdio::null());
    let Ok(output) = asked.output() else { return false };
    // Every test program is told so.
    let runs = |text: &[u8]| String::from_utf8_lossy(text).contains(" -test.paniconexit0");
    output.status.success() && !runs(&output.stdout) && !runs(&output.stderr)
}

/// Runs Go to its end, and says so if a program that it runs stands still.
fn watched(args: &Go, logs: &Logs, go: &mut Command, reach: Reach) -> Result<Ended, Failure> {
    let (running, stop) = mpsc::channel();
    let result = std::thread::scope(|scope| {
        scope.spawn(move || {
            let say = |log: &Path, verdict: &Verdict| say_standing(log, verdict, &args.resources);
            watch::watch(&stop, || logs.made(), say);
        });
        let result = run_forwarding(go, reach);
        drop(running);
        result
    });
    result.context("cannot run `go`").map_err(Failure::usage)
}

/// Says who waits for whom in a program that runs.
fn say_standing(path: &Path, verdict: &Verdict, resources: &Resources) {
    let Ok(log) = inputs::open(path) else { return };
    let mut report = analyze_waiting(&log, &options(resources));
    // The rest is not over yet, and comes with the verdict.
    report.gaps.clear();
    let what = match verdict {
        Verdict::Still => "nothing moves: every goroutine waits for another".to_owned(),
        Verdict::Stuck(stuck) => {
            report.findings.retain(|finding| is_about(finding, stuck));
            report.blocked.clear();
            if report.findings.is_empty() {
                return;
            }
            let waits = report.findings.iter().map(|finding| finding.count).sum();
            let goroutines = quantity::counted(waits, "goroutine");
            format!("{goroutines} will not go on, whatever the others do")
        }
    };
    note(&format!("{}: {what}", path.display()));
    let mut error = Output::error();
    // Nobody is left to tell when standard error is closed.
    let _ = error.write_all(text(path, &report).as_bytes()).and_then(|()| error.flush());
}

/// Whether a finding tells of somebody who is stuck, and not on purpose.
fn is_about(finding: &Finding, stuck: &BTreeSet<EventRef>) -> bool {
    let Evidence::Deadlock(deadlock) = &finding.evidence else { return false };
    // `select {}`, which is written by those who want just that.
    let for_ever = |stack: &[Frame]| {
        stack.first().is_some_and(|f| f.function.as_deref() == Some("runtime.block"))
    };
    deadlock.waits.iter().any(|wait| stuck.contains(&wait.event) && !for_ever(&wait.stack))
}

/// The `go` command that builds with our runtime.
fn command(arguments: &Arguments, toolchain: &Toolchain) -> Result<Command, Failure> {
    let cache = runtime::cache_folder()?;
    let library = runtime::unpacked(&cache)?;
    let prepared = overlay::prepare(&toolchain.root, &toolchain.version, &library, &cache)
        .map_err(Failure::usage)?;
    for lost in &prepared.lost {
        note(&format!("{}: {lost}", toolchain.version));
    }
    let json = match &arguments.overlay {
        None => prepared.json,
        Some(own) => merged(&prepared.json, &arguments.folder().join(own), &cache)
            .with_context(|| format!("cannot use the overlay {}", own.display()))
            .map_err(Failure::usage)?,
    };
    let mut flag = OsString::from("-overlay=");
    flag.push(&json);
    let mut flags = vec![OsString::from("-race"), flag];
    // A result that is taken from Go's cache has no log.
    if arguments.verb() == Verb::Test && !toolchain.has_flag("count") {
        flags.push("-count=1".into());
    }
    let mut go = Toolchain::command();
    go.args(arguments.with(flags));
    Ok(go)
}

/// Our overlay and the user's own, as one.
fn merged(ours: &Path, own: &Path, cache: &Path) -> anyhow::Result<PathBuf> {
    let read = |path: &Path| -> anyhow::Result<serde_json::Value> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    };
    let (mut both, own) = (read(ours)?, read(own)?);
    let table = both["Replace"].as_object_mut().context("our overlay replaces nothing")?;
    for (file, replacement) in own["Replace"].as_object().into_iter().flatten() {
        if table.insert(file.clone(), replacement.clone()).is_some() {
            return Err(anyhow!("it replaces {file}, which the recorder replaces, too"));
        }
    }
    let text = both.to_string();
    let path = cache.join(format!("overlay-with-own-{:016x}.json", hash(&text)));
    let partial = cache.join(format!(".overlay.partial-{}", std::process::id()));
    fs::write(&partial, text)?;
    fs::rename(&partial, &path)?;
    Ok(path)
}

fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Where the recorded processes write, and what was there before.
struct Logs {
    /// As the user wrote it.
    shown: PathBuf,
    /// The same for processes that work elsewhere.
    asked: PathBuf,
    is_folder: bool,
    before: HashMap<PathBuf, Option<SystemTime>>,
}

impl Logs {
    fn begin(args: &Go, verb: Verb) -> Result<Self, Failure> {
        let default = if verb == Verb::Test { TEST_LOGS } else { RUN_LOG };
        let shown = args.output.clone().unwrap_or_else(|| default.into());
        let asked = std::path::absolute(&shown)
            .with_context(|| format!("cannot name {}", shown.display()))
            .map_err(Failure::usage)?;
        let ends_as_folder = shown.as_os_str().as_encoded_bytes().ends_with(b"/");
        let is_folder = verb == Verb::Test || ends_as_folder || asked.is_dir();
        if is_folder {
            // Test programs say nothing if they cannot write: it is tried before they run.
            fs::create_dir_all(&asked)
                .and_then(|()| probe(&asked))
                .with_context(|| format!("cannot write logs into {}", shown.display()))
                .map_err(Failure::usage)?;
        } else {
            make_way(&shown)?;
        }
        let mut logs = Self { shown, asked, is_folder, before: HashMap::new() };
        logs.before = logs.there().into_iter().map(|log| (log.clone(), changed(&log))).collect();
        Ok(logs)
    }

    /// The logs that were written since.
    fn made(&self) -> Vec<PathBuf> {
        let is_new = |log: &PathBuf| self.before.get(log).is_none_or(|at| *at != changed(log));
        self.there().into_iter().filter(is_new).collect()
    }

    /// All logs, of earlier runs as well. Of a file those beside it that its process wrote when it had
    /// become another program.
    fn there(&self) -> Vec<PathBuf> {
        if self.is_folder {
            return logs_in(&self.shown);
        }
        let later = (2_u32..).map(|number| {
            let mut name = self.shown.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        });
        std::iter::once(self.shown.clone()).chain(later).take_while(|log| log.exists()).collect()
    }
}

fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".mmtrace-{}", std::process::id()));
    fs::write(&path, [])?;
    fs::remove_file(path)
}

fn changed(log: &Path) -> Option<SystemTime> {
    fs::metadata(log).and_then(|metadata| metadata.modified()).ok()
}

fn logs_in(folder: &Path) -> Vec<PathBuf> {
    inputs::logs(&[folder.to_owned()]).unwrap_or_default()
}

/// What the exit code says: Go's own failure if it failed, else what is in the logs.
fn verdict(
    args: &Go,
    shared: Shared,
    failed: Option<u8>,
    logs: &Logs,
    made: &[PathBuf],
) -> Result<Outcome, Failure> {
    let failed = failed.map(Outcome::Program);
    if args.record_only {
        let written = quantity::counted(made.len() as u64, "log");
        note(&format!("{written} in {}; next: mmtrace analyze", logs.shown.display()));
        return Ok(failed.unwrap_or(Outcome::Clean));
    }
    let output = match &args.report {
        Some(path) => Output::open(Some(path))?,
        // Standard output is the program's.
        None => Output::error(),
    };
    let judging = Judging {
        logs: made,
        format: args.format,
        exit_code: args.exit_code,
        resources: &args.resources,
        hides_clean: args.report.is_none(),
        takes_unclosed: failed.is_none(),
    };
    let outcome = judge(&judging, output, shared)?;
    if !shared.quiet {
        let written = quantity::counted(made.len() as u64, "log");
        let place = logs.shown.display();
        note(&match outcome {
            Outcome::Clean => format!("{written} in {place}: nothing found"),
            _ => format!("{written} in {place}; to look at one: mmtrace analyze LOG"),
        });
    }
    Ok(failed.unwrap_or(outcome))
}
