//! Recorded programs that do not end well.
//!
//! The program is this test binary, run again with `recorded_program` as its only test.

#![cfg(not(miri))] // starts processes

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use mmtrace_format::chunk::SealScratch;
use mmtrace_format::event::text::Line;
use mmtrace_format::event::word::{RECORD_WORDS_MAX, encode_event};
use mmtrace_format::layout::StopReason;
use mmtrace_format::live::{LiveLog, LiveOptions, SlotLabel};
use mmtrace_format::table::TableEntry;
use mmtrace_format::{Event, EventKind, GapReason, Log, StreamId, StringId, ThreadId, Timestamp};

use crate::support::info;

const LOG: &str = "MMTRACE_TEST_LOG";
/// Marks of all threads after which the program closes its log and ends.
const CLOSE_AFTER: &str = "MMTRACE_TEST_CLOSE_AFTER";
/// How often the program is killed, if not twenty times.
const KILLS: &str = "MMTRACE_KILLS";
const THREADS: u32 = 3;

/// The program: threads that record marks, and write down in another file how many were published.
#[test]
#[ignore = "is the program that the other tests kill"]
fn recorded_program() {
    let Some(path) = std::env::var_os(LOG).map(PathBuf::from) else { return };
    let close_after = std::env::var(CLOSE_AFTER).unwrap().parse().unwrap();
    let options = LiveOptions { slot_len: 8192, ..LiveOptions::default() };
    let log = LiveLog::create(&path, &info(), options).unwrap();
    let counts = OpenOptions::new().write(true).open(counts_path(&path)).unwrap();
    let total = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (log, counts, total) = (&log, &counts, &total);
            scope.spawn(move || record(log, thread, counts, total, close_after));
        }
    });
    log.close(Timestamp::from_ns(u64::MAX)).unwrap();
}

fn record(log: &LiveLog, thread: u32, counts: &File, total: &AtomicU64, close_after: u64) {
    let mut scratch = SealScratch::new();
    let mut published = 0u64;
    for number in 0.. {
        let label = SlotLabel {
            stream: StreamId::new(thread),
            number,
            thread: ThreadId::new(thread),
            switch_count: 0,
            first_time: Timestamp::from_ns(published),
        };
        let Some(mut slot) = log.acquire_slot(&label) else { return };
        loop {
            // A mark with a name of its own, which is in the log before the mark.
            let name = StringId::new(1 + thread + THREADS * (published / 50) as u32);
            if published.is_multiple_of(50) {
                let entry = TableEntry::String(name, format!("{thread}: {published}"));
                if log.append_table_entry(&entry).is_err() {
                    return;
                }
            }
            let time = Timestamp::from_ns(published);
            let value = u64::from(name.as_u32());
            let mark = Event { time, value, ..Event::new(EventKind::Mark) };
            let mut record = [0; RECORD_WORDS_MAX];
            let len = encode_event(&mark, &mut record);
            if !slot.push(&record[..len]) {
                break;
            }
            published += 1;
            counts.write_all_at(&published.to_le_bytes(), u64::from(thread) * 8).unwrap();
            if total.fetch_add(1, Ordering::Relaxed) >= close_after {
                return;
            }
        }
        if log.seal(slot, Timestamp::from_ns(published), &mut scratch).is_err() {
            return;
        }
    }
}

fn counts_path(log: &Path) -> PathBuf {
    log.with_extension("counts")
}

fn counts(log: &Path) -> [u64; THREADS as usize] {
    let bytes = std::fs::read(counts_path(log)).unwrap();
    let mut words = bytes.chunks_exact(8);
    std::array::from_fn(|_| {
        words.next().map_or(0, |word| u64::from_le_bytes(word.try_into().unwrap()))
    })
}

