//! What is in the file at every moment at which the process may be killed or the disk full.
//!
//! The disk lets through a number of bytes and then fails everything. To the file that is the same
//! as a kill after these bytes; to the recorder it is a full disk.

#![cfg(not(miri))] // everything here maps files, which Miri cannot

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use super::*;
use crate::event::text::Line;
use crate::event::word::{RECORD_WORDS_MAX, encode_event};
use crate::event::{Event, EventKind};
use crate::id::{StreamId, StringId, ThreadId};
use crate::layout::BLOCK_HEADER_LEN;
use crate::log::{GapReason, Log};
use crate::table::TableEntry;

fn options() -> LiveOptions {
    LiveOptions { slot_len: 4096, ..LiveOptions::default() }
}

fn info() -> ProcessInfo {
    ProcessInfo { program: "/bin/test".to_owned(), pid: 7, ..ProcessInfo::default() }
}

/// A thread of the recorded program: marks with ascending numbers.
struct Writer<'a> {
    log: &'a LiveLog,
    thread: u32,
    chunk: u32,
    slot: Option<Slot>,
    /// Marks that were published.
    published: u64,
}

impl<'a> Writer<'a> {
    fn new(log: &'a LiveLog, thread: u32) -> Self {
        Self { log, thread, chunk: 0, slot: None, published: 0 }
    }

    /// Records one mark; false if nothing is recorded any more.
    fn mark(&mut self) -> bool {
        let now = Timestamp::from_ns(self.published);
        let mut event = Event::new(EventKind::Mark);
        event.time = now;
        event.value = self.published;
        let mut record = [0; RECORD_WORDS_MAX];
        let len = encode_event(&event, &mut record);
        if self.slot.as_mut().is_some_and(|slot| slot.push(&record[..len])) {
            self.published += 1;
            return true;
        }
        if let Some(full) = self.slot.take() {
            if self.log.seal(full, now, &mut SealScratch::new()).is_err() {
                return false;
            }
            self.chunk += 1;
        }
        let label = SlotLabel {
            stream: StreamId::new(self.thread),
            number: self.chunk,
            thread: ThreadId::new(self.thread),
            switch_count: 0,
            first_time: now,
        };
        self.slot = self.log.acquire_slot(&label);
        self.slot.is_some() && self.mark()
    }
}

/// The marks of each thread, which must be ascending.
fn marks(log: &Log) -> BTreeMap<u32, u64> {
    let mut marks = BTreeMap::new();
    for &thread in log.threads() {
        let lines = log.lines_of_thread(thread).unwrap();
        for (expected, line) in (0..).zip(&lines) {
            let Line::Event(_, event) = line else { panic!("{line}") };
            assert_eq!((event.kind, event.value), (EventKind::Mark, expected), "{thread}");
        }
        marks.insert(thread.as_u32(), lines.len() as u64);
    }
    marks
}

fn reasons(log: &Log) -> Vec<GapReason> {
    log.gaps().iter().map(|gap| gap.reason).collect()
}

fn entry(number: u32) -> TableEntry {
    TableEntry::String(StringId::new(number), format!("string {number}"))
}

/// Records two threads and a table; how much each published.
fn record(log: &LiveLog, marks: u64) -> BTreeMap<u32, u64> {
    for number in 1..200 {
        log.append_table_entry(&entry(number)).unwrap();
    }
    log.append_symbols(ModuleId::new(0), ".symtab", 64, &[7; 5000]).unwrap();
    let mut writers = [Writer::new(log, 0), Writer::new(log, 1)];
    for _ in 0..marks {
        for writer in &mut writers {
            assert!(writer.mark());
        }
    }
    writers.iter().map(|writer| (writer.thread, writer.published)).collect()
}

fn check_names(log: &Log) {
    for number in 1..200 {
        let name = log.tables().string(StringId::new(number));
        assert_eq!(name, Some(format!("string {number}").as_str()));
    }
    assert_eq!(log.info().program, "/bin/test");
    let sections = log.symbols(ModuleId::new(0)).unwrap();
    assert_eq!((sections.len(), sections[0].bytes.len()), (1, 5000));
}

