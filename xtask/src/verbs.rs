//! The verbs that are a few commands each.

use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::tool::{Done, cargo, command, has_nightly, root, run, say, succeeds};

/// The format check of all crates.
pub(crate) fn fmt() -> anyhow::Result<Done> {
    run(&mut cargo(None, &["fmt", "--all", "--check"]))?;
    Ok(Done::Passed)
}

/// All lints, as errors.
pub(crate) fn clippy() -> anyhow::Result<Done> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run(&mut cargo(None, &arguments))?;
    Ok(Done::Passed)
}

/// The documentation of all crates, warnings as errors.
pub(crate) fn doc() -> anyhow::Result<Done> {
    let arguments = ["doc", "--workspace", "--no-deps", "--document-private-items"];
    run(cargo(None, &arguments).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Done::Passed)
}

/// Every test of every crate.
pub(crate) fn test() -> anyhow::Result<Done> {
    run(&mut cargo(None, &["test", "--workspace"]))?;
    // The workspace turns recording on; alone, the recorder is what its users have by default.
    run(&mut cargo(None, &["test", "-p", "mmtrace-recorder"]))?;
    Ok(Done::Passed)
}

/// The log's format under Miri. What needs C (zstd) or a map of a file is left out by the tests
/// themselves.
pub(crate) fn miri() -> anyhow::Result<Done> {
    if !has_nightly() {
        return valgrind("no nightly toolchain");
    }
    if !succeeds(&mut cargo(Some("nightly"), &["miri", "--version"])) {
        return valgrind("no Miri in the nightly toolchain, and none to be had");
    }
    let mut tests = cargo(Some("nightly"), &["miri", "test", "-p", "mmtrace-format", "--lib"]);
    tests.env("MIRIFLAGS", "-Zmiri-disable-isolation").env("PROPTEST_CASES", "4");
    tests.env("CARGO_TARGET_DIR", root().join("target/miri"));
    run(&mut tests)?;
    Ok(Done::Passed)
}

/// The nearest thing to Miri on a machine that has none: the same tests under valgrind.
fn valgrind(reason: &str) -> anyhow::Result<Done> {
    if !succeeds(&mut command("valgrind", &["--version"])) {
        return Ok(Done::Skipped(format!("{reason}, and no valgrind")));
    }
    let runner = "valgrind --quiet --error-exitcode=9 --leak-check=no";
    let mut tests = cargo(None, &["test", "-p", "mmtrace-format", "--lib"]);
    tests.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER", runner);
    tests.env("PROPTEST_CASES", "16");
    run(&mut tests)?;
    Ok(Done::Instead(format!("{reason}: valgrind ran the tests of the format instead")))
}

/// The recorder's protocols under loom.
pub(crate) fn loom(preemptions: u32) -> anyhow::Result<Done> {
    if !root().join("recorder/tests/loom.rs").exists() {
        return Ok(Done::Skipped("recorder/tests/loom.rs is not there".to_owned()));
    }
    let mut tests = cargo(None, &["test", "-p", "mmtrace-recorder", "--release", "--test", "loom"]);
    tests.env("RUSTFLAGS", "--cfg loom").env("LOOM_MAX_PREEMPTIONS", preemptions.to_string());
    // Its own folder: another set of flags would rebuild everything else.
    tests.env("CARGO_TARGET_DIR", root().join("target/loom"));
    run(&mut tests)?;
    Ok(Done::Passed)
}

/// Every fuzz target, for so many seconds each.
pub(crate) fn fuzz(seconds: u32) -> anyhow::Result<Done> {
    let targets = fuzz_targets()?;
    if targets.is_empty() {
        return Ok(Done::Skipped("format/fuzz has no targets".to_owned()));
    }
    if !has_nightly() {
        return Ok(Done::Skipped("fuzzing needs a nightly toolchain".to_owned()));
    }
    if !succeeds(&mut command("cargo", &["fuzz", "--version"])) {
        return Ok(Done::Skipped("cargo-fuzz is not installed".to_owned()));
    }
    run(cargo(Some("nightly"), &["fuzz", "build"]).current_dir(root().join("format")))?;
    // A fuzzer is one thread: two of them at a time.
    for pair in targets.chunks(2) {
        let mut running = Vec::new();
        for target in pair {
            let mut fuzzer = fuzzer(target, seconds);
            running.push((target, fuzzer.spawn().context("cannot start cargo")?));
        }
        for (target, mut fuzzer) in running {
            let status = fuzzer.wait().with_context(|| format!("waiting for {target}"))?;
            ensure!(status.success(), "the fuzz target {target} ended with {status}");
        }
    }
    say(&format!("{} fuzz targets, {seconds} s each: {}", targets.len(), targets.join(", ")));
    Ok(Done::Passed)
}

