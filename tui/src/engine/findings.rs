//! Findings as the explorer shows them: where they are on the timeline, and what to read.

use std::sync::Arc;

use mmtrace_analyzer::blocked::{self, Blocked, BlockedThread};
use mmtrace_analyzer::finding::{Evidence, Finding, RaceEvidence, RaceSide, Severity, SyncPoint};
use mmtrace_analyzer::order::Trace;
use mmtrace_analyzer::report::{HeapPoint, Report};
use mmtrace_analyzer::symbol::Frame;
use mmtrace_analyzer::{EventRef, Options, Progress, analyze};
use mmtrace_format::{Log, ThreadId};

use super::{Engine, Moment, duration, size};
use crate::engine::names::frame_line;
use crate::index::Index;
use crate::page::Marks;

/// Bytes that the analysis may use for its tables: the explorer is to stay small.
const MEMORY: u64 = 64 << 20;

/// Threads blocked for ever that get an entry each; the rest share one.
const BLOCKED_SHOWN: usize = 100;

/// All findings of a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// One entry each, the worst first.
    pub cards: Vec<Card>,
    /// Live bytes of the whole heap over time.
    pub heap: Vec<HeapPoint>,
    /// What is missing, in words.
    pub gaps: Vec<String>,
}

/// A finding.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// `race`, `deadlock`, `lock-order`, `blocked`, `heap-growth`, ...
    pub kind: String,
    /// Its name across runs; empty if it has none.
    pub fingerprint: String,
    /// How bad it is.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// How often it was seen.
    pub count: u64,
    /// The test in which it happened.
    pub test: Option<String>,
    /// Where it is on the timeline, the first to go to first.
    pub places: Vec<Moment>,
    /// What to read.
    pub body: Body,
}

/// What to read about a finding.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Two accesses side by side.
    Race {
        /// The accesses.
        sides: [Vec<String>; 2],
        /// Why nothing orders them.
        why: String,
    },
    /// Live bytes over time, and text.
    Curve {
        /// The curve.
        points: Vec<HeapPoint>,
        /// The text.
        lines: Vec<String>,
    },
    /// Text.
    Text(Vec<String>),
}

impl Card {
    /// Its bit in the cells that it touches.
    pub fn marks(&self) -> Marks {
        match self.kind.as_str() {
            "race" => Marks::RACE,
            "deadlock" | "lock-order" => Marks::DEADLOCK,
            "blocked" | "leak" | "goroutine-leak" | "heap-growth" => Marks::LEAK,
            _ => Marks::OTHER,
        }
    }

    /// Whether a filter's text is in its kind, title or test.
    pub fn matches(&self, filter: &str) -> bool {
        let filter = filter.to_lowercase();
        let mut texts = [Some(&self.kind), Some(&self.title), self.test.as_ref()].into_iter();
        texts.any(|text| text.is_some_and(|text| text.to_lowercase().contains(&filter)))
            || (!filter.is_empty() && self.fingerprint.starts_with(&filter))
    }
}

/// Analyses a log for the explorer.
///
/// # Errors
/// Why it cannot be analysed, in words.
pub fn collect(log: &Log, index: &Arc<Index>, progress: &dyn Progress) -> Result<Findings, String> {
    let options = Options { memory: MEMORY, ..Options::default() };
    let report = analyze(log, &options, progress).map_err(|error| error.to_string())?;
    let mut engine = Engine::new(log, Arc::clone(index));
    let mut cards: Vec<Card> = report.findings.iter().map(|finding| engine.card(finding)).collect();
    let knows_waiting = cards.iter().any(|card| card.kind != "race" && card.kind != "heap-growth");
    if !knows_waiting {
        progress.phase("waiting", 0);
        let blocked = blocked::find(&Trace::new(log));
        cards.extend(engine.blocked_cards(&blocked));
    }
    // Stable: within a severity, the order in which they were found.
    cards.sort_by_key(|card| std::cmp::Reverse(card.severity));
    let Report { heap, gaps, .. } = report;
    Ok(Findings {
        cards,
        heap: heap.map(|heap| heap.points).unwrap_or_default(),
        gaps: gaps.into_iter().map(|gap| gap.what).collect(),
    })
}

