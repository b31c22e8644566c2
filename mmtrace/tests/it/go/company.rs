//! Recorded programs in company: of other processes, signals, Go's own profilers, and C.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use mmtrace_fixtures::go;
use mmtrace_format::EventKind;
use mmtrace_format::log::{GapReason, Log};

use super::events_of;
use crate::transcript::{Folder, Run};

/// How often `fixtures/go/company` locks its mutex in any case.
const LOCKS: usize = 1000;

/// The program, built to record; none where there is no Go.
fn company(test: &str) -> Option<(Folder, PathBuf)> {
    built("company", test)
}

/// A program of the fixtures, built to record.
fn built(name: &str, test: &str) -> Option<(Folder, PathBuf)> {
    go::command(test)?;
    let folder = Folder::new();
    let program = folder.path(name);
    let mut build = folder.command(&["go", "build", "-o"]);
    build.arg(&program).current_dir(go::programs().join(name));
    let run = Run::of(&mut go::clean(build));
    assert_eq!(run.code, 0, "{run}");
    Some((folder, program))
}

/// Runs it, and expects what it prints.
fn run(folder: &Folder, program: &Path, arguments: &[&str], log: &str, printed: &str) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder.path("")).env("MMTRACE_LOG", folder.path(log));
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}\n{errors}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stdout), printed, "{arguments:?}\n{errors}");
}

/// A log is whole, nothing is found in it, and the mutex was locked so often.
fn assert_clean(folder: &Folder, log: &Path, locks: usize) {
    let opened = Log::open(log).unwrap();
    assert_eq!(opened.gaps(), [], "{}", log.display());
    let found = events_of(&opened, |event| event.kind == EventKind::MutexLock);
    assert!(found >= locks, "{}: {found} locks, expected {locks}", log.display());
    let report = folder.mmtrace(&["analyze", log.to_str().unwrap()]);
    assert_eq!(report.code, 0, "{report}");
}

fn kinds_of(log: &Path, kind: EventKind) -> usize {
    events_of(&Log::open(log).unwrap(), |event| event.kind == kind)
}

fn cores() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

fn logs_beside(log: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(log.parent().unwrap()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let name = log.file_name().unwrap().to_str().unwrap().to_owned();
    let is_one = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&name);
    let mut logs: Vec<PathBuf> = paths.filter(is_one).collect();
    logs.sort();
    logs
}

