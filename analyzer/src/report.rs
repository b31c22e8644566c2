//! The result of an analysis: everything that text, JSON and screens show.
//!
//! `serde_json` of a [`Report`] is the JSON report of docs/REPORT.md; docs/report.schema.json is
//! its schema. Equal logs give equal bytes, whatever the number of worker threads.

pub mod text;

use mmtrace_format::{Address, Timestamp};
use serde::Serialize;

use crate::finding::{Finding, Severity, as_text, hexadecimal};
use crate::heap::{GrowthVerdict, Point};
use crate::order::EventRef;
use crate::symbol::Frame;

/// What scripts check first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Schema {
    /// `mmtrace-report`.
    pub name: &'static str,
    /// Changes when a script that follows docs/REPORT.md would break. New keys do not count.
    pub version: u32,
}

/// The schema that this version writes.
pub const SCHEMA: Schema = Schema { name: "mmtrace-report", version: 1 };

/// The answer in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The log is whole, and nothing was found.
    Clean,
    /// Something was found, be the log whole or not.
    Findings,
    /// Nothing was found for sure, and the log is not whole: that proves nothing.
    Incomplete,
}

/// The result of an analysis.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What this is.
    pub schema: Schema,
    /// The answer in a word.
    pub verdict: Verdict,
    /// What was recorded.
    pub log: LogFacts,
    /// The numbers.
    pub summary: Summary,
    /// The bugs, the worst first.
    pub findings: Vec<Finding>,
    /// Threads that were waiting when the log ended.
    pub blocked: Vec<BlockedThread>,
    /// What the heap did; `null` if no allocation was recorded.
    pub heap: Option<HeapReport>,
    /// Where the log has holes, and what they may have cost.
    pub gaps: Vec<ReportedGap>,
}

/// What was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogFacts {
    /// The program, as it was called.
    pub program: Option<String>,
    /// Whether the recording ended in good order.
    pub complete: bool,
    /// From the first event to the last.
    pub duration_ns: u64,
}

/// The numbers of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Events other than accesses.
    pub events: u64,
    /// Memory accesses.
    pub accesses: u64,
    /// Threads and goroutines that did anything.
    pub goroutines: u64,
    /// Holes in the log.
    pub gaps: u64,
    /// Data races.
    pub races: RaceSummary,
    /// Threads that wait.
    pub blocked: BlockedSummary,
    /// The heap.
    pub heap: HeapSummary,
}

/// The numbers about races. None of them is cut off, whatever a finding lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RaceSummary {
    /// Bugs.
    pub findings: u64,
    /// Distinct pairs of places in the program that race.
    pub site_pairs: u64,
    /// Pairs of accesses that race.
    pub event_pairs: u64,
    /// Distinct places in memory.
    pub addresses: u64,
}

/// The numbers about waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlockedSummary {
    /// Threads that were waiting when the log ended.
    pub at_end: u64,
    /// Those of them that no other could let go on.
    pub deadlocked: u64,
    /// Deadlocks.
    pub deadlocks: u64,
    /// Sets of threads that were left waiting for each other.
    pub leaks: u64,
    /// Circles of locks that did not become deadlocks.
    pub lock_order: u64,
}

/// The numbers about the heap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HeapSummary {
    /// Sites that grow and grow.
    pub findings: u64,
    /// Allocations.
    pub allocations: u64,
    /// Frees.
    pub frees: u64,
    /// The most live bytes.
    pub peak_bytes: u64,
    /// Live bytes at the end.
    pub live_at_end_bytes: u64,
}

