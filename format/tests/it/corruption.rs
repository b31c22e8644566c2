//! Damage is noticed, costs what it damaged, and makes nothing up.

use std::collections::BTreeMap;
use std::io::Cursor;

use mmtrace_format::event::text::Line;
use mmtrace_format::log::OpenError;
use mmtrace_format::recover::recover;
use mmtrace_format::verify::verify_log;
use mmtrace_format::{Log, Timestamp};

use crate::support::{Content, open, read_all, record_small, small_log};

/// Reads a damaged log, and checks that nothing was made up: every thread's lines are some of those
/// that it wrote, in their order.
fn read_damaged(bytes: Vec<u8>, whole: &Content, what: &str) -> Option<(Log, Content)> {
    let log = match open(bytes) {
        Ok(log) => log,
        Err(OpenError::Page { .. } | OpenError::Empty { .. }) => return None,
        Err(error) => panic!("{what}: {error}"),
    };
    let content = read_all(&log);
    for (thread, lines) in &content.lines {
        let original = whole.lines.get(thread);
        let original = original.unwrap_or_else(|| panic!("{what}: {thread} was made up"));
        assert!(is_part_of(lines, original), "{what}: {thread} was changed");
    }
    for entry in &content.tables {
        assert!(whole.tables.contains(entry), "{what}: {entry} was made up");
    }
    for section in &content.symbols {
        assert!(whole.symbols.contains(section), "{what}: {} was changed", section.name);
    }
    Some((log, content))
}

fn is_part_of(part: &[Line], whole: &[Line]) -> bool {
    let mut rest = whole.iter();
    part.iter().all(|line| rest.any(|other| other == line))
}

#[test]
#[cfg_attr(miri, ignore = "thousands of logs")]
fn every_flipped_byte_is_noticed_and_makes_nothing_up() {
    let bytes = small_log();
    let whole = read_all(&open(bytes.clone()).unwrap());
    assert_eq!(whole.damage, Vec::<String>::new());
    for at in 0..bytes.len() {
        // Another bit in every byte: the checksums do not care which.
        let flip = 1 << (at % 8);
        let mut damaged = bytes.clone();
        damaged[at] ^= flip;
        let what = format!("byte {at} ^ {flip:#x}");
        if let Some((log, content)) = read_damaged(damaged, &whole, &what) {
            assert!(!content.damage.is_empty(), "{what} is not noticed");
            assert!(!verify_log(&log).is_whole(), "{what} is not noticed by verify");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "thousands of logs")]
fn every_truncation_is_noticed_and_makes_nothing_up() {
    let bytes = small_log();
    let whole = read_all(&open(bytes.clone()).unwrap());
    for len in 0..bytes.len() {
        let what = format!("{len} bytes");
        if let Some((log, content)) = read_damaged(bytes[..len].to_vec(), &whole, &what) {
            assert!(!content.damage.is_empty(), "{what} is not noticed");
            assert!(!verify_log(&log).is_whole(), "{what} is not noticed by verify");
        }
    }
    for extra in [1, 63, 64, 4096] {
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + extra, 0);
        let (log, content) = read_damaged(longer, &whole, "zeros at the end").unwrap();
        assert!(!content.damage.is_empty() && !log.is_complete());
        assert_eq!(content.lines, whole.lines);
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps a file")]
fn every_flipped_byte_of_a_recorded_log_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    record_small(&path).close(Timestamp::from_ns(99)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let whole = read_all(&open(bytes.clone()).unwrap());
    assert_eq!((whole.damage.len(), whole.lines.len()), (0, 3));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x04;
        if let Some((_, content)) = read_damaged(damaged, &whole, &format!("byte {at}")) {
            assert!(!content.damage.is_empty(), "byte {at} is not noticed");
        }
    }
}

/// A log that was not closed says so, whatever else is damaged. Its slots have no checksum, so an
/// event in them may be changed; but it is never called whole.
#[test]
#[cfg_attr(miri, ignore = "maps a file")]
fn a_killed_log_is_never_taken_for_a_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    drop(record_small(&path));
    let bytes = std::fs::read(&path).unwrap();
    for at in (0..bytes.len()).filter(|at| bytes[*at] != 0 || at.is_multiple_of(97)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x02;
        if let Ok(log) = open(damaged) {
            assert!(!read_all(&log).damage.is_empty(), "byte {at}");
            assert!(!verify_log(&log).is_whole(), "byte {at}");
        }
    }
    for len in (0..bytes.len()).step_by(61) {
        if let Ok(log) = open(bytes[..len].to_vec()) {
            assert!(!read_all(&log).damage.is_empty(), "{len} bytes");
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "maps files")]
fn what_is_recovered_from_a_damaged_log_is_closed_and_says_what_is_missing() {
    let bytes = small_log();
    let whole = read_all(&open(bytes.clone()).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.log");
    let mut opened = 0;
    for at in (0..bytes.len()).step_by(13) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x20;
        std::fs::write(&path, &damaged).unwrap();
        let mut sink = Cursor::new(Vec::new());
        let Ok(recovered) = recover(&path, &mut sink) else {
            assert!(at < 16, "byte {at}: only the mark and the version are beyond repair");
            continue;
        };
        opened += 1;
        let what = format!("byte {at}");
        let (log, content) = read_damaged(sink.into_inner(), &whole, &what).unwrap();
        assert!(!recovered.gaps.is_empty() && !log.is_complete(), "{what}");
        assert_eq!(log.gaps(), recovered.gaps, "{what}");
        // What was damaged is gone for good: everything that is left is whole.
        assert!(verify_log(&log).blocks.iter().skip(1).all(|b| b.problem.is_none()), "{what}");
        let kept: usize = content.lines.values().map(Vec::len).sum();
        let all: usize = whole.lines.values().map(Vec::len).sum();
        assert!(kept * 3 > all, "{what}: {kept} of {all}");
    }
    assert!(opened > 100);
}

#[test]
#[cfg_attr(miri, ignore = "maps a file")]
fn a_whole_log_is_recovered_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whole.log");
    std::fs::write(&path, small_log()).unwrap();
    let mut sink = Cursor::new(Vec::new());
    assert_eq!(recover(&path, &mut sink).unwrap().gaps, []);
    let (before, after) = (read_all(&open(small_log()).unwrap()), open(sink.into_inner()).unwrap());
    let after_content = read_all(&after);
    assert!(after.is_complete());
    assert_eq!(after_content.lines, before.lines);
    assert_eq!(after_content.tables, before.tables);
    assert_eq!(after_content.symbols, before.symbols);
}

