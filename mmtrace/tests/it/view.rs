//! `mmtrace view` without a terminal, and `mmtrace query`.

use crate::transcript::{Folder, RACY};

#[test]
fn a_script_runs_without_a_terminal_and_prints_its_screens() {
    let folder = Folder::with_log("racy.log", RACY);
    folder.write("tour.keys", b"findings\nnext-finding\nscreen race\nkey ?\nscreen keys\n");
    let run = folder.mmtrace(&["view", "racy.log", "--script", "tour.keys", "--ascii"]);
    insta::assert_snapshot!(run);
}

#[test]
fn a_screen_can_be_a_picture_or_json() {
    let folder = Folder::with_log("racy.log", RACY);
    let picture = folder.mmtrace(&["view", "racy.log", "--dump", "svg", "--size", "100x30"]);
    assert!(picture.stdout.starts_with("<svg "), "{picture}");
    let json = folder.mmtrace(&["view", "racy.log", "--dump", "json"]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schema"]["name"], "mmtrace-screen");
    assert_eq!(json["screen"].as_array().unwrap().len(), 24);
}

#[test]
fn a_link_opens_its_place() {
    let folder = Folder::with_log("racy.log", RACY);
    let run = folder.mmtrace(&["view", "racy.log#g=t1&t=3ns", "--dump", "json"]);
    let json: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(
        (json["cursor_ns"].as_u64(), json["lane"].as_str()),
        (Some(3), Some("t1 location 2"))
    );
    let wrong = folder.mmtrace(&["view", "racy.log#x=1", "--dump", "text"]);
    assert_eq!(wrong.code, 2, "{wrong}");
    assert!(wrong.stderr.contains("`x=1` is no part of a link"), "{wrong}");
}

#[test]
fn without_a_terminal_the_explorer_says_what_does_without() {
    let folder = Folder::with_log("racy.log", RACY);
    insta::assert_snapshot!(folder.mmtrace(&["view", "racy.log"]), @"
    error: the explorer needs a terminal; --script FILE or --dump text do without
    exit code 2
    ");
    insta::assert_snapshot!(folder.mmtrace(&["view", "none.log", "--dump", "text"]), @"
    error: none.log: no such file
    exit code 3
    ");
}

#[test]
fn keys_can_be_bound_and_conflicts_are_refused() {
    let folder = Folder::with_log("racy.log", RACY);
    folder.write("keys", b"zoom-in = ctrl-a\n");
    folder.write("script", b"key ctrl-a ctrl-a\n");
    let arguments = ["view", "racy.log", "--keys", "keys", "--script", "script", "--dump", "json"];
    let json: serde_json::Value = serde_json::from_str(&folder.mmtrace(&arguments).stdout).unwrap();
    let window = &json["window_ns"];
    assert!(window[1].as_u64().unwrap() - window[0].as_u64().unwrap() <= 16, "{window}");
    folder.write("keys", b"zoom-in = q\n");
    insta::assert_snapshot!(folder.mmtrace(&arguments), @"
    error: keys: `q` is bound to both `zoom-in` and `quit`
    exit code 2
    ");
}

#[test]
fn a_query_prints_what_matches_or_counts_it() {
    let folder = Folder::with_log("racy.log", RACY);
    insta::assert_snapshot!(folder.mmtrace(&["query", "-q", "racy.log", "finding:race"]));
    let count = folder.mmtrace(&["query", "--count", "racy.log", "kind:write"]);
    let dumped = folder.mmtrace(&["dump", "--kind", "write", "racy.log"]).stdout.lines().count();
    assert_eq!(count.stdout, format!("{dumped}\n"));
    insta::assert_snapshot!(folder.mmtrace(&["query", "racy.log", "dur>soon"]), @"
    error: `dur>soon`: expected a time, like 1.5s or 20ms
    exit code 2
    ");
}
