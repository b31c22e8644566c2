//! Logs as Go's recorder writes them: a stream for each processor, goroutines that move from one to
//! another in the middle of everything, objects that all of them use. The state at any moment is
//! what a replay of the same moments says.

use std::collections::{BTreeMap, VecDeque};
use std::io::Cursor;

use mmtrace_format::chunk::codec::LEVEL_RECORDING;
use mmtrace_format::chunk::{OpenChunk, SealScratch, seal};
use mmtrace_format::event::BlockReason;
use mmtrace_format::writer::{LogWriter, Sequencer};
use mmtrace_format::{Event, EventKind, Log, ProcessInfo, StreamId, ThreadId, Timestamp};
use mmtrace_tui::engine::Engine;
use mmtrace_tui::page::{PageRequest, Row, Window};

use crate::support::{engine_of, index_of};

const PROCESSORS: usize = 3;
const GOROUTINES: usize = 12;
/// Words of a chunk: a few dozen events.
const CHUNK_WORDS: usize = 400;
const MUTEX: u64 = 0x1000;
const RWLOCK: u64 = 0x2000;
const CHANNEL: u64 = 0x3000;
const ROOM: u64 = 4;

/// Numbers that look random, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 33) as usize % limit.max(1)
    }
}

/// A processor: a stream of chunks.
struct Processor {
    stream: StreamId,
    open: OpenChunk,
    number: u32,
    /// Whose fragment the chunk began with, and whose is being written.
    opening: (usize, u64),
    current: (usize, u64),
    first_ns: u64,
    running: Option<usize>,
}

/// What a goroutine is about to do again after it waited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Lock,
    ReadLock,
    WriteLock,
    Send,
    Receive,
}

impl Step {
    fn object(self) -> u64 {
        match self {
            Self::Lock => MUTEX,
            Self::ReadLock | Self::WriteLock => RWLOCK,
            Self::Send | Self::Receive => CHANNEL,
        }
    }

    fn reason(self) -> BlockReason {
        match self {
            Self::Lock => BlockReason::Mutex,
            Self::ReadLock => BlockReason::ReadLock,
            Self::WriteLock => BlockReason::WriteLock,
            Self::Send => BlockReason::Send,
            Self::Receive => BlockReason::Receive,
        }
    }
}

/// A program that runs, and what it has done: each event with its goroutine, by time.
struct Program {
    random: Random,
    processors: Vec<Processor>,
    writer: LogWriter<Cursor<Vec<u8>>>,
    scratch: SealScratch,
    sequencer: Sequencer,
    now_ns: u64,
    fragments: Vec<u64>,
    runnable: VecDeque<usize>,
    retry: Vec<Option<Step>>,
    waiting: Vec<(usize, Step)>,
    owner: Option<usize>,
    readers: Vec<usize>,
    writing: Option<usize>,
    sent: u64,
    received: u64,
    history: Vec<(usize, Event)>,
}

impl Program {
    fn new(seed: u64) -> Self {
        let processor = |stream| Processor {
            stream: StreamId::new(stream),
            open: OpenChunk::new(CHUNK_WORDS),
            number: 0,
            opening: (0, 0),
            current: (usize::MAX, 0),
            first_ns: 0,
            running: None,
        };
        let sink = Cursor::new(Vec::new());
        let mut program = Self {
            random: Random(seed),
            processors: (0..PROCESSORS as u32).map(processor).collect(),
            writer: LogWriter::new(sink, &ProcessInfo::default()).unwrap(),
            scratch: SealScratch::new(),
            sequencer: Sequencer::new(),
            now_ns: 0,
            fragments: vec![0; GOROUTINES],
            runnable: (1..GOROUTINES).collect(),
            retry: vec![None; GOROUTINES],
            waiting: Vec::new(),
            owner: None,
            readers: Vec::new(),
            writing: None,
            sent: 0,
            received: 0,
            history: Vec::new(),
        };
        program.processors[0].running = Some(0);
        let make = Event { object: CHANNEL, value: ROOM, ..Event::new(EventKind::ChanMake) };
        program.event(0, 0, make);
        program
    }

