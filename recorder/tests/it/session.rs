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

#[test]
fn another_session_has_to_wait_for_the_end_of_the_first() {
    record(|| {
        let folder = tempfile::tempdir().unwrap();
        let second = Session::start(folder.path().join("second.log"));
        assert!(matches!(second, Err(StartError::AlreadyRecording)));
    });
}

#[test]
fn order_numbers_begin_anew_in_the_next_session() {
    let mutex = Mutex::new(());
    for _ in 0..2 {
        let log = record(|| drop(mutex.lock()));
        assert_numbers_are_complete(&log);
        let numbers = all_events(&log).into_iter().map(|(_, event)| event.sequence);
        assert_eq!(numbers.max(), Some(2));
    }
}

#[test]
fn a_thread_goes_from_one_recording_to_the_next() {
    let (first, second) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
    let mutex = Mutex::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            first.wait();
            *mutex.lock().unwrap() += 1;
            first.wait();
            second.wait();
            *mutex.lock().unwrap() += 1;
            second.wait();
        });
        for barrier in [&first, &second] {
            let log = record(|| {
                barrier.wait();
                barrier.wait();
            });
            let locks: Vec<_> = all_events(&log)
                .into_iter()
                .filter(|(_, e)| e.kind == EventKind::MutexLock)
                .collect();
            assert_eq!(locks.len(), 1);
            assert_ne!(locks[0].0, ThreadId::MAIN);
            assert_numbers_are_complete(&log);
        }
    });
}

#[test]
fn repeated_accesses_are_recorded_once_between_events() {
    let mutex = Mutex::new(());
    let log = record(|| {
        let mut cell = Tracked::new(0_u64);
        for _ in 0..3 {
            for _ in 0..100 {
                cell.set(1);
            }
            drop(mutex.lock().unwrap());
        }
    });
    let (_, lines) = &threads(&log)[0];
    assert_eq!(accesses(lines).len(), 3);
}

#[test]
fn a_range_is_one_access_of_its_length() {
    let log = record(|| {
        let mut slice = TrackedSlice::new(vec![0_u32; 1000]);
        slice.range_mut(10..20).fill(1);
        assert_eq!(slice.range(0..1000).iter().sum::<u32>(), 10);
        slice.set(5, 1);
    });
    let (_, lines) = &threads(&log)[0];
    let sizes: Vec<_> = accesses(lines).iter().map(|access| (access.kind, access.size)).collect();
    assert_eq!(
        sizes,
        [(AccessKind::RangeWrite, 40), (AccessKind::RangeRead, 4000), (AccessKind::Write, 4)]
    );
    let at: Vec<_> = accesses(lines).iter().map(|access| access.address.0).collect();
    assert_eq!((at[0] - at[1], at[2] - at[1]), (40, 20));
}

fn even(slice: &TrackedSlice<u64>, index: usize) {
    slice.get(index);
}

fn odd(slice: &TrackedSlice<u64>, index: usize) {
    slice.get(index);
}

/// Every access of a sweep over many chunks comes back, in order, with the stack of its place.
#[test]
fn a_long_run_rolls_over_and_loses_nothing() {
    const LEN: usize = 200_000;
    let log = record(|| {
        let slice = TrackedSlice::new(vec![0_u64; LEN]);
        for index in 0..LEN {
            let get = [even, odd][index % 2];
            get(&slice, index);
        }
    });
    assert!(log.chunks().len() > 5);
    let (_, lines) = &threads(&log)[0];
    let accesses = accesses(lines);
    assert_eq!(accesses.len(), LEN);
    for (index, access) in accesses.iter().enumerate() {
        assert_eq!(access.address.0, accesses[0].address.0 + 8 * index as u64);
        assert_eq!(access.stack, accesses[index % 2].stack);
    }
    assert_ne!(accesses[0].stack, accesses[1].stack);
}

#[inline(never)]
fn touch(cell: &mut Tracked<u64>) {
    cell.set(1);
}

#[inline(never)]
fn first_caller(cell: &mut Tracked<u64>) {
    touch(cell);
    std::hint::black_box(());
}

#[inline(never)]
fn second_caller(cell: &mut Tracked<u64>) {
    touch(cell);
    std::hint::black_box(());
}

/// The same hook at the same stack depth, reached in two ways: two stacks.
#[cfg(target_arch = "x86_64")]
#[test]
fn callers_are_told_apart_though_the_place_is_the_same() {
    let mutex = Mutex::new(());
    let log = record(|| {
        let mut cell = Tracked::new(0);
        for round in 0..6 {
            if round % 2 == 0 {
                first_caller(&mut cell);
            } else {
                second_caller(&mut cell);
            }
            drop(mutex.lock().unwrap());
        }
    });
    let (_, lines) = &threads(&log)[0];
    let stacks: Vec<_> = accesses(lines).iter().map(|access| access.stack).collect();
    assert_eq!(stacks.len(), 6);
    assert_ne!(stacks[0], stacks[1]);
    for (round, stack) in stacks.iter().enumerate() {
        assert_eq!(*stack, stacks[round % 2]);
    }
}

#[test]
fn names_marks_and_spans_are_in_the_log() {
    let log = record(|| {
        mark!("round {}", 1);
        let _span = span!("all of it");
        thread::Builder::new()
            .name("a-name-that-is-longer-than-the-system-keeps".to_owned())
            .spawn(|| mmtrace_recorder::name("worker"))
            .unwrap()
            .join()
            .unwrap();
    });
    assert_eq!(strings(&log, EventKind::Mark), ["round 1"]);
    assert_eq!(strings(&log, EventKind::SpanBegin), ["all of it"]);
    let names = strings(&log, EventKind::Name);
    assert_eq!(names, ["a-name-that-is-longer-than-the-system-keeps", "worker"]);
    let spans = all_events(&log);
    let id = |kind| spans.iter().find(|(_, event)| event.kind == kind).unwrap().1.extra;
    assert_eq!(id(EventKind::SpanBegin), id(EventKind::SpanEnd));
}
