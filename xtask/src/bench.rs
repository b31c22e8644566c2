//! Synthetic traces with known answers: bytes an event, events a second, peak memory.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::tool::{Done, cargo, command, root, run, say, text_of};

/// A synthetic trace and what is known of it.
struct Trace {
    name: &'static str,
    /// Events, threads, variables, locks, seed.
    size: [&'static str; 5],
    options: &'static [&'static str],
    /// Pairs of locations that race.
    site_pairs: u64,
    /// Variables that race.
    addresses: u64,
}

const fn trace(name: &'static str, events: &'static str, threads: &'static str) -> Trace {
    let size = [events, threads, "50000", "1000", "1"];
    Trace { name, size, options: &[], site_pairs: 100, addresses: 300 }
}

const LIVE_64: &[&str] = &["--live", "64"];

/// The traces, smallest first.
const TRACES: [Trace; 9] = [
    Trace {
        name: "10k_t5",
        size: ["10000", "5", "300", "8", "1"],
        options: &["--dup", "1", "--inj", "5", "10", "5"],
        site_pairs: 25,
        addresses: 15,
    },
    trace("1m_t8", "1000000", "8"),
    trace("1m_t64", "1000000", "64"),
    trace("1m_t512", "1000000", "512"),
    Trace { options: LIVE_64, ..trace("1m_go10k", "1000000", "10000") },
    trace("10m_t8", "10000000", "8"),
    trace("10m_t64", "10000000", "64"),
    trace("10m_t512", "10000000", "512"),
    Trace { options: LIVE_64, ..trace("10m_go100k", "10000000", "100000") },
];

/// What runs when no trace is named.
const DEFAULT: [&str; 5] = ["10k_t5", "1m_t8", "1m_t64", "1m_t512", "1m_go10k"];

/// Generates, imports and analyses traces, and compares with what is known of them.
pub(crate) fn run_traces(generator: Option<&Path>, names: &[String]) -> anyhow::Result<Done> {
    run(&mut cargo(None, &["build", "--release", "-p", "mmtrace", "-p", "mmtrace-fixtures"]))?;
    let folder = release_folder()?;
    let generator = generator.map_or_else(|| folder.join("stdgen"), Path::to_owned);
    ensure!(generator.exists(), "no generator at {}", generator.display());
    let bench =
        Bench { mmtrace: folder.join("mmtrace"), generator, work: folder.join("bench-std") };
    std::fs::create_dir_all(&bench.work)?;
    let named = |trace: &&Trace| match names {
        [] => DEFAULT.contains(&trace.name),
        names => names.iter().any(|name| name == trace.name),
    };
    let chosen: Vec<&Trace> = TRACES.iter().filter(named).collect();
    ensure!(names.is_empty() || chosen.len() == names.len(), "unknown trace in {names:?}");
    say(
        "trace         events     MB  bytes/event  import s  analyse s  M events/s  peak MB  races",
    );
    for trace in chosen {
        say(&bench.row(trace).with_context(|| trace.name)?);
    }
    Ok(Done::Passed)
}

/// Where cargo puts optimised programs.
fn release_folder() -> anyhow::Result<PathBuf> {
    let metadata = text_of(&mut cargo(None, &["metadata", "--no-deps", "--format-version=1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let target = metadata["target_directory"].as_str().context("no target_directory")?;
    Ok(root().join(target).join("release"))
}

struct Bench {
    mmtrace: PathBuf,
    generator: PathBuf,
    work: PathBuf,
}

impl Bench {
    fn row(&self, trace: &Trace) -> anyhow::Result<String> {
        let text = self.work.join(format!("{}.std", trace.name));
        let log = self.work.join(format!("{}.log", trace.name));
        if !text.exists() {
            let mut generate = Command::new(&self.generator);
            generate.args(trace.size).arg(&text).args(trace.options).stdout(Stdio::null());
            run(&mut generate)?;
        }
        let mut import = self.mmtrace(&["import", "--from", "std"]);
        let import = measure(import.arg(&text).arg("-o").arg(&log), &[0])?;
        let mut analyze = self.mmtrace(&["analyze", "--format", "json", "--threads", "2"]);
        let analyze = measure(analyze.arg(&log), &[66])?;

        let report: serde_json::Value = serde_json::from_str(&analyze.output)?;
        let summary = &report["summary"];
        let number = |value: &serde_json::Value| value.as_u64().unwrap_or(u64::MAX);
        let races = &summary["races"];
        let found = (number(&races["site_pairs"]), number(&races["addresses"]));
        if found != (trace.site_pairs, trace.addresses) {
            bail!("races {found:?}, known are {:?}", (trace.site_pairs, trace.addresses));
        }
        let events = number(&summary["events"]) + number(&summary["accesses"]);
        let size = std::fs::metadata(&log)?.len();
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let (events_f, size_f) = (events as f64, size as f64);
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let peak = analyze.peak_kib as f64 / 1024.0;
        let (import, analyze) = (import.time.as_secs_f64(), analyze.time.as_secs_f64());
        Ok(format!(
            "{:<10} {events:>9} {:>6.1} {:>12.2} {import:>9.2} {analyze:>10.2} {:>11.1} {peak:>8.0}  {}/{}",
            trace.name,
            size_f / 1e6,
            size_f / events_f,
            events_f / analyze / 1e6,
            found.0,
            found.1,
        ))
    }

    fn mmtrace(&self, arguments: &[&str]) -> Command {
        let mut mmtrace = Command::new(&self.mmtrace);
        mmtrace.args(arguments);
        mmtrace
    }
}

/// What a run of a program took.
struct Measured {
    output: String,
    time: Duration,
    peak_kib: u64,
}

/// Runs a program under time(1), and expects one of these exit codes.
fn measure(program: &mut Command, codes: &[i32]) -> anyhow::Result<Measured> {
    let report = std::env::temp_dir().join(format!("xtask-bench-{}", std::process::id()));
    let mut timed = command("time", &["--quiet", "--format=%M", "--output"]);
    timed.arg(&report).arg(program.get_program()).args(program.get_args());
    let begin = Instant::now();
    let output = timed.stderr(Stdio::inherit()).output().context("cannot start time(1)")?;
    let time = begin.elapsed();
    if !output.status.code().is_some_and(|code| codes.contains(&code)) {
        bail!("{program:?} ended with {}", output.status);
    }
    let peak = std::fs::read_to_string(&report).context("reading what time(1) says")?;
    std::fs::remove_file(&report)?;
    let peak_kib = peak.trim().parse().with_context(|| format!("time(1) said {peak:?}"))?;
    Ok(Measured { output: String::from_utf8(output.stdout)?, time, peak_kib })
}
