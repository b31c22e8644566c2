use super::*;

fn alloc(stack: u32, address: u64, size: u64, ns: u64) -> Event {
    Event {
        object: address,
        value: size,
        stack: StackId::new(stack),
        time: Timestamp::from_ns(ns),
        ..Event::new(EventKind::Alloc)
    }
}

fn free(address: u64, ns: u64) -> Event {
    Event { object: address, time: Timestamp::from_ns(ns), ..Event::new(EventKind::Free) }
}

#[test]
fn live_bytes_are_what_was_allocated_and_not_freed() {
    let mut heap = LiveHeap::new(Limits::default());
    for event in [alloc(1, 0x10, 64, 1), alloc(2, 0x80, 32, 2), free(0x10, 3)] {
        heap.event(&event);
    }
    let history = heap.finish();
    assert_eq!(history.totals.live_at_end_bytes, 32);
    assert_eq!(history.totals.live_at_end_blocks, 1);
    assert_eq!(history.peak.live_bytes, 96);
    assert_eq!(history.sites[0].stack, StackId::new(1));
    assert_eq!((history.sites[0].peak_bytes, history.sites[0].live_at_end_bytes), (64, 0));
}

#[test]
fn frees_of_nothing_and_allocations_over_live_blocks_are_counted() {
    let mut heap = LiveHeap::new(Limits::default());
    for event in [free(0x10, 1), alloc(1, 0x20, 8, 2), alloc(1, 0x20, 16, 3)] {
        heap.event(&event);
    }
    let totals = heap.finish().totals;
    assert_eq!((totals.unknown_frees, totals.missing_frees), (1, 1));
    assert_eq!(totals.live_at_end_bytes, 16);
}

#[test]
fn curves_stay_within_their_limit_and_keep_their_bytes() {
    let limits = Limits { points: 256 };
    let mut heap = LiveHeap::new(limits);
    for i in 0..20_000_u64 {
        heap.event(&alloc(u32::try_from(i % 40).unwrap() + 1, i * 64, 10, i * 40_000));
        assert!(heap.points <= limits.points);
    }
    let history = heap.finish();
    assert_eq!(history.totals.live_at_end_bytes, 200_000);
    assert!(history.sites.iter().all(|site| site.points.last().unwrap().live_bytes == 5_000));
}

#[test]
fn a_collected_heap_is_judged_by_what_the_collector_left() {
    // Every block is freed after the collection that follows it, or never.
    let heap_with = |collections: u64, leaks: bool| {
        let mut heap = LiveHeap::new(Limits::default()).with_collector(true);
        for i in 0..4_000_u64 {
            let ns = i * 100_000;
            heap.event(&alloc(1, 0x1000 + i * 64, 64, ns));
            let every = 4_000 / (collections + 1);
            if i % every == every - 1 && i / every < collections {
                let time = Timestamp::from_ns(ns);
                heap.event(&Event { time, ..Event::new(EventKind::GcEnd) });
                let first = i + 1 - every;
                for old in (first..=i).filter(|_| !leaks) {
                    heap.event(&free(0x1000 + old * 64, ns + 1));
                }
            }
        }
        heap.finish().sites.remove(0).growth
    };
    assert_eq!(heap_with(2, true), GrowthVerdict::Unclear);
    assert_eq!(heap_with(20, true), GrowthVerdict::LinearLeak);
    for collections in [0, 2, 6, 7, 20] {
        let growth = heap_with(collections, false);
        assert!(!growth.is_leak(), "{collections} collections: {growth:?}");
    }
}

#[test]
fn hostile_sizes_saturate() {
    let mut heap = LiveHeap::new(Limits::default());
    for event in [alloc(1, 1, u64::MAX, u64::MAX), alloc(1, 2, u64::MAX, 0), free(1, 5)] {
        heap.event(&event);
    }
    heap.finish();
}
