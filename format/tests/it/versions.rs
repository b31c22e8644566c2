//! What a reader does with logs that a newer writer wrote.

use mmtrace_format::GapReason;
use mmtrace_format::layout::{BlockHeader, BlockKind};
use mmtrace_format::log::OpenError;

use crate::support::{open, read_all, small_log};

/// A log whose identity says this version, with its checksum right.
fn with_version(major: u16, minor: u16) -> Vec<u8> {
    let mut bytes = small_log();
    bytes[8..10].copy_from_slice(&major.to_le_bytes());
    bytes[10..12].copy_from_slice(&minor.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn a_newer_minor_version_is_read() {
    let log = open(with_version(1, 77)).unwrap();
    assert!(log.is_complete());
    assert_eq!(log.identity().version.minor, 77);
    assert_eq!(read_all(&log).lines, read_all(&open(small_log()).unwrap()).lines);
}

#[test]
fn another_major_version_is_refused_by_number() {
    for major in [0, 2, 500] {
        let error = open(with_version(major, 0)).unwrap_err();
        assert!(matches!(error, OpenError::Page { .. }), "{error}");
        assert!(error.to_string().contains(&format!("format version {major}.0")), "{error}");
    }
}

/// A block of a kind that only newer versions know is stepped over, and the reader says so.
#[test]
fn a_block_of_an_unknown_kind_is_skipped_and_reported() {
    let bytes = small_log();
    let whole = read_all(&open(bytes.clone()).unwrap());
    // In the place of the symbols: their kind becomes one that does not exist yet.
    let mut at = 4096;
    let symbols = loop {
        let header = BlockHeader::decode(&bytes, at).unwrap();
        if header.kind == BlockKind::Symbols {
            break header;
        }
        at = header.end();
    };
    let mut newer = bytes.clone();
    let header = BlockHeader { kind: BlockKind::Unknown(200), ..symbols };
    newer[at as usize..at as usize + 64].copy_from_slice(&header.encode());
    // The index would contradict the block; a walk is what an unfinished newer log gets.
    let index_at = open(bytes).unwrap().state().index_at as usize;
    newer[index_at] ^= 1;
    let log = open(newer).unwrap();
    let reasons: Vec<_> = log.gaps().iter().map(|gap| gap.reason).collect();
    let expected = [GapReason::DamagedIndex, GapReason::UnknownBlock, GapReason::DamagedBlock];
    assert_eq!(reasons, expected);
    assert_eq!(read_all(&log).lines, whole.lines);
}
