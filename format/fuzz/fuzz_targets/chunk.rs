//! Any bytes are a chunk or an error. The checksums are made right first, so that the decoders behind
//! them are what is tested.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mmtrace_format::chunk::{AccessColumns, CHUNK_HEADER_LEN, Chunk, LaneDecoder, SyncColumns};

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    mend(&mut bytes);
    let Ok(chunk) = Chunk::parse(&bytes) else { return };
    let header = chunk.header();
    let (mut decoder, mut events) = (LaneDecoder::default(), SyncColumns::default());
    if chunk.decode_sync(&mut decoder, &mut events).is_ok() {
        assert_eq!(events.events.len(), header.sync_count as usize);
        assert!(events.access_ends.is_sorted());
        assert!(events.access_ends.iter().all(|&end| end <= header.access_count));
        assert!(events.events.iter().all(|event| event.is_canonical()));
    }
    let mut accesses = AccessColumns::default();
    if chunk.decode_accesses(&mut decoder, &mut accesses).is_ok() {
        assert_eq!(accesses.len(), header.access_count as usize);
        assert_eq!(accesses.iter().count(), accesses.len());
    }
});

/// Puts the right checksums into the header, as far as its lengths make sense.
fn mend(bytes: &mut [u8]) {
    let u32_at = |bytes: &[u8], at: usize| {
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize
    };
    if bytes.len() < CHUNK_HEADER_LEN {
        return;
    }
    let fragments_len = u32_at(bytes, 60);
    let mut at = CHUNK_HEADER_LEN.saturating_add(fragments_len);
    for field in [36, 48] {
        let len = u32_at(bytes, field);
        let Some(lane) = bytes.get(at..at.saturating_add(len)) else { return };
        let crc = crc(lane).to_le_bytes();
        bytes[field + 8..field + 12].copy_from_slice(&crc);
        at += len;
    }
    let header_crc = crc(&bytes[4..CHUNK_HEADER_LEN + fragments_len]).to_le_bytes();
    bytes[..4].copy_from_slice(&header_crc);
}

/// CRC-32, bit by bit: independent of the crate under test.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
