//! A Go program that is killed at any moment leaves all that it had done.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use mmtrace_fixtures::go;
use mmtrace_format::EventKind;
use mmtrace_format::chunk::{AccessColumns, LaneDecoder};
use mmtrace_format::log::{GapReason, Log, OpenError};

use super::events_of;
use crate::transcript::{Folder, Run};

/// How many kills; `cargo xtask go-kill` sets it.
const ROUNDS: &str = "MMTRACE_GO_KILL_ROUNDS";
/// Without it.
const ROUNDS_OTHERWISE: u64 = 8;
/// Rounds of all goroutines after which the latest kill comes.
const MOMENT_MAX: u64 = 60_000;
/// Goroutines of `fixtures/go/progress`.
const GOROUTINES: usize = 4;

/// What a goroutine has told: where its mutex and its cell are, and how many rounds it has done.
type Told = [u64; 3];

fn told(file: &File) -> [Told; GOROUTINES] {
    let mut page = [0; GOROUTINES * 24];
    // Not there yet, or not mapped yet: nothing was told.
    let _ = file.read_exact_at(&mut page, 0);
    let word = |at: usize| u64::from_le_bytes(page[at * 8..][..8].try_into().unwrap());
    std::array::from_fn(|number| std::array::from_fn(|field| word(number * 3 + field)))
}

/// Runs the program until its goroutines have done so many rounds, and kills it. There may be no log
/// if nothing was told.
fn killed_at(moment: u64, program: &Path, folder: &Folder) -> ([Told; GOROUTINES], Option<Log>) {
    folder.write("told", b"");
    folder.write("run.log", b"");
    let file = File::open(folder.path("told")).unwrap();
    let mut command = Command::new(program);
    command.arg(folder.path("told")).env("MMTRACE_LOG", folder.path("run.log"));
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    while told(&file).iter().map(|told| told[2]).sum::<u64>() < moment {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let log = match Log::open(folder.path("run.log")) {
        Err(OpenError::Empty { .. }) => None,
        opened => Some(opened.unwrap()),
    };
    (told(&file), log)
}

/// How many accesses to an address a log has.
fn accesses_of(log: &Log, address: u64) -> u64 {
    let (mut decoder, mut columns) = (LaneDecoder::default(), AccessColumns::default());
    let counts = (0..log.chunks().len()).map(|chunk| {
        log.chunk(chunk).unwrap().decode_accesses(&mut decoder, &mut columns).unwrap();
        columns.addresses.iter().filter(|&&accessed| accessed == address).count() as u64
    });
    counts.sum()
}

#[test]
fn a_kill_loses_nothing_that_was_published() {
    if go::command("go::kill::a_kill_loses_nothing_that_was_published").is_none() {
        return;
    }
    let folder = Folder::new();
    let program = folder.path("progress");
    let mut build = folder.command(&["go", "build", "-o"]);
    build.arg(&program).current_dir(go::programs().join("progress"));
    let run = Run::of(&mut go::clean(build));
    assert_eq!(run.code, 0, "{run}");

    let rounds = std::env::var(ROUNDS).map_or(ROUNDS_OTHERWISE, |text| text.parse().unwrap());
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state >> 33
    };
    for kill in 0..rounds {
        // As many early ones as late ones.
        let moment = random() % (MOMENT_MAX >> (random() % 16));
        let (told, log) = killed_at(moment, &program, &folder);
        let Some(log) = log else {
            assert!(told.iter().all(|told| told[2] == 0), "kill {kill} at {moment}: {told:?}");
            continue;
        };
        let gaps: Vec<GapReason> = log.gaps().iter().map(|gap| gap.reason).collect();
        // Killed so early that the log does not say of what it is.
        let is_begun = !log.chunks().is_empty() || !gaps.contains(&GapReason::DamagedInfo);
        let expected: &[_] = if is_begun { &[GapReason::Unfinished] } else { &gaps };
        assert_eq!(gaps, expected, "kill {kill} at {moment}");
        for [mutex, cell, done] in told {
            if done == 0 {
                continue;
            }
            let unlocks = events_of(&log, |event| {
                event.kind == EventKind::MutexUnlock && event.object == mutex
            }) as u64;
            let writes = accesses_of(&log, cell);
            // The kill may have come before the last round was told.
            let was_done = |count: u64| (done..=done + 1).contains(&count);
            let seen = format!(
                "kill {kill} at {moment}: {done} rounds, {unlocks} unlocks, {writes} writes"
            );
            assert!(was_done(unlocks) && was_done(writes), "{seen}");
        }
        let report = folder.mmtrace(&["analyze", "--format", "json", "run.log"]);
        assert_eq!(report.code, 3, "kill {kill} at {moment}: {}", report.stderr);
        let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
        assert_eq!(report["verdict"], "incomplete");
        let first = report["gaps"][0]["what"].as_str();
        assert_eq!(first, Some("the log was never closed"), "kill {kill} at {moment}");
    }
}
