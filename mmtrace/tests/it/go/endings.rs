//! However a program ends, its exit status is its own, and what it did until then can be read.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};

use mmtrace_fixtures::go;
use mmtrace_format::EventKind;
use mmtrace_format::log::{GapReason, Log};

use super::{events_of, mmtrace_go};
use crate::transcript::{Folder, Run};

/// The ways of `fixtures/go/endings`: the argument, the code or signal, and whether the program gets
/// to close its log.
const ENDINGS: [(&str, Result<i32, i32>, bool); 16] = [
    ("return", Ok(0), true),
    ("exit-0", Ok(0), true),
    ("exit-3", Ok(3), false),
    ("fatal", Ok(1), false),
    ("panic", Ok(2), false),
    ("elsewhere", Ok(2), false),
    ("recovered", Ok(0), true),
    ("nil", Ok(2), false),
    ("nil-recovered", Ok(0), true),
    ("held", Ok(0), true),
    ("overflow", Ok(2), false),
    ("c-fault", Ok(2), false),
    ("c-abort", Ok(2), false),
    ("kill", Err(9), false),
    ("term", Err(15), false),
    ("syscall", Ok(5), false),
];

fn ending(status: ExitStatus) -> Result<i32, i32> {
    status.code().ok_or_else(|| status.signal().expect("it ended"))
}

#[test]
fn the_exit_status_is_the_programs_however_it_ends() {
    let Some(mut plain) = go::command("the_exit_status_is_the_programs_however_it_ends") else {
        return;
    };
    let folder = Folder::new();
    let (original, recorded) = (folder.path("original"), folder.path("recorded"));
    let work = go::programs().join("endings");
    let built = plain.args(["build", "-o"]).arg(&original).current_dir(&work).status().unwrap();
    assert!(built.success());
    let mut build = folder.command(&["go", "build", "-o"]);
    build.arg(&recorded).current_dir(&work);
    let run = Run::of(&mut go::clean(build));
    assert_eq!(run.code, 0, "{run}");
    for (way, expected, is_closed) in ENDINGS {
        let log = folder.path(&format!("{way}.log"));
        let end = |program| {
            let mut command = Command::new(program);
            command.arg(way).env("MMTRACE_LOG", &log).current_dir(folder.path(""));
            ending(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap())
        };
        assert_eq!(end(&original), expected, "{way}, not recorded");
        assert_eq!(end(&recorded), expected, "{way}, recorded");

        let opened = Log::open(&log).unwrap();
        let gaps: Vec<GapReason> = opened.gaps().iter().map(|gap| gap.reason).collect();
        let expected = if is_closed { vec![] } else { vec![GapReason::Unfinished] };
        assert_eq!(gaps, expected, "{way}");
        // Four goroutines lock it a hundred times each.
        let unlocks = events_of(&opened, |event| event.kind == EventKind::MutexUnlock);
        assert!(unlocks >= 400, "{way}: {unlocks} unlocks");
        let report = folder.mmtrace(&["analyze", "--format", "json", log.to_str().unwrap()]);
        assert_eq!(report.code, if is_closed { 0 } else { 3 }, "{way}: {}", report.stderr);
    }
}

#[test]
fn what_go_test_says_of_a_program_that_took_too_long_is_kept() {
    if go::command("what_go_test_says_of_a_program_that_took_too_long").is_none() {
        return;
    }
    let folder = Folder::new();
    folder.write("go.mod", b"module example.org/late\n\ngo 1.22\n");
    folder.write(
        "late_test.go",
        b"package late\n\nimport \"testing\"\n\nfunc TestLate(t *testing.T) { select {} }\n",
    );
    let run = mmtrace_go(&folder, &folder.path(""), &["test", "-timeout", "100ms", "."]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stdout.contains("panic: test timed out after 100ms"), "{run}");
    assert!(run.stdout.contains("FAIL\texample.org/late"), "{run}");
    let report = super::report(&folder);
    let blocked = report["blocked"].as_array().unwrap();
    let late = |thread: &&serde_json::Value| thread["stack"].to_string().contains("TestLate");
    assert!(blocked.iter().any(|thread| late(&thread)), "{blocked:#?}");
}
