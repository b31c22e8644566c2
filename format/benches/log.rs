//! What a log file costs: building one, opening one.

use std::io::Cursor;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use mmtrace_format::writer::{BuilderOptions, LogBuilder, Sequencer};
use mmtrace_format::{
    Access, AccessKind, Address, Event, EventKind, Log, ProcessInfo, StackId, ThreadId, Timestamp,
};

fn main() {
    divan::main();
}

const RECORDS: u64 = 1_000_000;

/// Records of so many threads in turn: nine accesses, then a lock or an unlock.
fn build(threads: u32) -> Vec<u8> {
    let sink = Cursor::new(Vec::new());
    let options = BuilderOptions::default();
    let mut builder = LogBuilder::new(sink, &ProcessInfo::default(), options).expect("memory");
    let mut sequencer = Sequencer::new();
    for i in 0..RECORDS {
        // Dense: there are at most a hundred thousand threads.
        let thread = ThreadId::new(((i / 16) % u64::from(threads)) as u32);
        let stack = StackId::new((i % 50) as u32);
        if i.is_multiple_of(10) {
            let kind =
                if i.is_multiple_of(20) { EventKind::MutexLock } else { EventKind::MutexUnlock };
            let object = 0x1000 + i % 64 * 8;
            let time = Timestamp::from_ns(i * 7);
            let sequence = sequencer.next(object);
            let event = Event { stack, object, time, sequence, ..Event::new(kind) };
            builder.push_event(thread, event).expect("memory");
        } else {
            let kind = if i.is_multiple_of(3) { AccessKind::Write } else { AccessKind::Read };
            // Random enough to make the codec work.
            let address = Address(0x7f00_0000_0000 + i.wrapping_mul(0x9E37_79B9) % 65536 * 8);
            builder.push_access(thread, Access { kind, address, size: 8, stack }).expect("memory");
        }
    }
    let (_, sink) = builder.finish_into_sink().expect("memory");
    sink.into_inner()
}

#[divan::bench(args = [1, 8, 512, 100_000], sample_count = 5)]
fn building(bencher: Bencher<'_, '_>, threads: u32) {
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| build(threads));
}

#[divan::bench(args = [8, 100_000], sample_count = 20)]
fn opening(bencher: Bencher<'_, '_>, threads: u32) {
    let bytes = build(threads);
    bencher
        .counter(BytesCount::new(bytes.len()))
        .with_inputs(|| bytes.clone())
        .bench_values(|bytes| Log::from_bytes("bench", bytes).expect("a whole log"));
}
