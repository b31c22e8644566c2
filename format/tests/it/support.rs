//! Small logs, and reading all of one.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use mmtrace_format::chunk::SealScratch;
use mmtrace_format::event::text::Line;
use mmtrace_format::event::word::{RECORD_WORDS_MAX, encode_event};
use mmtrace_format::live::{LiveLog, LiveOptions, SlotLabel};
use mmtrace_format::log::OpenError;
use mmtrace_format::meta::Section;
use mmtrace_format::table::{CallSite, Module, SourceLocation, StackNode, TableEntry};
use mmtrace_format::writer::{BuilderOptions, LogBuilder, Sequencer};
use mmtrace_format::{
    Access, AccessKind, Address, Event, EventKind, Log, ModuleId, ProcessInfo, StackId, StreamId,
    StringId, ThreadId, Timestamp,
};

/// Everything that can be read out of a log, and whether anything was wrong.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// By thread, in program order, without the writer's switches.
    pub(crate) lines: BTreeMap<ThreadId, Vec<Line>>,
    pub(crate) tables: Vec<String>,
    pub(crate) symbols: Vec<Section>,
    /// Everything that was found wrong; empty for a whole log.
    pub(crate) damage: Vec<String>,
}

/// Reads everything that an analysis may read. Panics are what the tests are after.
pub(crate) fn read_all(log: &Log) -> Content {
    let mut content = Content::default();
    content.damage.extend(log.gaps().iter().map(ToString::to_string));
    // Each chunk is decoded once.
    let mut chunks: Vec<Vec<Vec<Line>>> = Vec::new();
    for chunk in 0..log.chunks().len() {
        chunks.push(log.lines_by_fragment(chunk).unwrap_or_else(|error| {
            content.damage.push(log.gap_of(chunk, &error).to_string());
            Vec::new()
        }));
    }
    for &thread in log.threads() {
        let lines = content.lines.entry(thread).or_default();
        for place in log.fragments_of(thread) {
            let fragments = &chunks[place.chunk as usize];
            let fragment = fragments.get(place.fragment as usize).into_iter().flatten();
            lines.extend(fragment.filter(|line| !is_switch(line)));
        }
    }
    content.tables = log.tables().entries().map(|entry| format!("{entry:?}")).collect();
    for (module, _) in log.tables().modules() {
        match log.symbols(module) {
            Ok(mut sections) => content.symbols.append(&mut sections),
            Err(error) => content.damage.push(error.to_string()),
        }
    }
    content
}

fn is_switch(line: &Line) -> bool {
    matches!(line, Line::Event(_, event) if event.kind == EventKind::Switch)
}

/// Opens a log in memory.
pub(crate) fn open(bytes: Vec<u8>) -> Result<Log, OpenError> {
    Log::from_bytes("test.log", bytes)
}

/// The process that the tests' logs are of.
pub(crate) fn info() -> ProcessInfo {
    ProcessInfo {
        run_id: *b"run-for-a-golden",
        program: "/usr/bin/example".to_owned(),
        args: vec!["--fast".to_owned()],
        pid: 4711,
        start_realtime_ns: 1_700_000_000_000_000_000,
        recorder: "tests".to_owned(),
        ..ProcessInfo::default()
    }
}

