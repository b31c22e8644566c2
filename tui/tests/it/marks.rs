//! A finding is seen at every zoom, in exactly the cell that it is in.

use std::sync::Arc;

use mmtrace_analyzer::finding::Severity;
use mmtrace_format::{AccessKind, EventKind, Log, StackId};
use mmtrace_tui::engine::findings::{Body, Card, Findings};
use mmtrace_tui::page::{Marks, PageRequest, Row, Window};
use proptest::prelude::*;

use crate::support::{Program, analysed, engine_of};

/// A log with two racing accesses among many others.
fn planted(before: u32, after: u32) -> Program {
    let mut program = Program::new(2);
    for round in 0..before {
        program.access(
            1 + round % 2,
            AccessKind::Write,
            0x1000 + u64::from(round % 2) * 64,
            StackId::UNKNOWN,
        );
        program.pass(1 + round % 2, 1);
    }
    let site = program.site("app::racy", 7);
    program.access(1, AccessKind::Write, 0x9000, site);
    program.access(2, AccessKind::Write, 0x9000, site);
    for round in 0..after {
        program.pass(1 + round % 2, 1);
    }
    for thread in 0..3 {
        program.event(thread, EventKind::End, StackId::UNKNOWN, |_| {});
    }
    program
}

#[test]
fn exactly_the_cells_with_the_racing_accesses_are_marked_at_every_zoom_and_width() {
    the_racing_cells_are_marked(&planted(700, 900).trace.log(), 2);
}

/// As above, of one race among any number of records: `examples/long_log` plants one.
///
/// ```text
/// cargo run --release -p mmtrace-tui --example long_log -- long.log 100000000
/// MMTRACE_LONG_LOG=$PWD/long.log cargo test --release -p mmtrace-tui --test it -- --ignored long_log
/// ```
#[test]
#[ignore = "wants a log of `examples/long_log` in MMTRACE_LONG_LOG"]
fn the_race_of_a_long_log_is_marked_at_every_zoom_and_width() {
    let path = std::env::var_os("MMTRACE_LONG_LOG").expect("MMTRACE_LONG_LOG names a log");
    the_racing_cells_are_marked(&Log::open(path).unwrap(), 63);
}

/// Of a log whose only race has one access on each of the first two workers' lanes, workers being
/// the second group.
fn the_racing_cells_are_marked(log: &Log, workers: usize) {
    let mut engine = analysed(log);
    let (first, last) = engine.index().range();
    let matches = engine.search(&"finding:race".parse().unwrap(), &mut |_, _, _| true);
    assert_eq!(matches.total, 2, "both sides of the race");
    let race_ns = matches.hits[0].time_ns;
    let engine = std::cell::RefCell::new(engine);
    let mut runner = proptest::test_runner::TestRunner::default();
    // A few cells of a long log are nothing at random: windows around the race are as likely.
    let around = (0..64_u32, any::<u64>()).prop_map(move |(zoom, seed)| {
        let len = ((last - first) >> (zoom % 40)).max(1);
        let from = race_ns.saturating_sub(seed % (len + 1)).max(first);
        (from - first, len)
    });
    let anywhere = (0..=last - first, 1..=last - first + 1);
    let strategy = (40..=400_u16, prop_oneof![anywhere, around]);
    runner
        .run(&strategy, |(columns, (offset, len))| {
            let from_ns = first + offset;
            let window = Window { from_ns, to_ns: from_ns + len };
            let mut rows: Vec<Row> = (0..=workers).map(Row::Lane).collect();
            rows.push(Row::Group(1));
            let request =
                PageRequest { rows: rows.clone(), window, columns, overview_columns: columns };
            let page = engine.borrow_mut().page(request);
            for (row, cells) in rows.iter().zip(&page.rows) {
                for (column, cell) in (0..columns).zip(cells) {
                    let from = window.start_of(column, columns);
                    let to = window.start_of(column + 1, columns);
                    let expected = matches.hits.iter().any(|hit| {
                        let is_here = match row {
                            Row::Lane(lane) => hit.lane == *lane,
                            Row::Group(_) => true,
                        };
                        is_here && from <= hit.time_ns && hit.time_ns < to
                    });
                    prop_assert_eq!(cell.marks.has(Marks::RACE), expected);
                }
            }
            Ok(())
        })
        .unwrap();
}

/// A curve is no lane's: its mark is in the strip of the whole log, in one cell, and in no row.
#[test]
fn a_finding_of_the_whole_program_is_marked_at_its_moment_and_on_no_lane() {
    let log = planted(700, 900).trace.log();
    let mut engine = engine_of(&log);
    let (first, last) = engine.index().range();
    for moment_ns in [first, (first + last) / 3, last] {
        let card = Card {
            kind: "heap-growth".to_owned(),
            fingerprint: String::new(),
            severity: Severity::Warning,
            title: "heap growth".to_owned(),
            count: 1,
            test: None,
            places: Vec::new(),
            moment_ns: Some(moment_ns),
            body: Body::Text(Vec::new()),
        };
        engine.set_findings(Arc::new(Findings { cards: vec![card], ..Findings::default() }));
        for columns in 40..=400 {
            let window = Window { from_ns: first, to_ns: last + 1 };
            let rows = vec![Row::Lane(0), Row::Lane(1), Row::Lane(2)];
            let page =
                engine.page(PageRequest { rows, window, columns, overview_columns: columns });
            let marked: Vec<u16> = (0..columns)
                .zip(&page.overview)
                .filter(|(_, cell)| cell.marks.has(Marks::LEAK))
                .map(|(column, _)| column)
                .collect();
            assert_eq!(marked, [window.column_of(moment_ns, columns).unwrap()]);
            assert!(page.rows.iter().flatten().all(|cell| !cell.marks.has(Marks::LEAK)));
        }
    }
}
