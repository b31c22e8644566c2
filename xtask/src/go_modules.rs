//! The test suites of real modules, run as they are, with Go's own detector, and recorded: which
//! tests pass must be the same.
//!
//! The modules are fetched by the Go tool, in pinned versions, and tested in copies below `target`.

mod outcome;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::go_race_tests::mmtrace;
use crate::tool::{Done, cargo, root, run, say, succeeds, text_of};
use outcome::{Difference, Outcomes};

/// How often a test that came out otherwise is run again, both ways.
const TRIES: u32 = 3;

/// What the analysis may take for its tables: the heap of an embedded database is gigabytes,
/// and with the usual half a gigabyte its log is walked some fifty times.
const MEMORY: &str = "8G";

/// A module and what is run of it.
struct Module {
    name: &'static str,
    version: &'static str,
    /// What `go test` is told besides.
    arguments: &'static [&'static str],
    /// Why that is not all of it; empty if it is.
    restricted: &'static str,
}

const MODULES: &[Module] = &[
    Module { name: "golang.org/x/sync", version: "v0.24.0", arguments: &["./..."], restricted: "" },
    Module {
        name: "github.com/gorilla/websocket",
        version: "v1.5.3",
        arguments: &["./..."],
        restricted: "",
    },
    Module {
        name: "github.com/hashicorp/golang-lru/v2",
        version: "v2.0.7",
        arguments: &["./..."],
        restricted: "",
    },
    Module {
        name: "github.com/dgraph-io/ristretto/v2",
        version: "v2.4.2",
        arguments: &["-short", "./..."],
        restricted: "-short, for time",
    },
    Module { name: "go.etcd.io/raft/v3", version: "v3.7.0", arguments: &["./..."], restricted: "" },
    Module {
        name: "github.com/mochi-mqtt/server/v2",
        version: "v2.7.9",
        arguments: &["./..."],
        restricted: "",
    },
    Module {
        name: "github.com/valyala/fasthttp",
        version: "v1.58.0",
        arguments: &["-short", "./..."],
        restricted: "-short, for time",
    },
    Module {
        name: "go.etcd.io/bbolt",
        version: "v1.5.0",
        arguments: &["-short", "-run=^Test(Bucket|Cursor|Tx)_", "."],
        restricted: "-short, buckets, cursors and transactions, for time",
    },
];

/// Runs the suites of all modules with this in their names.
///
/// # Errors
/// A suite's tests come out otherwise when they are recorded, a log is damaged, or nothing can be
/// fetched.
pub(crate) fn run_all(only: &str, keep: bool) -> anyhow::Result<Done> {
    if !succeeds(Command::new("go").arg("version")) {
        return Ok(Done::Skipped("there is no `go`".to_owned()));
    }
    let chosen: Vec<&Module> = MODULES.iter().filter(|module| module.name.contains(only)).collect();
    ensure!(!chosen.is_empty(), "no module has `{only}` in its name");
    run(&mut cargo(None, &["build", "--release", "--package", "mmtrace"]))?;
    let mut rows = Vec::new();
    for module in chosen {
        let row = module.judge(keep).with_context(|| module.name.to_owned())?;
        say(&HEADER.join("  "));
        say(&row.to_string());
        rows.push(row);
    }
    say("");
    say(&HEADER.join("  "));
    for row in &rows {
        say(&row.to_string());
    }
    for row in &rows {
        for finding in &row.findings {
            say(&format!("  {}: {finding}", row.module));
        }
        for difference in &row.differences {
            say(&format!("  {}: {difference}", row.module));
        }
    }
    let wrong = rows.iter().filter(|row| !row.is_right).count();
    ensure!(wrong == 0, "{wrong} of {} suites are not what they are without us", rows.len());
    Ok(Done::Passed)
}

const HEADER: [&str; 9] = [
    "module                             ",
    "  tests",
    "      same",
    "findings",
    "plain s",
    "race s",
    "mmtrace s",
    "analysis s",
    "log MiB",
];

/// What came of a module.
struct Row {
    module: String,
    tests: usize,
    same: &'static str,
    is_right: bool,
    findings: Vec<String>,
    differences: Vec<String>,
    plain: Duration,
    race: Duration,
    recorded: Duration,
    analysis: Duration,
    log_len: u64,
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:<35}  {:>7}  {:>10}  {:>8}  {:>7.1}  {:>6.1}  {:>9.1}  {:>10.1}  {:>7.1}",
            self.module,
            self.tests,
            self.same,
            self.findings.len(),
            self.plain.as_secs_f64(),
            self.race.as_secs_f64(),
            self.recorded.as_secs_f64(),
            self.analysis.as_secs_f64(),
            self.log_len as f64 / f64::from(1 << 20),
        )
    }
}

/// One run of a suite.
struct Ran {
    outcomes: Outcomes,
    /// After the last thing that a test said.
    analysis: Duration,
    code: Option<i32>,
}