#[test]
fn a_closed_log_has_everything_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let live = LiveLog::create(&path, &info(), options()).unwrap();
    let published = record(&live, 1000);
    let closed = live.close(Timestamp::from_ns(1000)).unwrap();
    let log = Log::open(&path).unwrap();
    assert_eq!(log.gaps(), []);
    assert_eq!(marks(&log), published);
    assert_eq!((closed.file_len, closed.events), (log.file_len(), 2000));
    check_names(&log);
    assert!(log.file_len() < 5 * 4096, "{}", log.file_len());
    let verified = crate::verify::verify(&path).unwrap();
    assert!(verified.is_whole(), "{verified:?}");
    assert!(matches!(live.close(Timestamp::from_ns(1)), Err(CloseError::AlreadyClosed)));
}

#[test]
fn a_killed_log_has_everything_that_was_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let live = LiveLog::create(&path, &info(), options()).unwrap();
    let published = record(&live, 1000);
    drop(live);
    let log = Log::open(&path).unwrap();
    assert_eq!(reasons(&log), [GapReason::Unfinished]);
    assert_eq!(marks(&log), published);
    check_names(&log);
}

#[test]
fn a_log_that_is_being_recorded_can_be_read_and_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let live = LiveLog::create(&path, &info(), options()).unwrap();
    let published = record(&live, 300);
    assert_eq!(marks(&Log::open(&path).unwrap()), published);
    let again = LiveLog::create(&path, &info(), options());
    assert!(matches!(again, Err(CreateError::InUse { .. })));
    assert!(crate::log::is_being_recorded(&path).unwrap());
    drop(live);
    assert!(!crate::log::is_being_recorded(&path).unwrap());
    LiveLog::create(&path, &info(), options()).unwrap();
    assert_eq!(marks(&Log::open(&path).unwrap()), BTreeMap::new());
}