/// A thread that was waiting when the log ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BlockedThread {
    /// The thread.
    pub goroutine: u32,
    /// Its name, if it has one.
    pub goroutine_name: Option<String>,
    /// The event with which it began to wait.
    #[serde(serialize_with = "as_text")]
    pub event: EventRef,
    /// What it waited for: `mutex`, `receive`, ...
    pub reason: &'static str,
    /// What it waited on; 0 if unknown.
    #[serde(serialize_with = "hexadecimal")]
    pub object: Address,
    /// Since when.
    pub since_ns: u64,
    /// Where.
    pub stack: Vec<Frame>,
    /// Whether all that could let it go on wait themselves, for it or for each other.
    pub is_deadlocked: bool,
    /// How many could have let it go on.
    pub waker_count: u64,
    /// Who: the holders of a lock, the living threads that ever used any other object. Not more
    /// than 16, and of the first 1,000 threads only.
    pub wakers: Vec<Waker>,
}

/// A thread that could have let another go on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Waker {
    /// The thread.
    pub goroutine: u32,
    /// Its name, if it has one.
    pub goroutine_name: Option<String>,
    /// Its last event on what the other waits for.
    #[serde(serialize_with = "as_text")]
    pub event: EventRef,
    /// Where that was.
    pub stack: Vec<Frame>,
}

/// Live bytes at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct HeapPoint {
    /// When.
    pub time_ns: u64,
    /// How many bytes.
    pub live_bytes: u64,
}

impl From<Point> for HeapPoint {
    fn from(point: Point) -> Self {
        let Timestamp { ns } = point.time;
        Self { time_ns: ns, live_bytes: point.live_bytes }
    }
}

/// What the heap did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeapReport {
    /// The moment with the most live bytes.
    pub peak: HeapPoint,
    /// Live bytes at the end.
    pub live_at_end_bytes: u64,
    /// Live blocks at the end.
    pub live_at_end_blocks: u64,
    /// Bytes allocated, freed or not.
    pub allocated_bytes: u64,
    /// Bytes allocated per second of the recording.
    pub allocated_bytes_per_second: u64,
    /// Frees of blocks whose allocation is not in the log.
    pub unknown_frees: u64,
    /// Allocations over blocks whose free is not in the log.
    pub missing_frees: u64,
    /// Live bytes over time.
    pub points: Vec<HeapPoint>,
    /// How many sites allocated.
    pub site_count: u64,
    /// Those that grow, and those with the highest peaks.
    pub sites: Vec<HeapSite>,
}

/// A stack that allocates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeapSite {
    /// Where it allocates, innermost first.
    pub stack: Vec<Frame>,
    /// The type, if the recorder knew.
    pub type_name: Option<String>,
    /// The shape of its curve.
    pub growth: GrowthVerdict,
    /// How sure that is, from 0 to 1.
    pub confidence: f64,
    /// Its growth while it lasted; 0 for shapes that do not grow.
    pub slope_bytes_per_second: i64,
    /// Whether nearly all was freed in the last moments.
    pub freed_at_exit: bool,
    /// The reason in words.
    pub why: String,
    /// The most live bytes.
    pub peak_bytes: u64,
    /// Live bytes at the end.
    pub live_at_end_bytes: u64,
    /// Bytes allocated, freed or not.
    pub allocated_bytes: u64,
    /// Allocations.
    pub allocations: u64,
    /// Frees.
    pub frees: u64,
    /// Live bytes over time.
    pub points: Vec<HeapPoint>,
}

/// A hole in the log, or in the order of its events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportedGap {
    /// What is missing and why, in words.
    pub what: String,
    /// The thread concerned, if it is one.
    pub goroutine: Option<u32>,
    /// How many events are missing, if that is known.
    pub events: Option<u64>,
    /// Where in the file.
    pub offset: Option<u64>,
    /// When it begins.
    pub from_ns: Option<u64>,
    /// When it ends.
    pub to_ns: Option<u64>,
}

impl Verdict {
    /// The verdict on these findings in a log with or without holes.
    pub fn of(findings: &[Finding], is_whole: bool) -> Self {
        if findings.iter().any(|finding| finding.severity > Severity::Note) {
            Self::Findings
        } else if is_whole {
            Self::Clean
        } else {
            Self::Incomplete
        }
    }
}
