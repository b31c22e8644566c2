//! Whole processes: how they begin, end, are killed, fork, run out of disk, and what their logs say.
//!
//! A test starts this very binary again as the program to be recorded: [`program`] with a role.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};

use mmtrace_format::layout::StopReason;
use mmtrace_format::table::CallSite;
use mmtrace_format::{EventKind, Log, ModuleId};
use mmtrace_recorder::cell::Tracked;
use mmtrace_recorder::sync::{Arc, Mutex};
use mmtrace_recorder::{mark, thread};
use tempfile::TempDir;

use crate::recorded::{
    accesses, all_events, assert_numbers_are_complete, events, open, strings, threads,
};

const ROLE: &str = "MMTRACE_TEST_ROLE";
const COUNTERS: &str = "MMTRACE_TEST_COUNTERS";

/// Runs the role that a test asks this binary for; nothing in an ordinary run.
#[test]
fn program() {
    match std::env::var(ROLE).as_deref() {
        Ok("count") => count_for_ever(),
        Ok("return") => mark!("about to return"),
        Ok("exit") => exit_from_another_thread(),
        Ok("abort") => {
            mark!("about to abort");
            std::process::abort();
        }
        Ok("panic") => panic_in_a_thread(),
        Ok("fork") => fork_and_go_on(),
        Ok("fill") => fill_the_file(),
        Ok("become") => become_another(),
        Ok(role) => panic!("no such role: {role}"),
        Err(_) => {}
    }
}

/// A program that was started, and the folder with its log.
struct Program {
    folder: TempDir,
    child: Child,
}

impl Program {
    fn start(role: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["process::program", "--exact", "--test-threads=1", "--quiet"])
            .env(ROLE, role)
            .env(COUNTERS, folder.path().join("counters"))
            .env("MMTRACE_LOG", folder.path().join("run.log"))
            .env("MMTRACE_SLOT", "16K")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("run.log")
    }

    fn wait(mut self) -> (TempDir, ExitStatus) {
        let status = self.child.wait().unwrap();
        (self.folder, status)
    }

    /// Runs a program to its end.
    fn run(role: &str) -> (TempDir, ExitStatus, Log) {
        let program = Self::start(role);
        let path = program.path();
        let (folder, status) = program.wait();
        (folder, status, open(&path))
    }
}

/// Two threads lock, write and unlock, and after each round say in a file how many they have done.
fn count_for_ever() {
    let counters = Arc::new(File::create(std::env::var_os(COUNTERS).unwrap()).unwrap());
    let shared = Arc::new(Mutex::new(Tracked::new(0_u64)));
    let workers = [0, 1].map(|worker| {
        let (counters, shared) = (Arc::clone(&counters), Arc::clone(&shared));
        thread::spawn(move || {
            for round in 1_u64.. {
                **shared.lock().unwrap() += 1;
                counters.write_all_at(&round.to_le_bytes(), worker * 8).unwrap();
            }
        })
    });
    for worker in workers {
        worker.join().unwrap();
    }
}

fn counts(path: &Path) -> [u64; 2] {
    let bytes = std::fs::read(path).unwrap_or_default();
    [0, 8]
        .map(|at| bytes[at.min(bytes.len())..].first_chunk().map_or(0, |b| u64::from_le_bytes(*b)))
}

