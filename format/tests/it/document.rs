//! docs/FORMAT.md says what the code does.

use std::io::Cursor;

use mmtrace_format::event::spec::SPECS;
use mmtrace_format::writer::{BuilderOptions, LogBuilder};
use mmtrace_format::{Event, EventKind, ProcessInfo, ThreadId, Timestamp};

use crate::support::{open, read_all};

const DOCUMENT: &str = include_str!("../../../docs/FORMAT.md");

/// The log of the document's example.
fn example() -> Vec<u8> {
    let info = ProcessInfo {
        run_id: *b"sixteen bytes id",
        program: "hello".to_owned(),
        pid: 42,
        ..ProcessInfo::default()
    };
    let sink = Cursor::new(Vec::new());
    let mut builder = LogBuilder::new(sink, &info, BuilderOptions::default()).unwrap();
    let (text, _) = builder.tables().intern_string("hi");
    let events =
        [(EventKind::Start, 10, 0), (EventKind::Mark, 25, text.as_u32()), (EventKind::End, 30, 0)];
    for (kind, ns, value) in events {
        let time = Timestamp::from_ns(ns);
        let event = Event { time, value: u64::from(value), ..Event::new(kind) };
        builder.push_event(ThreadId::MAIN, event).unwrap();
    }
    builder.finish_into_sink().unwrap().1.into_inner()
}

/// The lines of the fenced block with this name.
fn block(name: &str) -> impl Iterator<Item = &'static str> {
    let start = format!("```{name}\n");
    let (_, rest) = DOCUMENT.split_once(&start).unwrap_or_else(|| panic!("no {name} block"));
    rest.split_once("```").unwrap().0.lines()
}

/// The bytes of the document's hexdump: `offset  bytes  ; remark`, zeros where nothing is said, the
/// last line with the length.
fn dumped() -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in block("hexdump") {
        let line = line.split(';').next().unwrap().trim();
        let mut words = line.split_ascii_whitespace();
        let Some(offset) = words.next() else { continue };
        let offset = usize::from_str_radix(offset, 16).unwrap();
        assert!(offset >= bytes.len(), "{line}");
        bytes.resize(offset, 0);
        bytes.extend(words.map(|byte| u8::from_str_radix(byte, 16).unwrap()));
    }
    bytes
}

#[test]
fn the_annotated_hexdump_is_a_log_with_the_three_events_that_it_says() {
    let log = open(dumped()).unwrap();
    let content = read_all(&log);
    assert_eq!(content.damage, Vec::<String>::new());
    let lines: Vec<String> = content.lines.values().flatten().map(ToString::to_string).collect();
    assert_eq!(lines, block("events").collect::<Vec<_>>());
    assert_eq!(log.info().program, "hello");
    assert_eq!(dumped(), example());
}

/// What the writer writes today, for whoever brings the hexdump up to date.
#[test]
#[ignore = "prints the example as a hexdump"]
#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn print_the_example() {
    let bytes = example();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        if chunk.iter().any(|&byte| byte != 0) {
            let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("{:08x}  {}", line * 16, hex.join(" "));
        }
    }
    println!("{:08x}", bytes.len());
}

#[test]
fn every_event_kind_is_a_row_of_the_event_table() {
    let (_, rest) = DOCUMENT.split_once("<!-- event table:").unwrap();
    let (table, _) = rest.split_once("<!-- end of the event table -->").unwrap();
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert_eq!(rows.len(), SPECS.len());
    for (row, spec) in rows.iter().zip(SPECS) {
        let cells: Vec<&str> = row.split(" | ").collect();
        assert_eq!(cells[0], format!("| {}", spec.tag));
        assert_eq!(cells[1], spec.name);
        for field in spec.fields {
            let slot = format!("{:?}: {}", field.slot, field.name).to_lowercase();
            assert!(cells[2].to_lowercase().contains(&slot), "{row}: {slot}");
        }
        assert_eq!(cells[3], format!("{} |", spec.meaning.replace('|', "\\|")));
    }
}
