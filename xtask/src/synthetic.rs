//! Synthetic traces in the STD text format, whose races are known because they were put in.
//!
//! Workers read what main wrote before it forked them, share variables under locks, and have
//! variables of their own: none of that races. Into this noise go groups of accesses, back to back,
//! so that nothing can order them; and groups that an empty critical section orders.

use std::collections::VecDeque;
use std::io::{self, Write};

/// How large a trace is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Events, about.
    pub(crate) events: usize,
    /// Threads, main included.
    pub(crate) threads: usize,
    /// Workers that are alive at one time; a new one is forked when one was joined.
    pub(crate) live: usize,
    /// Variables that do not race.
    pub(crate) variables: usize,
    /// Locks.
    pub(crate) locks: usize,
    /// Groups of three threads that write, write, read: three racing pairs of locations each.
    pub(crate) triples: usize,
    /// Groups of two threads: one racing pair of locations each.
    pub(crate) pairs: usize,
    /// Groups that are ordered by an empty critical section.
    pub(crate) ordered: usize,
    /// Variables on which each group happens, at the same locations.
    pub(crate) copies: usize,
}

impl Shape {
    /// Pairs of locations that race.
    pub(crate) fn site_pairs(&self) -> u64 {
        (3 * self.triples + self.pairs) as u64
    }

    /// Variables that race.
    pub(crate) fn addresses(&self) -> u64 {
        ((self.triples + self.pairs) * self.copies) as u64
    }

    /// Pairs of accesses that race.
    pub(crate) fn event_pairs(&self) -> u64 {
        ((3 * self.triples + self.pairs) * self.copies) as u64
    }

    /// Writes the trace: the same for the same shape.
    ///
    /// # Errors
    /// What the sink says.
    pub(crate) fn write(&self, sink: &mut dyn Write) -> io::Result<()> {
        Generator::new(*self, sink).run()
    }
}

/// Operations of a worker, with operand and location.
#[derive(Clone, Copy)]
enum Step {
    Read(usize, usize),
    Write(usize, usize),
    Acquire(usize, usize),
    Release(usize, usize),
}

struct Worker {
    thread: usize,
    /// Steps that are planned.
    plan: VecDeque<Step>,
    /// Steps that it may still plan.
    quota: usize,
}

struct Generator<'a> {
    shape: Shape,
    sink: &'a mut dyn Write,
    random: Random,
    workers: Vec<Worker>,
    next_thread: usize,
    held: Vec<bool>,
    written: usize,
    injected: usize,
}

impl<'a> Generator<'a> {
    fn new(shape: Shape, sink: &'a mut dyn Write) -> Self {
        Self {
            shape,
            sink,
            random: Random(0x2545_F491_4F6C_DD1D),
            workers: Vec::new(),
            next_thread: 1,
            held: vec![false; shape.locks],
            written: 0,
            injected: 0,
        }
    }

    /// Variables that are only read while workers live.
    fn constants(&self) -> usize {
        self.shape.variables / 10
    }

    /// The first variable after those that locks guard.
    fn guarded_end(&self) -> usize {
        self.shape.variables / 2
    }

    fn run(mut self) -> io::Result<()> {
        for variable in 0..self.constants() {
            self.emit(0, 'w', 'V', variable, 1)?;
        }
        for _ in 0..self.shape.live.min(self.shape.threads - 1) {
            self.fork()?;
        }
        let groups = self.shape.triples + self.shape.pairs + self.shape.ordered;
        let total = groups * self.shape.copies;
        let distance = (self.shape.events * 9 / 10 / (total + 1)).max(1);
        while !self.workers.is_empty() {
            let due = self.shape.events / 20 + (self.injected + 1) * distance;
            if self.injected < total && self.written >= due && self.workers.len() >= 3 {
                self.inject(self.injected % groups)?;
                self.injected += 1;
                continue;
            }
            let place = self.random.below(self.workers.len());
            self.advance(place)?;
        }
        assert_eq!(self.injected, total, "the trace is too short for its groups");
        for variable in 0..self.constants() {
            self.emit(0, 'w', 'V', variable, 4)?;
        }
        self.sink.flush()
    }

    fn emit(
        &mut self,
        thread: usize,
        operation: impl std::fmt::Display,
        sort: char,
        operand: usize,
        location: usize,
    ) -> io::Result<()> {
        self.written += 1;
        writeln!(self.sink, "T{thread}|{operation}({sort}{operand})|{location}")
    }

    fn fork(&mut self) -> io::Result<()> {
        let thread = self.next_thread;
        self.next_thread += 1;
        let quota = (self.shape.events / (self.shape.threads - 1)).max(4);
        self.workers.push(Worker { thread, plan: VecDeque::new(), quota });
        self.emit(0, "fork", 'T', thread, 2)
    }

    /// A group of accesses with nothing between them.
    fn inject(&mut self, group: usize) -> io::Result<()> {
        let variable = self.shape.variables + self.injected;
        let location = 100_000 + 10 * group;
        // Three different workers, wherever the first lies.
        let first = self.random.below(self.workers.len());
        let [a, b, c] = [0, 1, 2].map(|n| self.workers[(first + n) % self.workers.len()].thread);
        if group < self.shape.triples {
            self.emit(a, 'w', 'V', variable, location)?;
            self.emit(b, 'w', 'V', variable, location + 1)?;
            self.emit(c, 'r', 'V', variable, location + 2)
        } else if group < self.shape.triples + self.shape.pairs {
            let first = if group.is_multiple_of(2) { 'w' } else { 'r' };
            self.emit(a, first, 'V', variable, location)?;
            self.emit(b, 'w', 'V', variable, location + 1)
        } else {
            let lock = self.shape.locks;
            self.emit(a, 'w', 'V', variable, location)?;
            for thread in [a, b] {
                self.emit(thread, "acq", 'L', lock, location + 2)?;
                self.emit(thread, "rel", 'L', lock, location + 3)?;
            }
            self.emit(b, 'w', 'V', variable, location + 1)
        }
    }

