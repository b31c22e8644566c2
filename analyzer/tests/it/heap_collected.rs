//! Growth verdicts on heaps with a garbage collector: a simulated program allocates, drops, and is
//! collected when its heap has doubled, as Go's is. What is live between two collections is mostly
//! garbage; the verdict must be on what stays.

use mmtrace_analyzer::heap::{GrowthVerdict, Limits, LiveHeap, SiteHistory};
use mmtrace_format::{Event, EventKind, StackId, Timestamp};

use crate::random::Random;

const SEEDS: u64 = 60;

/// A program with a collector, step by step.
struct Program {
    random: Random,
    events: Vec<Event>,
    next_address: u64,
    now_ns: u64,
    /// Blocks that the program can reach: address, size.
    reachable: Vec<(u64, u64)>,
    garbage: Vec<u64>,
    allocated_since: u64,
    trigger: u64,
    /// Allocations by the rest of the program between two collections.
    heap_min: u64,
    collections: u32,
    /// Whether the heap may grow as far as it was in use, as with GOGC=100.
    is_paced: bool,
}

impl Program {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let heap_min = random.range(50_000, 200_000);
        Self {
            random,
            events: Vec::new(),
            next_address: 0x1000,
            now_ns: 0,
            reachable: Vec::new(),
            garbage: Vec::new(),
            allocated_since: 0,
            trigger: heap_min,
            heap_min,
            collections: 0,
            is_paced: false,
        }
    }

    fn event(&mut self, stack: u32, kind: EventKind, address: u64, size: u64) {
        let time = Timestamp::from_ns(self.now_ns);
        let stack = StackId::new(stack);
        self.events.push(Event { object: address, value: size, stack, time, ..Event::new(kind) });
    }

    fn alloc_at(&mut self, stack: u32, size: u64) -> u64 {
        self.now_ns += self.random.range(size * 5, size * 15);
        self.next_address += 0x10_0000;
        let address = self.next_address;
        self.event(stack, EventKind::Alloc, address, size);
        self.allocated_since += size;
        address
    }

    /// A block that stays reachable until it is dropped.
    fn keep(&mut self, size: u64) -> u64 {
        let address = self.alloc_at(1, size);
        self.reachable.push((address, size));
        self.collect_if_due();
        address
    }

    fn drop_block(&mut self, address: u64) {
        let place = self.reachable.iter().position(|&(a, _)| a == address).unwrap();
        self.reachable.swap_remove(place);
        self.garbage.push(address);
    }

    fn drop_all(&mut self) {
        self.garbage.extend(self.reachable.drain(..).map(|(address, _)| address));
    }

    /// Garbage of the site, and of another one.
    fn churn(&mut self, bytes: u64) {
        let mut left = bytes;
        while left > 0 {
            let size = self.random.range(100, 4_000).min(left);
            let stack = u32::from(!self.random.percent(30)) + 1;
            let address = self.alloc_at(stack, size);
            self.garbage.push(address);
            left -= size;
            self.collect_if_due();
        }
    }

    fn collect_if_due(&mut self) {
        if self.allocated_since >= self.trigger {
            self.collect();
        }
    }

    fn collect(&mut self) {
        self.event(0, EventKind::GcStart, 0, 0);
        self.now_ns += 1_000;
        self.event(0, EventKind::GcEnd, 0, 0);
        for address in std::mem::take(&mut self.garbage) {
            self.now_ns += 10;
            self.event(0, EventKind::Free, address, 0);
        }
        self.collections += 1;
        self.allocated_since = 0;
        let live: u64 = self.reachable.iter().map(|&(_, size)| size).sum();
        self.trigger = if self.is_paced { live.max(self.heap_min) } else { self.heap_min };
    }

    /// Garbage until so many more collections are done.
    fn churn_collections(&mut self, collections: u32) {
        let until = self.collections + collections;
        while self.collections < until {
            self.churn(5_000);
        }
    }

    fn history(self) -> SiteHistory {
        let mut heap = LiveHeap::new(Limits::default()).with_collector(true);
        for event in &self.events {
            heap.event(event);
        }
        heap.lasts_until(Timestamp::from_ns(self.now_ns));
        let sites = heap.finish().sites;
        sites.into_iter().find(|site| site.stack == StackId::new(1)).unwrap()
    }
}

/// One in a hundred more at each of twenty collections.
fn slow_leak(program: &mut Program) {
    program.heap_min = 1_000_000;
    program.trigger = 1_000_000;
    for _ in 0..100 {
        program.keep(1_000);
    }
    for _ in 0..20 {
        for _ in 0..10 {
            program.keep(100);
        }
        program.churn_collections(1);
    }
    program.churn_collections(1);
}

