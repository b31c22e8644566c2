//! Writes a long log for measuring the explorer: `long_log OUT.log RECORDS`.
//!
//! Workers take a mutex, work on memory, wait for a channel, and now and then sleep; one access in
//! the middle of the log races with another. The same arguments give the same file.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use mmtrace_format::event::BlockReason;
use mmtrace_format::meta::ProcessInfo;
use mmtrace_format::table::{CallSite, SourceLocation, StackNode};
use mmtrace_format::writer::{BuilderOptions, LogBuilder, Sequencer};
use mmtrace_format::{Access, AccessKind, Address, Event, EventKind, StackId, ThreadId, Timestamp};

/// Workers beside the main thread.
const WORKERS: u32 = 63;

/// Records of a round: a critical section with accesses in it.
const ROUND: u64 = 200;

/// Where the race is.
const RACED: u64 = 0x9000_0000;

struct Writer {
    builder: LogBuilder<BufWriter<File>>,
    sequencer: Sequencer,
    stacks: Vec<StackId>,
    now_ns: u64,
    written: u64,
}

impl Writer {
    fn event(&mut self, thread: u32, event: Event) -> Result<(), Box<dyn Error>> {
        self.now_ns += 40;
        let mut event = event;
        event.time = Timestamp::from_ns(self.now_ns);
        event.stack = self.stacks[event.kind as usize % self.stacks.len()];
        if event.kind.spec().is_sequenced() {
            event.sequence = self.sequencer.next(event.object);
        }
        self.written += 1;
        self.builder.push_event(ThreadId::new(thread), event)?;
        Ok(())
    }

    fn access(
        &mut self,
        thread: u32,
        kind: AccessKind,
        address: u64,
    ) -> Result<(), Box<dyn Error>> {
        let stack = self.stacks[(address / 64) as usize % self.stacks.len()];
        let access = Access { kind, address: Address(address), size: 8, stack };
        self.written += 1;
        self.builder.push_access(ThreadId::new(thread), access)?;
        Ok(())
    }

    fn round(&mut self, number: u64) -> Result<(), Box<dyn Error>> {
        // Any order of workers that does not repeat soon.
        let worker = 1 + (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u32 % WORKERS;
        let mutex = 0x1000 + u64::from(worker % 8) * 64;
        if number.is_multiple_of(5) {
            self.block(worker, BlockReason::Mutex, mutex, 2_000)?;
        }
        self.event(worker, Event { object: mutex, ..Event::new(EventKind::MutexLock) })?;
        let base = 0x10_0000 + u64::from(worker % 8) * 0x1_0000;
        for place in 0..ROUND - 8 {
            let kind = if place % 3 == 0 { AccessKind::Write } else { AccessKind::Read };
            self.access(worker, kind, base + (number * 8 + place * 8) % 0x8000)?;
        }
        self.event(worker, Event { object: mutex, ..Event::new(EventKind::MutexUnlock) })?;
        if number.is_multiple_of(7) {
            self.block(worker, BlockReason::Sleep, 0, 30_000)?;
        }
        Ok(())
    }

    fn block(
        &mut self,
        thread: u32,
        reason: BlockReason,
        object: u64,
        len_ns: u64,
    ) -> Result<(), Box<dyn Error>> {
        let detail = reason as u32;
        self.event(thread, Event { detail, object, ..Event::new(EventKind::Block) })?;
        self.now_ns += len_ns;
        self.event(thread, Event { detail, ..Event::new(EventKind::Run) })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(records)) = (arguments.next(), arguments.next()) else {
        return Err("expected a file and a number of records".into());
    };
    let records: u64 = records.parse()?;
    let info = ProcessInfo { program: "long".to_owned(), ..ProcessInfo::default() };
    let sink = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut builder =
        LogBuilder::new(sink, &info, BuilderOptions { level: 1, ..BuilderOptions::default() })?;
    let mut stacks = Vec::new();
    let file = builder.tables().intern_string("src/long.rs").0;
    for line in 1..40 {
        let function = builder.tables().intern_string(&format!("long::work_{line}")).0;
        let location = SourceLocation { file, line, column: 1 };
        let site = builder.tables().intern_site(CallSite::Source { location, function }).0;
        stacks.push(builder.tables().intern_stack(StackNode { parent: StackId::UNKNOWN, site }).0);
    }
    let mut writer = Writer { builder, sequencer: Sequencer::new(), stacks, now_ns: 0, written: 0 };
    writer.event(0, Event::new(EventKind::Start))?;
    for worker in 1..=WORKERS {
        writer.event(0, Event { value: worker.into(), ..Event::new(EventKind::Spawn) })?;
        writer.event(worker, Event::new(EventKind::Start))?;
    }
    let mut number = 0;
    let mut has_raced = false;
    while writer.written < records {
        writer.round(number)?;
        number += 1;
        if !has_raced && writer.written > records / 2 {
            has_raced = true;
            writer.access(1, AccessKind::Write, RACED)?;
            writer.access(2, AccessKind::Write, RACED)?;
        }
    }
    for worker in 1..=WORKERS {
        writer.event(worker, Event::new(EventKind::End))?;
        writer.event(0, Event { value: worker.into(), ..Event::new(EventKind::Join) })?;
    }
    writer.event(0, Event::new(EventKind::End))?;
    writer.builder.finish()?;
    Ok(())
}
