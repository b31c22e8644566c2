//! Sealing and reading chunks, in raw words: one word is eight bytes.
//!
//! Three programs: a sweep over an array, a server that locks and touches random fields of its
//! shard, and a thread that does nothing but lock and unlock.

#![expect(clippy::print_stdout, reason = "a bench reports to its terminal")]

use divan::Bencher;
use divan::counter::BytesCount;
use mmtrace_format::chunk::{
    AccessColumns, Chunk, LaneDecoder, OpenChunk, SealScratch, SealedChunk, SyncColumns, codec,
    seal,
};
use mmtrace_format::{
    Access, AccessKind, Address, Event, EventKind, StackId, StreamId, ThreadId, Timestamp,
};

fn main() {
    for name in PROGRAMS {
        let open = program(name);
        let sealed = sealed(&open, &mut SealScratch::new());
        println!("{name}: {:.2} bytes a word", sealed.bytes.len() as f64 / open.len() as f64);
    }
    divan::main();
}

const PROGRAMS: [&str; 3] = ["sweep", "server", "locks"];
const WORDS: usize = 32 * 1024;

/// A small generator of its own: benches must not change with a dependency's version.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % limit
    }
}

fn program(name: &str) -> OpenChunk {
    let mut chunk = OpenChunk::new(WORDS);
    let mut random = Random(88_172_645_463_325_252);
    let (mut time, mut sequence) = (0, 0);
    let mut lock = |chunk: &mut OpenChunk, kind, mutex: u64, random: &mut Random| {
        time += 20 + random.below(40);
        sequence += 1;
        let event = Event {
            object: 0x7f00_0000_1000 + mutex * 64,
            sequence,
            stack: StackId::new(if kind == EventKind::MutexLock { 1 } else { 2 }),
            time: Timestamp::from_ns(time),
            ..Event::new(kind)
        };
        chunk.push_event(&event);
    };
    let access = |kind, address, stack| Access {
        kind,
        address: Address(address),
        size: 8,
        stack: StackId::new(stack),
    };
    let mut round = 0;
    while chunk.len() + 256 < WORDS {
        match name {
            "sweep" => {
                for i in 0..64 {
                    let address = 0x7f00_0000_0000 + (round * 64 + i) * 8;
                    chunk.push_access(&access(AccessKind::Read, address, 10));
                    chunk.push_access(&access(AccessKind::Write, address, 11));
                }
            }
            "server" => {
                let mutex = random.below(100);
                let code = random.below(500) as u32 * 10;
                lock(&mut chunk, EventKind::MutexLock, mutex, &mut random);
                for line in 0..4 + random.below(12) {
                    let kind =
                        if random.below(3) == 0 { AccessKind::Write } else { AccessKind::Read };
                    let field = mutex * 40 + random.below(40);
                    let stack = 100 + code + (line % 8) as u32;
                    chunk.push_access(&access(kind, 0x7f10_0000_0000 + field * 8, stack));
                }
                lock(&mut chunk, EventKind::MutexUnlock, mutex, &mut random);
            }
            _ => {
                lock(&mut chunk, EventKind::MutexLock, 1, &mut random);
                lock(&mut chunk, EventKind::MutexUnlock, 1, &mut random);
            }
        }
        round += 1;
    }
    chunk
}

fn sealed(open: &OpenChunk, scratch: &mut SealScratch) -> SealedChunk {
    let times = (Timestamp::default(), Timestamp::default());
    let raw = open.as_raw(StreamId::new(0), 0, ThreadId::MAIN, 0, times);
    seal(&raw, codec::LEVEL_RECORDING, scratch).0
}

#[divan::bench(args = PROGRAMS)]
fn seal_raw_words(bencher: Bencher<'_, '_>, name: &str) {
    let open = program(name);
    let mut scratch = SealScratch::new();
    bencher.counter(BytesCount::new(open.len() * 8)).bench_local(|| sealed(&open, &mut scratch));
}

#[divan::bench(args = PROGRAMS)]
fn decode_to_columns(bencher: Bencher<'_, '_>, name: &str) {
    let open = program(name);
    let sealed = sealed(&open, &mut SealScratch::new());
    let (mut events, mut accesses) = (SyncColumns::default(), AccessColumns::default());
    let mut decoder = LaneDecoder::default();
    bencher.counter(BytesCount::new(open.len() * 8)).bench_local(|| {
        let chunk = Chunk::parse(&sealed.bytes).expect("just sealed");
        chunk.decode_sync(&mut decoder, &mut events).expect("just sealed");
        chunk.decode_accesses(&mut decoder, &mut accesses).expect("just sealed");
        accesses.len() + events.events.len()
    });
}
