//! The Go distribution's own tests of its race detector (`runtime/race/testdata`), each built, run on
//! its own, recorded, and judged from its log.
//!
//! What a test's name begins with says what must be found: `TestRace` a race, `TestNoRace` none. The
//! race must belong to the test: those of the package's initialisation belong to nobody. Names with
//! `Failing` are what Go's detector is known to get wrong; they are counted apart.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use crate::tool::{Done, cargo, root, run, say, succeeds, text_of};

/// A test that takes longer is hung.
const TIME_MAX: Duration = Duration::from_secs(120);
/// Where Go is promised to be: there, a step that cannot run fails.
const REQUIRE: &str = "MMTRACE_REQUIRE_GO";

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Result {
    /// As its name says.
    Right,
    /// A race was not found.
    Missed,
    /// Something that is no race was called one.
    Invented(String),
    /// It was not run to its end, or its log cannot be read.
    Broken(String),
    /// The test itself says that it cannot run here.
    Skipped,
}

/// Runs every `every`-th of the tests, `repeat` times each: the worst result of a test counts.
///
/// # Errors
/// A test is judged wrongly, or the tests cannot be built.
pub(crate) fn run_all(
    go: Option<&Path>,
    every: usize,
    only: &str,
    repeat: usize,
) -> anyhow::Result<Done> {
    let path = path_with(go)?;
    let go = |arguments: &[&str]| {
        let mut go = Command::new("go");
        go.args(arguments).env("PATH", &path).env("GOTOOLCHAIN", "local").current_dir(root());
        go
    };
    if !succeeds(&mut go(&["version"])) {
        ensure!(std::env::var_os(REQUIRE).is_none_or(|value| value != "1"), "there is no `go`");
        return Ok(Done::Skipped("there is no `go`".to_owned()));
    }
    let version = text_of(&mut go(&["version"]))?;
    let folder = text_of(&mut go(&["env", "GOROOT"]))?;
    let folder = Path::new(folder.trim()).join("src/runtime/race/testdata");
    if !folder.is_dir() {
        return Ok(Done::Skipped(format!("there is no {}", folder.display())));
    }
    run(&mut cargo(None, &["build", "--release", "--package", "mmtrace"]))?;
    let work = root().join("target/go-race-tests");
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let suite = Suite { path, program: work.join("race.test"), work, folder };
    suite.build()?;
    let names = suite.names()?;
    let chosen: Vec<String> =
        names.iter().filter(|name| name.contains(only)).step_by(every.max(1)).cloned().collect();
    ensure!(!chosen.is_empty(), "no test was chosen of {}", names.len());
    let begin = Instant::now();
    let chosen: Vec<String> = (0..repeat.max(1)).flat_map(|_| chosen.iter().cloned()).collect();
    let results = suite.run(&chosen);
    say(&format!("{}, {} s", version.trim(), begin.elapsed().as_secs()));
    table(&results)
}

/// `PATH` with this `go`'s folder first.
fn path_with(go: Option<&Path>) -> anyhow::Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(go) = go else { return Ok(path) };
    let go = std::path::absolute(go)?;
    let folder = go.parent().context("--go names no program")?.to_owned();
    Ok(std::env::join_paths(std::iter::once(folder).chain(std::env::split_paths(&path)))?)
}

/// The command itself, as it was built for these chores.
pub(crate) fn mmtrace() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join("release/mmtrace")
}

/// How the runtime ends a racy test that came out one of the ways that it can: its own check of maps,
/// and a channel that was closed before the send that raced with that (once in 400 runs on a busy
/// machine; 7 times with Go's own detector and two processors). Races are in the log all the same.
const ENDED_BY_RUNTIME: [&str; 2] =
    ["fatal error: concurrent map", "panic: send on closed channel"];

/// The tests, built as one program.
struct Suite {
    path: std::ffi::OsString,
    /// Go's folder of them.
    folder: PathBuf,
    /// Where programs and logs go.
    work: PathBuf,
    program: PathBuf,
}

impl Suite {
    /// A program in Go's folder, with the settings that Go's own run of these tests has.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.folder).stdin(Stdio::null()).env("PATH", &self.path);
        command.env("GOTOOLCHAIN", "local").env("GOMAXPROCS", "1");
        command.env_remove("GODEBUG").env_remove("GOFLAGS");
        command
    }

    fn build(&self) -> anyhow::Result<()> {
        let mut files = Vec::new();
        let folder = &self.folder;
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with("_test.go") {
                files.push(entry.file_name());
            }
        }
        files.sort();
        let mut build = self.command(&mmtrace());
        build.args(["go", "test", "-c", "-o"]).arg(&self.program).args(files);
        run(&mut build)
    }

    /// The tests whose names say what is expected.
    fn names(&self) -> anyhow::Result<Vec<String>> {
        let mut list = self.command(&self.program);
        list.args(["-test.list", "^Test(No)?Race"]).env("MMTRACE_LOG", "off");
        let names = text_of(&mut list)?;
        Ok(names.lines().filter(|line| line.starts_with("Test")).map(str::to_owned).collect())
    }

    /// One worker a core, each test in a process of its own.
    fn run(&self, names: &[String]) -> BTreeMap<String, Result> {
        let (next, results) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some(name) = names.get(number) else { return };
                let result = self.judge(name, number);
                let result = result.unwrap_or_else(|e| Result::Broken(format!("{e:#}")));
                let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let is_right = result == Result::Right;
                let known = results.entry(name.clone()).or_insert_with(|| result.clone());
                if !is_right {
                    *known = result;
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(work);
            }
        });
        results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn judge(&self, name: &str, number: usize) -> anyhow::Result<Result> {
        let log = self.work.join(format!("{name}.{number}.log"));
        let output = self.work.join(format!("{name}.{number}.out"));
        let _ = fs::remove_file(&log);
        let file = fs::File::create(&output)?;
        let mut test = self.command(&self.program);
        test.args(["-test.v", "-test.run", &format!("^{name}$")]).env("MMTRACE_LOG", &log);
        test.stdout(file.try_clone()?).stderr(file);
        let passed = ends_in_time(&mut test)?;
        let text = String::from_utf8_lossy(&fs::read(&output)?).into_owned();
        if text.contains("--- SKIP:") {
            return Ok(Result::Skipped);
        }
        let by_runtime = ENDED_BY_RUNTIME.iter().any(|how| text.contains(how));
        if !passed && !by_runtime {
            bail!("it fails: {}", text.lines().find(|l| !l.starts_with("===")).unwrap_or_default());
        }
        let mut analyze = Command::new(mmtrace());
        analyze.args(["analyze", "--format", "json", "--threads", "1"]).arg(&log);
        let report = analyze.stdin(Stdio::null()).output()?;
        let report: Value = serde_json::from_slice(&report.stdout).with_context(|| {
            format!("no report: {}", String::from_utf8_lossy(&report.stderr).trim())
        })?;
        ensure!(by_runtime || report["gaps"] == serde_json::json!([]), "gaps: {}", report["gaps"]);
        let _ = fs::remove_file(&log).and_then(|()| fs::remove_file(&output));
        Ok(verdict(name, &report))
    }
}

