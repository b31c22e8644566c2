//! Growth verdicts on generated heaps: the right one nearly always, a leak never where there is a
//! cache.
//!
//! Each pattern is drawn with random sizes, rates, durations and jitter, and with a churn of
//! short-lived blocks at the same site that has nothing to do with the pattern.

use std::collections::VecDeque;

use mmtrace_analyzer::heap::{GrowthVerdict, Limits, LiveHeap, SiteHistory};
use mmtrace_format::{Event, EventKind, StackId, Timestamp};

use crate::random::Random;

const SEEDS: u64 = 60;

/// The heap of a program that runs one pattern at one site, moment by moment.
struct Program {
    random: Random,
    events: Vec<Event>,
    next_address: u64,
    now_ns: u64,
    step_ns: u64,
    steps: u64,
    mean_size: u64,
    churn: VecDeque<u64>,
    /// Whether the rest of the program allocates, too.
    is_busy: bool,
}

impl Program {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let step_ns = random.range(20_000, 50_000_000);
        let steps = random.range(400, 4_000);
        let mean_size = random.range(16, 1 << 20);
        let churn = VecDeque::new();
        Self {
            random,
            events: Vec::new(),
            next_address: 0x1000,
            now_ns: 0,
            step_ns,
            steps,
            mean_size,
            churn,
            is_busy: false,
        }
    }

    fn event(&mut self, kind: EventKind, address: u64, size: u64) {
        self.event_at(StackId::new(1), kind, address, size);
    }

    fn event_at(&mut self, stack: StackId, kind: EventKind, address: u64, size: u64) {
        let time = Timestamp::from_ns(self.now_ns);
        self.events.push(Event { object: address, value: size, stack, time, ..Event::new(kind) });
    }

    fn alloc(&mut self) -> u64 {
        let size = self.random.range(self.mean_size / 2, self.mean_size * 3 / 2);
        self.next_address += 0x10_0000;
        self.event(EventKind::Alloc, self.next_address, size);
        self.next_address
    }

    fn free(&mut self, address: u64) {
        self.event(EventKind::Free, address, 0);
    }

    fn free_all(&mut self, blocks: &mut Vec<u64>) {
        for block in blocks.drain(..) {
            self.free(block);
        }
    }

    /// A step of time with jitter, and now and then a block that soon goes again.
    fn tick(&mut self) {
        self.now_ns += self.random.range(self.step_ns / 2, self.step_ns * 3 / 2);
        if self.is_busy {
            for _ in 0..3 {
                self.event_at(StackId::new(2), EventKind::Alloc, 8, 1);
                self.event_at(StackId::new(2), EventKind::Free, 8, 0);
            }
        }
        if self.random.percent(10) {
            let block = self.alloc();
            self.churn.push_back(block);
        }
        if self.churn.len() > 3 || (self.random.percent(10) && !self.churn.is_empty()) {
            let block = self.churn.pop_front().unwrap();
            self.free(block);
        }
    }

    fn history(self) -> SiteHistory {
        let mut heap = LiveHeap::new(Limits::default());
        for event in &self.events {
            heap.event(event);
        }
        heap.lasts_until(Timestamp::from_ns(self.now_ns));
        heap.finish().sites.remove(0)
    }
}

fn leak(program: &mut Program) -> Vec<u64> {
    let kept_percent = program.random.range(15, 100);
    let mut blocks = Vec::new();
    for _ in 0..program.steps {
        program.tick();
        let block = program.alloc();
        if program.random.percent(kept_percent) {
            blocks.push(block);
        } else {
            program.free(block);
        }
    }
    blocks
}

fn linear_leak(program: &mut Program) {
    leak(program);
}

/// Each request leaves a little of what it allocated behind.
fn leak_under_a_sawtooth(program: &mut Program) {
    let period = program.steps / program.random.range(8, 20);
    let mut tooth = Vec::new();
    for step in 0..program.steps {
        program.tick();
        tooth.push(program.alloc());
        if step % period == period - 1 {
            tooth.truncate(tooth.len() * 2 / 3);
            program.free_all(&mut tooth);
        }
    }
}