fn leak_under_garbage(program: &mut Program) {
    let kept = program.random.range(100, 3_000);
    let garbage = program.random.range(5_000, 60_000);
    let collections = u32::try_from(program.random.range(9, 40)).unwrap();
    while program.collections < collections {
        let size = program.random.range(kept / 2, kept * 3 / 2);
        program.keep(size);
        program.churn(garbage);
    }
}

/// No garbage at all: each collection takes twice as long to come as the one before.
fn pure_leak(program: &mut Program) {
    program.is_paced = true;
    while program.collections < 9 {
        let size = program.random.range(500, 1_500);
        program.keep(size);
    }
}

/// A queue that is filled twice as fast as it is emptied.
fn growing_queue(program: &mut Program) {
    let mut queue = std::collections::VecDeque::new();
    for step in 0..2_000 {
        queue.push_back(program.keep(500));
        program.churn(1_000);
        if step % 2 == 1 {
            let oldest = queue.pop_front().unwrap();
            program.drop_block(oldest);
        }
    }
}

fn batches(program: &mut Program) {
    let stairs = program.random.range(6, 12);
    for _ in 0..stairs {
        program.churn_collections(3);
        for _ in 0..30 {
            program.keep(1_000);
        }
    }
    program.churn_collections(2);
}

/// A map that doubles whenever it is full: one block, replaced by one of twice its size.
fn doubling(program: &mut Program) {
    let mut map = program.keep(2_000);
    for power in 1..8 {
        program.churn_collections(3);
        let larger = program.keep(2_000 << power);
        program.drop_block(std::mem::replace(&mut map, larger));
    }
    program.churn_collections(2);
}

/// A slice that `append` makes a quarter longer when it is full.
fn appended_slice(program: &mut Program) {
    let (mut capacity, mut len) = (4_000, 0);
    let mut slice = program.keep(capacity);
    while program.collections < 40 {
        len += 400;
        if len > capacity {
            capacity += capacity / 4;
            let longer = program.keep(capacity);
            program.drop_block(std::mem::replace(&mut slice, longer));
        }
        program.churn(10_000);
    }
}

fn only_garbage(program: &mut Program) {
    let collections = u32::try_from(program.random.range(6, 40)).unwrap();
    program.churn_collections(collections);
}

/// What is in use at a moment: kept for a collection or two, in bursts of any size.
fn bursts(program: &mut Program) {
    let collections = u32::try_from(program.random.range(6, 30)).unwrap();
    while program.collections < collections {
        let burst = program.random.range(1, 60);
        let blocks: Vec<u64> = (0..burst).map(|_| program.keep(500)).collect();
        let work = program.random.range(1_000, 300_000);
        program.churn(work);
        for block in blocks {
            program.drop_block(block);
        }
    }
}

/// Each phase of the program has its own blocks, mostly more than the one before.
fn phases(program: &mut Program) {
    for phase in 1..=program.random.range(3, 6) {
        program.drop_all();
        let blocks = phase * program.random.range(5, 15);
        for _ in 0..blocks {
            program.keep(1_000);
        }
        let collections = u32::try_from(program.random.range(1, 4)).unwrap();
        program.churn_collections(collections);
    }
}

/// Grows, then shrinks, to the end.
fn falling(program: &mut Program) {
    let steps = program.random.range(300, 800);
    let rising = steps * program.random.range(20, 80) / 100;
    let kept_percent = program.random.range(0, 60);
    let mut blocks = Vec::new();
    for _ in 0..rising {
        blocks.push(program.keep(1_000));
        program.churn(4_000);
    }
    let falling = steps - rising;
    let to_drop = rising * (100 - kept_percent) / 100;
    for step in 0..falling {
        while (blocks.len() as u64) + to_drop * (step + 1) / falling > rising {
            let any = program.random.range(0, blocks.len() as u64 - 1);
            let block = blocks.swap_remove(usize::try_from(any).unwrap());
            program.drop_block(block);
        }
        program.churn(4_000);
    }
}

fn map_of_keys(program: &mut Program) {
    let steps = program.random.range(1_000, 2_000);
    let keys = steps / program.random.range(5, 12);
    let mut map: Vec<Option<u64>> = vec![None; usize::try_from(keys).unwrap()];
    for _ in 0..steps {
        let key = usize::try_from(program.random.range(0, keys - 1)).unwrap();
        let block = program.keep(500);
        if let Some(old) = map[key].replace(block) {
            program.drop_block(old);
        }
        program.churn(1_500);
    }
}