/// Chunks go from slots to blocks while a reader looks at both: it misses none that was published
/// before it looked, and takes none apart.
#[test]
fn a_log_can_be_read_at_any_moment_while_many_threads_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let live = LiveLog::create(&path, &info(), options()).unwrap();
    let published: Vec<AtomicU64> = (0..3).map(|_| AtomicU64::new(0)).collect();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (thread, count) in (0..).zip(&published) {
            let (live, stop) = (&live, &stop);
            scope.spawn(move || {
                let mut writer = Writer::new(live, thread);
                while !stop.load(Ordering::Relaxed) && writer.published < 200_000 {
                    assert!(writer.mark());
                    count.store(writer.published, Ordering::Release);
                }
            });
        }
        for _ in 0..40 {
            let before: Vec<u64> = published.iter().map(|c| c.load(Ordering::Acquire)).collect();
            let log = Log::open(&path).unwrap();
            let marks = marks(&log);
            for (thread, &count) in (0..).zip(&before) {
                let read = marks.get(&thread).copied().unwrap_or(0);
                assert!(read >= count, "t{thread}: {read} of {count}: {:?}", log.gaps());
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_is_no_log_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("precious.txt");
    for content in ["precious", "p"] {
        std::fs::write(&path, content).unwrap();
        let refused = LiveLog::create(&path, &info(), options());
        assert!(matches!(refused, Err(CreateError::NotALog { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    }
    std::fs::write(&path, "").unwrap();
    LiveLog::create(&path, &info(), options()).unwrap();
}

/// Moving blocks changes their order; what they say does not depend on it.
#[test]
fn pieces_of_symbols_and_editions_of_the_information_survive_being_moved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let live = LiveLog::create(&path, &info(), options()).unwrap();
    // Incompressible, so that the blocks differ in length from the holes.
    let mut random = 1u64;
    let mut noise = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as u8
    };
    let long: Vec<u8> = (0..3 * SYMBOLS_PIECE_LEN + 5).map(|_| noise()).collect();
    live.append_symbols(ModuleId::new(1), ".debug_line", 0, &long).unwrap();
    for edition in 0..4 {
        let settings = vec![("edition".to_owned(), edition.to_string())];
        live.update_info(&ProcessInfo { settings, ..info() }).unwrap();
    }
    live.append_symbols(ModuleId::new(1), ".symtab", 0, &long[..3000]).unwrap();
    let mut writers: Vec<_> = (0..60).map(|thread| Writer::new(&live, thread)).collect();
    assert!(writers.iter_mut().all(Writer::mark));
    live.append_symbols(ModuleId::new(2), ".text", 0, &long[..200]).unwrap();
    for closed in [false, true] {
        if closed {
            live.close(Timestamp::from_ns(1)).unwrap();
        }
        let log = Log::open(&path).unwrap();
        assert_eq!(log.is_complete(), closed, "{:?}", log.gaps());
        assert_eq!(log.info().setting("edition"), Some("3"));
        let sections = log.symbols(ModuleId::new(1)).unwrap();
        let found = sections.iter().find(|s| s.name == ".debug_line").unwrap();
        assert!(found.bytes == long);
        assert_eq!(log.symbols(ModuleId::new(2)).unwrap()[0].bytes, long[..200]);
    }
}

/// Whatever step of closing is the last, the log has everything.
#[test]
fn a_log_that_is_killed_while_it_is_closed_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let mut budget = 0;
    loop {
        let live = LiveLog::create(&path, &info(), options()).unwrap();
        let published = record(&live, 150);
        live.disk.budget.store(budget, Ordering::Relaxed);
        let closed = live.close(Timestamp::from_ns(1000));
        let left = live.disk.budget.load(Ordering::Relaxed);
        drop(live);
        let log = Log::open(&path).unwrap();
        assert_eq!(marks(&log), published, "after {budget} bytes");
        check_names(&log);
        assert_eq!(log.is_complete(), closed.is_ok(), "after {budget} bytes: {:?}", log.gaps());
        if closed.is_ok() {
            assert!(crate::verify::verify(&path).unwrap().is_whole());
            break;
        }
        assert_eq!(left, 0);
        // Only the last write, of the first page, comes when that page cannot say why any more.
        let only = [GapReason::Unfinished, GapReason::Stopped(StopReason::DiskFull)];
        assert!(only.starts_with(&reasons(&log)), "after {budget} bytes: {:?}", log.gaps());
        // Every byte of the headers counts, not every one of the zeros.
        budget += if budget < 600 { 7 } else { 61 };
    }
    assert!(budget > 10_000, "closing writes more than {budget} bytes");
}

/// Whatever write is the first to find the disk full, everything published before and after is there.
#[test]
fn a_full_disk_stops_the_recording_and_loses_nothing_that_was_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    for budget in (0..3000).step_by(53) {
        let live = LiveLog::create(&path, &info(), options()).unwrap();
        let before = record(&live, 50);
        live.disk.budget.store(budget, Ordering::Relaxed);
        let mut more = Writer::new(&live, 2);
        while more.mark() {}
        assert_eq!(live.stopped(), Some(StopReason::DiskFull));
        live.count_lost(LossReason::Stopped, 5);
        let published = more.published;
        let mut expected = before;
        expected.insert(2, published);
        let log = Log::open(&path).unwrap();
        assert_eq!(marks(&log), expected, "{budget} bytes");
        let gaps = reasons(&log);
        assert!(gaps.contains(&GapReason::Stopped(StopReason::DiskFull)), "{gaps:?}");
        assert!(gaps.contains(&GapReason::Lost(LossReason::Stopped)), "{gaps:?}");
        // There is room again when the program ends.
        live.disk.budget.store(u64::MAX, Ordering::Relaxed);
        live.close(Timestamp::from_ns(1)).unwrap();
        let log = Log::open(&path).unwrap();
        assert_eq!(marks(&log), expected, "{budget} bytes");
        assert_eq!(log.gaps().len(), 2, "{:?}", log.gaps());
        let verified = crate::verify::verify(&path).unwrap();
        let bad = verified.blocks.iter().skip(1).find(|block| block.problem.is_some());
        assert_eq!(bad, None, "{budget} bytes");
    }
}

#[test]
fn more_threads_than_slots_get_more_slots() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let live = LiveLog::create(&path, &info(), options()).unwrap();
    let mut writers: Vec<_> = (0..100).map(|thread| Writer::new(&live, thread)).collect();
    for writer in &mut writers {
        for _ in 0..10 {
            assert!(writer.mark());
        }
    }
    let expected: BTreeMap<u32, u64> = (0..100).map(|thread| (thread, 10)).collect();
    assert_eq!(marks(&Log::open(&path).unwrap()), expected);
    live.close(Timestamp::from_ns(10)).unwrap();
    let log = Log::open(&path).unwrap();
    assert_eq!((marks(&log), log.gaps()), (expected, [].as_slice()));
    assert!(log.file_len() < 100 * 1000, "{}", log.file_len());
}

