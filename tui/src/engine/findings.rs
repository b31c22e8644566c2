//! Findings as the explorer shows them: where they are on the timeline, and what to read.

use std::sync::Arc;

use mmtrace_analyzer::finding::{
    DeadlockEvidence, Evidence, Finding, GrowthEvidence, LockOrderEvidence, RaceEvidence, RaceSide,
    Severity, SyncPoint, thread_in_words,
};
use mmtrace_analyzer::report::{BlockedThread, HeapPoint, Report};
use mmtrace_analyzer::symbol::Frame;
use mmtrace_analyzer::{EventRef, Options, Progress, analyze};
use mmtrace_format::{Log, ThreadId};

use super::{Engine, Moment, counted, size};
use crate::engine::names::{frame_line, short};
use crate::index::Index;
use crate::page::Marks;

/// Bytes that the analysis may use for its tables: the explorer is to stay small.
const MEMORY: u64 = 64 << 20;

/// Threads still waiting at the end, for others that could go on, that get an entry each.
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
    /// Where it is on the timeline of the whole program, if it is no lane's: in ns.
    pub moment_ns: Option<u64>,
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

/// Names of kinds that may be words of a title, too.
const KINDS: [&str; 6] = ["race", "deadlock", "leak", "lock-order", "blocked", "heap-growth"];

impl Card {
    /// Its title without the kind that it begins with, and with places as stacks show them.
    pub fn short_title(&self) -> String {
        let title = match self.title.split_once(": ") {
            Some((kind, rest)) if kind.replace(' ', "-").ends_with(&self.kind) => rest,
            _ => &self.title,
        };
        // Of another word nothing is cut off: it has not so many slashes.
        title.split(' ').map(short).collect::<Vec<String>>().join(" ")
    }

    /// Its bit in the cells that it touches.
    pub fn marks(&self) -> Marks {
        match self.kind.as_str() {
            "race" => Marks::RACE,
            "deadlock" | "lock-order" => Marks::DEADLOCK,
            "blocked" | "leak" | "heap-growth" => Marks::LEAK,
            _ => Marks::OTHER,
        }
    }

    /// Whether a filter's text is in its kind, title or test. The name of a kind stands for that
    /// kind alone, whatever else has it in a title.
    pub fn matches(&self, filter: &str) -> bool {
        let filter = filter.to_lowercase();
        if KINDS.contains(&filter.as_str()) {
            return self.kind == filter;
        }
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
    // Whoever is part of a finding is told of there.
    let others = report.blocked.iter().filter(|thread| !thread.is_deadlocked);
    cards.extend(others.take(BLOCKED_SHOWN).map(|thread| engine.blocked_card(thread)));
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
        let kind = serde_json::to_value(finding.kind).unwrap_or_default();
        // Where most was live: for a curve that grows, its end.
        let moment_ns = match &finding.evidence {
            Evidence::HeapGrowth(growth) => growth
                .points
                .iter()
                .max_by_key(|point| (point.live_bytes, point.time_ns))
                .map(|point| point.time_ns),
            _ => None,
        };
        let (places, body) = match &finding.evidence {
            Evidence::Race(race) => (vec![race.first.event, race.second.event], race_body(race)),
            Evidence::Deadlock(deadlock) => deadlock_body(deadlock),
            Evidence::LockOrder(order) => lock_order_body(order),
            Evidence::HeapGrowth(growth) => (Vec::new(), growth_body(growth)),
        };
        Card {
            kind: kind.as_str().unwrap_or("finding").to_owned(),
            fingerprint: finding.fingerprint.to_string(),
            severity: finding.severity,
            title: finding.title.clone(),
            count: finding.count,
            test: finding.test.clone(),
            places: places.into_iter().filter_map(|event| self.resolve(event)).collect(),
            moment_ns,
            body,
        }
    }

    fn blocked_card(&mut self, thread: &BlockedThread) -> Card {
        let who = thread_in_words(thread.goroutine, thread.goroutine_name.as_deref());
        Card {
            kind: "blocked".to_owned(),
            fingerprint: String::new(),
            severity: Severity::Note,
            title: format!("{who} still waits at the end: {}", thread.reason),
            count: 1,
            test: None,
            places: self.resolve(thread.event).into_iter().collect(),
            moment_ns: None,
            body: Body::Text(waiting_lines(thread)),
        }
    }
}

