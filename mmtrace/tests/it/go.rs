//! `mmtrace go` with real Go programs: verdicts, tests by name, flags and exit codes.

mod company;
mod endings;
mod fast_paths;
mod flags;
mod hang;
mod judged;
mod kill;
mod names;
mod signals;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mmtrace_analyzer::order::{EventRef, Merge, MergeSink, OrderGap, Trace};
use mmtrace_fixtures::go;
use mmtrace_fixtures::verdict::{self, Pairs, Place, pair};
use mmtrace_format::Event;
use mmtrace_format::log::Log;
use serde_json::Value;

use crate::transcript::{Folder, Run};

/// The races of a report: by test, which places.
type Races = BTreeMap<String, Pairs>;

/// Runs `mmtrace go` with these arguments in `work`. The report is `report.json` in the folder.
pub(super) fn mmtrace_go(folder: &Folder, work: &Path, arguments: &[&str]) -> Run {
    let report = folder.path("report.json");
    let logs = folder.path("logs/");
    let mut command = folder.command(&["go", "--format", "json", "--report"]);
    command.arg(report).arg("-o").arg(logs).args(arguments).current_dir(work);
    Run::of(&mut go::clean(command))
}

/// What a run's report says.
pub(super) fn report(folder: &Folder) -> Value {
    serde_json::from_slice(&folder.read("report.json")).unwrap()
}

/// How many events of a log are of some kind.
pub(super) fn events_of(log: &Log, is_one: impl Fn(&Event) -> bool) -> usize {
    let trace = Trace::new(log);
    let mut count = Count { is_one, found: 0 };
    Merge::new(&trace).run(&mut count);
    count.found
}

struct Count<F> {
    is_one: F,
    found: usize,
}

impl<F: Fn(&Event) -> bool> MergeSink for Count<F> {
    fn event(&mut self, _: usize, _: EventRef, event: &Event) {
        self.found += usize::from((self.is_one)(event));
    }

    fn accesses(&mut self, _: usize, _: EventRef, _: usize, _: u32, _: u32) {}

    fn thread_done(&mut self, _: usize) {}

    fn gap(&mut self, _: &OrderGap) {}
}

/// The innermost place of a stack that lies in `within`.
fn place(stack: &Value, within: &Path) -> Place {
    let frames = stack.as_array().unwrap();
    let own = frames.iter().find(|frame| {
        frame["file"].as_str().is_some_and(|file| Path::new(file).starts_with(within))
    });
    let frame = own.unwrap_or_else(|| panic!("no frame of the program in {stack:#}"));
    Place::new(frame["file"].as_str().unwrap(), frame["line"].as_u64().unwrap() as u32)
}

fn races(report: &Value, within: &Path) -> Races {
    let mut races = Races::new();
    for finding in report["findings"].as_array().unwrap() {
        assert_eq!(finding["kind"], "race", "{finding:#}");
        let test = finding["test"].as_str().unwrap_or_default().to_owned();
        for sites in finding["site_pairs"].as_array().unwrap() {
            let (first, second) = (place(&sites["first"], within), place(&sites["second"], within));
            races.entry(test.clone()).or_default().insert(pair(first, second));
        }
    }
    races
}

/// The tests of a folder: what their sources say.
fn expected(folder: &Path) -> Races {
    let mut races = Races::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let test = source.split("\nfunc Test").nth(1).and_then(|rest| rest.split('(').next());
        let test = test.unwrap_or_else(|| panic!("{name} has no test"));
        let pairs = verdict::expected(&source, &name).unwrap_or_else(|error| panic!("{error}"));
        races.insert(format!("Test{test}"), pairs);
    }
    races
}

#[test]
fn every_racy_test_is_found_to_race_where_its_source_says_and_is_named() {
    if go::command("every_racy_test_is_found_to_race").is_none() {
        return;
    }
    let (folder, within) = (Folder::new(), go::programs().join("racy"));
    let run = mmtrace_go(&folder, &within, &["test", "."]);
    assert_eq!(run.code, 66, "{run}");
    let expected = expected(&within);
    let found = races(&report(&folder), &within);
    let of = |races: &Races| -> BTreeSet<(String, (Place, Place))> {
        let named = |(test, pairs): (&String, &Pairs)| -> Vec<(String, (Place, Place))> {
            pairs.iter().map(|pair| (test.clone(), pair.clone())).collect()
        };
        races.iter().flat_map(named).collect()
    };
    let (found, expected) = (of(&found), of(&expected));
    let missed: Vec<_> = expected.difference(&found).collect();
    let invented: Vec<_> = found.difference(&expected).collect();
    assert!(missed.is_empty() && invented.is_empty(), "missed {missed:?}, invented {invented:?}");
}

#[test]
fn no_race_free_test_is_found_to_race() {
    if go::command("no_race_free_test_is_found_to_race").is_none() {
        return;
    }
    let (folder, within) = (Folder::new(), go::programs().join("racefree"));
    assert!(expected(&within).values().all(BTreeSet::is_empty));
    for procs in ["1", "2", "8"] {
        let run = mmtrace_go(&folder, &within, &["test", "-cpu", procs, "."]);
        assert_eq!(run.code, 0, "GOMAXPROCS={procs}\n{run}");
        assert!(run.stdout.starts_with("ok  \texample.org/fixtures/racefree"), "{run}");
    }
}

#[test]
fn every_racy_test_has_a_race_free_twin() {
    let names = |folder: &str| -> BTreeSet<String> {
        expected(&go::programs().join(folder)).into_keys().collect()
    };
    assert_eq!(names("racy"), names("racefree"));
    assert!(names("racy").len() > 25);
}

#[test]
fn a_race_belongs_to_the_test_whose_goroutines_race() {
    if go::command("a_race_belongs_to_the_test_whose_goroutines_race").is_none() {
        return;
    }
    let (folder, within) = (Folder::new(), go::programs().join("attribution"));
    let run = mmtrace_go(&folder, &within, &["test", "."]);
    assert_eq!(run.code, 66, "{run}");
    assert!(run.stdout.starts_with("ok  \t"), "{run}");
    let report = report(&folder);
    let findings = report["findings"].as_array().unwrap();
    let tests: BTreeSet<&str> =
        findings.iter().map(|finding| finding["test"].as_str().unwrap_or("none")).collect();
    // Findings of one bug (the shared helpers) go by the test in which it was seen first.
    assert!(tests.contains("none"), "TestMain is no test: {tests:?}");
    assert!(tests.contains("TestLeaves"), "{tests:?}");
    assert!(!tests.contains("TestInnocent"), "{tests:?}");
}
