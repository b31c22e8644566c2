//! Synthetic traces with known answers: bytes an event, events a second, peak memory.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::synthetic::Shape;
use crate::tool::{Done, cargo, command, root, run, say, text_of};

/// The traces, smallest first.
const TRACES: [(&str, Shape); 9] = [
    ("10k_t5", TINY),
    ("1m_t8", shape(1_000_000, 8)),
    ("1m_t64", shape(1_000_000, 64)),
    ("1m_t512", shape(1_000_000, 512)),
    ("1m_go10k", Shape { live: 64, ..shape(1_000_000, 10_000) }),
    ("10m_t8", shape(10_000_000, 8)),
    ("10m_t64", shape(10_000_000, 64)),
    ("10m_t512", shape(10_000_000, 512)),
    ("10m_go100k", Shape { live: 64, ..shape(10_000_000, 100_000) }),
];

const TINY: Shape = Shape {
    events: 10_000,
    threads: 5,
    live: 5,
    variables: 300,
    locks: 8,
    triples: 5,
    pairs: 10,
    ordered: 5,
    copies: 1,
};

const fn shape(events: usize, threads: usize) -> Shape {
    let (variables, locks) = (50_000, 1000);
    let (triples, pairs, ordered, copies) = (20, 40, 20, 5);
    Shape { events, threads, live: threads, variables, locks, triples, pairs, ordered, copies }
}

/// What runs when no trace is named.
const DEFAULT: [&str; 5] = ["10k_t5", "1m_t8", "1m_t64", "1m_t512", "1m_go10k"];

/// Generates, imports and analyses traces, and compares with what is known of them.
///
/// `generator` is a program with the arguments `EVENTS THREADS VARIABLES LOCKS SEED FILE [--live N]
/// [--inj TRIPLES PAIRS ORDERED] [--dup COPIES]`, to be used in place of our own.
pub(crate) fn run_traces(generator: Option<&Path>, names: &[String]) -> anyhow::Result<Done> {
    let is_chosen = |name: &str| match names {
        [] => DEFAULT.contains(&name),
        names => names.iter().any(|chosen| chosen == name),
    };
    let chosen: Vec<_> = TRACES.iter().filter(|(name, _)| is_chosen(name)).collect();
    ensure!(names.is_empty() || chosen.len() == names.len(), "unknown trace in {names:?}");
    run(&mut cargo(None, &["build", "--release", "-p", "mmtrace"]))?;
    let folder = release_folder()?;
    let work = folder.join("bench-std");
    std::fs::create_dir_all(&work)?;
    let generator = generator.map(|path| built(path, &work)).transpose()?;
    let bench = Bench { mmtrace: folder.join("mmtrace"), generator, work };
    say(
        "trace         events     MB  bytes/event  import s  analyse s  M events/s  peak MB  races",
    );
    for (name, shape) in chosen {
        say(&bench.row(name, shape).with_context(|| (*name).to_owned())?);
    }
    Ok(Done::Passed)
}

/// The generator as a program: source is compiled.
fn built(generator: &Path, work: &Path) -> anyhow::Result<PathBuf> {
    if generator.extension().is_none_or(|extension| extension != "rs") {
        return Ok(generator.to_owned());
    }
    let program = work.join("generator");
    run(command("rustc", &["-O", "-o"]).arg(&program).arg(std::path::absolute(generator)?))?;
    Ok(program)
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
    generator: Option<PathBuf>,
    work: PathBuf,
}

impl Bench {
    /// Writes the trace as text.
    fn generate(&self, shape: &Shape, text: &Path) -> anyhow::Result<()> {
        let Some(generator) = &self.generator else {
            let mut sink = BufWriter::with_capacity(1 << 20, File::create(text)?);
            return Ok(shape.write(&mut sink)?);
        };
        let mut generate = Command::new(generator);
        let numbers = [shape.events, shape.threads, shape.variables, shape.locks, 1];
        generate.args(numbers.map(|number| number.to_string())).arg(text);
        if shape.live < shape.threads {
            generate.args(["--live".to_owned(), shape.live.to_string()]);
        }
        let groups = [shape.triples, shape.pairs, shape.ordered];
        generate.arg("--inj").args(groups.map(|number| number.to_string()));
        generate.args(["--dup".to_owned(), shape.copies.to_string()]).stdout(Stdio::null());
        run(&mut generate)
    }

    fn row(&self, name: &str, shape: &Shape) -> anyhow::Result<String> {
        let text = self.work.join(format!("{name}.std"));
        let log = self.work.join(format!("{name}.log"));
        self.generate(shape, &text)?;
        let mut import = self.mmtrace(&["import", "--from", "std"]);
        let import = measure(import.arg(&text).arg("-o").arg(&log), &[0])?;
        let mut analyze = self.mmtrace(&["analyze", "--format", "json", "--threads", "2"]);
        let analyze = measure(analyze.arg(&log), &[66])?;

        let report: serde_json::Value = serde_json::from_str(&analyze.output)?;
        let summary = &report["summary"];
        let number = |value: &serde_json::Value| value.as_u64().unwrap_or(u64::MAX);
        let races = &summary["races"];
        let found = ["site_pairs", "addresses", "event_pairs"].map(|key| number(&races[key]));
        let known = [shape.site_pairs(), shape.addresses(), shape.event_pairs()];
        if found != known {
            bail!("pairs of sites, addresses, pairs of events that race: {found:?}, not {known:?}");
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
            name,
            size_f / 1e6,
            size_f / events_f,
            events_f / analyze / 1e6,
            found[0],
            found[1],
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
