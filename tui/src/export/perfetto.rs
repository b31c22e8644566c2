//! A window as a trace that the Perfetto UI opens: the JSON form of trace events, a thread a lane.

use std::io;
use std::sync::Arc;

use mmtrace_analyzer::Progress;
use serde_json::{Value, json};

use crate::engine::Engine;
use crate::index::{Lane, State};
use crate::page::{Row, Window};

/// Spans that are written; a file of more is none that a browser opens.
const SPANS_MAX: usize = 2_000_000;

/// The window as a trace: one slice a span, instants for findings.
///
/// # Errors
/// There would be more than two million slices.
pub fn perfetto(
    engine: &mut Engine<'_>,
    window: Window,
    rows: &[Row],
    progress: &dyn Progress,
) -> io::Result<String> {
    let index = Arc::clone(engine.index());
    let mut lanes: Vec<usize> = rows
        .iter()
        .flat_map(|row| match row {
            Row::Lane(lane) => vec![*lane],
            Row::Group(group) => index.members(*group).collect(),
        })
        .collect();
    lanes.sort_unstable();
    lanes.dedup();
    progress.phase("exporting lanes", lanes.len() as u64);
    let mut events = vec![json!({
        "ph": "M", "name": "process_name", "pid": 1, "args": { "name": "mmtrace" },
    })];
    for &lane in &lanes {
        let facts = index.lane(lane);
        let thread = facts.thread.as_u32();
        let name = engine.lane_name(facts.thread);
        events.push(json!({
            "ph": "M", "name": "thread_name", "pid": 1, "tid": thread, "args": { "name": name },
        }));
        add_spans(&index, &facts, window, &mut events)?;
        progress.advance(1);
    }
    let cards = engine.findings.iter().flat_map(|findings| &findings.cards);
    for card in cards {
        for place in &card.places {
            let is_inside = window.from_ns <= place.time_ns && place.time_ns < window.to_ns;
            if is_inside && lanes.binary_search(&place.lane).is_ok() {
                events.push(json!({
                    "ph": "i", "s": "t", "pid": 1,
                    "tid": index.lane(place.lane).thread.as_u32(),
                    "ts": micros(place.time_ns),
                    "name": format!("{}: {}", card.kind, card.title),
                    "cat": "finding",
                }));
            }
        }
    }
    progress.phase("writing the trace", 0);
    let trace = json!({ "traceEvents": events, "displayTimeUnit": "ns" });
    serde_json::to_string(&trace).map_err(io::Error::other)
}

fn add_spans(
    index: &crate::index::Index,
    lane: &Lane,
    window: Window,
    events: &mut Vec<Value>,
) -> io::Result<()> {
    let first = index.span_at(lane, window.from_ns).unwrap_or(0);
    for number in first..index.span_count(lane) {
        let span = index.span(lane, number);
        if span.start_ns >= window.to_ns {
            break;
        }
        if span.state == State::Ended {
            continue;
        }
        if events.len() >= SPANS_MAX {
            let text = format!("more than {SPANS_MAX} stretches: zoom in first");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let (from, to) = (span.start_ns.max(window.from_ns), span.end_ns.min(window.to_ns));
        events.push(json!({
            "ph": "X", "pid": 1, "tid": lane.thread.as_u32(), "ts": micros(from),
            "dur": micros(to.saturating_sub(from)), "name": span.state.spec().name, "cat": "state",
        }));
    }
    Ok(())
}

/// Microseconds with the nanoseconds behind the point, as the format has them.
fn micros(ns: u64) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "the format's times are doubles")]
    let micros = ns as f64 / 1000.0;
    json!(micros)
}