fn least_recently_used(program: &mut Program) {
    let steps = program.random.range(1_000, 2_000);
    let capacity = steps * program.random.range(15, 35) / 100;
    let mut cache = std::collections::VecDeque::new();
    for _ in 0..steps {
        cache.push_back(program.keep(500));
        if cache.len() as u64 > capacity {
            let oldest = cache.pop_front().unwrap();
            program.drop_block(oldest);
        }
        program.churn(1_500);
    }
}

/// Built in the first part of the run, used in the rest; with GOGC's pace.
fn filled_once(program: &mut Program) {
    program.is_paced = program.random.percent(50);
    let steps = program.random.range(1_000, 2_000);
    let until = steps * program.random.range(12, 40) / 100;
    for step in 0..steps {
        if step < until {
            program.keep(500);
        }
        program.churn(1_500);
    }
}

/// Built, and then nothing is allocated any more, and so nothing collected.
fn filled_and_idle(program: &mut Program) {
    program.is_paced = true;
    while program.collections < 8 {
        program.keep(1_000);
    }
    program.now_ns *= program.random.range(2, 9);
}

fn steady(program: &mut Program) {
    let level = program.random.range(20, 100);
    let mut pool: Vec<u64> = (0..level).map(|_| program.keep(500)).collect();
    for _ in 0..1_000 {
        let any = usize::try_from(program.random.range(0, level - 1)).unwrap();
        let block = program.keep(500);
        let old = std::mem::replace(&mut pool[any], block);
        program.drop_block(old);
        program.churn(1_500);
    }
}

type Pattern = (&'static str, fn(&mut Program));

fn judged(pattern: fn(&mut Program), seed: u64) -> (SiteHistory, u32) {
    let mut program = Program::new(seed);
    pattern(&mut program);
    let collections = program.collections;
    (program.history(), collections)
}

#[test]
fn what_leaks_is_found_whatever_garbage_it_makes() {
    let leaks: [Pattern; 7] = [
        ("slow leak", slow_leak),
        ("leak under garbage", leak_under_garbage),
        ("pure leak", pure_leak),
        ("growing queue", growing_queue),
        ("batches", batches),
        ("doubling", doubling),
        ("appended slice", appended_slice),
    ];
    let mut failed = Vec::new();
    for (name, pattern) in leaks {
        let sites = (0..SEEDS).map(|seed| (seed, judged(pattern, seed)));
        let missed: Vec<_> = sites
            .filter(|(_, (site, _))| !site.growth.is_leak() || site.confidence < 0.5)
            .map(|(seed, (site, collections))| {
                let (growth, sure, why) = (site.growth, site.confidence, site.why);
                format!("\n  seed {seed}, {collections} collections: {growth:?} ({sure:.2}) {why}")
            })
            .collect();
        if missed.len() as u64 * 100 > SEEDS * 5 {
            let some = missed.iter().take(5).cloned().collect::<String>();
            failed.push(format!("{name}: {} of {SEEDS} missed{some}", missed.len()));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn what_does_not_stay_is_never_called_a_leak() {
    let others: [Pattern; 9] = [
        ("only garbage", only_garbage),
        ("bursts", bursts),
        ("phases", phases),
        ("falling", falling),
        ("map of keys", map_of_keys),
        ("least recently used", least_recently_used),
        ("filled once", filled_once),
        ("filled and idle", filled_and_idle),
        ("steady", steady),
    ];
    let mut wrong = Vec::new();
    for (name, pattern) in others {
        for seed in 1_000..1_000 + 4 * SEEDS {
            let (site, collections) = judged(pattern, seed);
            if site.growth.is_leak() {
                let why = site.why;
                wrong.push(format!("{name}, seed {seed}, {collections} collections: {why}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn few_collections_are_no_evidence() {
    for collections in 0..=5 {
        for seed in 0..SEEDS {
            let mut program = Program::new(seed);
            while program.collections < collections {
                program.keep(1_000);
                program.churn(3_000);
            }
            for _ in 0..20 {
                program.keep(1_000);
                program.churn(100);
            }
            let site = program.history();
            let is_told = matches!(site.growth, GrowthVerdict::Unclear | GrowthVerdict::OneOff);
            assert!(is_told, "seed {seed}, {collections} collections: {site:?}");
            assert!(site.growth == GrowthVerdict::OneOff || site.confidence == 0.0);
        }
    }
}

#[test]
fn garbage_is_told_as_what_collections_free() {
    let (site, _) = judged(only_garbage, 3);
    assert_eq!(site.growth, GrowthVerdict::Sawtooth, "{site:?}");
    assert!(site.why.contains("between collections, which leave"), "{site:?}");
}
