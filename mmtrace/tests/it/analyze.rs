//! `mmtrace analyze`: verdicts, exit codes, several logs, both formats.

use serde_json::Value;

use crate::transcript::{Folder, RACE_FREE, RACY, Run};

fn report(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error} in:\n{run}"))
}

#[test]
fn a_race_is_shown_with_both_places_and_the_reason() {
    let folder = Folder::with_log("racy.log", RACY);
    insta::assert_snapshot!(folder.mmtrace(&["analyze", "racy.log"]));
}

#[test]
fn a_clean_log_is_called_clean_with_exit_code_0() {
    let folder = Folder::with_log("fine.log", RACE_FREE);
    insta::assert_snapshot!(folder.mmtrace(&["analyze", "fine.log"]));
}

#[test]
fn findings_exit_with_66_or_as_asked() {
    let folder = Folder::with_log("racy.log", RACY);
    assert_eq!(folder.mmtrace(&["analyze", "racy.log"]).code, 66);
    assert_eq!(folder.mmtrace(&["analyze", "--exit-code", "9", "racy.log"]).code, 9);
    assert_eq!(folder.mmtrace(&["analyze", "--exit-code", "0", "racy.log"]).code, 0);
}

#[test]
fn the_json_report_has_the_keys_that_scripts_rely_on() {
    let folder = Folder::with_log("racy.log", RACY);
    let run = folder.mmtrace(&["analyze", "--format", "json", "racy.log"]);
    assert_eq!(run.code, 66, "{run}");
    let report = report(&run);
    assert_eq!(report["schema"]["name"], "mmtrace-report");
    assert_eq!(report["schema"]["version"], 1);
    assert_eq!(report["verdict"], "findings");
    let summary = &report["summary"];
    assert_eq!(summary["accesses"], 4, "{summary:#}");
    assert_eq!(summary["goroutines"], 2, "{summary:#}");
    assert_eq!(summary["gaps"], 0, "{summary:#}");
    for (key, count) in [("findings", 1), ("site_pairs", 1), ("event_pairs", 1), ("addresses", 1)] {
        assert_eq!(summary["races"][key], count, "{key} in {summary:#}");
    }
    let race = &report["findings"][0];
    assert_eq!(race["kind"], "race");
    assert_eq!(race["count"], 1);
    assert!(race["fingerprint"].as_str().is_some_and(|text| !text.is_empty()), "{race:#}");
    let lines = ["first", "second"].map(|side| race[side]["stack"][0]["line"].as_u64().unwrap());
    assert!(lines == [3, 4] || lines == [4, 3], "{race:#}");
    assert_eq!(race["first"]["access"], "write");
    let created: usize = ["first", "second"]
        .map(|side| race[side]["created_at"].as_array().expect("a stack").len())
        .iter()
        .sum();
    assert!(created > 0, "one side's thread was forked: {race:#}");
}

#[test]
fn the_report_is_the_same_for_any_number_of_threads_and_any_memory() {
    let folder = Folder::with_log("racy.log", RACY);
    for format in ["text", "json"] {
        let analyze = |threads: &str, memory: &str| {
            let arguments = [
                "analyze",
                "--format",
                format,
                "--threads",
                threads,
                "--memory",
                memory,
                "racy.log",
            ];
            folder.mmtrace(&arguments).to_string()
        };
        let one = analyze("1", "512M");
        assert_eq!(analyze("2", "512M"), one);
        assert_eq!(analyze("16", "512M"), one);
        assert_eq!(analyze("2", "1M"), one);
    }
}

#[test]
fn a_folder_stands_for_all_logs_in_it_and_the_worst_verdict_counts() {
    let folder = Folder::with_log("runs/a/racy.log", RACY);
    folder.add_log("runs/b/fine.log", RACE_FREE);
    let run = folder.mmtrace(&["analyze", "runs"]);
    assert_eq!(run.code, 66, "{run}");
    assert!(run.stdout.contains("runs/a/racy.log"), "{run}");
    assert!(run.stdout.contains("runs/b/fine.log"), "{run}");
    assert_eq!(folder.mmtrace(&["analyze", "runs/b"]).code, 0);
}

#[test]
fn the_json_report_of_several_logs_is_one_document() {
    let folder = Folder::with_log("a.log", RACY);
    folder.add_log("b.log", RACE_FREE);
    let run = folder.mmtrace(&["analyze", "--format", "json", "a.log", "b.log"]);
    assert_eq!(run.code, 66, "{run}");
    let report = report(&run);
    assert_eq!(report["schema"]["name"], "mmtrace-reports");
    assert_eq!(report["verdict"], "findings");
    assert_eq!(report["logs"][0]["log"], "a.log");
    assert_eq!(report["logs"][0]["report"]["verdict"], "findings");
    assert_eq!(report["logs"][1]["report"]["verdict"], "clean");
}

#[test]
fn one_unreadable_log_of_several_does_not_hide_the_others() {
    let folder = Folder::with_log("runs/racy.log", RACY);
    folder.write("runs/empty.log", b"");
    let run = folder.mmtrace(&["analyze", "runs"]);
    assert_eq!(run.code, 66, "{run}");
    assert!(run.stderr.contains("runs/empty.log"), "{run}");
    folder.add_log("more/fine.log", RACE_FREE);
    folder.write("more/empty.log", b"");
    assert_eq!(folder.mmtrace(&["analyze", "more"]).code, 3);
}

#[test]
fn a_report_goes_to_the_file_that_is_asked_for() {
    let folder = Folder::with_log("racy.log", RACY);
    let printed = folder.mmtrace(&["analyze", "--format", "json", "racy.log"]);
    let written = folder.mmtrace(&["analyze", "--format", "json", "-o", "report.json", "racy.log"]);
    assert_eq!((written.code, written.stdout.as_str()), (66, ""), "{written}");
    assert_eq!(String::from_utf8(folder.read("report.json")).unwrap(), printed.stdout);
    let nowhere = folder.mmtrace(&["analyze", "-o", "no/such/folder/x", "racy.log"]);
    assert_eq!(nowhere.code, 2, "{nowhere}");
}
