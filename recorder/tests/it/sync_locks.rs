//! Mutexes and read-write locks: what they leave in the log, and that they lock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;

use mmtrace_recorder::sync::{Mutex, RwLock, TryLockError};
use mmtrace_recorder::thread;

use crate::sync_support::{Sleeper, alone, record};

#[test]
fn a_lock_is_recorded_with_its_unlock() {
    let mutex = Mutex::new(1);
    let log = record(|| {
        *mutex.lock().unwrap() += 1;
        drop(mutex.try_lock().unwrap());
    });
    assert_eq!(
        log.text(),
        "\
t0 mutex-lock try=0 mutex=a
t0 mutex-unlock mutex=a
t0 mutex-lock try=1 mutex=a
t0 mutex-unlock mutex=a
"
    );
    assert_eq!(mutex.into_inner().unwrap(), 2);
}

#[test]
fn a_failed_try_lock_is_not_a_lock() {
    let mutex = Mutex::new(());
    let log = record(|| {
        let _held = mutex.lock().unwrap();
        assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    });
    assert_eq!(
        log.text(),
        "\
t0 mutex-lock try=0 mutex=a
t0 mutex-try-failed mutex=a
t0 mutex-unlock mutex=a
"
    );
}

#[test]
fn a_lock_that_must_wait_says_so_first() {
    let mutex = Mutex::new(());
    let sleeper = Sleeper::default();
    let log = record(|| {
        let held = mutex.lock().unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                sleeper.is_here();
                drop(mutex.lock().unwrap());
            });
            sleeper.wait_until_asleep();
            drop(held);
        });
    });
    assert_eq!(
        log.thread(1),
        "\
t1 start parent=t0
t1 block reason=mutex object=a
t1 mutex-lock try=0 mutex=a
t1 mutex-unlock mutex=a
t1 end
"
    );
}

#[test]
fn a_panic_unlocks_and_poisons() {
    let mutex = Arc::new(Mutex::new(0));
    let log = record(|| {
        let theirs = Arc::clone(&mutex);
        let result = thread::spawn(move || {
            let _held = theirs.lock().unwrap();
            panic!("on purpose");
        })
        .join();
        assert!(result.is_err());
    });
    assert_eq!(
        log.thread(1),
        "\
t1 start parent=t0
t1 mutex-lock try=0 mutex=a
t1 mutex-unlock mutex=a
t1 end
"
    );
    record(|| {
        assert!(mutex.is_poisoned());
        assert_eq!(*mutex.lock().unwrap_err().into_inner(), 0);
        mutex.clear_poison();
        assert!(mutex.lock().is_ok());
    });
}

#[test]
fn locks_and_unlocks_of_a_mutex_alternate_in_its_order() {
    const THREADS: usize = 6;
    const ROUNDS: usize = 300;
    let mutex = Mutex::new(0);
    let log = record(|| {
        thread::scope(|s| {
            for _ in 0..THREADS {
                s.spawn(|| {
                    for _ in 0..ROUNDS {
                        *mutex.lock().unwrap() += 1;
                    }
                });
            }
        });
    });
    assert_eq!(mutex.into_inner().unwrap(), THREADS * ROUNDS);
    let events = log.object("mutex-lock");
    assert_eq!(events.len(), 2 * THREADS * ROUNDS);
    for pair in events.chunks(2) {
        assert_eq!(pair[0].name(), "mutex-lock");
        assert_eq!(pair[1].name(), "mutex-unlock");
        assert_eq!(pair[0].thread, pair[1].thread);
    }
}

#[test]
fn readers_and_writers_are_told_apart() {
    let lock = RwLock::new(0);
    let log = record(|| {
        let first = lock.read().unwrap();
        let second = lock.try_read().unwrap();
        assert!(lock.try_write().is_err());
        drop(first);
        drop(second);
        let mut writer = lock.write().unwrap();
        *writer += 1;
        assert!(lock.try_read().is_err());
        drop(writer);
        drop(lock.try_write().unwrap());
    });
    assert_eq!(
        log.text(),
        "\
t0 read-lock try=0 rwlock=a
t0 read-lock try=1 rwlock=a
t0 rw-try-failed write=1 rwlock=a
t0 read-unlock rwlock=a
t0 read-unlock rwlock=a
t0 write-lock try=0 rwlock=a
t0 rw-try-failed write=0 rwlock=a
t0 write-unlock rwlock=a
t0 write-lock try=1 rwlock=a
t0 write-unlock rwlock=a
"
    );
}

#[test]
fn a_reader_and_a_writer_that_must_wait_say_so_first() {
    let lock = RwLock::new(());
    let (reader, writer) = (Sleeper::default(), Sleeper::default());
    let log = record(|| {
        let held = lock.write().unwrap();
        thread::scope(|s| {
            s.spawn(|| {
                reader.is_here();
                drop(lock.read().unwrap());
            });
            reader.wait_until_asleep();
            s.spawn(|| {
                writer.is_here();
                drop(lock.write().unwrap());
            });
            writer.wait_until_asleep();
            drop(held);
        });
    });
    assert!(log.thread(1).contains("t1 block reason=read-lock object=a\nt1 read-lock try=0"));
    assert!(log.thread(2).contains("t2 block reason=write-lock object=a\nt2 write-lock try=0"));
}

#[test]
fn nobody_is_inside_with_a_writer_in_the_order_of_the_lock() {
    let lock = RwLock::new(0_u64);
    let stop = AtomicBool::new(false);
    let log = record(|| {
        thread::scope(|s| {
            let writers: Vec<_> = (0..2)
                .map(|_| {
                    s.spawn(|| {
                        for _ in 0..200 {
                            *lock.write().unwrap() += 1;
                        }
                    })
                })
                .collect();
            for _ in 0..3 {
                s.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        std::hint::black_box(*lock.read().unwrap());
                    }
                });
            }
            for writer in writers {
                writer.join().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
    assert_eq!(lock.into_inner().unwrap(), 400);
    let (mut readers, mut writers) = (0, 0);
    for event in log.object("write-lock") {
        match event.name() {
            "read-lock" => readers += 1,
            "read-unlock" => readers -= 1,
            "write-lock" => {
                assert_eq!((readers, writers), (0, 0));
                writers += 1;
            }
            "write-unlock" => writers -= 1,
            other => panic!("{other}"),
        }
        assert!(writers == 0 || readers == 0);
    }
    assert_eq!((readers, writers), (0, 0));
}

#[test]
fn a_mutex_that_is_locked_before_the_recording_is_unlocked_in_it() {
    static MUTEX: Mutex<u32> = Mutex::new(0);
    alone("sync_locks::a_mutex_that_is_locked_before_the_recording_is_unlocked_in_it", || {
        let before = MUTEX.lock().unwrap();
        let log = record(|| drop(before));
        assert_eq!(log.text(), "t0 mutex-unlock mutex=a\n");
        scope(|s| {
            s.spawn(|| drop(MUTEX.lock().unwrap()));
        });
    });
}