    /// Lets a worker do a few steps, or ends it.
    fn advance(&mut self, place: usize) -> io::Result<()> {
        if self.workers[place].plan.is_empty() {
            if self.workers[place].quota == 0 {
                let ended = self.workers.swap_remove(place).thread;
                self.emit(0, "join", 'T', ended, 3)?;
                return if self.next_thread < self.shape.threads { self.fork() } else { Ok(()) };
            }
            self.plan(place);
        }
        for _ in 0..=self.random.below(6) {
            let thread = self.workers[place].thread;
            let Some(&step) = self.workers[place].plan.front() else { break };
            match step {
                Step::Acquire(lock, _) if self.held[lock] => break,
                Step::Acquire(lock, location) => {
                    self.held[lock] = true;
                    self.emit(thread, "acq", 'L', lock, location)?;
                }
                Step::Release(lock, location) => {
                    self.held[lock] = false;
                    self.emit(thread, "rel", 'L', lock, location)?;
                }
                Step::Read(variable, location) => {
                    self.emit(thread, 'r', 'V', variable, location)?;
                }
                Step::Write(variable, location) => {
                    self.emit(thread, 'w', 'V', variable, location)?;
                }
            }
            self.workers[place].plan.pop_front();
        }
        Ok(())
    }

    /// Plans a critical section, work on variables of the worker's own, or a look at constants.
    fn plan(&mut self, place: usize) {
        let code = 1000 + 10 * self.random.below(2000);
        let choice = self.random.below(100);
        let mut steps = VecDeque::new();
        if choice < 40 {
            let lock = self.random.below(self.shape.locks);
            let guarded = self.guarded_end() - self.constants();
            steps.push_back(Step::Acquire(lock, code));
            for n in 0..=self.random.below(11) {
                let nth = self.random.below((guarded / self.shape.locks).max(1));
                let variable = self.constants() + lock + self.shape.locks * nth;
                steps.push_back(self.access(variable, code + 1 + n % 8));
            }
            steps.push_back(Step::Release(lock, code));
        } else if choice < 90 {
            // Numbers that no other thread has; beyond those of the groups.
            let own = 2 * self.shape.variables + 8 * self.workers[place].thread;
            for n in 0..4 + self.random.below(17) {
                let variable = own + self.random.below(8);
                steps.push_back(self.access(variable, code + 1 + n % 8));
            }
        } else {
            for n in 0..2 + self.random.below(8) {
                let variable = self.random.below(self.constants().max(1));
                steps.push_back(Step::Read(variable, code + 1 + n % 8));
            }
        }
        let worker = &mut self.workers[place];
        worker.quota = worker.quota.saturating_sub(steps.len());
        worker.plan = steps;
    }

    fn access(&mut self, variable: usize, location: usize) -> Step {
        if self.random.below(3) == 0 {
            Step::Write(variable, location)
        } else {
            Step::Read(variable, location)
        }
    }
}

/// Marsaglia's xorshift64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The upper half, scaled: below the limit, so it fits.
        ((u128::from(self.0) * limit as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    const SMALL: Shape = Shape {
        events: 10_000,
        threads: 40,
        live: 5,
        variables: 300,
        locks: 8,
        triples: 5,
        pairs: 10,
        ordered: 5,
        copies: 2,
    };

    fn text() -> String {
        let mut text = Vec::new();
        SMALL.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn the_same_shape_gives_the_same_trace_of_about_that_size() {
        assert_eq!(text(), text());
        let lines = text().lines().count();
        assert!((9_000..14_000).contains(&lines), "{lines}");
    }

    #[test]
    fn a_lock_has_one_holder_and_a_thread_lives_from_fork_to_join() {
        let mut holders = HashMap::new();
        let mut alive = HashSet::from(["T0".to_owned()]);
        for line in text().lines() {
            let (thread, rest) = line.split_once('|').unwrap();
            let (operation, rest) = rest.split_once('(').unwrap();
            let operand = rest.split_once(')').unwrap().0.to_owned();
            assert!(alive.contains(thread), "{line}");
            match operation {
                "acq" => assert_eq!(holders.insert(operand, thread.to_owned()), None, "{line}"),
                "rel" => assert_eq!(holders.remove(&operand).as_deref(), Some(thread), "{line}"),
                "fork" => assert!(alive.insert(operand), "{line}"),
                "join" => assert!(alive.remove(&operand), "{line}"),
                _ => {}
            }
            assert!(alive.len() <= SMALL.live + 1, "{line}");
        }
        assert_eq!((alive.len(), holders.len()), (1, 0));
    }

    #[test]
    fn every_group_is_there_on_every_copy() {
        let text = text();
        let injected = text.lines().filter(|line| {
            let location = line.rsplit('|').next().unwrap();
            location.parse::<usize>().unwrap() >= 100_000 && line.contains("(V")
        });
        assert_eq!(injected.count(), SMALL.copies * (3 * 5 + 2 * 10 + 2 * 5));
        assert_eq!((SMALL.site_pairs(), SMALL.addresses(), SMALL.event_pairs()), (25, 30, 50));
    }
}
