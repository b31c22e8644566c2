//! `mmtrace record`: settings handed on, signals and exit status handed through.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::transcript::{Folder, Run, binary};

#[test]
fn a_program_that_records_leaves_a_log_that_can_be_analysed() {
    let folder = Folder::new();
    let program = binary().to_str().unwrap();
    let run = folder.mmtrace(&["record", "-o", "run.log", "--", program, "demo-workload"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("next: mmtrace analyze run.log"), "{run}");
    assert_eq!(folder.mmtrace(&["verify", "run.log"]).code, 0);
    assert_eq!(folder.mmtrace(&["analyze", "run.log"]).code, 66);
}

#[test]
fn every_process_has_its_log_in_a_folder() {
    let folder = Folder::new();
    let script = format!("{0} demo-workload && {0} demo-workload", binary().display());
    let run = folder.mmtrace(&["record", "-o", "logs/", "--", "sh", "-c", &script]);
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(std::fs::read_dir(folder.path("logs")).unwrap().count(), 2, "{run}");
    assert_eq!(folder.mmtrace(&["verify", "logs"]).code, 0);
}

#[test]
fn a_program_that_records_nothing_is_reported() {
    let folder = Folder::new();
    insta::assert_snapshot!(folder.mmtrace(&["record", "-o", "run.log", "--", "true"]), @"
    note: nothing was recorded: the program made no log at run.log. It records if it uses mmtrace-recorder, built with the feature `record`
    exit code 3
    ");
}

#[test]
fn the_exit_code_is_the_programs() {
    let folder = Folder::new();
    for code in [1, 2, 7, 66] {
        let exit = format!("exit {code}");
        let run = folder.mmtrace(&["record", "--", "sh", "-c", &exit]);
        assert_eq!(run.code, code, "{run}");
    }
    let run = folder.mmtrace(&["record", "--", "sh", "-c", "kill -KILL $$"]);
    assert_eq!(run.code, 128 + 9, "{run}");
}

#[test]
fn output_and_arguments_are_the_programs_own() {
    let folder = Folder::new();
    let run = folder.mmtrace(&["record", "--", "printf", "%s|", "a b", "--help", "-o"]);
    assert_eq!(run.stdout, "a b|--help|-o|", "{run}");
}

#[test]
fn the_program_is_told_where_and_how_much_to_record() {
    let folder = Folder::new();
    let script = "echo $MMTRACE_LOG $MMTRACE_MAX_LOG $MMTRACE_KEEP";
    let flags = ["record", "-o", "a.log", "--max-log", "2M", "--keep", "newest", "--"];
    let run = Run::of(folder.command(&flags).args(["sh", "-c", script]));
    let log = folder.path("a.log").canonicalize().unwrap_or_else(|_| folder.path("a.log"));
    assert_eq!(run.stdout.trim_end(), format!("{} 2097152 newest", log.display()), "{run}");
}

#[test]
fn a_program_that_is_not_there_is_a_usage_error() {
    let folder = Folder::new();
    insta::assert_snapshot!(folder.mmtrace(&["record", "--", "./no-such-program"]), @"
    error: cannot run ./no-such-program: No such file or directory (os error 2)
    exit code 2
    ");
}

#[test]
fn a_file_that_is_no_log_is_not_replaced() {
    let folder = Folder::new();
    folder.write("notes.txt", b"precious");
    insta::assert_snapshot!(folder.mmtrace(&["record", "-o", "notes.txt", "--", "true"]), @"
    error: notes.txt is there and is no log: not replaced
    exit code 2
    ");
    assert_eq!(folder.read("notes.txt"), b"precious");
}

#[test]
fn the_log_of_an_earlier_run_is_not_taken_for_this_ones() {
    let folder = Folder::with_log("run.log", crate::transcript::RACY);
    let run = folder.mmtrace(&["record", "-o", "run.log", "--", "true"]);
    assert_eq!(run.code, 3, "{run}");
    assert!(!folder.path("run.log").exists());
}

/// Who has `MMTRACE_LOG` set for a program must not lose its log to the tool that reads it.
#[test]
fn the_tool_itself_is_not_recorded() {
    let folder = Folder::with_log("run.log", crate::transcript::RACY);
    let before = folder.read("run.log");
    let mut command = folder.command(&["info", "run.log"]);
    let run = Run::of(command.env("MMTRACE_LOG", folder.path("run.log")));
    assert_eq!(run.code, 0, "{run}");
    assert!(folder.read("run.log") == before, "the log was overwritten");
}

/// SIGTERM to mmtrace reaches the program, which ends in its own way.
#[test]
fn signals_are_passed_on() {
    let folder = Folder::new();
    let script = "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done";
    let mut command = folder.command(&["record", "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, 42, "{run}");
}