/// One fuzz target, for so many seconds.
fn fuzzer(target: &str, seconds: u32) -> Command {
    let limit = format!("-max_total_time={seconds}");
    // Lengths are input: one that is believed before it is checked shows as memory.
    let mut fuzzer = cargo(
        Some("nightly"),
        &["fuzz", "run", target, "--", &limit, "-rss_limit_mb=1024", "-print_final_stats=1"],
    );
    fuzzer.current_dir(root().join("format"));
    fuzzer
}

/// The names of the fuzz targets, from their files.
fn fuzz_targets() -> anyhow::Result<Vec<String>> {
    let folder = root().join("format/fuzz/fuzz_targets");
    let Ok(entries) = std::fs::read_dir(&folder) else { return Ok(Vec::new()) };
    let mut targets = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if let (Some(stem), Some(extension)) = (path.file_stem(), path.extension())
            && extension == "rs"
        {
            targets.push(stem.to_string_lossy().into_owned());
        }
    }
    targets.sort();
    Ok(targets)
}

/// The analyzer against the oracle.
pub(crate) fn oracle(traces: u32) -> anyhow::Result<Done> {
    let mut tests = filtered("mmtrace-analyzer", "oracle");
    counted_tests(tests.env("MMTRACE_ORACLE_TRACES", traces.to_string()))
}

/// Recorded programs, killed at random moments.
pub(crate) fn kill(kills: u32) -> anyhow::Result<Done> {
    let mut tests = filtered("mmtrace-recorder", "kill");
    tests.args(["--features", "record"]);
    counted_tests(tests.env("MMTRACE_KILL_ROUNDS", kills.to_string()))
}

/// Recorded Go programs, killed at random moments. The recorder in them is optimised in any case.
pub(crate) fn go_kill(kills: u32) -> anyhow::Result<Done> {
    if !succeeds(&mut command("go", &["version"])) {
        return Ok(Done::Skipped("there is no `go`".to_owned()));
    }
    let mut tests = cargo(None, &["test", "go::kill", "-p", "mmtrace", "--test", "it"]);
    counted_tests(tests.env("MMTRACE_GO_KILL_ROUNDS", kills.to_string()))
}

/// The integration tests of a package whose name contains `filter`, optimised.
fn filtered(package: &str, filter: &str) -> Command {
    cargo(None, &["test", filter, "--release", "-p", package, "--test", "it"])
}

/// Runs tests, and fails if none was selected: a filter that matches nothing proves nothing.
fn counted_tests(tests: &mut Command) -> anyhow::Result<Done> {
    say(&format!("$ {tests:?}"));
    let output = tests.output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    say(text.trim_end());
    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        say(errors.trim_end());
        bail!("tests failed: {}", output.status);
    }
    ensure!(passed_tests(&text) > 0, "no test has that name");
    Ok(Done::Passed)
}

/// How many tests passed, from the test runner's own summaries.
fn passed_tests(text: &str) -> u32 {
    let counts = text.lines().filter_map(|line| {
        let rest = line.strip_prefix("test result: ok. ")?;
        rest.split_once(" passed").and_then(|(count, _)| count.parse::<u32>().ok())
    });
    counts.sum()
}

/// Runs the commands of the README's first `console` block, as they stand there.
pub(crate) fn readme() -> anyhow::Result<Done> {
    let text =
        std::fs::read_to_string(root().join("README.md")).context("cannot read README.md")?;
    let commands = console_commands(&text);
    ensure!(!commands.is_empty(), "README.md has no ```console block with `$ ` lines");
    for line in &commands {
        say(&format!("$ {line}"));
        let status = command("bash", &["-c", line]).status().context("cannot start bash")?;
        // 66 is what finding something looks like.
        ensure!(matches!(status.code(), Some(0 | 66)), "`{line}` ended with {status}");
    }
    Ok(Done::Passed)
}

/// The lines after `$ ` in the first `console` block.
fn console_commands(text: &str) -> Vec<String> {
    let block = text.lines().skip_while(|line| *line != "```console").skip(1);
    let block = block.take_while(|line| *line != "```");
    block.filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_passed_tests_count() {
        let text = "running 2 tests\ntest result: ok. 2 passed; 0 failed; 0 ignored\n\
                    test result: ok. 0 passed; 0 failed; 3 ignored\n";
        assert_eq!(passed_tests(text), 2);
        assert_eq!(passed_tests("test result: FAILED. 1 passed; 1 failed"), 0);
    }

    #[test]
    fn commands_come_from_the_first_console_block_alone() {
        let text = "a\n```console\n$ one x\noutput\n$ two\n```\n```console\n$ three\n```\n";
        assert_eq!(console_commands(text), ["one x", "two"]);
    }

    #[test]
    fn the_readme_has_commands_to_run() {
        let text = std::fs::read_to_string(root().join("README.md")).unwrap();
        assert!(!console_commands(&text).is_empty());
    }
}
