//! What voids the verdict of `mmtrace go test`, and what does not.

use mmtrace_fixtures::go;

use super::mmtrace_go;
use crate::transcript::{Folder, Run};

/// A test that needs its child to crash.
const CRASHES: &str = r#"package crashes

import (
	"os"
	"os/exec"
	"testing"
)

func TestMain(m *testing.M) {
	switch os.Getenv("CRASH") {
	case "panic":
		panic("on purpose")
	case "race":
		x, done := 0, make(chan bool)
		go func() { x++; done <- true }()
		x++
		<-done
		panic(x)
	}
	os.Exit(m.Run())
}

func crash(t *testing.T, how string) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "CRASH="+how)
	if out, err := child.CombinedOutput(); err == nil {
		t.Fatalf("it did not crash: %s", out)
	}
}

func TestPanics(t *testing.T) { crash(t, "panic") }

func TestRaces(t *testing.T) { crash(t, "race") }

func TestCrashes(t *testing.T) {
	if os.Getenv("FAIL") != "" {
		panic("the test itself")
	}
}
"#;

fn module(test: &str, files: &[(&str, &str)]) -> Option<Folder> {
    go::command(test)?;
    let folder = Folder::new();
    folder.write("go.mod", b"module example.org/module\n\ngo 1.22\n");
    for (name, text) in files {
        folder.write(name, text.as_bytes());
    }
    Some(folder)
}

#[test]
fn a_child_that_was_meant_to_crash_does_not_void_the_verdict() {
    let files = [("crashes_test.go", CRASHES)];
    let Some(folder) = module("a_child_that_was_meant_to_crash", &files) else { return };
    let run = mmtrace_go(&folder, &folder.path(""), &["test", "-run", "Panics", "."]);
    assert_eq!(run.code, 0, "{run}");
    let died = "its process died without closing the log";
    assert_eq!(run.stderr.matches(died).count(), 1, "{run}");
    let logs = std::fs::read_dir(folder.path("logs")).unwrap().count();
    assert_eq!(logs, 2, "the test's own, and its child's");
    // What it did before counts as that of any other.
    let run = mmtrace_go(&folder, &folder.path(""), &["test", "-run", "Races", "."]);
    assert_eq!(run.code, 66, "{run}");
}

#[test]
fn a_test_program_that_crashes_fails_as_it_does_without_us() {
    let files = [("crashes_test.go", CRASHES)];
    let Some(folder) = module("a_test_program_that_crashes", &files) else { return };
    let mut command = folder.command(&["go", "test", "-run", "Crashes", "."]);
    command.env("FAIL", "1");
    let run = Run::of(&mut go::clean(command));
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stdout.contains("panic: the test itself"), "{run}");
    assert!(run.stderr.contains("the log was never closed"), "{run}");
}

/// Only the end of a log may be missing.
#[test]
fn a_log_that_lost_events_voids_the_verdict() {
    let files = [("crashes_test.go", CRASHES)];
    let Some(folder) = module("a_log_that_lost_events_voids_the_verdict", &files) else { return };
    let limit = ["go", "-o", "logs", "--max-log", "256K", "--keep", "oldest"];
    let mut command = folder.command(&limit);
    command.args(["test", "-run", "Panics", "."]);
    let run = Run::of(&mut go::clean(command));
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stderr.contains("the recording stopped"), "{run}");
}

#[test]
fn packages_without_tests_are_no_failure() {
    let plain = [("main.go", "package main\n\nfunc main() {}\n")];
    let Some(folder) = module("packages_without_tests_are_no_failure", &plain) else { return };
    for flags in [&["test", "./..."][..], &["test", "-cover", "-v", "."], &["test", "-C", ".", "."]]
    {
        let run = mmtrace_go(&folder, &folder.path(""), flags);
        assert_eq!(run.code, 0, "{flags:?}\n{run}");
        assert!(run.stderr.contains("no package has tests: nothing was recorded"), "{run}");
    }
    folder.write("a/a_test.go", b"package a\n\nimport \"testing\"\n\nfunc TestA(*testing.T) {}\n");
    let run = mmtrace_go(&folder, &folder.path(""), &["test", "./..."]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("[no test files]") && run.stdout.contains("ok  \t"), "{run}");
    assert!(run.stderr.contains("1 log in"), "{run}");
}

#[test]
fn tests_that_wrote_no_log_are_a_failure() {
    let test = "package a\n\nimport \"testing\"\n\nfunc TestA(*testing.T) {}\n";
    let Some(folder) = module("tests_that_wrote_no_log_are_a_failure", &[("a_test.go", test)])
    else {
        return;
    };
    // It runs, but not as it was told to: the environment is not handed on.
    let arguments = ["test", "-exec", "env MMTRACE_LOG=off", "."];
    let run = mmtrace_go(&folder, &folder.path(""), &arguments);
    assert_eq!(run.code, 3, "{run}");
    assert!(run.stdout.starts_with("ok  \t"), "{run}");
    assert!(run.stderr.contains("nothing was recorded: no program wrote a log"), "{run}");
}
