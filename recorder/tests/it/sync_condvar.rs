//! Condition variables: every wake names its notify.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mmtrace_recorder::sync::{Condvar, Mutex};
use mmtrace_recorder::thread;

use crate::sync_support::{Sleeper, alone, record};

#[test]
fn a_wake_names_the_notify_that_released_it() {
    let (flag, changed) = (Mutex::new(false), Condvar::new());
    let sleeper = Sleeper::default();
    let log = record(|| {
        thread::scope(|s| {
            s.spawn(|| {
                let mut set = flag.lock().unwrap();
                sleeper.is_here();
                while !*set {
                    set = changed.wait(set).unwrap();
                }
            });
            sleeper.wait_until_asleep();
            *flag.lock().unwrap() = true;
            changed.notify_one();
        });
    });
    assert_eq!(
        log.thread(1),
        "\
t1 start parent=t0
t1 mutex-lock try=0 mutex=a
t1 mutex-unlock mutex=a
t1 block reason=condition object=b
t1 cond-wake cond=b by=cond-notify
t1 mutex-lock try=0 mutex=a
t1 mutex-unlock mutex=a
t1 end
"
    );
    assert!(log.thread(0).contains("t0 cond-notify all=0 cond=b woken=1\n"), "{}", log.text());
}

#[test]
fn a_notify_without_a_waiter_wakes_nobody() {
    let changed = Condvar::new();
    let log = record(|| {
        changed.notify_one();
        changed.notify_all();
    });
    assert_eq!(
        log.text(),
        "t0 cond-notify all=0 cond=a woken=0\nt0 cond-notify all=1 cond=a woken=0\n"
    );
}

#[test]
fn a_wait_that_times_out_has_no_notify() {
    let (mutex, changed) = (Mutex::new(()), Condvar::new());
    let log = record(|| {
        let guard = mutex.lock().unwrap();
        let (_guard, result) = changed.wait_timeout(guard, Duration::from_millis(1)).unwrap();
        assert!(result.timed_out());
    });
    assert_eq!(
        log.text(),
        "\
t0 mutex-lock try=0 mutex=a
t0 mutex-unlock mutex=a
t0 block reason=condition object=b
t0 cond-wake cond=b by=0
t0 mutex-lock try=0 mutex=a
t0 mutex-unlock mutex=a
"
    );
    let log = record(|| changed.notify_one());
    assert_eq!(log.text(), "t0 cond-notify all=0 cond=a woken=0\n", "it has left the queue");
}

#[test]
fn each_notify_is_named_by_as_many_wakes_as_it_says() {
    const CONSUMERS: usize = 4;
    const ITEMS: usize = 400;
    let (items, changed) = (Mutex::new(Vec::new()), Condvar::new());
    let log = record(|| {
        thread::scope(|s| {
            let consumers: Vec<_> = (0..CONSUMERS)
                .map(|_| {
                    s.spawn(|| {
                        let mut sum = 0;
                        loop {
                            let mut queue = changed
                                .wait_while(items.lock().unwrap(), |queue| queue.is_empty())
                                .unwrap();
                            match queue.pop() {
                                Some(0) => return sum,
                                Some(item) => sum += item,
                                None => unreachable!("the wait was for it"),
                            }
                        }
                    })
                })
                .collect();
            for item in 1..=ITEMS {
                items.lock().unwrap().push(item);
                changed.notify_one();
            }
            // The last to be popped: the queue is a stack.
            items.lock().unwrap().splice(0..0, [0; CONSUMERS]);
            changed.notify_all();
            let sum: usize = consumers.into_iter().map(|c| c.join().unwrap()).sum();
            assert_eq!(sum, ITEMS * (ITEMS + 1) / 2);
        });
    });
    let mut owed = BTreeMap::new();
    for event in log.object("cond-notify") {
        match event.name() {
            "cond-notify" => {
                owed.insert(event.event.sequence, event.event.value);
            }
            "cond-wake" => {
                let left = owed.get_mut(&event.event.value).expect("a notify before it");
                *left = left.checked_sub(1).expect("not more wakes than it said");
            }
            other => panic!("{other}"),
        }
    }
    assert!(owed.values().all(|&left| left == 0), "{owed:?}");
}

#[test]
fn a_waiter_from_before_the_recording_is_woken_in_it() {
    alone("sync_condvar::a_waiter_from_before_the_recording_is_woken_in_it", || {
        let (waiter, pair) = waiting();
        record(|| {
            *pair.0.lock().unwrap() = true;
            pair.1.notify_one();
            waiter.join().unwrap();
        });
    });
}

#[test]
fn a_waiter_from_the_recording_is_woken_after_it() {
    alone("sync_condvar::a_waiter_from_the_recording_is_woken_after_it", || {
        let mut waiting_still = None;
        record(|| waiting_still = Some(waiting()));
        let (waiter, pair) = waiting_still.unwrap();
        *pair.0.lock().unwrap() = true;
        pair.1.notify_one();
        waiter.join().unwrap();
    });
}

/// A thread that waits for the condition to be true.
fn waiting() -> (JoinHandle<()>, Arc<(Mutex<bool>, Condvar)>) {
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let sleeper = Arc::new(Sleeper::default());
    let (theirs, here) = (Arc::clone(&pair), Arc::clone(&sleeper));
    let waiter = std::thread::spawn(move || {
        let set = theirs.0.lock().unwrap();
        here.is_here();
        drop(theirs.1.wait_while(set, |set| !*set).unwrap());
    });
    sleeper.wait_until_asleep();
    (waiter, pair)
}
