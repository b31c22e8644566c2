//! A program that stands still is reported while it does, not when the patience of `go test` ends.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use mmtrace_fixtures::go;

use crate::transcript::Folder;

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
