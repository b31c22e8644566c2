//! Whatever people pass to Go still works, and exit codes are what scripts rely on.

use std::path::PathBuf;
use std::process::Command;

use mmtrace_fixtures::go;
use serde_json::Value;

use super::{mmtrace_go, report};
use crate::transcript::{Folder, Run};

/// A program with a race between lines 13 and 15, which says what it was built with.
const PROGRAM: &str = r#"package main

import (
	"fmt"
	"os"
)

var version, tag = "none", "none"

func main() {
	x, done := 0, make(chan bool)
	go func() {
		x++
		done <- true
	}(); x++
	<-done
	fmt.Println(version, tag, x > 0)
	if len(os.Args) > 1 {
		os.Exit(3)
	}
}
"#;

const TAGGED: &str = "//go:build special\n\npackage main\n\nfunc init() { tag = \"special\" }\n";

const TESTS: &str = r#"package main

import (
	"os"
	"testing"
)

func TestPasses(t *testing.T) { tag = "tested" }

func TestFailsIfAsked(t *testing.T) {
	if os.Getenv("FAIL") != "" {
		t.Fatal("asked to")
	}
}
"#;

/// A folder with a module in `program`; none where there is no Go.
fn module(test: &str) -> Option<(Folder, PathBuf)> {
    go::command(test)?;
    let folder = Folder::new();
    folder.write("program/go.mod", b"module example.org/program\n\ngo 1.22\n");
    folder.write("program/main.go", PROGRAM.as_bytes());
    folder.write("program/tagged.go", TAGGED.as_bytes());
    folder.write("program/main_test.go", TESTS.as_bytes());
    let program = folder.path("program");
    Some((folder, program))
}

/// `function file:line` of the innermost frames of the one race of a report.
fn sides(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let mut races = findings.iter().filter(|finding| finding["kind"] == "race");
    let race = races.next().expect("a race");
    let side = |side: &str| {
        let frame = &race[side]["stack"][0];
        let text = |key: &str| frame[key].as_str().unwrap_or_default().to_owned();
        format!("{} {}:{}", text("function"), text("file"), frame["line"])
    };
    let mut sides = vec![side("first"), side("second")];
    sides.sort();
    sides
}

#[test]
fn a_stripped_program_with_a_version_is_named_all_the_same() {
    let Some((folder, program)) = module("a_stripped_program_with_a_version") else { return };
    let flags = ["run", "-ldflags", "-s -w -X main.version=7", "-trimpath", "."];
    let run = mmtrace_go(&folder, &program, &flags);
    assert_eq!((run.code, run.stdout.as_str()), (66, "7 none true\n"), "{run}");
    let file = "example.org/program/main.go";
    assert_eq!(
        sides(&report(&folder)),
        [format!("main.main {file}:15"), format!("main.main.func1 {file}:13")]
    );
}

#[test]
fn flags_of_the_environment_and_of_the_command_line_meet() {
    let Some((folder, program)) = module("flags_of_the_environment") else { return };
    let mut command = folder.command(&["go", "-o", "run.log", "run"]);
    command.args(["-ldflags=-X main.version=8", "."]);
    command.current_dir(&program).env("GOFLAGS", "-tags=special -mod=mod");
    let run = Run::of(&mut command);
    assert_eq!((run.code, run.stdout.as_str()), (66, "8 special true\n"), "{run}");
    assert!(run.stderr.contains("1 data race in run.log"), "{run}");
}

#[test]
fn race_of_the_users_own_is_no_contradiction() {
    let Some((folder, program)) = module("race_of_the_users_own_is_no_contradiction") else {
        return;
    };
    let run = mmtrace_go(&folder, &program, &["run", "-race", "."]);
    assert_eq!((run.code, run.stdout.as_str()), (66, "none none true\n"), "{run}");
    assert!(!run.stderr.contains("WARNING: DATA RACE"), "Go's own detector is not there: {run}");
    let mut command = folder.command(&["go", "test", "-v", "."]);
    command.current_dir(&program).env("GOFLAGS", "-race -v");
    let run = Run::of(&mut command);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("--- PASS: TestPasses"), "{run}");
}

