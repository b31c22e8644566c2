//! `mmtrace demo`: the planted bugs are found and shown, and the log is there to play with.

use crate::transcript::Folder;

#[test]
fn the_demo_names_the_planted_race_and_the_growing_site() {
    let folder = Folder::new();
    let run = folder.mmtrace(&["demo"]);
    assert_eq!(run.code, 0, "{run}");
    for needed in [
        "1 data race and 1 growing heap site",
        "mmtrace::demo::note_last_served",
        "mmtrace::demo::remember",
        "mmtrace explain",
        "mmtrace dump",
    ] {
        assert!(run.stdout.contains(needed), "no {needed} in:\n{run}");
    }
}

#[test]
fn the_demos_log_is_whole_and_holds_the_findings() {
    let folder = Folder::new();
    assert_eq!(folder.mmtrace(&["demo", "-o", "d.log"]).code, 0);
    assert_eq!(folder.mmtrace(&["verify", "d.log"]).code, 0);
    let report = folder.mmtrace(&["analyze", "--format", "json", "d.log"]);
    assert_eq!(report.code, 66, "{report}");
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    let kinds: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["kind"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"race"), "{kinds:?}");
    assert!(kinds.contains(&"heap-growth"), "{kinds:?}");
}

#[test]
fn the_commands_that_the_demo_suggests_work() {
    let folder = Folder::new();
    let run = folder.mmtrace(&["demo"]);
    let suggested: Vec<&str> =
        run.stdout.lines().filter_map(|line| line.trim().strip_prefix("mmtrace ")).collect();
    assert!(suggested.len() >= 3, "{run}");
    for line in suggested {
        let words: Vec<&str> =
            line.split("  ").next().unwrap().split(' ').take_while(|word| *word != "|").collect();
        let run = folder.mmtrace(&words);
        assert!(matches!(run.code, 0 | 66), "mmtrace {line}\n{run}");
    }
}