impl Engine<'_> {
    fn card(&mut self, finding: &Finding) -> Card {
        let value = serde_json::to_value(finding).unwrap_or_default();
        let kind = value.get("kind").and_then(|kind| kind.as_str()).unwrap_or("finding").to_owned();
        let (places, body) = match &finding.evidence {
            Evidence::Race(race) => {
                let places = [race.first.event, race.second.event];
                (places.to_vec(), race_body(race))
            }
            Evidence::HeapGrowth(growth) => {
                let mut lines = vec![
                    growth.why.clone(),
                    format!(
                        "{} a second, {} live at the end",
                        size(growth.slope_bytes_per_second.unsigned_abs()),
                        size(growth.live_at_end_bytes)
                    ),
                    String::new(),
                ];
                lines.extend(growth.stack.iter().map(frame_line));
                (Vec::new(), Body::Curve { points: growth.points.clone(), lines })
            }
            #[expect(unreachable_patterns, reason = "kinds of evidence to come read as text")]
            _ => (events_in(&value), Body::Text(lines_of(&value))),
        };
        Card {
            kind,
            fingerprint: finding.fingerprint.to_string(),
            severity: finding.severity,
            title: finding.title.clone(),
            count: finding.count,
            test: finding.test.clone(),
            places: places.into_iter().filter_map(|event| self.resolve(event)).collect(),
            body,
        }
    }

    fn blocked_cards(&mut self, blocked: &Blocked) -> Vec<Card> {
        let mut cards = Vec::new();
        for cycle in &blocked.deadlocks {
            let threads: Vec<&BlockedThread> =
                cycle.iter().map(|&place| &blocked.threads[place]).collect();
            cards.push(self.deadlock_card(&threads));
        }
        for cycle in &blocked.lock_cycles {
            let mut lines = Vec::new();
            let mut events = Vec::new();
            for edge in &cycle.edges {
                let who = self.lane_name(edge.taken_at.thread);
                lines.push(format!("{who} took {} while it held {}", edge.taken, edge.held));
                lines.extend(indent(self.stack_lines(edge.taken_stack)));
                lines.push(format!("  and had taken {} here", edge.held));
                lines.extend(indent(self.stack_lines(edge.held_stack)));
                events.extend([edge.held_at, edge.taken_at]);
            }
            cards.push(Card {
                kind: "lock-order".to_owned(),
                fingerprint: String::new(),
                severity: Severity::Warning,
                title: format!("{} locks taken in circular order", cycle.edges.len()),
                count: cycle.count,
                test: None,
                places: events.into_iter().filter_map(|event| self.resolve(event)).collect(),
                body: Body::Text(lines),
            });
        }
        let in_cycle = |thread: &&BlockedThread| {
            !blocked.deadlocks.iter().flatten().any(|&place| blocked.threads[place] == **thread)
        };
        for thread in blocked.threads.iter().filter(in_cycle).take(BLOCKED_SHOWN) {
            let waits = self.waiting_lines(thread);
            let who = self.lane_name(thread.at.thread);
            let reason = thread.reason.name();
            cards.push(Card {
                kind: "blocked".to_owned(),
                fingerprint: String::new(),
                severity: if thread.is_deadlocked { Severity::Error } else { Severity::Note },
                title: format!("{who} still waits at the end: {reason}"),
                count: 1,
                test: None,
                places: self.resolve(thread.at).into_iter().collect(),
                body: Body::Text(waits),
            });
        }
        cards
    }

    fn deadlock_card(&mut self, threads: &[&BlockedThread]) -> Card {
        // The cycle closed when the last of them began to wait.
        let mut events: Vec<EventRef> = threads.iter().map(|thread| thread.at).collect();
        let last = threads.iter().max_by_key(|thread| thread.since);
        let mut lines = Vec::new();
        if let Some(last) = last {
            events.sort_by_key(|event| *event != last.at);
            let who = self.lane_name(last.at.thread);
            lines.push(format!("the cycle closed at {}, by {who}", super::time(last.since.ns)));
        }
        for thread in threads {
            lines.extend(self.waiting_lines(thread));
        }
        Card {
            kind: "deadlock".to_owned(),
            fingerprint: String::new(),
            severity: Severity::Error,
            title: format!("{} threads wait for each other", threads.len()),
            count: 1,
            test: None,
            places: events.into_iter().filter_map(|event| self.resolve(event)).collect(),
            body: Body::Text(lines),
        }
    }

    fn waiting_lines(&mut self, thread: &BlockedThread) -> Vec<String> {
        let who = self.lane_name(thread.at.thread);
        let end_ns = self.index.range().1;
        let long = duration(end_ns.saturating_sub(thread.since.ns));
        let mut lines =
            vec![format!("{who} waits for {} {}, for {long}", thread.reason.name(), thread.object)];
        lines.extend(indent(self.stack_lines(thread.stack)));
        for waker in thread.wakers.iter().take(8) {
            let by = self.lane_name(waker.at.thread);
            lines.push(format!("  {by} could let it go on; it last used the object here"));
            lines.extend(indent(indent(self.stack_lines(waker.stack))));
        }
        lines
    }
}

