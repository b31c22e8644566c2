//! What a program does is in its log by the program's own names: once, map, finalizer, types.

use std::collections::BTreeMap;
use std::process::Command;

use mmtrace_fixtures::go;
use mmtrace_format::EventKind;
use mmtrace_format::log::Log;
use serde_json::Value;

use super::events_of;
use crate::transcript::{Folder, Run};

/// `fixtures/go/primitives`, recorded, and where it says that its objects lie.
fn recorded(test: &str) -> Option<(Folder, BTreeMap<String, u64>)> {
    go::command(test)?;
    let folder = Folder::new();
    let program = folder.path("primitives");
    let mut build = folder.command(&["go", "build", "-o"]);
    build.arg(&program).current_dir(go::programs().join("primitives"));
    let run = Run::of(&mut go::clean(build));
    assert_eq!(run.code, 0, "{run}");
    // Whatever this version of Go cannot be patched for.
    assert_eq!(run.stderr, "", "{run}");
    let run = Command::new(&program).env("MMTRACE_LOG", folder.path("run.log")).output().unwrap();
    assert!(run.status.success());
    let stdout = String::from_utf8(run.stdout).unwrap();
    let objects = stdout.lines().filter_map(|line| {
        let (name, address) = line.split_once(" 0x")?;
        Some((name.to_owned(), u64::from_str_radix(address, 16).unwrap()))
    });
    Some((folder, objects.collect()))
}

#[test]
fn onces_maps_and_finalizers_are_in_the_log_by_name() {
    use EventKind as Kind;

    let Some((folder, objects)) = recorded("onces_maps_and_finalizers") else { return };
    let log = Log::open(folder.path("run.log")).unwrap();
    let count = |name: &str, kind: Kind| {
        let object = objects[name];
        events_of(&log, |event| event.object == object && event.kind == kind)
    };
    assert_eq!([Kind::OnceDone, Kind::OnceWait].map(|kind| count("once", kind)), [1, 11]);
    assert_eq!([Kind::MapRead, Kind::MapWrite].map(|kind| count("written", kind)), [10, 8]);
    assert_eq!([Kind::MapRead, Kind::MapWrite].map(|kind| count("looked", kind)), [3, 0]);
    let finalizer = [Kind::FinalizerSet, Kind::FinalizerRun];
    assert_eq!(finalizer.map(|kind| count("finalized", kind)), [1, 1]);
    // The flag of a once is told by these alone.
    let atomics = [Kind::AtomicLoad, Kind::AtomicStore].map(|kind| count("once", kind));
    assert_eq!(atomics, [0, 0]);
}

#[test]
fn the_heap_report_says_of_what_type_blocks_are() {
    let Some((folder, _)) = recorded("the_heap_report_says_of_what_type") else { return };
    let run = folder.mmtrace(&["analyze", "--format", "json", "run.log"]);
    assert_eq!(run.code, 0, "{run}");
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let sites = report["heap"]["sites"].as_array().unwrap();
    let in_main = |site: &&Value| site["stack"][0]["function"] == "main.main";
    let of = |name: &str| -> u64 {
        let is_it = |site: &&Value| site["type_name"] == name;
        let sites = sites.iter().filter(in_main).filter(is_it);
        sites.map(|site| site["allocations"].as_u64().unwrap()).sum()
    };
    assert_eq!(["main.node", "[]main.node"].map(of), [500, 500]);
    // Race builds give these 16 bytes and 8 more than they need: each is one all the same.
    assert_eq!(["int", "main.large"].map(of), [500, 500]);
    let text = folder.mmtrace(&["analyze", "run.log"]).stdout;
    assert!(text.contains("([]main.node)\n"), "{text}");
}
