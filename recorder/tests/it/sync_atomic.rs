//! Atomics: the order in the log is the modification order, and repeated loads are silent.

use std::panic::catch_unwind;

use mmtrace_recorder::sync::Mutex;
use mmtrace_recorder::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence,
};
use mmtrace_recorder::thread;

use crate::sync_support::record;

#[test]
fn operations_are_recorded_with_order_value_and_size() {
    let atomic = AtomicU64::new(1);
    let log = record(|| {
        assert_eq!(atomic.load(Ordering::Acquire), 1);
        atomic.store(5, Ordering::Release);
        assert_eq!(atomic.fetch_add(2, Ordering::AcqRel), 5);
        assert_eq!(atomic.compare_exchange(7, 9, Ordering::SeqCst, Ordering::Relaxed), Ok(7));
        assert_eq!(atomic.compare_exchange(7, 1, Ordering::SeqCst, Ordering::Acquire), Err(9));
        fence(Ordering::SeqCst);
    });
    assert_eq!(
        log.text(),
        "\
t0 atomic-load order=acquire atomic=a value=1 size=8
t0 atomic-read a 8
t0 atomic-store order=release atomic=a value=5 size=8
t0 atomic-write a 8
t0 atomic-rmw order=acq-rel atomic=a value=7 size=8
t0 atomic-write a 8
t0 atomic-rmw order=seq-cst atomic=a value=9 size=8
t0 atomic-write a 8
t0 atomic-cas-failed order=acquire atomic=a value=9 size=8
t0 atomic-read a 8
t0 fence order=seq-cst
"
    );
}

#[test]
fn values_are_recorded_as_their_bits() {
    let (signed, flag, small) = (AtomicI32::new(0), AtomicBool::new(false), AtomicU8::new(250));
    let mut place = 7_u32;
    let pointer = AtomicPtr::new(std::ptr::null_mut());
    let address = std::ptr::from_mut(&mut place);
    let log = record(|| {
        signed.store(-1, Ordering::Relaxed);
        assert!(!flag.fetch_not(Ordering::Relaxed));
        assert_eq!(small.fetch_add(10, Ordering::Relaxed), 250);
        pointer.store(address, Ordering::Relaxed);
    });
    let values: Vec<u64> = log.events().map(|event| event.value).collect();
    assert_eq!(values, [0xffff_ffff, 1, 4, address as u64]);
    assert_eq!(small.into_inner(), 4);
}

#[test]
fn every_read_modify_write_records_the_value_that_it_left() {
    let atomic = AtomicI32::new(0b1100);
    let mut left = Vec::new();
    let log = record(|| {
        let mut note = |_old: i32| left.push(u64::from(atomic.as_ptr_value()));
        note(atomic.swap(0b1010, Ordering::Relaxed));
        note(atomic.fetch_add(i32::MAX, Ordering::Relaxed));
        note(atomic.fetch_sub(3, Ordering::Relaxed));
        note(atomic.fetch_and(0xff, Ordering::Relaxed));
        note(atomic.fetch_nand(0x0f, Ordering::Relaxed));
        note(atomic.fetch_or(0x70, Ordering::Relaxed));
        note(atomic.fetch_xor(0x55, Ordering::Relaxed));
        note(atomic.fetch_max(4, Ordering::Relaxed));
        note(atomic.fetch_min(-4, Ordering::Relaxed));
    });
    let values: Vec<u64> = log.events().map(|event| event.value).collect();
    assert_eq!(values, left);
}

/// Reads an atomic past the recorder.
trait Peek {
    fn as_ptr_value(&self) -> u32;
}

impl Peek for AtomicI32 {
    #[expect(unsafe_code, reason = "looks at the value without leaving an event")]
    fn as_ptr_value(&self) -> u32 {
        // SAFETY: the pointer is to `self`, which lives, and only this thread uses it.
        unsafe { *self.as_ptr() }.cast_unsigned()
    }
}

