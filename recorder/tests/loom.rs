//! Every interleaving of a thread that writes and those who read what it wrote: publishing, sealing,
//! roll-over, and the end of a recording in the middle of everything.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p mmtrace-recorder --test loom`, without features.
//!
//! The modules under test are the recorder's own, compiled here with loom's atomics; around them
//! stand a file (the slots) and a sealer as simple as they can be.

#![cfg(loom)]
#![allow(dead_code, reason = "the modules have more than these models need")]

#[path = "../src/primitive.rs"]
mod primitive;

#[path = "../src/cursor.rs"]
mod cursor;

#[path = "../src/stripe/word.rs"]
mod stripe;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use cursor::Cursor;
use stripe::Stripe;

/// Words of a slot: room for one record of two words and one of one.
const SLOT_WORDS: usize = 3;

/// A slot of the file.
struct Slot {
    words: Vec<AtomicU64>,
    published: AtomicU64,
}

impl Slot {
    fn new() -> Arc<Self> {
        let words = (0..SLOT_WORDS).map(|_| AtomicU64::new(0)).collect();
        Arc::new(Self { words, published: AtomicU64::new(0) })
    }

    /// What a reader finds: the sealer, the end of the recording, or whoever opens the file of a
    /// killed program, at any moment.
    fn read(&self) -> Vec<u64> {
        let len = self.published.load(Ordering::Acquire) as usize;
        self.words[..len].iter().map(|word| word.load(Ordering::Relaxed)).collect()
    }
}

/// Records are whole: each `n` of one word, or `n, !n` of two, counted from 1.
fn records(words: &[u64]) -> Vec<u64> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let record = words[at];
        assert_ne!(record, 0, "a word that was published before it was stored");
        if is_long(record) {
            assert_eq!(words.get(at + 1), Some(&!record), "half a record was published");
            at += 1;
        }
        at += 1;
        records.push(record);
    }
    records
}

fn is_long(record: u64) -> bool {
    record % 2 == 1
}

fn push(cursor: &mut Cursor<'_>, record: u64) -> bool {
    if is_long(record) {
        // One word more than counts, as an event's record has.
        cursor.push_some([record, !record, 0], 2) || cursor.push_all(&[record, !record])
    } else {
        cursor.push(record)
    }
}

#[test]
fn a_reader_at_any_moment_finds_whole_records_in_order() {
    loom::model(|| {
        let slot = Slot::new();
        let writer = thread::spawn({
            let slot = Arc::clone(&slot);
            move || {
                let mut cursor = Cursor::new(&slot.words, &slot.published);
                for record in 1..=2 {
                    assert!(push(&mut cursor, record));
                }
            }
        });
        let early = records(&slot.read());
        let late = records(&slot.read());
        assert!(late.starts_with(&early) && [1, 2].starts_with(&late));
        writer.join().unwrap();
        assert_eq!(records(&slot.read()), [1, 2]);
    });
}

/// Full slots on their way to the sealer, and whether there will be more.
#[derive(Default)]
struct Queue {
    slots: Vec<Arc<Slot>>,
    is_finished: bool,
}

#[test]
fn a_roll_over_hands_every_record_to_the_sealer_once() {
    loom::model(|| {
        let queue = Arc::new((Mutex::new(Queue::default()), Condvar::new()));
        let sealer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let mut sealed = Vec::new();
                let (lock, changed) = &*queue;
                let mut queue = lock.lock().unwrap();
                loop {
                    if !queue.slots.is_empty() {
                        let slot = queue.slots.remove(0);
                        drop(queue);
                        sealed.extend(records(&slot.read()));
                        queue = lock.lock().unwrap();
                    } else if queue.is_finished {
                        return sealed;
                    } else {
                        queue = changed.wait(queue).unwrap();
                    }
                }
            }
        });
        let (lock, changed) = &*queue;
        let give = |slot: Arc<Slot>| {
            lock.lock().unwrap().slots.push(slot);
            changed.notify_one();
        };
        let mut slot = Slot::new();
        for record in 1..=3 {
            let mut cursor = Cursor::new(&slot.words, &slot.published);
            if !push(&mut cursor, record) {
                let next = Slot::new();
                assert!(push(&mut Cursor::new(&next.words, &next.published), record));
                give(std::mem::replace(&mut slot, next));
            }
        }
        give(slot);
        lock.lock().unwrap().is_finished = true;
        changed.notify_one();
        assert_eq!(sealer.join().unwrap(), [1, 2, 3]);
    });
}

/// The recording ends while a thread writes: what it wrote before it could know is there whole, and
/// what happened before the end (here: before a flag) is not missing.
#[test]
fn an_end_finds_all_that_happened_before_it() {
    loom::model(|| {
        let slot = Slot::new();
        let happened = Arc::new(AtomicU64::new(0));
        let writer = thread::spawn({
            let (slot, happened) = (Arc::clone(&slot), Arc::clone(&happened));
            move || {
                let mut cursor = Cursor::new(&slot.words, &slot.published);
                assert!(push(&mut cursor, 1));
                // The program's own synchronisation with whoever ends it.
                happened.store(1, Ordering::Release);
                push(&mut cursor, 2);
            }
        });
        let happened = happened.load(Ordering::Acquire);
        let found = records(&slot.read());
        assert!(found.len() as u64 >= happened && [1, 2].starts_with(&found));
        writer.join().unwrap();
    });
}

/// Numbers are those of the order in which the operations took effect, whichever way they were taken.
#[test]
fn numbers_agree_with_the_order_of_operations() {
    loom::model(|| {
        let stripe = Arc::new(Stripe::new());
        let atomic = Arc::new(AtomicU64::new(0));
        let operation = |stripe: &Stripe, atomic: &AtomicU64| {
            let guard = stripe.lock();
            let before = atomic.fetch_add(1, Ordering::Relaxed);
            (before, guard.number())
        };
        let other = thread::spawn({
            let (stripe, atomic) = (Arc::clone(&stripe), Arc::clone(&atomic));
            move || operation(&stripe, &atomic)
        });
        let between = stripe.next();
        let mine = operation(&stripe, &atomic);
        let others = other.join().unwrap();
        assert_eq!(mine.0 < others.0, mine.1 < others.1);
        assert!(between < mine.1);
        let mut numbers = [between, mine.1, others.1];
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3]);
    });
}