#[test]
fn gos_own_profilers_work_beside_the_recorder() {
    let Some((folder, program)) = company("gos_own_profilers_work_beside_the_recorder") else {
        return;
    };
    run(&folder, &program, &["profiles", "."], "run.log", "1000\n");
    assert_clean(&folder, &folder.path("run.log"), LOCKS);
    // Four goroutines compute for longer than Go lets one of them.
    let preempted = kinds_of(&folder.path("run.log"), EventKind::Preempt);
    assert!(preempted > 0 || cores() >= 4, "nobody was preempted");
    let sizes = ["cpu", "trace", "heap", "goroutines"].map(|name| (name, folder.read(name).len()));
    assert!(sizes.iter().all(|(_, size)| *size > 100), "{sizes:?}");
    // Go's own tools read what was written.
    let mut top = go::command("gos_own_profilers_work").unwrap();
    let output = top.args(["tool", "pprof", "-top", "company", "cpu"]);
    let output = output.current_dir(folder.path("")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("main.profiles"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn signals_that_a_program_wants_reach_it() {
    let Some((folder, program)) = company("signals_that_a_program_wants_reach_it") else { return };
    run(&folder, &program, &["signals"], "run.log", "1000\n");
    assert_clean(&folder, &folder.path("run.log"), LOCKS);
}

#[test]
fn what_c_calls_back_on_its_own_threads_is_recorded() {
    let Some((folder, program)) = company("what_c_calls_back_on_its_own_threads") else { return };
    run(&folder, &program, &["callbacks"], "run.log", "1400\n");
    let log = folder.path("run.log");
    assert_clean(&folder, &log, LOCKS + 400);
    // C is left for each callback, and entered again behind it. A few system calls may not be over.
    let entered = kinds_of(&log, EventKind::SyscallEnter);
    let left = kinds_of(&log, EventKind::SyscallExit);
    assert!(entered >= 400 && left >= 400 && entered.abs_diff(left) < 8, "{entered}, {left}");
}

#[test]
fn each_child_has_its_log_and_the_parents_is_whole() {
    let Some((folder, program)) = company("each_child_has_its_log") else { return };
    // A file that was named is the parent's; the children find it taken.
    run(&folder, &program, &["children"], "run.log", "1000\n");
    let logs = logs_beside(&folder.path("run.log"));
    assert_eq!(logs.len(), 5, "{logs:?}");
    let parent = Log::open(&logs[0]).unwrap().info().pid;
    for log in &logs {
        assert_clean(&folder, log, LOCKS);
        let info = Log::open(log).unwrap().info().clone();
        let is_child = *log != logs[0];
        assert_eq!(info.args, [if is_child { "nothing" } else { "children" }]);
        assert!(!is_child || info.parent_pid == parent, "{info:?}");
    }
    // In a folder each is named by program and process.
    std::fs::create_dir(folder.path("logs")).unwrap();
    run(&folder, &program, &["children"], "logs", "1000\n");
    let logs = logs_beside(&folder.path("logs/company."));
    assert_eq!(logs.len(), 5, "{logs:?}");
    for log in &logs {
        assert_clean(&folder, log, LOCKS);
    }
}

/// A log was complete but for its end when its process became another.
fn assert_cut_off(log: &Path, arguments: &[&str]) {
    let opened = Log::open(log).unwrap();
    assert_eq!(opened.info().args, arguments, "{}", log.display());
    let kinds: Vec<GapReason> = opened.gaps().iter().map(|gap| gap.reason).collect();
    assert_eq!(kinds, [GapReason::Unfinished], "{}", log.display());
    assert!(kinds_of(log, EventKind::MutexLock) >= LOCKS, "{}", log.display());
}

#[test]
fn a_process_that_becomes_another_program_keeps_what_it_recorded() {
    let Some((folder, program)) = company("a_process_that_becomes_another_program") else { return };
    let arguments = ["becomes", "becomes", "nothing"];
    run(&folder, &program, &arguments, "run.log", "1000\n");
    std::fs::create_dir(folder.path("logs")).unwrap();
    run(&folder, &program, &arguments, "logs", "1000\n");
    for log in ["run.log", "logs/company."] {
        let logs = logs_beside(&folder.path(log));
        assert_eq!(logs.len(), 3, "{logs:?}");
        assert_cut_off(&logs[0], &arguments);
        assert_cut_off(&logs[1], &arguments[1..]);
        assert_clean(&folder, &logs[2], LOCKS);
        let pids = logs.iter().map(|log| Log::open(log).unwrap().info().pid);
        assert_eq!(pids.collect::<BTreeSet<u32>>().len(), 1, "{logs:?}");
    }
    // The next process overwrites what the first one wrote, and nothing else.
    run(&folder, &program, &["nothing"], "run.log", "1000\n");
    let logs = logs_beside(&folder.path("run.log"));
    assert_eq!(logs.len(), 3, "{logs:?}");
    assert_clean(&folder, &logs[0], LOCKS);
}

#[test]
fn go_run_judges_all_that_its_program_has_become() {
    let Some(_) = go::command("go_run_judges_all_that_its_program_has_become") else { return };
    let folder = Folder::new();
    let log = folder.path("run.log");
    let mut command = folder.command(&["go", "-o"]);
    command.arg(&log).args(["run", ".", "becomes", "nothing"]);
    command.current_dir(go::programs().join("company"));
    let run = Run::of(&mut go::clean(command));
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("2 logs in"), "{run}");
}

/// The library that is linked to Go programs had all its names in common with them: of two functions
/// the linker took one, or none at all.
#[test]
fn c_code_may_have_functions_that_the_recorder_has_too() {
    let Some((folder, program)) = built("names", "c_code_may_have_functions") else { return };
    run(&folder, &program, &[], "run.log", "36 4294836225\n");
    assert_clean(&folder, &folder.path("run.log"), 0);
}

/// Package `sync` hides the lock under which its list of all pools grows, not what `append` reads then:
/// races with whoever had that memory before it was collected.
#[test]
fn what_package_sync_hides_is_hidden_as_a_whole() {
    let Some((folder, program)) = built("pools", "what_package_sync_hides") else { return };
    run(&folder, &program, &[], "run.log", "done\n");
    assert_clean(&folder, &folder.path("run.log"), 0);
}