#[test]
fn a_load_that_observes_the_same_write_again_is_silent() {
    let (a, b) = (AtomicU64::new(0), AtomicU64::new(0));
    let log = record(|| {
        for _ in 0..100 {
            a.load(Ordering::Acquire);
            b.load(Ordering::Acquire);
        }
        a.store(1, Ordering::Relaxed);
        for _ in 0..100 {
            a.load(Ordering::Acquire);
        }
        a.load(Ordering::Relaxed);
    });
    assert_eq!(log.count("atomic-load"), 2 + 1 + 1, "{}", log.text());
}

#[test]
fn a_load_after_this_thread_published_something_is_told_again() {
    let (atomic, mutex) = (AtomicU64::new(0), Mutex::new(()));
    let log = record(|| {
        atomic.load(Ordering::Relaxed);
        drop(mutex.lock().unwrap());
        atomic.load(Ordering::Relaxed);
    });
    assert_eq!(log.count("atomic-load"), 2);
}

#[test]
fn a_thread_that_spins_on_a_compare_exchange_is_silent() {
    let locked = AtomicBool::new(true);
    let log = record(|| {
        for _ in 0..100 {
            let taken = locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            assert_eq!(taken, Err(true));
        }
        locked.store(false, Ordering::Release);
        let taken = locked.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        assert_eq!(taken, Ok(false));
    });
    assert_eq!(log.count("atomic-cas-failed"), 1);
    assert_eq!(log.count("atomic-rmw"), 1);
}

#[test]
fn an_impossible_order_panics_as_in_std_and_locks_nothing() {
    let atomic = AtomicU64::new(3);
    record(|| {
        assert!(catch_unwind(|| atomic.load(Ordering::Release)).is_err());
        assert!(catch_unwind(|| atomic.store(1, Ordering::Acquire)).is_err());
        let exchange = || atomic.compare_exchange(3, 4, Ordering::SeqCst, Ordering::AcqRel);
        assert!(catch_unwind(exchange).is_err());
        assert_eq!(atomic.load(Ordering::SeqCst), 3);
    });
}

#[test]
fn the_order_in_the_log_is_the_modification_order() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 500;
    let atomic = AtomicU64::new(0);
    let log = record(|| {
        thread::scope(|s| {
            for me in 1..=THREADS {
                let atomic = &atomic;
                s.spawn(move || {
                    for round in 0..ROUNDS {
                        match (round + me) % 5 {
                            0 => atomic.store(me << 32 | round << 8, Ordering::Release),
                            1 | 2 => {
                                atomic.fetch_add(1, Ordering::AcqRel);
                            }
                            3 => {
                                atomic.load(Ordering::Acquire);
                            }
                            _ => {
                                let seen = atomic.load(Ordering::Relaxed);
                                let _ = atomic.compare_exchange(
                                    seen,
                                    seen + 3,
                                    Ordering::AcqRel,
                                    Ordering::Relaxed,
                                );
                            }
                        }
                    }
                });
            }
        });
    });
    let mut value = 0;
    for event in log.object("atomic-store") {
        match event.name() {
            "atomic-store" => value = event.event.value,
            "atomic-rmw" => {
                let added = event.event.value - value;
                assert!(added == 1 || added == 3, "{added}");
                value = event.event.value;
            }
            // A load or a failed exchange observes the last write before it.
            _ => assert_eq!(event.event.value, value, "{}", event.name()),
        }
    }
    assert_eq!(value, atomic.into_inner());
}

#[test]
fn spinning_readers_see_every_message() {
    const ROUNDS: usize = 200;
    let (turn, data) = (AtomicUsize::new(0), AtomicUsize::new(0));
    record(|| {
        thread::scope(|s| {
            s.spawn(|| {
                for round in 0..ROUNDS {
                    while turn.load(Ordering::Acquire) != 2 * round + 1 {
                        std::thread::yield_now();
                    }
                    assert_eq!(data.load(Ordering::Relaxed), round);
                    turn.store(2 * round + 2, Ordering::Release);
                }
            });
            for round in 0..ROUNDS {
                data.store(round, Ordering::Relaxed);
                turn.store(2 * round + 1, Ordering::Release);
                while turn.load(Ordering::Acquire) != 2 * round + 2 {
                    std::thread::yield_now();
                }
            }
        });
    });
}
