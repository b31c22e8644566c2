//! What is pushed is read.

use std::collections::BTreeMap;
use std::io::Cursor;

use mmtrace_format::event::spec::SPECS;
use mmtrace_format::event::text::Line;
use mmtrace_format::event::{DETAIL_MAX, Slot};
use mmtrace_format::log::Gap;
use mmtrace_format::writer::{BuilderOptions, LogBuilder, LogWriter};
use mmtrace_format::{
    Access, AccessKind, Address, Event, EventKind, GapReason, ModuleId, StackId, ThreadId,
    Timestamp,
};
use proptest::prelude::*;

use crate::support::{info, open, read_all, small_log};

fn event() -> impl Strategy<Value = Event> {
    let number = || prop_oneof![0..4u64, any::<u64>()];
    let operands = (number(), number(), number(), number());
    (0..SPECS.len() - 1, operands, 0..=DETAIL_MAX, 0..9u32, any::<u32>()).prop_map(
        |(row, (object, sequence, value, extra), detail, stack, ns)| {
            let mut event = Event::new(SPECS[row].kind);
            event.stack = StackId::new(stack);
            event.time = Timestamp::from_ns(u64::from(ns));
            let detail = u64::from(detail);
            let slots = Slot::ALL.into_iter().zip([detail, object, sequence, value, extra]);
            for (slot, number) in slots.filter(|(slot, _)| SPECS[row].has(*slot)) {
                event.set_slot(slot, number);
            }
            event
        },
    )
}

fn access() -> impl Strategy<Value = Access> {
    let address = prop_oneof![(0..64u64).prop_map(|i| 0x1000 + i * 8), any::<u64>()];
    (0..8u8, address, prop_oneof![Just(8u64), any::<u64>()], 0..5u32).prop_map(
        |(kind, address, size, stack)| Access {
            kind: AccessKind::from_tag(kind),
            address: Address(address),
            size,
            stack: StackId::new(stack),
        },
    )
}

/// A thread's records: mostly few, sometimes enough for a stream of its own.
fn steps() -> impl Strategy<Value = Vec<(u32, Vec<Line>)>> {
    let line = |thread: u32| {
        let thread = ThreadId::new(thread);
        prop_oneof![
            event().prop_map(move |event| Line::Event(thread, event)),
            access().prop_map(move |access| Line::Access(thread, access)),
        ]
    };
    let run = (0..5u32)
        .prop_flat_map(move |thread| (Just(thread), prop::collection::vec(line(thread), 0..40)));
    prop::collection::vec(run, 0..12)
}

