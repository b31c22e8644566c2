//! All holes of a log in one list, in words.

use std::collections::BTreeMap;

use super::Input;
use crate::order::{GapCause, OrderGap, Trace};
use crate::race::Races;
use crate::report::ReportedGap;

/// The most gaps that a report lists; its summary counts all.
const GAPS_MAX: usize = 1000;

/// What reading found, then what ordering found; and how many there are.
pub(super) fn collect(
    trace: &Trace<'_>,
    races: &Races,
    input: &Input<'_>,
) -> (Vec<ReportedGap>, u64) {
    let mut lost: BTreeMap<usize, &str> = BTreeMap::new();
    for &chunk in trace.damaged_chunks() {
        lost.insert(chunk, "its header cannot be read");
    }
    for &chunk in &races.lost_lanes {
        lost.insert(chunk, "its accesses cannot be read: races in it are missed");
    }
    let mut of_order = Vec::new();
    let mut missing: BTreeMap<usize, (OrderGap, u64)> = BTreeMap::new();
    for gap in races.gaps.iter().map(|gap| &gap.gap) {
        match gap.cause {
            // One hole in the log tears a hole into many stripes: they are told together.
            GapCause::MissingNumbers { stripe, count } => {
                missing.entry(stripe).or_insert((*gap, 0)).1 += count;
            }
            GapCause::LostChunk { chunk } => {
                lost.insert(chunk, "its events cannot be read");
            }
            cause => of_order.push(order_gap(gap, in_words(cause))),
        }
    }
    let mut gaps = input.gaps.clone();
    gaps.extend(lost.into_iter().map(|(chunk, what)| (input.chunk_gap)(chunk, what)));
    gaps.extend(of_order);
    if let Some((first, _)) = missing.values().min_by_key(|(gap, _)| gap.time) {
        let events: u64 = missing.values().map(|(_, count)| count).sum();
        let what = format!(
            "{events} order numbers of {} are missing: what the events that had them ordered is \
             unknown",
            if missing.len() == 1 {
                "an object".to_owned()
            } else {
                format!("{} objects", missing.len())
            },
        );
        gaps.push(ReportedGap { events: Some(events), ..order_gap(first, what) });
    }
    gaps.dedup();
    let count = gaps.len() as u64;
    gaps.truncate(GAPS_MAX);
    (gaps, count)
}

fn in_words(cause: GapCause) -> String {
    match cause {
        GapCause::MissingNumbers { count, .. } => format!("{count} order numbers are missing"),
        GapCause::LateNumber { sequence, .. } => {
            format!("order number {sequence} of an object came twice, or after it was given up")
        }
        GapCause::MissingSpawn => {
            "a thread starts, and nobody started it: what it knew at its start is unknown"
                .to_owned()
        }
        GapCause::MissingEnd => {
            "a thread was joined, and its end is missing: what it did last is unknown".to_owned()
        }
        GapCause::LostChunk { chunk } => format!("chunk {chunk} cannot be read"),
    }
}

fn order_gap(gap: &OrderGap, what: String) -> ReportedGap {
    ReportedGap {
        what,
        goroutine: Some(gap.at.thread.as_u32()),
        events: None,
        offset: None,
        from_ns: None,
        to_ns: Some(gap.time.ns),
    }
}
