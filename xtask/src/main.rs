//! Chores of the repository. Everything that CI does is one verb here, to be run at home.

mod bench;
mod ci;
mod deny;
mod format_table;
mod go_modules;
mod go_race_tests;
mod release;
mod synthetic;
mod tool;
mod verbs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Chores of the repository: `cargo xtask VERB`.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", max_term_width = 100)]
enum Verb {
    /// Everything below at the sizes of CI, and a table of what ran.
    Ci,
    /// The format check of all crates.
    Fmt,
    /// All lints, as errors.
    Clippy,
    /// The documentation of all crates, private items too, warnings as errors.
    Doc,
    /// Every test of every crate.
    Test,
    /// Advisories, licences, sources and duplicates of dependencies (deny.toml).
    Deny,
    /// The log's format under Miri (nightly).
    Miri,
    /// The recorder's protocols under loom.
    Loom {
        /// How many preemptions a schedule may have.
        #[arg(long, default_value_t = 3)]
        preemptions: u32,
    },
    /// Every fuzz target of the format (nightly, cargo-fuzz).
    Fuzz {
        /// How long each target runs.
        #[arg(long, default_value_t = 60)]
        seconds: u32,
    },
    /// The analyzer against the all-pairs oracle on random traces.
    Oracle {
        /// How many traces.
        #[arg(long, default_value_t = 10_000)]
        traces: u32,
    },
    /// Recorded programs, killed at random moments.
    Kill {
        /// How many kills.
        #[arg(long, default_value_t = 200)]
        kills: u32,
    },
    /// Recorded Go programs, killed at random moments.
    GoKill {
        /// How many kills.
        #[arg(long, default_value_t = 100)]
        kills: u32,
    },
    /// Synthetic traces: bytes an event, events a second, peak memory.
    Bench {
        /// Another generator of such traces, program or Rust source, in place of our own.
        #[arg(long, value_name = "PROGRAM", env = "MMTRACE_BENCH_STD")]
        generator: Option<PathBuf>,
        /// Which traces, by name; without a name, the small ones.
        #[arg(value_name = "TRACE")]
        traces: Vec<String>,
    },
    /// The Go distribution's own race tests, each recorded and judged from its log.
    GoRaceTests {
        /// Another `go` than that of PATH.
        #[arg(long, value_name = "PROGRAM")]
        go: Option<PathBuf>,
        /// Only every N-th test.
        #[arg(long, value_name = "N", default_value_t = 1)]
        every: usize,
        /// Only tests with this in their names.
        #[arg(long, value_name = "TEXT", default_value = "")]
        only: String,
        /// How often each is run.
        #[arg(long, value_name = "N", default_value_t = 1)]
        repeat: usize,
    },
    /// The test suites of real modules, fetched by Go: as they are, with -race, and recorded.
    GoModules {
        /// Only modules with this in their names.
        #[arg(long, value_name = "TEXT", default_value = "")]
        only: String,
        /// Leaves the logs in target/go-modules.
        #[arg(long)]
        keep: bool,
    },
    /// Writes the event table of docs/FORMAT.md from the code.
    FormatTable,
    /// What must hold before a release: sizes of files, paths in documents, leftovers.
    Release,
    /// The two commands of the README, from its text.
    Readme,
}

fn main() -> ExitCode {
    let done = match Verb::parse() {
        Verb::Ci => ci::run(),
        Verb::Fmt => verbs::fmt(),
        Verb::Clippy => verbs::clippy(),
        Verb::Doc => verbs::doc(),
        Verb::Test => verbs::test(),
        Verb::Deny => deny::run_all(),
        Verb::Miri => verbs::miri(),
        Verb::Loom { preemptions } => verbs::loom(preemptions),
        Verb::Fuzz { seconds } => verbs::fuzz(seconds),
        Verb::Oracle { traces } => verbs::oracle(traces),
        Verb::Kill { kills } => verbs::kill(kills),
        Verb::GoKill { kills } => verbs::go_kill(kills),
        Verb::Bench { generator, traces } => bench::run_traces(generator.as_deref(), &traces),
        Verb::GoRaceTests { go, every, only, repeat } => {
            go_race_tests::run_all(go.as_deref(), every, &only, repeat)
        }
        Verb::GoModules { only, keep } => go_modules::run_all(&only, keep),
        Verb::FormatTable => format_table::write(),
        Verb::Release => release::run(),
        Verb::Readme => verbs::readme(),
    };
    match done {
        Ok(tool::Done::Passed) => ExitCode::SUCCESS,
        Ok(tool::Done::Instead(remark)) => {
            tool::say(&format!("note: {remark}"));
            ExitCode::SUCCESS
        }
        Ok(tool::Done::Skipped(reason)) => {
            tool::say(&format!("SKIPPED: {reason}"));
            ExitCode::from(3)
        }
        Err(error) => {
            tool::say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