fn push(builder: &mut LogBuilder<Cursor<Vec<u8>>>, line: &Line) {
    match *line {
        Line::Event(thread, event) => builder.push_event(thread, event).unwrap(),
        Line::Access(thread, access) => builder.push_access(thread, access).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_thread_reads_back_what_it_did_in_its_order(
        steps in steps(),
        chunk_words in 16..200usize,
        buffer_words in 1..500usize,
    ) {
        let options = BuilderOptions { chunk_words, buffer_words, ..BuilderOptions::default() };
        let mut builder = LogBuilder::new(Cursor::new(Vec::new()), &info(), options).unwrap();
        let mut expected: BTreeMap<ThreadId, Vec<Line>> = BTreeMap::new();
        for (thread, lines) in &steps {
            for line in lines {
                push(&mut builder, line);
                let switch = matches!(line, Line::Event(_, e) if e.kind == EventKind::Switch);
                if !switch {
                    expected.entry(ThreadId::new(*thread)).or_default().push(*line);
                }
            }
        }
        let (summary, sink) = builder.finish_into_sink().unwrap();
        let log = open(sink.into_inner()).unwrap();
        let content = read_all(&log);
        prop_assert_eq!(&content.damage, &Vec::<String>::new());
        prop_assert_eq!(content.lines, expected);
        prop_assert_eq!(summary.file_len, log.file_len());
        prop_assert_eq!(summary.events, log.event_count());
        prop_assert_eq!(summary.accesses, log.access_count());
    }
}

#[test]
fn threads_with_many_records_get_streams_of_their_own() {
    let options = BuilderOptions { chunk_words: 1000, ..BuilderOptions::default() };
    let mut builder = LogBuilder::new(Cursor::new(Vec::new()), &info(), options).unwrap();
    let mut expected: BTreeMap<ThreadId, Vec<Line>> = BTreeMap::new();
    // Three busy threads among two hundred that do next to nothing.
    for i in 0..60_000u32 {
        let thread = ThreadId::new(if i.is_multiple_of(20) { 3 + i / 20 % 200 } else { i % 3 });
        let address = Address(u64::from(i) * 8);
        let (kind, stack) = (AccessKind::Write, StackId::new(i % 7));
        let line = Line::Access(thread, Access { kind, address, size: 4, stack });
        push(&mut builder, &line);
        expected.entry(thread).or_default().push(line);
    }
    let (_, sink) = builder.finish_into_sink().unwrap();
    let log = open(sink.into_inner()).unwrap();
    let streams = log.chunks().iter().map(|chunk| chunk.header.stream.as_u32()).max();
    assert_eq!(streams, Some(3));
    assert_eq!(read_all(&log).lines, expected);
}

#[test]
fn tables_symbols_and_process_information_come_back() {
    let log = open(small_log()).unwrap();
    assert!(log.is_complete());
    let content = read_all(&log);
    assert_eq!(content.damage, Vec::<String>::new());
    assert_eq!(*log.info(), info());
    assert_eq!(content.tables.len(), 3 + 1 + 3 + 3);
    let sections: Vec<_> =
        content.symbols.iter().map(|s| (s.name.as_str(), s.address, s.bytes.len())).collect();
    assert_eq!(sections, [(".strtab", 0, 0), (".symtab", 0x100, 700)]);
    assert!(log.has_symbols(ModuleId::new(0)));
    assert!(!log.has_symbols(ModuleId::new(1)));
}

#[test]
fn a_time_window_finds_the_chunks_that_reach_into_it() {
    let log = open(small_log()).unwrap();
    let (first, last) = log.time_range().unwrap();
    assert_eq!(log.chunks_between(first, last).count(), log.chunks().len());
    let after = Timestamp::from_ns(last.ns + 1);
    assert_eq!(log.chunks_between(after, Timestamp::from_ns(u64::MAX)).count(), 0);
    let early: Vec<usize> = log.chunks_between(first, first).collect();
    assert!(!early.is_empty() && early.len() < log.chunks().len());
}

#[test]
fn gaps_that_a_writer_knows_of_make_its_log_incomplete() {
    let mut writer = LogWriter::new(Cursor::new(Vec::new()), &info()).unwrap();
    let mut gap = Gap::new(GapReason::MissingChunks, mmtrace_format::FileOffset(99));
    gap.thread = Some(ThreadId::new(5));
    gap.events = Some(12);
    gap.detail = "because".to_owned();
    writer.push_gap(&gap);
    let (_, sink) = writer.finish().unwrap();
    let log = open(sink.into_inner()).unwrap();
    assert_eq!(log.gaps(), [gap]);
    assert!(!log.is_complete());
}

/// Written and read once, a symbols section of several blocks is what it was.
#[test]
#[cfg_attr(miri, ignore = "megabytes")]
fn long_sections_are_cut_into_pieces_and_put_together_again() {
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i >> 8) as u8).collect();
    let mut writer = LogWriter::new(Cursor::new(Vec::new()), &info()).unwrap();
    writer.append_symbols(ModuleId::new(2), ".debug_info", 5, &bytes).unwrap();
    let (_, sink) = writer.finish().unwrap();
    let sections = open(sink.into_inner()).unwrap().symbols(ModuleId::new(2)).unwrap();
    assert_eq!((sections.len(), sections[0].address), (1, 5));
    assert!(sections[0].bytes == bytes);
}
