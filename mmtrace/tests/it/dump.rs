//! `mmtrace dump`: lines, filters, numbers.

use crate::transcript::{Folder, RACY};

#[test]
fn every_event_and_access_is_a_line() {
    let folder = Folder::with_log("racy.log", RACY);
    insta::assert_snapshot!(folder.mmtrace(&["dump", "racy.log"]));
}

#[test]
fn the_lines_of_a_thread_are_numbered_as_explain_names_them() {
    let folder = Folder::with_log("racy.log", RACY);
    let run = folder.mmtrace(&["dump", "--numbers", "--thread", "t1", "racy.log"]);
    let words = run.stdout.lines().filter_map(|line| line.split(' ').next());
    // A switch is about the stream, and has no name.
    let names: Vec<&str> = words.filter(|word| *word != "-").collect();
    let expected: Vec<String> = (0..names.len()).map(|index| format!("t1#{index}")).collect();
    assert!(names.len() >= 2, "{run}");
    assert_eq!(names, expected, "{run}");
}

#[test]
fn kinds_threads_and_counts_can_be_chosen() {
    let folder = Folder::with_log("racy.log", RACY);
    let writes = folder.mmtrace(&["dump", "--kind", "write", "racy.log"]).stdout;
    assert_eq!(writes.lines().count(), 3, "{writes}");
    assert!(writes.lines().all(|line| line.contains(" write ")), "{writes}");
    let both =
        folder.mmtrace(&["dump", "--kind", "spawn,join", "--thread", "t0", "racy.log"]).stdout;
    assert_eq!(both.lines().count(), 2, "{both}");
    let one = folder.mmtrace(&["dump", "-n", "1", "racy.log"]).stdout;
    assert_eq!(one.lines().count(), 1, "{one}");
    assert_eq!(folder.mmtrace(&["dump", "-n", "0", "racy.log"]).stdout, "");
}

#[test]
fn a_time_window_ends_before_its_end() {
    let folder = Folder::with_log("racy.log", RACY);
    let all = folder.mmtrace(&["dump", "racy.log"]).stdout;
    let times = |text: &str| -> Vec<u64> {
        let times = text.lines().filter_map(|line| line.split_once("ns ")?.0.parse().ok());
        times.collect()
    };
    let last = *times(&all).iter().max().unwrap();
    let end = format!("{last}ns");
    let before = folder.mmtrace(&["dump", "--to", &end, "racy.log"]).stdout;
    let after = folder.mmtrace(&["dump", "--from", &end, "racy.log"]).stdout;
    assert!(times(&before).iter().all(|&time| time < last), "{before}");
    assert!(times(&after).iter().all(|&time| time >= last), "{after}");
    assert_eq!(before.lines().count() + after.lines().count(), all.lines().count());
}

#[test]
fn what_is_not_there_is_said() {
    let folder = Folder::with_log("racy.log", RACY);
    insta::assert_snapshot!(folder.mmtrace(&["dump", "--thread", "t9", "racy.log"]), @"
    error: the log has no thread t9, among its 2
    exit code 2
    ");
    let run = folder.mmtrace(&["dump", "--kind", "sing", "racy.log"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("no kind is called `sing`"), "{run}");
    assert!(run.stderr.contains("mutex-lock"), "{run}");
}