#[test]
fn a_lost_chunk_costs_only_its_own_events() {
    let bytes = small_log();
    let log = open(bytes.clone()).unwrap();
    let whole = read_all(&log);
    let entry = log.chunks()[0].clone();
    let mut damaged = bytes;
    // The header of the block, so that a walk cannot know what was there.
    damaged[entry.offset.0 as usize + 9] ^= 0xff;
    // And the index, so that a walk is needed.
    let index_at = log.state().index_at as usize;
    damaged[index_at + 100] ^= 0xff;
    let log = open(damaged).unwrap();
    let reasons: Vec<_> = log.gaps().iter().map(|gap| gap.reason.to_string()).collect();
    assert_eq!(
        reasons,
        ["the index is damaged", "a block is damaged", "chunks are missing"],
        "{:?}",
        log.gaps()
    );
    let kept: usize = read_all(&log).lines.values().map(Vec::len).sum();
    let all: usize = whole.lines.values().map(Vec::len).sum();
    let switches = u64::from(entry.header.fragments);
    let cost = (all - kept) as u64;
    assert!(cost <= entry.record_count() && cost + switches >= entry.record_count());
}

#[test]
fn files_that_are_no_logs_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let write = |name: &str, bytes: &[u8]| std::fs::write(at(name), bytes).unwrap();
    write("empty", b"");
    write("text", b"not a log at all, but long enough to be one: a text file");
    write("short", &small_log()[..40]);
    let mut newer = small_log();
    newer[8..12].copy_from_slice(&[9, 0, 0, 0]);
    let crc = crc32fast::hash(&newer[..60]);
    newer[60..64].copy_from_slice(&crc.to_le_bytes());
    write("newer", &newer);
    let mut damaged = small_log();
    damaged[33] ^= 1;
    write("damaged", &damaged);
    let message = |name: &str| {
        let error = Log::open(at(name)).unwrap_err().to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(message("none"), "none: no such file");
    assert_eq!(message(""), ": is a folder, expected a log");
    assert_eq!(message("empty"), "empty: byte 0: the file is empty, expected a log");
    assert_eq!(
        message("text"),
        "text: byte 0: found [6e, 6f, 74, 20, 61, 20, 6c, 6f], expected the mark of a log, \
         [89, 6d, 6d, 74, 0d, 0a, 1a, 0a]"
    );
    assert_eq!(
        message("short"),
        "short: byte 40: the file ends in its header, which takes 4096 bytes"
    );
    assert_eq!(
        message("newer"),
        "newer: byte 8: the log has format version 9.0, this program reads 1.x"
    );
    assert!(message("damaged").starts_with("damaged: byte 0: the header has checksum 0x"));
}

/// Lengths that claim the world are refused before anything is allocated for them. The checksums
/// are right: this is malice, not damage.
#[test]
fn hostile_lengths_allocate_nothing() {
    let bytes = small_log();
    let log = open(bytes.clone()).unwrap();
    let whole: BTreeMap<_, _> = read_all(&log).lines;
    let index_at = log.state().index_at as usize;
    for (offset, value) in [(64, u32::MAX), (68, u32::MAX), (64, 16 << 20), (68, 0)] {
        let mut hostile = bytes.clone();
        hostile[index_at + offset..index_at + offset + 4].copy_from_slice(&value.to_le_bytes());
        let payload_len =
            u64::from_le_bytes(hostile[index_at + 8..index_at + 16].try_into().unwrap());
        let payload = index_at + 64..index_at + 64 + payload_len as usize;
        let crc = crc32fast::hash(&hostile[payload]);
        hostile[index_at + 24..index_at + 28].copy_from_slice(&crc.to_le_bytes());
        let crc = crc32fast::hash(&hostile[index_at..index_at + 60]);
        hostile[index_at + 60..index_at + 64].copy_from_slice(&crc.to_le_bytes());
        let log = open(hostile).unwrap();
        assert!(!log.is_complete());
        // The blocks are all there, so a walk finds everything.
        assert_eq!(read_all(&log).lines, whole);
    }
}
