//! A program whose whole heap is recorded: every block's way from the allocator and back.

#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test would")]

#[path = "it/recorded.rs"]
#[allow(dead_code, reason = "shared with the other tests, which need more of it")]
mod recorded;

use std::collections::BTreeMap;
use std::hint::black_box;

use mmtrace_format::{Event, EventKind, ThreadId};
use mmtrace_recorder::alloc::Recorded;
use mmtrace_recorder::thread;

use recorded::{all_events, assert_numbers_are_complete, record, strings, threads};

#[global_allocator]
static HEAP: Recorded = Recorded::system();

/// Allocations and frees of one block, in the order of their numbers.
fn blocks(events: &[(ThreadId, Event)]) -> BTreeMap<u64, Vec<(ThreadId, Event)>> {
    let mut blocks = BTreeMap::<u64, Vec<_>>::new();
    for (thread, event) in events {
        if matches!(event.kind, EventKind::Alloc | EventKind::Free) {
            blocks.entry(event.object).or_default().push((*thread, *event));
        }
    }
    for events in blocks.values_mut() {
        events.sort_by_key(|(_, event)| event.sequence);
    }
    blocks
}

#[test]
fn a_block_is_recorded_with_its_size_and_stack_and_when_it_grows() {
    let mut address = 0;
    let log = record(|| {
        let mut block = Vec::<u64>::with_capacity(1000);
        address = black_box(&mut block).as_ptr().addr() as u64;
        block.reserve_exact(100_000);
        drop(black_box(block));
    });
    let events = all_events(&log);
    let blocks = blocks(&events);
    let first = &blocks[&address];
    let allocated = first.iter().position(|(_, event)| event.value == 8000).unwrap();
    let (alloc, freed) = (first[allocated].1, first[allocated + 1].1);
    assert_eq!((alloc.kind, alloc.detail), (EventKind::Alloc, 0));
    assert_eq!((freed.kind, freed.detail), (EventKind::Free, 1));
    let (_, grown) = events.iter().find(|(_, event)| event.value == 800_000).unwrap();
    assert_eq!((grown.kind, grown.detail), (EventKind::Alloc, 1));
    let end = blocks[&grown.object].iter().find(|(_, it)| it.time > grown.time).unwrap().1;
    assert_eq!((end.kind, end.detail), (EventKind::Free, 0));
    assert_eq!(threads(&log)[0].0, ThreadId::MAIN);
    for event in [alloc, freed, *grown, end] {
        assert!(log.tables().frames(event.stack).count() > 4);
    }
    assert_numbers_are_complete(&log);
}

/// A thread allocates before it says who it is, and frees after it has said that it ended: that is in
/// the log all the same, and makes no more threads of it.
#[test]
fn threads_come_and_go_and_every_block_is_accounted_for() {
    const COUNT: usize = 40;
    let log = record(|| {
        for _ in 0..COUNT {
            let worker =
                thread::spawn(|| (0..100).fold(0, |sum, n| sum + black_box(vec![n; 10]).len()));
            assert_eq!(worker.join().unwrap(), 1000);
        }
    });
    assert_numbers_are_complete(&log);
    // The test's, the workers, and the common one; other tests' threads have done nothing.
    let others = strings(&log, EventKind::Name);
    let common = others.iter().filter(|name| *name == "threads that begin or end").count();
    assert!(common <= 1);
    let of_workers = threads(&log).iter().filter(|(_, lines)| lines.len() > 200).count();
    assert!(of_workers >= COUNT, "{of_workers}");
    assert!(log.threads().len() <= COUNT + 1 + common + 2, "{} threads", log.threads().len());
    for (address, events) in blocks(&all_events(&log)) {
        // It may have been allocated before, or be freed after; in between they take turns.
        for pair in events.windows(2) {
            assert_ne!(pair[0].1.kind, pair[1].1.kind, "{address:#x}: {pair:?}");
        }
    }
}
