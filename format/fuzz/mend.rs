//! Right checksums for wrong logs.

use mmtrace_format::layout::BLOCK_HEADER_LEN;

/// Pads to a first page, and mends the checksums of the identity and of all blocks that are where a
/// walk finds them.
pub fn mend(bytes: &mut Vec<u8>) {
    if bytes.len() < 4096 {
        // Inputs of a few bytes are blocks without a page.
        let mut log = vec![0; 4096];
        log[..8].copy_from_slice(&mmtrace_format::layout::HEADER_MAGIC);
        log[8] = 1;
        log[13] = 0x10;
        log[64] = 1;
        // Slots of a page's length, should there be any.
        log[37] = 0x10;
        log.append(bytes);
        *bytes = log;
    }
    seal(bytes, 0..60, 60);
    seal(bytes, 64..4088, 4088);
    let mut at = 4096;
    while let Some(header) = bytes.get(at..at + BLOCK_HEADER_LEN as usize) {
        if header[..4] != *b"mBLK" {
            at += 64;
            continue;
        }
        let len = u64::from_le_bytes(header[8..16].try_into().expect("eight bytes"));
        bytes[at + 16..at + 24].copy_from_slice(&(at as u64).to_le_bytes());
        let payload = usize::try_from(len).ok().and_then(|len| (at + 64).checked_add(len));
        if let Some(end) = payload.filter(|&end| end <= bytes.len()) {
            seal(bytes, at + 64..end, at + 24);
        }
        seal(bytes, at..at + 60, at + 60);
        let next = payload.and_then(|end| end.checked_next_multiple_of(64));
        at = next.filter(|&next| next <= bytes.len()).unwrap_or(at + 64);
    }
}

fn seal(bytes: &mut [u8], range: std::ops::Range<usize>, at: usize) {
    let crc = crc(&bytes[range]);
    bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// CRC-32 by table: independent of the crate under test.
fn crc(bytes: &[u8]) -> u32 {
    static TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    let step = |crc: u32, &byte: &u8| crc >> 8 ^ TABLE[((crc ^ u32::from(byte)) & 0xff) as usize];
    !bytes.iter().fold(u32::MAX, step)
}