/// The circle closed when the last of them began to wait: that is where to go first.
fn deadlock_body(deadlock: &DeadlockEvidence) -> (Vec<EventRef>, Body) {
    let mut events: Vec<EventRef> = deadlock.waits.iter().map(|thread| thread.event).collect();
    let mut lines = Vec::new();
    if let Some(last) = deadlock.waits.iter().max_by_key(|thread| thread.since_ns) {
        events.sort_by_key(|event| *event != last.event);
        let who = thread_in_words(last.goroutine, last.goroutine_name.as_deref());
        lines.push(format!("closed at {}, by {who}", super::time(deadlock.since_ns)));
    }
    lines.push(deadlock.why.clone());
    lines.extend(deadlock.waits.iter().flat_map(waiting_lines));
    (events, Body::Text(lines))
}

fn lock_order_body(order: &LockOrderEvidence) -> (Vec<EventRef>, Body) {
    let mut lines = vec![order.why.clone()];
    let mut events = Vec::new();
    for edge in &order.edges {
        let who = thread_in_words(edge.goroutine, edge.goroutine_name.as_deref());
        lines.push(format!("{who} took {} while it held {}", edge.taken, edge.held));
        lines.extend(stack_lines(&edge.taken_stack));
        lines.push(format!("  and had taken {} here", edge.held));
        lines.extend(stack_lines(&edge.held_stack));
        events.extend([edge.held_event, edge.taken_event]);
    }
    (events, Body::Text(lines))
}

fn growth_body(growth: &GrowthEvidence) -> Body {
    let rate = size(growth.slope_bytes_per_second.unsigned_abs());
    let at_end = size(growth.live_at_end_bytes);
    let mut lines = vec![
        growth.why.clone(),
        format!("{rate} a second, {at_end} live at the end"),
        String::new(),
    ];
    lines.extend(growth.stack.iter().map(frame_line));
    Body::Curve { points: growth.points.clone(), lines }
}

fn waiting_lines(thread: &BlockedThread) -> Vec<String> {
    let who = thread_in_words(thread.goroutine, thread.goroutine_name.as_deref());
    let since = super::time(thread.since_ns);
    let (reason, object) = (thread.reason, thread.object);
    let mut lines = vec![format!("{who} waits for {reason} {object}, since {since}")];
    lines.extend(stack_lines(&thread.stack));
    for waker in thread.wakers.iter().take(8) {
        let by = thread_in_words(waker.goroutine, waker.goroutine_name.as_deref());
        lines.push(format!("  {by} could let it go on; it last used the object here"));
        lines.extend(indent(stack_lines(&waker.stack)));
    }
    lines
}

fn stack_lines(frames: &[Frame]) -> Vec<String> {
    indent(frames.iter().map(frame_line).collect())
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
        format!("{} of {} at {}", side.access, counted(side.size, "byte"), side.address),
        format!("by {thread} {name}  {}", side.event),
    ];
    lines.extend(stack_lines(&side.stack));
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
        lines.extend(stack_lines(&side.created_at));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(kind: &str, title: &str) -> Card {
        Card {
            kind: kind.to_owned(),
            fingerprint: String::new(),
            severity: Severity::Note,
            title: title.to_owned(),
            count: 1,
            test: None,
            places: Vec::new(),
            moment_ns: None,
            body: Body::Text(Vec::new()),
        }
    }

    #[test]
    fn a_title_has_the_end_of_a_path_and_no_kind() {
        let card = card("race", "data race: write at /home/me/work/app/src/main.rs:71, or /a/b");
        assert_eq!(card.short_title(), "write at app/src/main.rs:71, or /a/b");
    }

    #[test]
    fn the_name_of_a_kind_lists_that_kind_alone() {
        let race = card("race", "data race: write in app::note");
        let growth = card("heap-growth", "heap growth: what mmtrace::keep allocates");
        assert!(race.matches("race") && !growth.matches("race"));
        assert!(growth.matches("trace") && growth.matches("HEAP-growth") && !race.matches("keep"));
        assert!(race.matches("") && growth.matches(""));
    }
}