/// Kills a counting program when it has counted up to `moment`, and looks for every round that it
/// had finished by then in its log.
fn kill_at(moment: u64) {
    let mut program = Program::start("count");
    let counters = program.folder.path().join("counters");
    while counts(&counters).iter().sum::<u64>() < moment {
        assert!(program.child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    program.child.kill().unwrap();
    let path = program.path();
    let (folder, status) = program.wait();
    assert_eq!(status.signal(), Some(9));
    let counted = counts(&counters);
    let log = open(&path);
    assert!(!log.is_complete());
    let mut rounds: Vec<[u64; 3]> = threads(&log)
        .iter()
        .map(|(_, lines)| {
            let of = |kind| events(lines).iter().filter(|event| event.kind == kind).count() as u64;
            let writes = accesses(lines).iter().filter(|access| access.kind.is_write()).count();
            [of(EventKind::MutexLock), writes as u64, of(EventKind::MutexUnlock)]
        })
        .collect();
    rounds.sort_unstable();
    let mut counted = counted.to_vec();
    counted.sort_unstable();
    for (counted, recorded) in counted.iter().rev().zip(rounds.iter().rev()) {
        for recorded in recorded {
            // A round is counted after its unlock is published; one more may have begun.
            assert!((*counted..=counted + 1).contains(recorded), "{counted}, {recorded} recorded");
        }
    }
    drop(folder);
}

#[test]
fn a_kill_loses_nothing_that_was_published() {
    let rounds = std::env::var("MMTRACE_KILL_ROUNDS").ok().and_then(|n| n.parse().ok());
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..rounds.unwrap_or(20) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        kill_at(1 + (random >> 33) % 3000);
    }
}

#[test]
fn a_return_from_main_finishes_the_log() {
    let (_folder, status, log) = Program::run("return");
    assert!(status.success());
    assert!(log.is_complete());
    assert_eq!(strings(&log, EventKind::Mark), ["about to return"]);
    assert_eq!(all_events(&log).iter().filter(|(_, e)| e.kind == EventKind::CleanEnd).count(), 1);
}

fn exit_from_another_thread() {
    let started = std::sync::Barrier::new(2);
    let busy = Mutex::new(0_u64);
    thread::scope(|scope| {
        scope.spawn(|| {
            started.wait();
            loop {
                *busy.lock().unwrap() += 1;
            }
        });
        scope.spawn(|| {
            started.wait();
            (0..1000).for_each(|_| *busy.lock().unwrap() += 1);
            std::process::exit(3);
        });
    });
}

#[test]
fn an_exit_in_the_middle_of_other_threads_finishes_the_log() {
    let (_folder, status, log) = Program::run("exit");
    assert_eq!(status.code(), Some(3));
    assert!(log.is_complete());
    let locks = all_events(&log).iter().filter(|(_, e)| e.kind == EventKind::MutexLock).count();
    assert!(locks >= 1000, "{locks}");
}

#[test]
fn an_abort_leaves_a_readable_log() {
    let (_folder, status, log) = Program::run("abort");
    assert_eq!(status.signal(), Some(6));
    assert!(!log.is_complete());
    assert_eq!(strings(&log, EventKind::Mark), ["about to abort"]);
}

fn panic_in_a_thread() {
    let mutex = Mutex::new(());
    let outcome = thread::scope(|scope| {
        let child = scope.spawn(|| {
            let _guard = mutex.lock();
            std::panic::resume_unwind(Box::new("as asked"));
        });
        child.join()
    });
    assert!(outcome.is_err());
}

#[test]
fn a_panicking_thread_unlocks_and_ends_in_the_log() {
    let (_folder, status, log) = Program::run("panic");
    assert!(status.success());
    assert!(log.is_complete());
    // The harness has a thread of its own for the test, which starts this one.
    let (_, child) = threads(&log).into_iter().next_back().unwrap();
    let kinds: Vec<_> = events(&child).iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, ["start", "retire", "mutex-lock", "mutex-unlock", "release", "end"]);
    assert_numbers_are_complete(&log);
}

#[expect(unsafe_code, reason = "fork")]
fn fork_and_go_on() {
    mark!("before the fork");
    // SAFETY: the child uses the recorder, the allocator and exit, which are ready for forks.
    let child = unsafe { libc::fork() };
    if child == 0 {
        mark!("in the child");
        std::process::exit(7);
    }
    let mut status = 0;
    // SAFETY: waits for the child; the status is a local of ours.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!(libc::WEXITSTATUS(status), 7);
    mark!("after the child");
}

