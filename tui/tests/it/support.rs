//! What several tests need: engines on traces, and a small program to look at.

use std::sync::Arc;

use mmtrace_analyzer::Silent;
use mmtrace_fixtures::trace::Trace;
use mmtrace_format::event::BlockReason;
use mmtrace_format::{Access, AccessKind, Address, Event, EventKind, Log, StackId, ThreadId};
use mmtrace_tui::engine::causality::Causality;
use mmtrace_tui::engine::{Engine, findings};
use mmtrace_tui::index::{Detail, Index, build_in_memory};

/// The index of a log.
pub(crate) fn index_of(log: &Log) -> Arc<Index> {
    Arc::new(build_in_memory(log, Detail::States, &mut |_, _| true).unwrap())
}

/// An engine that knows the edges.
pub(crate) fn engine_of(log: &Log) -> Engine<'_> {
    let index = index_of(log);
    let mut engine = Engine::new(log, Arc::clone(&index));
    engine.set_causality(Arc::new(Causality::of(log, &index)));
    engine
}

/// An engine that knows the findings, too.
pub(crate) fn analysed(log: &Log) -> Engine<'_> {
    let mut engine = engine_of(log);
    let index = Arc::clone(engine.index());
    engine.set_findings(Arc::new(findings::collect(log, &index, &Silent).unwrap()));
    engine
}

/// A trace that is written line by line, with times of its own.
pub(crate) struct Program {
    /// The trace.
    pub(crate) trace: Trace,
}

impl Program {
    /// A program of a main thread and workers that it starts at one place.
    pub(crate) fn new(workers: u32) -> Self {
        let mut program = Self { trace: Trace::new() };
        let main = program.site("app::main", 3);
        program.event(0, EventKind::Start, StackId::UNKNOWN, |_| {});
        for worker in 1..=workers {
            program.event(0, EventKind::Spawn, main, |event| event.value = worker.into());
            program.event(worker, EventKind::Start, StackId::UNKNOWN, |_| {});
        }
        program
    }

    /// A place in the program.
    pub(crate) fn site(&mut self, function: &str, line: u32) -> StackId {
        self.trace.stack(StackId::UNKNOWN, function, "src/app.rs", line)
    }

    /// Appends an event.
    pub(crate) fn event(
        &mut self,
        thread: u32,
        kind: EventKind,
        stack: StackId,
        set: impl FnOnce(&mut Event),
    ) {
        let mut event = Event { stack, ..Event::new(kind) };
        set(&mut event);
        self.trace.push_event(ThreadId::new(thread), event);
    }

    /// Appends a wait's beginning.
    pub(crate) fn block(&mut self, thread: u32, reason: BlockReason, object: u64, stack: StackId) {
        self.event(thread, EventKind::Block, stack, |event| {
            (event.detail, event.object) = (reason as u32, object);
        });
    }

    /// Appends an event on an object.
    pub(crate) fn on(&mut self, thread: u32, kind: EventKind, object: u64, stack: StackId) {
        self.event(thread, kind, stack, |event| event.object = object);
    }

    /// Appends an access of eight bytes.
    pub(crate) fn access(&mut self, thread: u32, kind: AccessKind, address: u64, stack: StackId) {
        let access = Access { kind, address: Address(address), size: 8, stack };
        self.trace.push_access(ThreadId::new(thread), access);
    }

    /// Lets time go by: a thread marks it.
    pub(crate) fn pass(&mut self, thread: u32, steps: u32) {
        for _ in 0..steps {
            self.event(thread, EventKind::Fence, StackId::UNKNOWN, |_| {});
        }
    }
}

/// Workers that wait for a lock and for a channel, and race on an address; the last two stay
/// blocked on each other's locks.
pub(crate) fn small_program() -> Trace {
    let (lock, channel, raced) = (0x100, 0x200, 0x300);
    let mut program = Program::new(4);
    let [serve, send, write, wait] = [
        program.site("app::serve", 10),
        program.site("app::feed", 20),
        program.site("app::note", 30),
        program.site("app::second_lock", 40),
    ];
    program.event(0, EventKind::Name, StackId::UNKNOWN, |_| {});
    program.event(0, EventKind::ChanMake, send, |event| {
        (event.object, event.value) = (channel, 2);
    });
    for round in 0..12_u64 {
        let worker = 1 + u32::try_from(round % 2).unwrap();
        program.block(worker, BlockReason::Receive, channel, serve);
        program.pass(0, 3);
        program.event(0, EventKind::ChanSend, send, |event| {
            (event.object, event.value) = (channel, round);
        });
        program.event(worker, EventKind::ChanRecv, serve, |event| {
            (event.object, event.value) = (channel, round);
        });
        program.on(worker, EventKind::MutexLock, lock, serve);
        program.pass(worker, 2);
        program.on(worker, EventKind::MutexUnlock, lock, serve);
        if round == 6 || round == 7 {
            program.access(worker, AccessKind::Write, raced, write);
        }
    }
    for (thread, first) in [(3, 0x400), (4, 0x500)] {
        program.on(thread, EventKind::MutexLock, first, wait);
    }
    program.pass(0, 4);
    for (thread, second) in [(3, 0x500), (4, 0x400)] {
        program.block(thread, BlockReason::Mutex, second, wait);
    }
    for worker in [1, 2] {
        program.event(worker, EventKind::End, StackId::UNKNOWN, |_| {});
    }
    program.pass(0, 6);
    program.event(0, EventKind::End, StackId::UNKNOWN, |_| {});
    program.trace
}
