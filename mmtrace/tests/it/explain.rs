//! `mmtrace explain`: any two events, or the two of a finding.

use crate::transcript::{Folder, RACE_FREE, RACY};

/// The name that `dump --numbers` gives to the first line that contains `words`.
fn name_of(folder: &Folder, log: &str, words: &str) -> String {
    let dump = folder.mmtrace(&["dump", "--numbers", log]);
    let line = dump.stdout.lines().find(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("no `{words}` in:\n{dump}"));
    line.split(' ').next().unwrap().to_owned()
}

#[test]
fn two_ordered_events_are_shown_with_the_edges_between_them() {
    let folder = Folder::with_log("fine.log", RACE_FREE);
    let (first, second) =
        (name_of(&folder, "fine.log", "t0 write"), name_of(&folder, "fine.log", "t1 write"));
    insta::assert_snapshot!(folder.mmtrace(&["explain", "fine.log", &first, &second]));
}

#[test]
fn two_racing_events_are_shown_with_what_is_missing() {
    let folder = Folder::with_log("racy.log", RACY);
    let report = folder.mmtrace(&["analyze", "--format", "json", "racy.log"]);
    let report: serde_json::Value = serde_json::from_str(&report.stdout).unwrap();
    let event = |side: &str| report["findings"][0][side]["event"].as_str().unwrap().to_owned();
    let by_events = folder.mmtrace(&["explain", "racy.log", &event("first"), &event("second")]);
    insta::assert_snapshot!(by_events);

    let fingerprint = report["findings"][0]["fingerprint"].as_str().unwrap();
    let by_name = folder.mmtrace(&["explain", "racy.log", &fingerprint[..6]]);
    assert_eq!(by_name.to_string(), by_events.to_string());
}

#[test]
fn what_is_not_in_the_log_is_said() {
    let folder = Folder::with_log("racy.log", RACY);
    insta::assert_snapshot!(folder.mmtrace(&["explain", "racy.log", "t0#0", "t0#999"]), @"
    error: the log has no event t0#999: that thread ends with t0#6
    exit code 2
    ");
    insta::assert_snapshot!(folder.mmtrace(&["explain", "racy.log", "t0#0", "later"]), @"
    error: `later` does not name an event: expected thread and place, as in t3#120
    exit code 2
    ");
    insta::assert_snapshot!(folder.mmtrace(&["explain", "racy.log", "ffffffff"]), @"
    error: no finding's fingerprint begins with ffffffff, among the log's 1
    exit code 2
    ");
}