/// A small log with everything in it: three threads, accesses, names, stacks, a module with symbols.
pub(crate) fn small_log() -> Vec<u8> {
    let options = BuilderOptions { chunk_words: 90, ..BuilderOptions::default() };
    let mut builder = LogBuilder::new(Cursor::new(Vec::new()), &info(), options).unwrap();
    let stacks = small_tables(&mut builder);
    let mut sequencer = Sequencer::new();
    let (main, children) = (ThreadId::MAIN, [ThreadId::new(1), ThreadId::new(2)]);
    let mut now = 0;
    let mut event = |kind: EventKind, object: u64, value: u64, stack: StackId| {
        now += 10;
        let sequence = if kind.spec().is_sequenced() { sequencer.next(object) } else { 0 };
        let time = Timestamp::from_ns(now);
        Event { time, object, sequence, value, stack, ..Event::new(kind) }
    };
    for (child, stack) in children.into_iter().zip(stacks) {
        let spawn = event(EventKind::Spawn, 0, u64::from(child.as_u32()), stack);
        builder.push_event(main, spawn).unwrap();
        builder.push_event(child, event(EventKind::Start, 0, 0, StackId::UNKNOWN)).unwrap();
    }
    let mutex = 0x7f00_0000_1000;
    for round in 0..5u64 {
        for (child, stack) in children.into_iter().zip(stacks) {
            builder.push_event(child, event(EventKind::MutexLock, mutex, 0, stack)).unwrap();
            for (kind, at) in [(AccessKind::Read, round), (AccessKind::Write, 100)] {
                let address = Address(0x7f00_0000_2000 + at * 8);
                builder.push_access(child, Access { kind, address, size: 8, stack }).unwrap();
            }
            builder.push_event(child, event(EventKind::MutexUnlock, mutex, 0, stack)).unwrap();
        }
    }
    for child in children {
        builder.push_event(child, event(EventKind::End, 0, 0, StackId::UNKNOWN)).unwrap();
        let join = event(EventKind::Join, 0, u64::from(child.as_u32()), stacks[0]);
        builder.push_event(main, join).unwrap();
    }
    builder.push_event(main, event(EventKind::CleanEnd, 0, 0, StackId::UNKNOWN)).unwrap();
    builder.writer().append_symbols(ModuleId::new(0), ".symtab", 0x100, &[3; 700]).unwrap();
    builder.writer().append_symbols(ModuleId::new(0), ".strtab", 0, b"").unwrap();
    let (_, sink) = builder.finish_into_sink().unwrap();
    sink.into_inner()
}

fn small_tables(builder: &mut LogBuilder<Cursor<Vec<u8>>>) -> [StackId; 2] {
    let tables = builder.tables();
    let (path, _) = tables.intern_string("/usr/bin/example");
    let (file, _) = tables.intern_string("src/main.rs");
    let (function, _) = tables.intern_string("main::work");
    let (module, _) = tables.add_module(Module {
        path,
        build_id: vec![0xab; 20],
        base: 0x5500_0000_0000,
        len: 0x10000,
    });
    let code = CallSite::Code { module, offset: 0x1234, location: None };
    let (outer, _) = tables.intern_site(code);
    let (outer, _) = tables.intern_stack(StackNode { parent: StackId::UNKNOWN, site: outer });
    [7, 9].map(|line| {
        let location = SourceLocation { file, line, column: 5 };
        let (site, _) = tables.intern_site(CallSite::Source { location, function });
        tables.intern_stack(StackNode { parent: outer, site }).0
    })
}

/// Three threads: one sealed chunk each, and some marks still in their slots.
pub(crate) fn record_small(path: &Path) -> LiveLog {
    let options = LiveOptions { slot_len: 4096, ..LiveOptions::default() };
    let log = LiveLog::create(path, &info(), options).unwrap();
    for number in 1..4 {
        let entry = TableEntry::String(StringId::new(number), format!("name {number}"));
        log.append_table_entry(&entry).unwrap();
    }
    for thread in 0..3 {
        for number in 0..2 {
            let label = SlotLabel {
                stream: StreamId::new(thread),
                number,
                thread: ThreadId::new(thread),
                switch_count: 0,
                first_time: Timestamp::from_ns(u64::from(number) * 10),
            };
            let mut slot = log.acquire_slot(&label).unwrap();
            for value in 0..5u64 {
                let mut record = [0; RECORD_WORDS_MAX];
                let time = Timestamp::from_ns(value);
                let mark = Event { time, value: value + 1, ..Event::new(EventKind::Mark) };
                let len = encode_event(&mark, &mut record);
                assert!(slot.push(&record[..len]));
            }
            if number == 0 {
                log.seal(slot, Timestamp::from_ns(9), &mut SealScratch::new()).unwrap();
            }
        }
    }
    log
}