/// Flags whose values are separated by spaces, in the environment, in quotes.
#[test]
fn flags_of_the_environment_may_be_quoted() {
    let Some((folder, program)) = module("flags_of_the_environment_may_be_quoted") else { return };
    let mut command = folder.command(&["go", "-o", "run.log", "run", "-tags", "special", "."]);
    command.current_dir(&program).env("GOFLAGS", "'-ldflags=-s -w -X main.version=9' -trimpath");
    let run = Run::of(&mut command);
    assert_eq!((run.code, run.stdout.as_str()), (66, "9 special true\n"), "{run}");
}

#[test]
fn a_workspace_of_modules_is_tested_as_one() {
    let Some((folder, _)) = module("a_workspace_of_modules_is_tested_as_one") else { return };
    folder.write("go.work", b"go 1.22\n\nuse (\n\t./program\n\t./other\n)\n");
    folder.write("other/go.mod", b"module example.org/other\n\ngo 1.22\n");
    folder.write("other/other.go", b"package other\n\nvar Shared int\n");
    let test = "package main

import (
	\"testing\"

	\"example.org/other\"
)

func TestOther(t *testing.T) {
	done := make(chan bool)
	go func() { other.Shared++; done <- true }()
	other.Shared++
	<-done
}
";
    folder.write("program/other_test.go", test.as_bytes());
    let mut command = folder.command(&["go", "test", "./program", "./other"]);
    command.env_remove("GOFLAGS").env_remove("GOWORK").env("GOTOOLCHAIN", "local");
    let run = Run::of(&mut command);
    assert_eq!(run.code, 66, "{run}");
    assert!(run.stderr.contains("TestOther"), "{run}");
}

#[test]
fn folders_with_spaces_and_other_letters_are_no_obstacle() {
    let Some((folder, program)) = module("folders_with_spaces_and_other_letters") else { return };
    let moved = folder.path("my programs/größer, (1)");
    std::fs::create_dir_all(moved.parent().unwrap()).unwrap();
    std::fs::rename(program, &moved).unwrap();
    // The cache, too, with the library that is linked and the overlay.
    let mut command = folder.command(&["go", "-o", "the logs/", "--report", "my report", "test"]);
    command.args(["-v", "."]).current_dir(&moved);
    command.env("XDG_CACHE_HOME", folder.path("my programs/cache of ümlauts"));
    let run = Run::of(&mut go::clean(command));
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("1 log in the logs/: nothing found"), "{run}");
    let run = mmtrace_go(&folder, &moved, &["run", "."]);
    assert_eq!(run.code, 66, "{run}");
    assert_eq!(sides(&report(&folder))[0], format!("main.main {}/main.go:15", moved.display()));
}

#[test]
fn an_overlay_of_the_users_own_holds_together_with_ours() {
    let Some((folder, program)) = module("an_overlay_of_the_users_own") else { return };
    folder.write("other.go", TAGGED.replace("//go:build special\n", "").as_bytes());
    let replace = serde_json::json!({ "Replace": {
        program.join("tagged.go").to_str().unwrap(): folder.path("other.go").to_str().unwrap(),
    }});
    folder.write("own.json", replace.to_string().as_bytes());
    let run = mmtrace_go(&folder, &program, &["run", "-overlay", "../own.json", "."]);
    assert_eq!((run.code, run.stdout.as_str()), (66, "none special true\n"), "{run}");
}