impl Module {
    fn judge(&self, keep: bool) -> anyhow::Result<Row> {
        say(&format!("\n=== {}@{} {}", self.name, self.version, self.restricted));
        let work = self.fetched()?;
        let beside = |what: &str| PathBuf::from(format!("{}.{what}", work.display()));
        let (logs, report) = (beside("logs"), beside("report.json"));
        let _ = fs::remove_dir_all(&logs);
        let plain = run_tests(&work, Command::new("go").arg("test"), self.arguments)?;
        ensure!(!plain.outcomes.is_empty(), "no test was run");
        let race = run_tests(&work, Command::new("go").args(["test", "-race"]), self.arguments)?;
        let mut recorded = Command::new(mmtrace());
        recorded.args(["go", "--memory", MEMORY, "--format", "json", "--report"]).arg(&report);
        recorded.arg("-o").arg(&logs).arg("test");
        let ran = run_tests(&work, &mut recorded, self.arguments)?;
        let mut findings = Vec::new();
        let mut incomplete = Vec::new();
        let document: Value = serde_json::from_slice(&fs::read(&report)?)?;
        for log in outcome::reports(&document) {
            findings.extend(outcome::findings(log));
            incomplete.extend(outcome::holes(log));
        }
        findings.sort();
        findings.dedup();
        let log_len = length_of(&logs)?;
        if !keep {
            fs::remove_dir_all(&logs)?;
        }
        let is_as_race = race.outcomes.differences(&ran.outcomes).is_empty();
        let all = plain.outcomes.differences(&ran.outcomes);
        let mut lasting = Vec::new();
        for difference in all.iter().filter(|difference| !difference.test.is_empty()) {
            // A build with -race leaves out some tests, and others fail in it.
            if race.outcomes.of(&difference.package, &difference.test) == difference.recorded {
                continue;
            }
            say(&format!("  {difference}: again"));
            if !Self::is_of_chance(&work, difference)? {
                lasting.push(difference);
            }
        }
        let same = match (all.is_empty(), lasting.is_empty(), is_as_race) {
            (true, ..) => "yes",
            (_, _, true) => "as -race",
            (_, true, _) => "in part",
            _ => "NO",
        };
        let is_same = all.is_empty() || lasting.is_empty() || is_as_race;
        let mut differences: Vec<String> = all.iter().map(ToString::to_string).collect();
        differences.extend(incomplete.iter().cloned());
        let failed = ran.outcomes.failed().next().is_some();
        let expected = if failed { &[Some(1)][..] } else { &[Some(0), Some(66)] };
        if !expected.contains(&ran.code) {
            differences.push(format!("go test ends with {:?}, we with {:?}", plain.code, ran.code));
        }
        Ok(Row {
            module: self.name.to_owned(),
            tests: plain.outcomes.tests(),
            same,
            is_right: is_same && incomplete.is_empty() && expected.contains(&ran.code),
            findings,
            differences,
            plain: plain.outcomes.time(),
            race: race.outcomes.time(),
            recorded: ran.outcomes.time(),
            analysis: ran.analysis,
            log_len,
        })
    }

    /// Whether a test comes out sometimes so and sometimes so, by itself: run again, it comes out
    /// recorded as it did plain, or the other way round.
    fn is_of_chance(work: &Path, difference: &Difference) -> anyhow::Result<bool> {
        let Difference { package, test, plain, recorded } = difference;
        let top = test.split('/').next().unwrap_or(test);
        let only = format!("-run=^{top}$");
        let logs = PathBuf::from(format!("{}.again", work.display()));
        for _ in 0..TRIES {
            let mut again = Command::new(mmtrace());
            again.args(["go", "--record-only", "-o"]).arg(&logs).arg("test");
            let outcomes = run_tests(work, &mut again, &["-short", &only, package])?.outcomes;
            fs::remove_dir_all(&logs)?;
            if outcomes.of(package, test) == *plain {
                return Ok(true);
            }
            let mut again = Command::new("go");
            let again = run_tests(work, again.arg("test"), &["-short", &only, package])?;
            if again.outcomes.of(package, test) == *recorded {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A copy of the module that can be written to, as tests expect.
    fn fetched(&self) -> anyhow::Result<PathBuf> {
        let folder = root().join("target/go-modules");
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        let wanted = format!("{}@{}", self.name, self.version);
        let mut download = Command::new("go");
        download.args(["mod", "download", "-json", &wanted]).current_dir(&folder);
        let downloaded: Value = serde_json::from_str(&text_of(&mut download)?)?;
        let source = downloaded["Dir"].as_str().context("Go does not say where it put it")?;
        let work = folder.join(self.name.replace('/', "-"));
        if work.exists() {
            fs::remove_dir_all(&work)?;
        }
        copy(Path::new(source), &work)?;
        Ok(work)
    }
}

/// One package at a time: the times are those of the tests, not of their neighbours.
fn run_tests(work: &Path, command: &mut Command, arguments: &[&str]) -> anyhow::Result<Ran> {
    command.args(["-json", "-count=1", "-p=1", "-timeout=20m"]).args(arguments);
    command.current_dir(work).stdin(Stdio::null()).stdout(Stdio::piped());
    command.env_remove("GOFLAGS").env("GOTOOLCHAIN", "local");
    say(&format!("$ {command:?}"));
    let mut child = command.spawn().context("it cannot be started")?;
    let stdout = child.stdout.take().context("its output is not there")?;
    let mut outcomes = Outcomes::default();
    let mut last = Instant::now();
    for line in BufReader::new(stdout).lines() {
        outcomes.take(&line?);
        last = Instant::now();
    }
    let status = child.wait()?;
    for (test, text) in outcomes.failed() {
        say(&format!("  {test} fails{}", if text.is_empty() { "" } else { ":" }));
        text.lines().for_each(|line| say(&format!("    {line}")));
    }
    Ok(Ran { outcomes, analysis: last.elapsed(), code: status.code() })
}

/// Copies a folder, with the right to write.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&source, &target)?;
        } else {
            // Not `fs::copy`, which takes the permissions along.
            fs::write(&target, fs::read(&source)?)?;
        }
    }
    Ok(())
}

/// Bytes of all files in a folder.
fn length_of(folder: &Path) -> anyhow::Result<u64> {
    let mut len = 0;
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        len += entry?.metadata()?.len();
    }
    Ok(len)
}