#[test]
fn a_log_that_keeps_the_oldest_stops_at_its_cap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let capped = LiveOptions { max_log: Some(60_000), keep: Keep::Oldest, ..options() };
    let live = LiveLog::create(&path, &info(), capped).unwrap();
    let mut writer = Writer::new(&live, 0);
    while writer.mark() {}
    let expected = BTreeMap::from([(0, writer.published)]);
    assert!(std::fs::metadata(&path).unwrap().len() <= 60_000);
    live.close(Timestamp::from_ns(1)).unwrap();
    let log = Log::open(&path).unwrap();
    assert_eq!(marks(&log), expected);
    assert_eq!(reasons(&log), [GapReason::Stopped(StopReason::SizeCap)]);
}

#[test]
fn a_log_that_keeps_the_newest_says_what_it_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let capped = LiveOptions { max_log: Some(60_000), keep: Keep::Newest, ..options() };
    let live = LiveLog::create(&path, &info(), capped).unwrap();
    let mut writers = [Writer::new(&live, 0), Writer::new(&live, 1)];
    for round in 0..40_000 {
        assert!(writers[round % 2].mark());
        if round % 1000 == 0 {
            // Names are never dropped, nor does anything else break when they come in between.
            live.append_table_entry(&entry(1 + round as u32 / 1000)).unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() <= 60_000 || round % 97 != 0);
    }
    let killed = Log::open(&path).unwrap();
    check_newest(&killed, 20_000);
    assert!(reasons(&killed).contains(&GapReason::Unfinished));
    live.close(Timestamp::from_ns(40_000)).unwrap();
    let log = Log::open(&path).unwrap();
    let dropped = check_newest(&log, 20_000);
    assert!(!reasons(&log).contains(&GapReason::Unfinished));
    let counted: u64 = log.gaps().iter().filter_map(|gap| gap.events).sum();
    assert_eq!(counted, dropped);
    assert!(crate::verify::verify(&path).unwrap().blocks[1..].iter().all(|b| b.problem.is_none()));
}

/// Each of two threads has its newest marks, up to the last and without a hole; how many are missing.
fn check_newest(log: &Log, total: u64) -> u64 {
    let mut dropped = 0;
    assert_eq!(log.threads().len(), 2);
    for &thread in log.threads() {
        let lines = log.lines_of_thread(thread).unwrap();
        let first = total - lines.len() as u64;
        for (expected, line) in (first..).zip(&lines) {
            let Line::Event(_, event) = line else { panic!("{line}") };
            assert_eq!(event.value, expected, "{thread}");
        }
        assert!(first > 0 && lines.len() > 1000, "{} of {total}", lines.len());
        dropped += first;
    }
    assert!(reasons(log).contains(&GapReason::Lost(LossReason::Oldest)));
    for number in 1..40 {
        assert!(log.tables().string(StringId::new(number)).is_some());
    }
    dropped
}