/// What a report says of a test.
fn verdict(name: &str, report: &Value) -> Result {
    let belongs = |finding: &&Value| {
        let test = finding["test"].as_str().unwrap_or_default();
        let is_here = test == name || test.strip_prefix(name).is_some_and(|t| t.starts_with('/'));
        finding["kind"] == "race" && is_here
    };
    let race = report["findings"].as_array().into_iter().flatten().find(belongs);
    match (name.starts_with("TestRace"), race) {
        (true, Some(_)) | (false, None) => Result::Right,
        (true, None) => Result::Missed,
        (false, Some(race)) => {
            Result::Invented(race["title"].as_str().unwrap_or_default().to_owned())
        }
    }
}

/// Whether a program ends with success; it is killed if it takes too long.
fn ends_in_time(command: &mut Command) -> anyhow::Result<bool> {
    let mut child = command.spawn().context("cannot start the tests")?;
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if begin.elapsed() > TIME_MAX {
            child.kill()?;
            child.wait()?;
            bail!("it hangs");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn table(results: &BTreeMap<String, Result>) -> anyhow::Result<Done> {
    let (known, judged): (Vec<_>, Vec<_>) =
        results.iter().partition(|(name, _)| name.contains("Failing"));
    let mut wrong = 0;
    say("tests                  number   right  missed  invented  broken  skipped");
    let mut row = |label: &str, rows: &[&(&String, &Result)]| {
        let count = |is: fn(&Result) -> bool| rows.iter().filter(|(_, result)| is(result)).count();
        let right = count(|result| *result == Result::Right);
        let skipped = count(|result| *result == Result::Skipped);
        wrong += rows.len() - right - skipped;
        say(&format!(
            "{label:<21} {:>7} {right:>7} {:>7} {:>9} {:>7} {skipped:>8}",
            rows.len(),
            count(|result| *result == Result::Missed),
            count(|result| matches!(result, Result::Invented(_))),
            count(|result| matches!(result, Result::Broken(_))),
        ));
    };
    let racy: Vec<_> = judged.iter().filter(|(name, _)| name.starts_with("TestRace")).collect();
    let free: Vec<_> = judged.iter().filter(|(name, _)| name.starts_with("TestNo")).collect();
    row("TestRace*", &racy);
    row("TestNoRace*", &free);
    let known_right = known.iter().filter(|(_, result)| **result == Result::Right).count();
    say(&format!("known to fail in Go's own detector: {}, {known_right} right here", known.len()));
    for (name, result) in judged {
        if !matches!(result, Result::Right | Result::Skipped) {
            say(&format!("  {name}: {result:?}"));
        }
    }
    ensure!(wrong == 0, "{wrong} of {} tests are judged wrongly", results.len());
    Ok(Done::Passed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(kind: &str, test: &Value) -> Value {
        json!({"findings": [{"kind": kind, "test": test, "title": "t"}]})
    }

    #[test]
    fn only_races_of_the_test_itself_count() {
        let own = report("race", &json!("TestRaceX/a"));
        assert_eq!(verdict("TestRaceX", &own), Result::Right);
        let other = report("race", &json!("TestRaceXY"));
        assert_eq!(verdict("TestRaceX", &other), Result::Missed);
        assert_eq!(verdict("TestNoRaceX", &report("race", &Value::Null)), Result::Right);
        let leak = report("leak", &json!("TestNoRaceX"));
        assert_eq!(verdict("TestNoRaceX", &leak), Result::Right);
        let invented = report("race", &json!("TestNoRaceX"));
        assert_eq!(verdict("TestNoRaceX", &invented), Result::Invented("t".to_owned()));
    }

    #[test]
    fn a_wrong_result_fails_the_table_and_a_known_one_does_not() {
        let results = |name: &str| BTreeMap::from([(name.to_owned(), Result::Missed)]);
        assert!(table(&results("TestRaceX")).is_err());
        assert_eq!(table(&results("TestRaceFailingX")).unwrap(), Done::Passed);
    }
}
