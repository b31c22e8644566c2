//! Any words in a slot are sealed up to the first that no recorder writes, and what was sealed reads
//! back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mmtrace_format::chunk::codec::LEVEL_RECORDING;
use mmtrace_format::chunk::{
    AccessColumns, Chunk, LaneDecoder, RawChunk, SealScratch, SyncColumns, seal,
};
use mmtrace_format::event::word::decode_record;
use mmtrace_format::{StreamId, ThreadId, Timestamp};

fuzz_target!(|data: &[u8]| {
    let words: Vec<u64> = data
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().expect("chunks of eight")))
        .collect();
    let raw = RawChunk {
        words: &words,
        stream: StreamId::new(1),
        number: 2,
        thread: ThreadId::new(3),
        switch_count: 4,
        first_time: Timestamp::from_ns(5),
        last_time: Timestamp::from_ns(5),
    };
    let (sealed, problem) = seal(&raw, LEVEL_RECORDING, &mut SealScratch::new());
    let chunk = Chunk::parse(&sealed.bytes).expect("what was sealed is a chunk");
    assert_eq!(*chunk.header(), sealed.header);
    let mut decoder = LaneDecoder::default();
    let (mut events, mut accesses) = (SyncColumns::default(), AccessColumns::default());
    chunk.decode_sync(&mut decoder, &mut events).expect("what was sealed reads back");
    chunk.decode_accesses(&mut decoder, &mut accesses).expect("what was sealed reads back");
    if problem.is_none() {
        let mut at = 0;
        while at < words.len() {
            at = decode_record(&words, at).expect("all words were sealed").1;
        }
    }
});