fn indent(lines: Vec<String>) -> Vec<String> {
    lines.into_iter().map(|line| format!("  {line}")).collect()
}

fn race_body(race: &RaceEvidence) -> Body {
    Body::Race { sides: [race_side(&race.first), race_side(&race.second)], why: race.why.clone() }
}

fn race_side(side: &RaceSide) -> Vec<String> {
    let thread = ThreadId::new(side.goroutine);
    let name = side.goroutine_name.as_deref().unwrap_or_default();
    let mut lines = vec![
        format!("{} of {} bytes at {}", side.access, side.size, side.address),
        format!("by {thread} {name}  {}", side.event),
    ];
    let stack = |frames: &[Frame]| indent(frames.iter().map(frame_line).collect());
    lines.extend(stack(&side.stack));
    lines.push("holding".to_owned());
    if side.locks_held.is_empty() {
        lines.push("  no lock".to_owned());
    }
    for lock in &side.locks_held {
        let place = lock.stack.first().map(frame_line).unwrap_or_default();
        lines.push(format!("  {} {}  {place}", lock.mode, lock.object));
    }
    let sync = |point: &SyncPoint| {
        let place = point.stack.first().map(frame_line).unwrap_or_default();
        format!("  {} of {}  {}  {place}", point.operation, point.object, point.event)
    };
    lines.push("last synchronised before by".to_owned());
    lines.push(side.last_sync_before.as_ref().map_or("  nothing".to_owned(), sync));
    lines.push("first synchronised after by".to_owned());
    lines.push(side.first_sync_after.as_ref().map_or("  nothing".to_owned(), sync));
    if !side.created_at.is_empty() {
        lines.push("started at".to_owned());
        lines.extend(stack(&side.created_at));
    }
    lines
}

/// The events that evidence of any kind names, in its order.
fn events_in(value: &serde_json::Value) -> Vec<EventRef> {
    let mut events = Vec::new();
    match value {
        serde_json::Value::String(text) => events.extend(text.parse::<EventRef>()),
        serde_json::Value::Array(values) => events.extend(values.iter().flat_map(events_in)),
        serde_json::Value::Object(fields) => events.extend(fields.values().flat_map(events_in)),
        _ => {}
    }
    events
}

/// Evidence of any kind as text: its fields by name.
fn lines_of(value: &serde_json::Value) -> Vec<String> {
    let serde_json::Value::Object(fields) = value else { return vec![value.to_string()] };
    let mut lines = Vec::new();
    for (name, value) in fields {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => lines.push(format!("{name}: {text}")),
            serde_json::Value::Array(values) => {
                lines.push(name.clone());
                lines.extend(indent(values.iter().flat_map(lines_of).collect()));
            }
            serde_json::Value::Object(_) => {
                lines.push(name.clone());
                lines.extend(indent(lines_of(value)));
            }
            number => lines.push(format!("{name}: {number}")),
        }
    }
    lines
}