    /// A goroutine does something on a processor, 10 to 19 ns after whatever happened last.
    fn event(&mut self, at: usize, goroutine: usize, mut event: Event) {
        self.now_ns += 10 + self.random.below(10) as u64;
        event.time = Timestamp::from_ns(self.now_ns);
        if event.kind.spec().is_sequenced() {
            event.sequence = self.sequencer.next(event.object);
        }
        if self.processors[at].open.is_full() {
            self.seal(at);
        }
        let processor = &mut self.processors[at];
        let is_switched = processor.current != (goroutine, self.fragments[goroutine]);
        if is_switched {
            self.fragments[goroutine] += 1;
            processor.current = (goroutine, self.fragments[goroutine]);
        }
        let (thread, count) = (goroutine as u32, processor.current.1 - 1);
        if processor.open.is_empty() {
            (processor.opening, processor.first_ns) = (processor.current, self.now_ns);
        } else if is_switched {
            let (value, extra) = (u64::from(thread), count);
            let switch = Event { value, extra, time: event.time, ..Event::new(EventKind::Switch) };
            processor.open.push_event(&switch);
            if processor.open.is_full() {
                self.seal(at);
                let processor = &mut self.processors[at];
                (processor.opening, processor.first_ns) = (processor.current, self.now_ns);
            }
        }
        self.processors[at].open.push_event(&event);
        self.history.push((goroutine, event));
    }

    fn seal(&mut self, at: usize) {
        let processor = &mut self.processors[at];
        let (goroutine, count) = processor.opening;
        let times = (Timestamp::from_ns(processor.first_ns), Timestamp::from_ns(self.now_ns));
        let thread = ThreadId::new(goroutine as u32);
        let raw =
            processor.open.as_raw(processor.stream, processor.number, thread, count - 1, times);
        let (sealed, problem) = seal(&raw, LEVEL_RECORDING, &mut self.scratch);
        assert_eq!(problem, None);
        self.writer.append_sealed(&sealed).unwrap();
        processor.open.clear();
        processor.number += 1;
    }

    /// Wakes everybody who waits for an object.
    fn wake(&mut self, at: usize, by: usize, object: u64) {
        let all = std::mem::take(&mut self.waiting);
        let (woken, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, step)| step.object() == object);
        self.waiting = others;
        for (goroutine, _) in woken {
            self.event(at, by, Event { value: goroutine as u64, ..Event::new(EventKind::Ready) });
            self.runnable.push_back(goroutine);
        }
    }

    /// Whether the step can be taken now; if so, takes it.
    fn attempt(&mut self, at: usize, it: usize, step: Step) -> bool {
        let can = match step {
            Step::Lock => self.owner.is_none(),
            Step::ReadLock => self.writing.is_none(),
            Step::WriteLock => self.writing.is_none() && self.readers.is_empty(),
            Step::Send => self.sent - self.received < ROOM,
            Step::Receive => self.sent > self.received,
        };
        if !can {
            return false;
        }
        let (kind, value) = match step {
            Step::Lock => {
                self.owner = Some(it);
                (EventKind::MutexLock, 0)
            }
            Step::ReadLock => {
                self.readers.push(it);
                (EventKind::ReadLock, 0)
            }
            Step::WriteLock => {
                self.writing = Some(it);
                (EventKind::WriteLock, 0)
            }
            Step::Send => {
                self.sent += 1;
                (EventKind::ChanSend, self.sent - 1)
            }
            Step::Receive => {
                self.received += 1;
                (EventKind::ChanRecv, self.received - 1)
            }
        };
        self.event(at, it, Event { object: step.object(), value, ..Event::new(kind) });
        if step.object() == CHANNEL {
            self.wake(at, it, CHANNEL);
        }
        true
    }

    fn step(&mut self) {
        let at = self.random.below(PROCESSORS);
        let Some(it) = self.processors[at].running else {
            self.processors[at].running = self.runnable.pop_front();
            return;
        };
        if let Some(step) = self.retry[it].take() {
            self.go_on(at, it, step);
            return;
        }
        // Whoever waits for others holds nothing: nobody waits in a circle.
        let holds =
            self.owner == Some(it) || self.writing == Some(it) || self.readers.contains(&it);
        match self.random.below(10) {
            // Most locks are held by few and for long: goroutines move while they hold them.
            0..=3 => {
                self.processors[at].running = None;
                self.runnable.push_back(it);
            }
            _ if !holds => {
                // Writers are rare, and for long stretches there is none.
                let rare = (self.now_ns / 40_000).is_multiple_of(4);
                let step = match self.random.below(20) {
                    0 if rare => Step::WriteLock,
                    0..=5 => Step::Lock,
                    6..=11 => Step::ReadLock,
                    // Somebody must go on: not all may wait for a channel.
                    _ if self.waiting.len() > GOROUTINES / 2 => {
                        if self.sent > self.received {
                            Step::Receive
                        } else {
                            Step::Send
                        }
                    }
                    12..=15 => Step::Send,
                    _ => Step::Receive,
                };
                self.go_on(at, it, step);
            }
            _ => self.give_up(at, it),
        }
    }

    fn go_on(&mut self, at: usize, it: usize, step: Step) {
        if self.attempt(at, it, step) {
            return;
        }
        let (detail, object) = (step.reason() as u32, step.object());
        self.event(at, it, Event { detail, object, ..Event::new(EventKind::Block) });
        self.retry[it] = Some(step);
        self.waiting.push((it, step));
        self.processors[at].running = None;
    }

    fn give_up(&mut self, at: usize, it: usize) {
        let (kind, object) = if self.owner == Some(it) {
            self.owner = None;
            (EventKind::MutexUnlock, MUTEX)
        } else if self.writing == Some(it) {
            self.writing = None;
            (EventKind::WriteUnlock, RWLOCK)
        } else {
            let place = self.readers.iter().position(|&reader| reader == it).unwrap();
            self.readers.remove(place);
            (EventKind::ReadUnlock, RWLOCK)
        };
        self.event(at, it, Event { object, ..Event::new(kind) });
        self.wake(at, it, object);
    }

    fn finish(mut self) -> (Log, Vec<(usize, Event)>) {
        for at in 0..PROCESSORS {
            if !self.processors[at].open.is_empty() {
                self.seal(at);
            }
        }
        let bytes = self.writer.finish().unwrap().1.into_inner();
        (Log::from_bytes("goroutines", bytes).unwrap(), self.history)
    }
}