#[test]
fn a_thread_that_goes_on_after_the_end_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let live = LiveLog::create(&path, &info(), options()).unwrap();
    let mut late = Writer::new(&live, 0);
    assert!(late.mark());
    live.close(Timestamp::from_ns(1)).unwrap();
    let before = std::fs::read(&path).unwrap();
    for _ in 0..2000 {
        late.mark();
    }
    live.count_lost(LossReason::Stopped, 3);
    live.stop(StopReason::Requested);
    assert_eq!(live.append_table_entry(&entry(1)), Err(AppendError::Closed));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_table_entry_longer_than_a_slot_gets_a_block_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let live = LiveLog::create(&path, &info(), options()).unwrap();
    let long = "long ".repeat(4000);
    live.append_table_entry(&entry(1)).unwrap();
    live.append_table_entry(&TableEntry::String(StringId::new(2), long.clone())).unwrap();
    live.append_table_entry(&entry(3)).unwrap();
    for closed in [false, true] {
        if closed {
            live.close(Timestamp::from_ns(1)).unwrap();
        }
        let log = Log::open(&path).unwrap();
        assert_eq!(log.tables().string(StringId::new(2)), Some(long.as_str()));
        assert_eq!(log.tables().string(StringId::new(3)), Some("string 3"));
    }
}

#[test]
fn many_threads_append_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let live = LiveLog::create(&path, &info(), options()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let live = &live;
            scope.spawn(move || {
                let mut writer = Writer::new(live, thread);
                for number in 0..3000 {
                    assert!(writer.mark());
                    let string = 1 + thread * 100 + number / 100;
                    live.append_table_entry(&entry(string)).unwrap();
                }
            });
        }
    });
    let expected: BTreeMap<u32, u64> = (0..8).map(|thread| (thread, 3000)).collect();
    assert_eq!(marks(&Log::open(&path).unwrap()), expected);
    live.close(Timestamp::from_ns(1)).unwrap();
    let log = Log::open(&path).unwrap();
    assert_eq!((marks(&log), log.gaps()), (expected, [].as_slice()));
    assert!(log.tables().string(StringId::new(701)).is_some());
}

/// The index leaves fragments to the chunks' own headers; whoever reads a chunk finds them there, or
/// is told that they are damaged.
#[test]
fn a_chunk_of_many_fragments_is_listed_without_them_and_read_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let wide = LiveOptions { slot_len: 1 << 16, ..options() };
    let live = LiveLog::create(&path, &info(), wide).unwrap();
    let label = SlotLabel {
        stream: StreamId::new(0),
        number: 0,
        thread: ThreadId::new(0),
        switch_count: 0,
        first_time: Timestamp::from_ns(0),
    };
    let mut slot = live.acquire_slot(&label).unwrap();
    for turn in 1..=300_u64 {
        let switch = Event { value: turn % 3, extra: turn / 3, ..Event::new(EventKind::Switch) };
        let mark = Event { value: turn, ..Event::new(EventKind::Mark) };
        for event in [switch, mark] {
            let mut record = [0; RECORD_WORDS_MAX];
            let len = encode_event(&event, &mut record);
            assert!(slot.push(&record[..len]));
        }
    }
    let fragments = |log: &Log| log.chunk(0).unwrap().header().fragments.clone();
    let before = fragments(&Log::open(&path).unwrap());
    assert_eq!(before.len(), 300);
    live.seal(slot, Timestamp::from_ns(1), &mut SealScratch::new()).unwrap();
    live.close(Timestamp::from_ns(1)).unwrap();
    let log = Log::open(&path).unwrap();
    assert_eq!(log.gaps(), []);
    assert_eq!(fragments(&log), before);
    assert_eq!(log.threads().len(), 3);
    assert!(crate::verify::verify(&path).unwrap().is_whole());

    let at = (log.chunks()[0].offset.0 + BLOCK_HEADER_LEN) as usize;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at + crate::chunk::CHUNK_HEADER_LEN + 10] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert!(Log::open(&path).unwrap().chunk(0).is_err());
    assert!(!crate::verify::verify(&path).unwrap().is_whole());
}
