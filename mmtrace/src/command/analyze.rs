//! `mmtrace analyze`: reports, and a verdict as exit code.

use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use mmtrace_analyzer::report::text::{TextOptions, render};
use mmtrace_analyzer::report::{Report, Schema, Verdict};
use mmtrace_analyzer::{Options, analyze};
use mmtrace_format::log::{Gap, GapReason, is_being_recorded};
use serde::Serialize;

use crate::args::{Analyze, Format, Resources, Shared};
use crate::exit::{Failure, Outcome, note};
use crate::inputs;
use crate::output::{Output, unwritten};
use crate::progress::Bars;

/// Columns of a report that nobody watches.
const WIDTH: usize = 100;

/// Analyses every log, and prints a report of each.
pub(crate) fn run(args: &Analyze, shared: Shared) -> Result<Outcome, Failure> {
    let logs = inputs::logs(&args.logs)?;
    let output = Output::open(args.output.as_deref())?;
    let judging = Judging {
        logs: &logs,
        format: args.format,
        exit_code: args.exit_code,
        resources: &args.resources,
        hides_clean: false,
        takes_unclosed: false,
    };
    judge(&judging, output, shared)
}

/// Logs to be judged.
pub(super) struct Judging<'a> {
    pub(super) logs: &'a [PathBuf],
    pub(super) format: Format,
    /// For findings.
    pub(super) exit_code: u8,
    pub(super) resources: &'a Resources,
    /// Whether the text leaves out logs in which nothing was found.
    pub(super) hides_clean: bool,
    /// Whether a log that its process has left unclosed, and that lacks nothing else, proves as much
    /// as any: whoever has run the processes says so, since what they were to do was done.
    pub(super) takes_unclosed: bool,
}

/// Writes a report of each log, and gives the worst verdict.
pub(super) fn judge(
    judging: &Judging<'_>,
    output: Output,
    shared: Shared,
) -> Result<Outcome, Failure> {
    let several = judging.logs.len() > 1;
    let mut document = Document { format: judging.format, several, output, logs: vec![] };
    let mut outcome = Outcome::Clean;
    for path in judging.logs {
        if judging.takes_unclosed && died_before_it_began(path) {
            note(&format!("{}: its process died before it recorded anything", path.display()));
            continue;
        }
        let result = report_of(path, judging.resources, shared);
        let verdict = result.as_ref().map_or(Outcome::Unusable, |report| match report.verdict {
            Verdict::Clean => Outcome::Clean,
            Verdict::Findings => Outcome::Findings(judging.exit_code),
            Verdict::Incomplete if judging.takes_unclosed && lacks_only_its_end(path, report) => {
                note(&format!(
                    "{}: its process died without closing the log: what it did until then is all \
                     there",
                    path.display()
                ));
                Outcome::Clean
            }
            Verdict::Incomplete => Outcome::Unusable,
        });
        outcome = outcome.worst(verdict);
        if let Err(failure) = &result {
            failure.report();
        }
        let is_hidden = judging.hides_clean && judging.format == Format::Text;
        if is_hidden && verdict == Outcome::Clean {
            continue;
        }
        match document.add(path, result) {
            Err(error) if !error.is_broken_pipe() => return Err(error),
            _ => {}
        }
    }
    // A reader that went away has no say in the verdict.
    match document.finish(outcome) {
        Err(error) if !error.is_broken_pipe() => Err(error),
        _ => Ok(outcome),
    }
}

/// Whether a log's process was killed between making the file and writing to it.
fn died_before_it_began(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.len() == 0) && is_over(path)
}

/// Whether nothing is wrong with a log but that it was never closed, and its process is over.
fn lacks_only_its_end(path: &Path, report: &Report) -> bool {
    let Ok(log) = inputs::open(path) else { return false };
    let is_end = |gap: &Gap| match gap.reason {
        GapReason::Unfinished => true,
        // It came to no more than the first page.
        GapReason::DamagedInfo => log.chunks().is_empty(),
        _ => false,
    };
    // What the analysis found missing beyond that is no gap of the file.
    report.gaps.len() == log.gaps().len() && log.gaps().iter().all(is_end) && is_over(path)
}

fn is_over(path: &Path) -> bool {
    is_being_recorded(path).is_ok_and(|is_recorded| !is_recorded)
}

/// The report of one log.
pub(super) fn report_of(
    path: &Path,
    resources: &Resources,
    shared: Shared,
) -> Result<Report, Failure> {
    let log = inputs::open(path)?;
    let bars = Bars::new(shared.quiet);
    let report = analyze(&log, &options(resources), &bars);
    report
        .map_err(|error| Failure::log(error).context(format!("cannot analyse {}", path.display())))
}

