//! `info`, `verify`, `recover`, `import`.

use crate::transcript::{Folder, RACE_FREE, RACY, writes};

#[test]
fn info_describes_a_log() {
    let folder = Folder::with_log("racy.log", RACY);
    insta::assert_snapshot!(folder.mmtrace(&["info", "racy.log"]));
}

#[test]
fn verify_says_that_a_whole_log_is_whole() {
    let folder = Folder::with_log("racy.log", RACY);
    insta::assert_snapshot!(folder.mmtrace(&["verify", "racy.log"]));
}

#[test]
fn verify_checks_every_log_of_a_folder() {
    let folder = Folder::with_log("runs/a.log", RACY);
    folder.add_log("runs/b.log", RACE_FREE);
    let run = folder.mmtrace(&["verify", "runs"]);
    assert_eq!(run.code, 0, "{run}");
    let mut bytes = folder.read("runs/b.log");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    folder.write("runs/b.log", &bytes);
    let run = folder.mmtrace(&["verify", "runs"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.to_string().contains("runs/a.log"), "{run}");
}

/// A log that lost its end: what is left becomes a log that is whole in form, and says that it has
/// a gap.
#[test]
fn recover_writes_a_log_that_reads_without_repair() {
    let folder = Folder::with_log("whole.log", &writes(50_000, 977));
    let whole = folder.read("whole.log");
    folder.write("cut.log", &whole[..whole.len() - 100]);
    let run = folder.mmtrace(&["recover", "-o", "recovered.log", "cut.log"]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(folder.read("cut.log").len(), whole.len() - 100, "the old log is not touched");
    let all = folder.mmtrace(&["dump", "whole.log"]).stdout;
    let kept = folder.mmtrace(&["dump", "recovered.log"]).stdout;
    assert!(!kept.is_empty() && kept.lines().all(|line| all.contains(line)), "invented events");
    assert_eq!(folder.mmtrace(&["analyze", "recovered.log"]).code, 3, "a gap is not clean");
}

#[test]
fn recover_does_not_overwrite_its_input_or_a_stranger() {
    let folder = Folder::with_log("racy.log", RACY);
    let run = folder.mmtrace(&["recover", "-o", "racy.log", "racy.log"]);
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(folder.mmtrace(&["verify", "racy.log"]).code, 0);
    folder.write("notes.txt", b"precious");
    assert_eq!(folder.mmtrace(&["recover", "-o", "notes.txt", "racy.log"]).code, 2);
    assert_eq!(folder.read("notes.txt"), b"precious");
}

#[test]
fn import_says_what_it_made() {
    let folder = Folder::new();
    folder.write("t.std", RACY.as_bytes());
    insta::assert_snapshot!(folder.mmtrace(&["import", "--from", "std", "t.std", "-o", "t.log"]), @"
    t.log: 4.81 KiB of 2 threads: 7 events, 4 accesses, 6 locations
    exit code 0
    ");
}