#[test]
fn a_forked_child_has_a_log_of_its_own() {
    let (folder, status, log) = Program::run("fork");
    assert!(status.success());
    assert!(log.is_complete());
    assert_eq!(strings(&log, EventKind::Mark), ["before the fork", "after the child"]);
    assert_numbers_are_complete(&log);
    let child = std::fs::read_dir(folder.path()).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.file_name()?.to_str()?.starts_with("run.log.").then_some(path)
    });
    let child = open(&child.expect("the child's log"));
    assert!(child.is_complete());
    assert_eq!(strings(&child, EventKind::Mark), ["in the child"]);
    assert_ne!(child.info().run_id, log.info().run_id);
    assert_numbers_are_complete(&child);
}

fn become_another() {
    mark!("before it is another");
    let program = std::env::current_exe().unwrap();
    let mut other = Command::new(program);
    other.args(std::env::args_os().skip(1)).env(ROLE, "return");
    panic!("{}", other.exec());
}

#[test]
fn a_process_that_becomes_another_program_keeps_its_log() {
    let (folder, status, log) = Program::run("become");
    assert!(status.success());
    assert_eq!(strings(&log, EventKind::Mark), ["before it is another"]);
    let other = open(&folder.path().join("run.log.2"));
    assert!(other.is_complete());
    assert_eq!(strings(&other, EventKind::Mark), ["about to return"]);
    assert_eq!(other.info().pid, log.info().pid);
}

#[expect(unsafe_code, reason = "a limit of the process")]
fn fill_the_file() {
    let limit = libc::rlimit { rlim_cur: 3 << 20, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the limit is a local of ours.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    let mut cells: Vec<_> = (0..1 << 16).map(Tracked::new).collect();
    let mut random = 1_u64;
    for _ in 0..3_000_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *cells[(random >> 48) as usize] += 1_u64;
    }
    assert!(!mmtrace_recorder::is_recording());
    assert!(cells.iter().map(|cell| cell.get()).sum::<u64>() > 3_000_000);
}

#[test]
fn a_full_disk_stops_the_recording_and_not_the_program() {
    let (_folder, status, log) = Program::run("fill");
    assert!(status.success());
    assert_eq!(log.state().stop, Some(StopReason::FileSizeLimit));
    assert!(log.access_count() > 10_000, "{}", log.access_count());
}

/// The function whose symbol covers an address of the module, from the log alone.
fn function_at(log: &Log, module: ModuleId, address: u64) -> Option<String> {
    let sections = log.symbols(module).unwrap();
    let section = |name| sections.iter().find(|s| s.name == name).map(|s| &s.bytes[..]);
    let (symbols, names) = (section(".symtab")?, section(".strtab")?);
    let word =
        |symbol: &[u8], at: usize| u64::from_le_bytes(symbol[at..at + 8].try_into().unwrap());
    let covers =
        |symbol: &&[u8]| (word(symbol, 8)..word(symbol, 8) + word(symbol, 16)).contains(&address);
    let symbol = symbols.chunks_exact(24).find(covers)?;
    let name = &names[u32::from_le_bytes(symbol[..4].try_into().unwrap()) as usize..];
    let end = name.iter().position(|&byte| byte == 0)?;
    Some(String::from_utf8_lossy(&name[..end]).into_owned())
}

#[test]
fn a_stack_is_named_from_the_log_alone() {
    let (_folder, _status, log) = Program::run("return");
    let (_, mark) = all_events(&log).into_iter().find(|(_, e)| e.kind == EventKind::Mark).unwrap();
    let names = log.tables().frames(mark.stack).filter_map(|site| {
        let CallSite::Code { module, offset, .. } = *log.tables().site(site)? else { return None };
        function_at(&log, module, offset)
    });
    let names: Vec<String> = names.collect();
    // From the hook out to the start of the test's thread.
    let place = |part: &str| names.iter().position(|name| name.contains(part));
    let (program, start) = (place("process7program"), place("thread_start"));
    assert!(program.is_some_and(|program| start.is_some_and(|it| program < it)), "{names:#?}");
    let sections = log.symbols(ModuleId::new(0)).unwrap();
    assert!(sections.iter().any(|section| section.name == ".debug_info"));
}
