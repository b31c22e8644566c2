//! Damaged, partial, empty and single-threaded logs open, with their gaps drawn as gaps.

use std::io::Cursor;

use mmtrace_fixtures::generate::random_trace;
use mmtrace_fixtures::trace::Trace;
use mmtrace_format::writer::BuilderOptions;
use mmtrace_format::{Event, EventKind, Log, ThreadId};
use mmtrace_tui::export::text;
use mmtrace_tui::index::{STATE_COUNT, State};
use mmtrace_tui::script::{ScriptOptions, run_script};

use crate::support::index_of;

const EVERYTHING: &str = "fit-all\nzoom-in\nright\nnext-change\nfindings\nnext-finding\ncause\n\
                          search kind:mutex-lock\nnext-match\nhelp\nkey esc\n";

fn bytes_of(trace: &Trace) -> Vec<u8> {
    let options = BuilderOptions { chunk_words: 256, ..BuilderOptions::default() };
    trace.write_log(Cursor::new(Vec::new()), options).unwrap().into_inner()
}

fn screen(log: &Log, script: &str) -> String {
    let output = run_script(log, script, &ScriptOptions::default()).unwrap();
    text(&output.shots.last().unwrap().buffer)
}

#[test]
fn a_log_without_events_says_so() {
    let log = Trace::new().log();
    assert!(screen(&log, EVERYTHING).contains("nothing was recorded"));
}

#[test]
fn a_log_of_one_event_is_a_lane() {
    let mut trace = Trace::new();
    trace.push_event(ThreadId::MAIN, Event::new(EventKind::Start));
    let log = trace.log();
    assert!(screen(&log, EVERYTHING).contains("t0 main"));
}

#[test]
fn a_damaged_chunk_is_a_gap_on_its_lanes_and_in_the_title() {
    let bytes = bytes_of(&random_trace(3, 3_000));
    let whole = Log::from_bytes("whole", bytes.clone()).unwrap();
    assert!(whole.chunks().len() > 6);
    let victim = &whole.chunks()[whole.chunks().len() / 2];
    let mut damaged = bytes;
    // In the middle of the payload: the header stays whole.
    let at = usize::try_from(victim.offset.0 + victim.payload_len / 2).unwrap();
    damaged[at..at + 24].fill(0xa5);
    let log = Log::from_bytes("damaged", damaged).unwrap();
    let index = index_of(&log);
    let mut gap_ns = [0; STATE_COUNT];
    for lane in 0..index.lane_count() {
        let totals = index.lane(lane).totals;
        for (sum, time) in gap_ns.iter_mut().zip(totals) {
            *sum += time;
        }
    }
    assert!(gap_ns[State::Gap as usize] > 0, "no lane has a gap");
    screen(&log, EVERYTHING);
}

#[test]
fn a_log_that_was_cut_anywhere_opens_or_says_why_not() {
    let bytes = bytes_of(&random_trace(5, 1_500));
    for cut in (0..bytes.len()).step_by(bytes.len() / 40) {
        if cut == 0 {
            continue;
        }
        if let Ok(log) = Log::from_bytes("cut", bytes[..cut].to_vec()) {
            let shown = screen(&log, EVERYTHING);
            assert!(shown.contains("gap") || shown.contains("nothing was recorded"), "{shown}");
        }
    }
}

#[test]
fn any_flipped_byte_costs_at_most_its_chunk() {
    let bytes = bytes_of(&random_trace(8, 600));
    for at in (4096..bytes.len()).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x55;
        if let Ok(log) = Log::from_bytes("flipped", damaged) {
            screen(&log, "fit-all\nnext-change\n");
        }
    }
}
