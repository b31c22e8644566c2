//! Damaged logs: a report is never clean, never invents a race, and never panics.

use std::collections::BTreeSet;

use mmtrace_analyzer::EventRef;
use mmtrace_analyzer::finding::{Evidence, Severity};
use mmtrace_analyzer::report::{Report, Verdict};
use mmtrace_fixtures::notation;
use mmtrace_format::Log;

use crate::logs::{bytes_of, report_of_log};

/// A program with a race, and one without that a lost edge would make racy.
const STORIES: [&str; 2] = [
    "
    t0 alloc block 64                @make(a.rs:1)
    t0 spawn t1                      @main(a.rs:2)
    t1 write racy                    @work(a.rs:3)
    t0 write racy                    @main(a.rs:4)
    ",
    "
    t0 spawn t1                      @main(a.rs:2)
    t1 lock m
    t1 write x                       @work(a.rs:3)
    t1 unlock m
    t0 lock m
    t0 write x                       @main(a.rs:4)
    t0 unlock m
    t0 join t1
    ",
];

/// About so many places of a log are damaged, evenly spread.
const PLACES: usize = 400;

/// The pairs of accesses that the report stands by. Names may be lost, so they say nothing here.
fn sure(report: &Report) -> BTreeSet<(EventRef, EventRef)> {
    let sure = report.findings.iter().filter(|finding| finding.severity > Severity::Note);
    sure.filter_map(|finding| match &finding.evidence {
        Evidence::Race(race) => Some((race.first.event, race.second.event)),
        _ => None,
    })
    .collect()
}

fn check(story: &str, damage: impl Fn(usize, &mut Vec<u8>)) {
    let whole = bytes_of(&notation::trace(story));
    let expected = sure(&report_of_log(&Log::from_bytes("whole", whole.clone()).unwrap()));
    for place in (0..whole.len()).step_by(whole.len() / PLACES) {
        let mut bytes = whole.clone();
        damage(place, &mut bytes);
        // Not a log at all any more: that is an error, and not our business.
        let Ok(log) = Log::from_bytes("damaged", bytes) else { continue };
        let report = report_of_log(&log);
        let invented: Vec<_> = sure(&report).difference(&expected).copied().collect();
        assert_eq!(invented, [], "byte {place}: {report:#?}");
        if log.is_complete() && report.gaps.is_empty() {
            // Damage that nobody reads: then nothing may be missing either.
            assert_eq!(sure(&report), expected, "byte {place}");
        } else {
            assert_ne!(report.verdict, Verdict::Clean, "byte {place}");
        }
    }
}

#[test]
fn a_flipped_bit_costs_findings_at_most() {
    for story in STORIES {
        check(story, |place, bytes| bytes[place] ^= 1 << (place % 8));
    }
}

#[test]
fn a_log_cut_short_costs_findings_at_most() {
    for story in STORIES {
        check(story, |place, bytes| bytes.truncate(place));
    }
}