fn program(seed: u64, steps: usize) -> (Log, Vec<(usize, Event)>) {
    let mut program = Program::new(seed);
    (0..steps).for_each(|_| program.step());
    program.finish()
}

/// What is known at a moment by going through everything before it.
#[derive(Default)]
struct Replay {
    held: BTreeMap<usize, Vec<u64>>,
    writers: BTreeMap<u64, usize>,
    readers: BTreeMap<usize, u64>,
    sent: u64,
    received: u64,
    waiting: BTreeMap<usize, u64>,
    events: BTreeMap<u64, Vec<Event>>,
}

impl Replay {
    fn add(&mut self, it: usize, event: &Event) {
        if event.object != 0 && event.kind != EventKind::Block {
            self.events.entry(event.object).or_default().push(*event);
        }
        let held = self.held.entry(it).or_default();
        match event.kind {
            EventKind::MutexLock | EventKind::WriteLock => {
                held.push(event.object);
                self.writers.insert(event.object, it);
            }
            EventKind::ReadLock => {
                held.push(event.object);
                self.readers.insert(it, event.time.ns);
            }
            EventKind::MutexUnlock | EventKind::WriteUnlock | EventKind::ReadUnlock => {
                let place = held.iter().rposition(|&object| object == event.object).unwrap();
                held.remove(place);
                if event.kind == EventKind::ReadUnlock {
                    self.readers.remove(&it);
                } else {
                    self.writers.remove(&event.object);
                }
            }
            EventKind::ChanSend => self.sent += 1,
            EventKind::ChanRecv => self.received += 1,
            EventKind::Block => {
                self.waiting.insert(it, event.object);
            }
            EventKind::Ready => {
                self.waiting.remove(&(event.value as usize));
            }
            _ => {}
        }
    }

    /// Compares every answer about this moment. Gives how many there were.
    fn compare(&self, engine: &mut Engine<'_>, time_ns: u64, what: &str) -> u32 {
        let mut asked = 0;
        for (&it, held) in &self.held {
            let lane = engine.index().lane_of(ThreadId::new(it as u32)).unwrap();
            let found: Vec<u64> =
                engine.locks_held(lane, time_ns).iter().map(|hold| hold.object).collect();
            assert_eq!(found, *held, "{what}: goroutine {it} holds");
            asked += 1;
        }
        for (&object, events) in &self.events {
            let state = engine.object_at(object, time_ns, false);
            assert!(!state.is_partial);
            let last: Vec<Event> = events.iter().rev().take(8).copied().collect();
            let found: Vec<Event> = state.last_events.iter().map(|(_, event)| *event).collect();
            assert_eq!(found, last, "{what}: last events on {object:#x}");
            let waiters = self.waiting.iter().filter(|&(_, &on)| on == object);
            let waiters: Vec<u32> = waiters.map(|(&it, _)| it as u32).collect();
            let found: Vec<u32> = state.waiters.iter().map(|it| it.0.as_u32()).collect();
            assert_eq!(found, waiters, "{what}: waiters of {object:#x}");
            let writer = state.holders.iter().find(|it| !it.2).map(|it| it.0.as_u32());
            let expected = self.writers.get(&object).map(|&it| it as u32);
            assert_eq!(writer, expected, "{what}: holder of {object:#x}");
            asked += 3;
        }
        let readers = engine.object_at(RWLOCK, time_ns, false).holders;
        let readers: Vec<(usize, u64)> =
            readers.iter().filter(|it| it.2).map(|it| (it.0.index(), it.1)).collect();
        let expected: Vec<(usize, u64)> = self.readers.iter().map(|(&it, &at)| (it, at)).collect();
        assert_eq!(readers, expected, "{what}: readers");
        let channel = engine.object_at(CHANNEL, time_ns, false);
        let expected = (Some(self.sent - self.received), Some(ROOM));
        assert_eq!((channel.occupancy, channel.capacity), expected, "{what}: channel");
        asked + 2
    }
}

