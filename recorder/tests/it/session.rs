//! Sessions: what is recorded of threads, cells and the program's own words.

use mmtrace_format::{AccessKind, EventKind, ThreadId};
use mmtrace_recorder::cell::{Tracked, TrackedSlice};
use mmtrace_recorder::sync::Mutex;
use mmtrace_recorder::{Session, StartError, mark, span, thread};

use crate::recorded::{
    accesses, all_events, assert_numbers_are_complete, events, location, record, strings, threads,
};

#[test]
fn a_lock_and_an_access_are_found_where_they_were_made() {
    let line = line!() + 3;
    let log = record(|| {
        let mutex = Mutex::new(Tracked::new(1_u64));
        **mutex.lock().unwrap() += 1;
    });
    let threads = threads(&log);
    let (thread, lines) = &threads[0];
    assert_eq!(*thread, ThreadId::MAIN);
    let kinds: Vec<_> = events(lines).iter().map(|event| event.kind.name()).collect();
    assert_eq!(kinds, ["start", "mutex-lock", "mutex-unlock", "retire", "clean-end"]);
    let write = accesses(lines)[0];
    assert_eq!((write.kind, write.size), (AccessKind::Write, 8));
    for stack in [write.stack, events(lines)[1].stack] {
        let (file, found) = location(&log, stack);
        assert!(file.ends_with("session.rs"));
        assert_eq!(found, line);
    }
    // Through the harness and the thread's start, not just here.
    #[cfg(target_arch = "x86_64")]
    assert!(log.tables().frames(write.stack).count() > 8);
    assert_numbers_are_complete(&log);
}