fn staircase(program: &mut Program) {
    let stairs = program.random.range(5, 12);
    let tread = program.steps / stairs;
    let batch = program.random.range(20, 80);
    let mut next = tread / 2;
    for step in 0..program.steps {
        program.tick();
        if step >= next {
            for _ in 0..batch {
                program.alloc();
            }
            next += program.random.range(tread * 8 / 10, tread * 12 / 10);
        }
    }
}

/// Random keys into a map that is never cleared: exponential saturation.
fn map_of_keys(program: &mut Program) -> Vec<u64> {
    let keys = program.steps / program.random.range(4, 12);
    let mut map: Vec<Option<u64>> = vec![None; usize::try_from(keys).unwrap()];
    for _ in 0..program.steps {
        program.tick();
        let key = usize::try_from(program.random.range(0, keys - 1)).unwrap();
        let block = program.alloc();
        if let Some(old) = map[key].replace(block) {
            program.free(old);
        }
    }
    map.into_iter().flatten().collect()
}

fn saturating_map(program: &mut Program) {
    map_of_keys(program);
}

/// Fills up, then each insertion evicts the oldest.
fn least_recently_used(program: &mut Program) {
    let capacity = program.steps * program.random.range(15, 40) / 100;
    let mut cache = VecDeque::new();
    for _ in 0..program.steps {
        program.tick();
        let block = program.alloc();
        cache.push_back(block);
        if cache.len() as u64 > capacity {
            let oldest = cache.pop_front().unwrap();
            program.free(oldest);
        }
    }
}

/// Fills up once and for all; afterwards only the churn goes on.
fn filled_once(program: &mut Program) {
    let until = program.steps * program.random.range(12, 33) / 100;
    for step in 0..program.steps {
        program.tick();
        if step < until {
            program.alloc();
        }
    }
}

fn sawtooth(program: &mut Program) {
    let teeth = program.random.range(3, 15);
    let period = program.steps / teeth;
    let phase = program.random.range(0, period);
    let mut blocks = Vec::new();
    for step in 0..program.steps {
        program.tick();
        blocks.push(program.alloc());
        if (step + phase).is_multiple_of(period) {
            program.free_all(&mut blocks);
        }
    }
}

fn one_off(program: &mut Program) {
    let at = program.random.range(0, program.steps * 9 / 10);
    let count = program.random.range(200, 900);
    for step in 0..program.steps {
        program.now_ns += program.step_ns;
        if step == at {
            for _ in 0..count {
                program.alloc();
            }
        }
    }
}

fn freed_at_exit(program: &mut Program) {
    let mut blocks = leak(program);
    program.free_all(&mut blocks);
    program.tick();
}

fn map_freed_at_exit(program: &mut Program) {
    let mut blocks = map_of_keys(program);
    program.free_all(&mut blocks);
    program.tick();
}

/// A pool of connections: each lives for a random while and is replaced.
fn steady(program: &mut Program) {
    let level = usize::try_from(program.random.range(20, 60)).unwrap();
    let mut pool = Vec::new();
    for _ in 0..program.steps {
        program.tick();
        if pool.len() < level {
            pool.push(program.alloc());
        } else {
            let any = program.random.range(0, level as u64 - 1);
            let block = pool.swap_remove(usize::try_from(any).unwrap());
            program.free(block);
        }
    }
}

fn right_of(pattern: fn(&mut Program), accepted: &[GrowthVerdict]) -> (u64, Vec<String>) {
    let mut right = 0;
    let mut wrong = Vec::new();
    for seed in 0..SEEDS {
        let mut program = Program::new(seed);
        pattern(&mut program);
        let site = program.history();
        if accepted.contains(&site.growth) {
            right += 1;
        } else {
            wrong.push(format!(
                "seed {seed}: {:?} ({:.2}) {}",
                site.growth, site.confidence, site.why
            ));
        }
    }
    (right, wrong)
}

