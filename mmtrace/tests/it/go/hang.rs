//! A program that stands still is reported while it does, not when the patience of `go test` ends.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use mmtrace_fixtures::go;

use crate::transcript::{Folder, Run};

const HANGS: &str = r#"package main

import "testing"

func TestHangs(t *testing.T) {
	values := make(chan int)
	<-values
}
"#;

#[test]
fn a_test_that_hangs_is_reported_within_ten_seconds() {
    if go::command("a_test_that_hangs_is_reported_within_ten_seconds").is_none() {
        return;
    }
    let folder = Folder::new();
    folder.write("go.mod", b"module example.org/hangs\n\ngo 1.22\n");
    folder.write("hangs_test.go", HANGS.as_bytes());
    // Built before, so that only the hanging is timed.
    let build = folder.command(&["go", "test", "-c", "-o", "unused", "."]).status().unwrap();
    assert!(build.success());
    let mut command = folder.command(&["go", "test", "-timeout", "14s", "."]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = go::clean(command).spawn().unwrap();
    let begin = Instant::now();
    let mut seen = String::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        seen += &line.unwrap();
        seen += "\n";
        // The place where the test waits, out of the report.
        if seen.contains("nothing moves") && seen.contains("hangs_test.go:7") {
            break;
        }
    }
    let waited = begin.elapsed();
    // Go's own patience ends it, and what Go says counts.
    let status = child.wait().unwrap();
    assert!(seen.contains("nothing moves: every goroutine waits for another"), "{seen}");
    assert!(seen.contains("waits for receive"), "{seen}");
    assert!(waited < Duration::from_secs(10), "only after {waited:?}");
    assert_eq!(status.code(), Some(1));
}

/// What is said of `fixtures/go/stuck` while it runs. It gives up after so many tenths of a second.
fn said_of(way: &str, tenths: &str) -> String {
    let folder = Folder::new();
    let program = go::programs().join("stuck");
    let mut command = folder.command(&["go", "--record-only", "-o"]);
    command.arg(folder.path("run.log")).args(["run", ".", way, tenths]).current_dir(program);
    let run = Run::of(&mut go::clean(command));
    assert_eq!((run.code, run.stdout.as_str()), (0, "gave up\n"), "{run}");
    run.stderr
}

/// Nothing is over before the program is, and it never stands still.
#[test]
fn goroutines_that_are_stuck_are_reported_while_others_go_on() {
    if go::command("goroutines_that_are_stuck_are_reported_while_others_go_on").is_none() {
        return;
    }
    let ways = [
        ("circle", "2 goroutines", "waits for mutex", "main.circle"),
        ("itself", "1 goroutine", "only the thread itself could end its wait", "main.start"),
        ("nil", "1 goroutine", "nothing is ever sent or received on a nil channel", "main.start"),
    ];
    std::thread::scope(|scope| {
        for (way, who, why, place) in ways {
            scope.spawn(move || {
                let said = said_of(way, "100");
                let will_not = format!("{who} will not go on, whatever the others do");
                assert_eq!(said.matches(&will_not).count(), 1, "{way}: {said}");
                assert!(said.contains(why) && said.contains(place), "{way}: {said}");
                assert!(!said.contains("nothing moves"), "{way}: {said}");
            });
        }
    });
}

#[test]
fn goroutines_without_work_are_not_taken_for_stuck() {
    if go::command("goroutines_without_work_are_not_taken_for_stuck").is_none() {
        return;
    }
    let said = said_of("pool", "100");
    assert!(!said.contains("will not go on") && !said.contains("nothing moves"), "{said}");
}