#[test]
fn coverage_and_the_vendor_folder_work() {
    let Some((folder, program)) = module("coverage_and_the_vendor_folder_work") else { return };
    let need = "require example.org/dep v1.0.0\n";
    let module = format!("module example.org/program\n\ngo 1.22\n\n{need}");
    folder.write("program/go.mod", module.as_bytes());
    folder.write(
        "program/vendor/modules.txt",
        b"# example.org/dep v1.0.0\n## explicit; go 1.22\nexample.org/dep\n",
    );
    folder.write("program/vendor/example.org/dep/dep.go", b"package dep\n\nvar Name = \"dep\"\n");
    folder.write(
        "program/uses.go",
        b"package main\n\nimport \"example.org/dep\"\n\nvar _ = dep.Name\n",
    );
    let flags =
        ["test", "-mod=vendor", "-covermode=atomic", "-coverprofile=../c.out", "-v", "./..."];
    let run = mmtrace_go(&folder, &program, &flags);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("--- PASS: TestPasses"), "{run}");
    assert!(folder.read("c.out").starts_with(b"mode: atomic\n"));
}

#[test]
fn a_failure_of_gos_own_keeps_its_exit_code() {
    let Some((folder, program)) = module("a_failure_of_gos_own_keeps_its_exit_code") else {
        return;
    };
    let mut failing = folder.command(&["go", "-o", "../logs/", "test", "."]);
    failing.current_dir(&program).env("FAIL", "1");
    let run = Run::of(&mut go::clean(failing));
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stdout.contains("--- FAIL: TestFailsIfAsked"), "{run}");

    let run = mmtrace_go(&folder, &program, &["run", ".", "exit"]);
    assert_eq!((run.code, run.stdout.as_str()), (1, "none none true\n"), "{run}");
    assert!(run.stderr.contains("exit status 3"), "{run}");
    assert_eq!(sides(&report(&folder)).len(), 2, "what was recorded before os.Exit is there");

    folder.write("program/broken.go", b"package main\n\nvar x int = \"text\"\n");
    let run = mmtrace_go(&folder, &program, &["build", "."]);
    assert_eq!(run.code, 2, "options of a log have no place before `build`: {run}");
    let run = Run::of(&mut go::clean(folder.command(&["go", "build", "-C", "program", "."])));
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("broken.go:3"), "{run}");
}

#[test]
fn a_program_that_was_built_records_where_it_is_told() {
    let Some((folder, program)) = module("a_program_that_was_built_records") else { return };
    let mut build = folder.command(&["go", "build", "-o", "../program.rec", "."]);
    build.current_dir(&program);
    let run = Run::of(&mut go::clean(build));
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{run}");
    let start = |log: Option<&str>| {
        let mut command = Command::new(folder.path("program.rec"));
        command.current_dir(folder.path("")).env_remove("MMTRACE_LOG");
        if let Some(log) = log {
            command.env("MMTRACE_LOG", log);
        }
        assert_eq!(command.output().unwrap().stdout, b"none none true\n");
    };
    let logs = || {
        let names = std::fs::read_dir(folder.path("")).unwrap();
        let paths = names.map(|entry| entry.unwrap().path());
        let logs = paths.filter(|path| path.extension().is_some_and(|found| found == "log"));
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        logs.map(name).collect::<Vec<String>>()
    };
    start(Some("off"));
    assert_eq!(logs(), [""; 0]);
    start(Some("here.log"));
    assert_eq!(logs(), ["here.log"]);
    assert_eq!(folder.mmtrace(&["analyze", "here.log"]).code, 66);
    std::fs::remove_file(folder.path("here.log")).unwrap();
    start(None);
    assert!(matches!(&logs()[..], [name] if name.starts_with("run-")), "{:?}", logs());
}

#[test]
fn what_is_missing_is_said() {
    let folder = Folder::new();
    let run = Run::of(folder.command(&["go", "test"]).env("PATH", "/nowhere"));
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("there is no `go` in PATH"), "{run}");
    let run = folder.mmtrace(&["go", "vet"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("expected build, run or test, found `vet`"), "{run}");
    if go::command("what_is_missing_is_said").is_none() {
        return;
    }
    let run = Run::of(folder.command(&["go", "test"]).env("CC", "no-such-compiler"));
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("`no-such-compiler` cannot be run"), "{run}");
    let run = Run::of(folder.command(&["go", "build"]).env("GOARCH", "arm64"));
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("linux/arm64"), "{run}");
}