#[test]
fn the_verdict_is_right_for_at_least_95_of_100_heaps_of_every_pattern() {
    use GrowthVerdict::{FreedAtExit, LinearLeak, OneOff, Saturating, Sawtooth, Staircase, Steady};
    type Pattern = (&'static str, fn(&mut Program), GrowthVerdict);
    let patterns: [Pattern; 11] = [
        ("linear leak", linear_leak, LinearLeak),
        ("leak under a sawtooth", leak_under_a_sawtooth, LinearLeak),
        ("staircase", staircase, Staircase),
        ("map of keys", saturating_map, Saturating),
        ("least recently used", least_recently_used, Saturating),
        ("filled once", filled_once, Saturating),
        ("map, freed at exit", map_freed_at_exit, Saturating),
        ("sawtooth", sawtooth, Sawtooth),
        ("one-off", one_off, OneOff),
        ("leak, freed at exit", freed_at_exit, FreedAtExit),
        ("steady", steady, Steady),
    ];
    let mut failed = Vec::new();
    for (name, pattern, verdict) in patterns {
        let (right, wrong) = right_of(pattern, &[verdict]);
        if right * 100 < SEEDS * 95 {
            failed.push(format!("{name}: {right} of {SEEDS}\n  {}", wrong.join("\n  ")));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn nothing_that_levels_off_is_ever_called_a_leak() {
    let level: [fn(&mut Program); 6] =
        [saturating_map, least_recently_used, filled_once, map_freed_at_exit, steady, sawtooth];
    for pattern in level {
        for seed in 1_000..1_000 + 2 * SEEDS {
            let mut program = Program::new(seed);
            program.is_busy = seed % 2 == 1;
            pattern(&mut program);
            let site = program.history();
            assert!(!site.growth.is_leak(), "seed {seed}: {site:?}");
        }
    }
}

/// As on a machine that others begin to use, too.
fn leak_that_slows_down(program: &mut Program) {
    program.is_busy = true;
    for step in 0..program.steps {
        if step == program.steps / 4 * 3 {
            program.step_ns *= 6;
        }
        program.tick();
        program.alloc();
    }
}

#[test]
fn a_leak_is_one_on_a_busy_machine_too() {
    let (right, wrong) = right_of(leak_that_slows_down, &[GrowthVerdict::LinearLeak]);
    assert!(right * 100 >= SEEDS * 95, "{}", wrong.join("\n"));
}

#[test]
fn the_slope_of_a_leak_is_what_it_loses_a_second() {
    let mut program = Program::new(7);
    program.mean_size = 1000;
    program.step_ns = 1_000_000;
    program.steps = 3_000;
    for _ in 0..program.steps {
        program.tick();
        program.alloc();
    }
    let site = program.history();
    assert_eq!(site.growth, GrowthVerdict::LinearLeak);
    // 1000 bytes on average every millisecond on average.
    assert!((900_000..1_100_000).contains(&site.slope_bytes_per_second), "{site:?}");
    assert!(site.confidence > 0.8, "{site:?}");
}

/// Grows, then shrinks, to the end of the recording.
fn falling(program: &mut Program) {
    let rising = program.steps * program.random.range(10, 85) / 100;
    let kept = rising * program.random.range(0, 80) / 100;
    let mut blocks = Vec::new();
    for step in 0..program.steps {
        program.tick();
        if step < rising {
            blocks.push(program.alloc());
        } else {
            let left = rising - (rising - kept) * (step + 1 - rising) / (program.steps - rising);
            while blocks.len() as u64 > left {
                let any = program.random.range(0, blocks.len() as u64 - 1);
                let block = blocks.swap_remove(usize::try_from(any).unwrap());
                program.free(block);
            }
        }
    }
}

#[test]
fn what_falls_in_the_end_is_never_called_a_leak() {
    for seed in 2_000..2_000 + 4 * SEEDS {
        let mut program = Program::new(seed);
        program.is_busy = seed % 2 == 1;
        falling(&mut program);
        let site = program.history();
        assert!(!site.growth.is_leak(), "seed {seed}: {site:?}");
    }
}

#[test]
fn a_handful_of_blocks_is_no_trend() {
    for count in 1..8 {
        let mut program = Program::new(count);
        for step in 0..program.steps {
            program.now_ns += program.step_ns;
            if step % (program.steps / count) == 0 {
                program.alloc();
            }
        }
        let site = program.history();
        assert!(!site.growth.is_leak(), "{count} blocks: {site:?}");
    }
}
