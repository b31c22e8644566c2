//! Once, `OnceLock`, `LazyLock` and Barrier.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mmtrace_recorder::sync::{Barrier, LazyLock, Once, OnceLock};
use mmtrace_recorder::thread;

use crate::sync_support::{Sleeper, record};

#[test]
fn the_initialiser_is_done_before_it_waits_and_is_not_told_twice() {
    let once = Once::new();
    let log = record(|| {
        once.call_once(|| ());
        for _ in 0..5 {
            once.call_once(|| unreachable!());
            assert!(once.is_completed());
        }
    });
    // The initialiser's own return, and the first of the others: what repeats is silent.
    assert_eq!(log.text(), "t0 once-done once=a\nt0 once-wait once=a\nt0 once-wait once=a\n");
}

#[test]
fn a_second_caller_says_that_it_waits_and_stands_behind_the_first() {
    let once = Once::new();
    let sleeper = Sleeper::default();
    let log = record(|| {
        thread::scope(|s| {
            once.call_once(|| {
                s.spawn(|| {
                    sleeper.is_here();
                    once.call_once(|| unreachable!());
                });
                sleeper.wait_until_asleep();
            });
        });
    });
    assert_eq!(
        log.thread(1),
        "t1 start parent=t0\nt1 block reason=once object=a\nt1 once-wait once=a\nt1 end\n"
    );
    assert_eq!(log.object("once-done")[0].name(), "once-done");
}

#[test]
fn a_panic_poisons_a_once_and_has_not_done_it() {
    let once = Once::new();
    let log = record(|| {
        let panicked = catch_unwind(AssertUnwindSafe(|| once.call_once(|| panic!("on purpose"))));
        assert!(panicked.is_err());
        let poisoned = catch_unwind(AssertUnwindSafe(|| once.call_once(|| ())));
        assert!(poisoned.is_err());
        once.call_once_force(|state| assert!(state.is_poisoned()));
    });
    assert_eq!(log.text(), "t0 once-done once=a\nt0 once-wait once=a\n");
}

#[test]
fn a_panic_leaves_a_once_lock_empty() {
    let cell = OnceLock::new();
    let log = record(|| {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            cell.get_or_init(|| panic!("on purpose"));
        }));
        assert!(panicked.is_err());
        assert_eq!(cell.get(), None);
        assert_eq!(*cell.get_or_init(|| 5), 5);
        assert_eq!(cell.set(6), Err(6));
    });
    assert_eq!(log.text(), "t0 once-done once=a\nt0 once-wait once=a\nt0 once-wait once=a\n");
    assert_eq!(cell.into_inner(), Some(5));
}

#[test]
fn threads_that_race_to_initialise_agree_on_one_value() {
    const THREADS: usize = 6;
    let cells: Vec<OnceLock<usize>> = (0..50).map(|_| OnceLock::new()).collect();
    let log = record(|| {
        thread::scope(|s| {
            let handles: Vec<_> = (0..THREADS)
                .map(|me| {
                    let cells = &cells;
                    s.spawn(move || cells.iter().map(|cell| *cell.get_or_init(|| me)).sum())
                })
                .collect();
            let sums: Vec<usize> = handles.into_iter().map(|h| h.join().unwrap()).collect();
            assert!(sums.iter().all(|sum| *sum == sums[0]), "{sums:?}");
        });
    });
    let all = log.count("once-done");
    assert_eq!(all, cells.len());
    assert_eq!(log.count("once-wait"), THREADS * cells.len());
}

#[test]
fn a_lazy_value_is_made_by_its_first_use_and_hot_uses_are_silent() {
    static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| vec!["a".to_owned()]);
    let log = record(|| {
        assert_eq!(WORDS.len(), 1);
        for _ in 0..1000 {
            assert_eq!(WORDS[0], "a");
        }
    });
    assert_eq!(log.text(), "t0 once-done once=a\nt0 once-wait once=a\nt0 once-wait once=a\n");
}

#[test]
fn a_lazy_value_whose_maker_panicked_is_poisoned() {
    record(|| {
        let value: LazyLock<u32, _> = LazyLock::new(|| panic!("on purpose"));
        for _ in 0..2 {
            assert!(catch_unwind(AssertUnwindSafe(|| *value)).is_err());
        }
    });
}

#[test]
fn every_arrival_of_a_generation_stands_before_every_leave_of_it() {
    const THREADS: usize = 4;
    const ROUNDS: u64 = 50;
    let barrier = Barrier::new(THREADS);
    let mut leaders = 0;
    let log = record(|| {
        thread::scope(|s| {
            let handles: Vec<_> = (0..THREADS)
                .map(|_| s.spawn(|| (0..ROUNDS).filter(|_| barrier.wait().is_leader()).count()))
                .collect();
            leaders = handles.into_iter().map(|h| h.join().unwrap()).sum();
        });
    });
    assert_eq!(leaders as u64, ROUNDS);
    let mut arrived = vec![0; 50];
    let events = log.object("barrier-arrive");
    assert_eq!(events.len(), 2 * THREADS * 50);
    for event in events {
        let generation = usize::try_from(event.event.value).unwrap();
        match event.name() {
            "barrier-arrive" => arrived[generation] += 1,
            _ => assert_eq!(arrived[generation], THREADS),
        }
    }
}