/// What the analysis may use, as it was asked for.
pub(super) fn options(resources: &Resources) -> Options {
    Options { threads: resources.threads, memory: resources.memory.0 }
}

/// The report as text, for a terminal or a pipe.
pub(super) fn text(path: &Path, report: &Report) -> String {
    with_text_options(&path.display().to_string(), |options| render(report, options))
}

/// How text about a log is to look here. Colours are taken out later where they have to be.
pub(super) fn with_text_options<T>(log: &str, write: impl FnOnce(&TextOptions<'_>) -> T) -> T {
    let files = SourceFiles::default();
    let folder = std::env::current_dir().ok();
    write(&TextOptions {
        folder: folder.as_deref().and_then(Path::to_str),
        width: width(),
        color: true,
        unicode: speaks_utf8(),
        log,
        source: Some(&|file, line| files.line(file, line)),
        ..TextOptions::default()
    })
}

/// What is printed: one report, or one document of several.
struct Document {
    format: Format,
    several: bool,
    output: Output,
    logs: Vec<LogReport>,
}

/// What the JSON of several logs is.
const REPORTS_SCHEMA: Schema = Schema { name: "mmtrace-reports", version: 1 };

/// The JSON of several logs.
#[derive(Serialize)]
struct Reports {
    schema: Schema,
    verdict: Verdict,
    logs: Vec<LogReport>,
}

/// One of several logs: its report, or why there is none.
#[derive(Serialize)]
struct LogReport {
    log: String,
    report: Option<Report>,
    error: Option<String>,
}

impl Document {
    fn add(&mut self, path: &Path, result: Result<Report, Failure>) -> Result<(), Failure> {
        match (self.format, result) {
            (Format::Text, Ok(report)) => {
                let mut text = text(path, &report);
                if self.several {
                    text.push('\n');
                }
                self.output.write_all(text.as_bytes()).map_err(unwritten)
            }
            (Format::Text, Err(_)) => Ok(()),
            (Format::Json, Ok(report)) if !self.several => self.json(&report),
            (Format::Json, result) => {
                let log = path.display().to_string();
                let error = result.as_ref().err().map(Failure::chain);
                self.logs.push(LogReport { log, report: result.ok(), error });
                Ok(())
            }
        }
    }

    fn finish(mut self, outcome: Outcome) -> Result<(), Failure> {
        if self.format == Format::Json && self.several {
            let verdict = match outcome {
                Outcome::Findings(_) => Verdict::Findings,
                Outcome::Clean => Verdict::Clean,
                Outcome::Unusable | Outcome::Program(_) => Verdict::Incomplete,
            };
            let logs = std::mem::take(&mut self.logs);
            self.json(&Reports { schema: REPORTS_SCHEMA, verdict, logs })?;
        }
        self.output.finish()
    }

    fn json(&mut self, document: &impl Serialize) -> Result<(), Failure> {
        serde_json::to_writer_pretty(&mut self.output, document)
            .map_err(std::io::Error::from)
            .and_then(|()| self.output.write_all(b"\n"))
            .map_err(unwritten)
    }
}

/// The terminal's width, or one that is good to read.
fn width() -> usize {
    let stdout = std::io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout));
    match size {
        Some(Ok(size)) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => WIDTH,
    }
}

/// Whether the locale promises characters beyond ASCII. Without any locale, files and pipes do.
pub(super) fn speaks_utf8() -> bool {
    let setting = ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    setting.is_none_or(|value| value.to_lowercase().replace('-', "").contains("utf8"))
}

/// Source files, where they are on this machine, each read once.
#[derive(Default)]
struct SourceFiles {
    files: Mutex<HashMap<String, Option<Vec<String>>>>,
}

impl SourceFiles {
    /// A file that is longer is no source, and a name in a log may be of anything.
    const LEN_MAX: u64 = 16 << 20;

    fn line(&self, file: &str, line: u32) -> Option<String> {
        let mut files = self.files.lock().ok()?;
        let lines = files.entry(file.to_owned()).or_insert_with(|| Self::read(file));
        lines.as_ref()?.get(usize::try_from(line).ok()?.checked_sub(1)?).cloned()
    }

    fn read(file: &str) -> Option<Vec<String>> {
        let metadata = std::fs::metadata(file).ok()?;
        // Not a pipe or a device: reading those waits, or has effects.
        if !metadata.is_file() || metadata.len() > Self::LEN_MAX {
            return None;
        }
        let text = std::fs::read_to_string(file).ok()?;
        Some(text.lines().map(|line| line.replace(char::is_control, " ")).collect())
    }
}
