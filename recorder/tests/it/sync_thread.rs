//! Threads: who starts, joins, names and wakes whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mmtrace_recorder::thread;

use crate::sync_support::{Recorded, Sleeper, record};

#[test]
fn a_thread_has_a_spawn_a_start_an_end_and_a_join() {
    let log = record(|| {
        assert_eq!(thread::spawn(|| 6 * 7).join().unwrap(), 42);
    });
    assert_eq!(log.thread(1), "t1 start parent=t0\nt1 end\n");
    let parent = log.thread(0).replace("t0 block reason=join object=b\n", "");
    let parent = parent.replace("t0 block reason=join object=a\n", "");
    assert_eq!(parent, "t0 spawn child=t1\nt0 join child=t1\n");
}

#[test]
fn a_thread_that_panics_ends_and_is_joined() {
    let log = record(|| {
        let result = thread::spawn(|| panic!("on purpose")).join();
        assert_eq!(*result.unwrap_err().downcast::<&str>().unwrap(), "on purpose");
    });
    assert_eq!(log.thread(1), "t1 start parent=t0\nt1 end\n");
    assert!(log.thread(0).ends_with("t0 join child=t1\n"));
}

#[test]
fn a_join_that_must_wait_says_so_first() {
    let log = record(|| {
        let me = Arc::new(Sleeper::default());
        let sleeper = Arc::clone(&me);
        let child = thread::spawn(move || sleeper.wait_until_asleep());
        me.is_here();
        child.join().unwrap();
    });
    let text = log.thread(0);
    let waits = text.lines().nth(1).unwrap();
    assert!(waits.starts_with("t0 block reason=join"), "{text}");
    assert!(text.ends_with("t0 join child=t1\n"), "{text}");
}

#[test]
fn a_thread_that_is_not_joined_leaves_no_join() {
    let log = record(|| {
        let done = Arc::new(AtomicUsize::new(0));
        let theirs = Arc::clone(&done);
        let handle = thread::spawn(move || theirs.store(1, Ordering::Release));
        while done.load(Ordering::Acquire) == 0 || !handle.is_finished() {
            thread::yield_now();
        }
    });
    assert_eq!(log.thread(0), "t0 spawn child=t1\n");
}

#[test]
fn a_scope_joins_the_threads_that_were_not() {
    let words = ["a", "bc"];
    let log = record(|| {
        let total = thread::scope(|s| {
            let first = s.spawn(|| words[0].len());
            s.spawn(|| assert_eq!(words[1].len(), 2));
            first.join().unwrap()
        });
        assert_eq!(total, 1);
    });
    assert_eq!(log.lines_with(0, "join child"), ["t0 join child=t1", "t0 join child=t2"]);
}

#[test]
fn a_scope_that_panics_has_joined_its_threads() {
    let log = record(|| {
        let result = std::panic::catch_unwind(|| {
            thread::scope(|s| {
                s.spawn(|| panic!("on purpose"));
            });
        });
        assert!(result.is_err());
    });
    assert!(log.thread(0).ends_with("t0 join child=t1\n"), "{}", log.text());
    assert_eq!(log.thread(1), "t1 start parent=t0\nt1 end\n");
}

#[test]
fn a_thread_of_a_scope_may_start_another_in_it() {
    let ran = AtomicUsize::new(0);
    let log = record(|| {
        thread::scope(|s| {
            s.spawn(|| {
                s.spawn(|| ran.fetch_add(1, Ordering::Relaxed));
                ran.fetch_add(1, Ordering::Relaxed);
            });
        });
    });
    assert_eq!(ran.into_inner(), 2);
    assert!(log.thread(1).contains("t1 spawn child=t2\n"));
    assert_eq!(log.lines_with(0, "join child").len(), 2);
}

#[test]
fn a_builder_names_its_thread() {
    let log = record(|| {
        let handle = thread::Builder::new()
            .name("worker".to_owned())
            .stack_size(256 * 1024)
            .spawn(|| {
                assert_eq!(thread::current().name(), Some("worker"));
                thread::current().id()
            })
            .unwrap();
        assert_eq!(handle.thread().name(), Some("worker"));
        let id = handle.thread().id();
        assert_eq!(handle.join().unwrap(), id);
    });
    assert_eq!(log.names(), ["worker"]);
}

#[test]
fn an_unpark_before_the_park_lets_it_return_at_once() {
    let log = record(|| {
        thread::current().unpark();
        thread::current().unpark();
        thread::park();
    });
    assert_eq!(
        log.text(),
        "t0 unpark token=a thread=t0\nt0 unpark token=a thread=t0\nt0 park token=a\n"
    );
}

#[test]
fn a_park_stands_behind_the_unpark_that_released_it() {
    let sleeper = Arc::new(Sleeper::default());
    let log = record(|| {
        let here = Arc::clone(&sleeper);
        let child = thread::spawn(move || {
            here.is_here();
            thread::park();
        });
        sleeper.wait_until_asleep();
        child.thread().unpark();
        child.join().unwrap();
    });
    assert_eq!(
        log.thread(1),
        "t1 start parent=t0\nt1 block reason=park object=a\nt1 park token=a\nt1 end\n"
    );
    assert!(log.thread(0).contains("t0 unpark token=a thread=t1\n"));
    let order: Vec<&str> = log.object("unpark").iter().map(Recorded::name).collect();
    assert_eq!(order, ["unpark", "park"]);
}

#[test]
fn a_park_that_times_out_orders_nothing() {
    let log = record(|| thread::park_timeout(Duration::from_millis(1)));
    assert_eq!(log.text(), "t0 block reason=park object=a\nt0 run reason=park\n");
}

#[test]
fn two_threads_that_hand_a_turn_to_and_fro_by_parking_never_miss_it() {
    const ROUNDS: usize = 300;
    let turn = Arc::new(AtomicUsize::new(0));
    let log = record(|| {
        let theirs = Arc::clone(&turn);
        let me = thread::current();
        let child = thread::spawn(move || {
            for round in 0..ROUNDS {
                while theirs.load(Ordering::Acquire) != 2 * round + 1 {
                    thread::park();
                }
                theirs.store(2 * round + 2, Ordering::Release);
                me.unpark();
            }
        });
        for round in 0..ROUNDS {
            turn.store(2 * round + 1, Ordering::Release);
            child.thread().unpark();
            while turn.load(Ordering::Acquire) != 2 * round + 2 {
                thread::park();
            }
        }
        child.join().unwrap();
    });
    // A token is taken once: never two parks in a row, nor one before the first unpark.
    let mut available = [false; 2];
    let first = log.object("unpark")[0].event.object;
    for event in log.kinds(&["unpark", "park"]) {
        let token = usize::from(event.object != first);
        match event.kind.name() {
            "unpark" => available[token] = true,
            _ => assert!(std::mem::take(&mut available[token])),
        }
    }
}

#[test]
fn a_sleep_is_a_wait() {
    let log = record(|| thread::sleep(Duration::from_micros(1)));
    assert_eq!(log.text(), "t0 block reason=sleep object=0x0\nt0 run reason=sleep\n");
}