fn program(log: &Path, close_after: u64) -> Command {
    File::create(counts_path(log)).unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "crash::recorded_program", "--ignored", "--test-threads=1"])
        .env(LOG, log)
        .env(CLOSE_AFTER, close_after.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Every mark that a thread said it had published is in the log, named, and at most one more, for
/// which the thread had no time to say so.
fn check(log: &Log, counts: [u64; THREADS as usize], what: &str) {
    for (thread, &count) in (0..).map(ThreadId::new).zip(&counts) {
        let lines = log.lines_of_thread(thread).unwrap();
        let read = lines.len() as u64;
        assert!(read == count || read == count + 1, "{what}: {thread} {read} of {count}");
        for (published, line) in (0u64..).zip(&lines) {
            let Line::Event(_, event) = line else { panic!("{what}: {line}") };
            assert_eq!(event.time.ns, published, "{what}: {thread}");
            let name = log.tables().string(StringId::new(event.value as u32));
            let expected = format!("{}: {}", thread.as_u32(), published / 50 * 50);
            assert_eq!(name, Some(expected.as_str()), "{what}: {thread}");
        }
    }
}

fn wait_for_marks(child: &mut Child, log: &Path, wanted: u64) {
    while counts(log).iter().sum::<u64>() < wanted {
        if child.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_program_killed_at_any_moment_leaves_everything_that_it_published() {
    let kills: u64 = std::env::var(KILLS).map_or(20, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("killed.log");
    let (mut unfinished, mut random) = (0, 0x9E37_79B9_7F4A_7C15u64);
    for kill in 0..kills {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let wanted = random % 30_000;
        // Every second program is just about to close its log, or closes it.
        let close_after = if kill % 2 == 0 { u64::MAX } else { wanted + random % 50 };
        let mut child = program(&path, close_after).spawn().unwrap();
        wait_for_marks(&mut child, &path, wanted);
        child.kill().unwrap();
        child.wait().unwrap();
        let what = format!("kill {kill} after {wanted} marks");
        let log = match Log::open(&path) {
            Ok(log) => log,
            // It was killed before it began.
            Err(_) if counts(&path) == [0; THREADS as usize] => continue,
            Err(error) => panic!("{what}: {error}"),
        };
        check(&log, counts(&path), &what);
        for gap in log.gaps() {
            assert_eq!(gap.reason, GapReason::Unfinished, "{what}: {gap}");
        }
        unfinished += u64::from(!log.is_complete());
        std::fs::remove_file(&path).unwrap();
    }
    assert!(unfinished * 3 > kills, "{unfinished} of {kills} were killed while recording");
}

#[test]
fn a_program_that_ends_well_leaves_a_complete_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.log");
    assert!(program(&path, 5000).status().unwrap().success());
    let log = Log::open(&path).unwrap();
    assert_eq!(log.gaps(), []);
    check(&log, counts(&path), "whole");
    assert!(mmtrace_format::verify::verify(&path).unwrap().is_whole());
}

/// The system's answer to a file that grows beyond `RLIMIT_FSIZE` is a signal that kills.
#[test]
fn a_program_that_may_not_write_more_survives_and_its_log_says_why_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limited.log");
    let inner = program(&path, 1_000_000);
    // 300 blocks: of 512 bytes, or of 1024, as the shell likes it.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -f 300 && exec \"$0\" \"$@\""]).arg(inner.get_program());
    shell.args(inner.get_args()).stdout(Stdio::null()).stderr(Stdio::null());
    for (name, value) in inner.get_envs() {
        shell.env(name, value.unwrap());
    }
    let status = shell.status().unwrap();
    let log = Log::open(&path).unwrap();
    let reasons: Vec<_> = log.gaps().iter().map(|gap| gap.reason).collect();
    assert!(
        reasons.contains(&GapReason::Stopped(StopReason::FileSizeLimit)),
        "{status}: {reasons:?}"
    );
    assert!(counts(&path).iter().sum::<u64>() > 1000);
    check(&log, counts(&path), "limited");
    // Closing needs no more than the slots gave back; either way the program itself decided its end.
    assert!(status.code().is_some(), "{status}");
}