#[test]
fn ten_thousand_questions_about_goroutines_are_answered_as_a_replay_answers_them() {
    let mut asked = 0;
    for seed in 0..4 {
        let (log, history) = program(seed, 30_000);
        assert!(log.chunks().len() > 100 && history.len() > 6_000, "{} events", history.len());
        let mut engine = engine_of(&log);
        let mut random = Random(seed ^ 0xABCD);
        let mut times: Vec<u64> = (0..120)
            .map(|_| history[random.below(history.len())].1.time.ns + random.below(3) as u64)
            .collect();
        times.sort_unstable();
        let (mut replay, mut done) = (Replay::default(), 0);
        for time_ns in times {
            while let Some((it, event)) = history.get(done).filter(|it| it.1.time.ns <= time_ns) {
                replay.add(*it, event);
                done += 1;
            }
            asked += replay.compare(&mut engine, time_ns, &format!("seed {seed}, {time_ns}"));
        }
    }
    assert!(asked >= 10_000, "{asked}");
}

/// Every wait that somebody ended names them, and `[` leads to the event with which they did.
#[test]
fn whoever_made_a_goroutine_runnable_is_named() {
    let (log, history) = program(77, 6_000);
    // Without the edges between lanes, as in a log that has too many to work them out unasked.
    let mut engine = Engine::new(&log, index_of(&log));
    let mut blocked: BTreeMap<usize, u64> = BTreeMap::new();
    let mut woken = 0;
    for (by, event) in &history {
        if event.kind == EventKind::Block {
            blocked.insert(*by, event.time.ns);
        }
        if event.kind != EventKind::Ready {
            continue;
        }
        let it = event.value as usize;
        let since_ns = blocked.remove(&it).unwrap();
        let lane = engine.index().lane_of(ThreadId::new(it as u32)).unwrap();
        let waker = engine.index().lane_of(ThreadId::new(*by as u32)).unwrap();
        for time_ns in [since_ns, event.time.ns - 1] {
            let hop = engine.waker_of(lane, time_ns).unwrap();
            assert_eq!((hop.from.lane, hop.from.time_ns), (waker, event.time.ns), "{it}");
            assert_eq!(hop.name(), "READY");
        }
        let (before, _) = engine.moment_at(lane, event.time.ns).unwrap();
        if let Some((after, _)) = engine.moment_of(lane, before.index + 1) {
            let hop = engine.cause(lane, after.index).unwrap();
            assert_eq!((hop.from.lane, hop.from.time_ns, hop.to), (waker, event.time.ns, after));
            let back = engine.effect(waker, hop.from.index).unwrap();
            assert_eq!(back, hop);
        }
        woken += 1;
    }
    assert!(woken > 300, "{woken}");
}

/// Events have letters only where each has room: in all of a lane's fragments together.
#[test]
fn a_lane_of_many_short_fragments_is_not_covered_with_letters() {
    let (log, history) = program(5, 3_000);
    let mut engine = Engine::new(&log, index_of(&log));
    let (mut crowded, mut shown) = (0, 0);
    for (from, to) in [(0, 60), (40, 70), (0, 90)] {
        let window = Window { from_ns: history[from].1.time.ns, to_ns: history[to].1.time.ns };
        let rows: Vec<Row> = (0..engine.index().lane_count()).map(Row::Lane).collect();
        for columns in [3, 10, 200] {
            let page = engine.page(PageRequest {
                rows: rows.clone(),
                window,
                columns,
                overview_columns: columns,
            });
            for (lane, cells) in page.rows.iter().enumerate() {
                let thread = engine.index().lane(lane).thread;
                let own = history.iter().filter(|(it, event)| {
                    *it == thread.index()
                        && (window.from_ns..window.to_ns).contains(&event.time.ns)
                        && !matches!(event.kind, EventKind::Block | EventKind::Ready)
                });
                let letters = cells.iter().filter(|cell| cell.event.is_some()).count();
                match own.count() {
                    count if count > usize::from(columns) => {
                        assert_eq!(letters, 0, "{thread}: {count} events on {columns} columns");
                        crowded += 1;
                    }
                    0 => assert_eq!(letters, 0),
                    count => {
                        assert!((1..=count).contains(&letters), "{thread}: {letters} of {count}");
                        shown += 1;
                    }
                }
            }
        }
    }
    assert!(crowded > 5 && shown > 20, "{crowded} crowded, {shown} shown");
}
