//! The state of a lane at a moment: what it does, where, what it holds and waits for.

use std::sync::Arc;

use mmtrace_format::event::BlockReason;
use mmtrace_format::{Access, EventKind, StackId, ThreadId};

use super::moment::{Record, fragment_at};
use super::{Engine, Moment, counted, duration, size, time};
use crate::index::{Hold, STATES, Span, State, follow};

/// Lines of source around a place.
const SOURCE_LINES: u32 = 3;

/// A question about a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetailsRequest {
    /// The lane.
    pub lane: usize,
    /// The moment.
    pub time_ns: u64,
    /// Exactly which record, if a jump led there.
    pub index: Option<u64>,
}

/// The answer: a heading, and sections of lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The question.
    pub request: DetailsRequest,
    /// The record at the cursor.
    pub moment: Option<Moment>,
    /// The stretch of one state around the moment.
    pub span: Option<Span>,
    /// One line.
    pub title: String,
    /// What there is to say, under headings.
    pub sections: Vec<(String, Vec<String>)>,
}

impl Engine<'_> {
    /// Answers a question about a lane.
    pub fn details(&mut self, request: DetailsRequest) -> Details {
        let DetailsRequest { lane, time_ns, index } = request;
        let lanes = Arc::clone(&self.index);
        let facts = lanes.lane(lane);
        let span = lanes.span_at(&facts, time_ns).map(|number| lanes.span(&facts, number));
        let state = span.map_or(State::NotBorn, |span| span.state);
        let exact = index.and_then(|index| self.moment_of(lane, index));
        let found = exact.or_else(|| self.moment_at(lane, time_ns));
        let name = self.names.thread(facts.thread, Some(facts.name));
        let mut title = format!("{name}: {}", state.spec().name);
        if let Some(span) = span {
            title = format!("{title} for {}", duration(span.len_ns()));
        }
        let mut details = Details {
            request,
            moment: found.map(|(moment, _)| moment),
            span,
            title,
            sections: Vec::new(),
        };
        // Where a jump led to one access of many, that one is what is to be seen.
        let access = match found {
            Some((moment, Record::Accesses { .. })) if exact.is_some() => self.access(moment),
            _ => None,
        };
        let mut add = |heading: &str, lines: Vec<String>| {
            if !lines.is_empty() {
                details.sections.push((heading.to_owned(), lines));
            }
        };
        if let Some((moment, record)) = found {
            add("at the cursor", Self::record_lines(facts.thread, moment, &record, access));
        }
        if state.is_waiting() {
            add("waits for", self.wait_lines(lane, time_ns));
        }
        let stack = match (access, found) {
            (Some(access), _) => Some(access.stack),
            (None, Some((_, Record::Event(event)))) => Some(event.stack),
            _ => self.event_at(lane, time_ns).map(|(_, event)| event.stack),
        };
        add("stack", stack.map_or_else(Vec::new, |stack| self.where_lines(stack)));
        let locks = self.locks_held(lane, time_ns);
        add("holds", Self::lock_lines(&locks, time_ns));
        add("knows", self.clock_lines(found.map(|(moment, _)| moment)));
        add("lane", self.lane_lines(lane));
        details
    }

    fn record_lines(
        thread: ThreadId,
        moment: Moment,
        record: &Record,
        access: Option<Access>,
    ) -> Vec<String> {
        let name = format!("{thread}#{}", moment.index);
        let line = match (record, access) {
            (_, Some(Access { kind, address, size, .. })) => {
                format!("{} of {} at {:#x}", kind.name(), counted(size, "byte"), address.0)
            }
            (Record::Event(event), None) => {
                let line = mmtrace_format::event::text::Line::Event(thread, *event);
                let text = line.to_string();
                // The text begins with time and thread, which the screen shows already.
                let words = text.split_whitespace().skip(2);
                // The stack comes with its names.
                let words: Vec<&str> = words.filter(|word| !word.starts_with("@st")).collect();
                words.join(" ")
            }
            (Record::Accesses { count, .. }, None) => {
                format!("{} after the event before", counted(u64::from(*count), "access"))
            }
        };
        vec![format!("{} {name}", time(moment.time_ns)), line]
    }

    /// What a waiting lane waits for, and who will wake it, or did.
    fn wait_lines(&mut self, lane: usize, time_ns: u64) -> Vec<String> {
        let Some((_, event)) = self.event_at(lane, time_ns) else { return Vec::new() };
        let mut lines = Vec::new();
        let reason = BlockReason::from_detail(event.detail);
        let is_known = event.kind == EventKind::Block && event.object != 0;
        if is_known && reason == BlockReason::Join {
            let child = u32::try_from(event.object).map(ThreadId::new);
            let name = child.map(|child| self.lane_name(child)).unwrap_or_default();
            lines.push(format!("the end of {name}"));
        } else if is_known {
            lines.push(format!("{} {:#x}", reason.name(), event.object));
        }
        let facts = self.index.lane(lane);
        if let Some(waker) = self.waker_of(lane, time_ns) {
            let who = self.lane_name(self.index.lane(waker.from.lane).thread);
            let when = time(waker.from.time_ns);
            lines.push(format!("{who} let it go on at {when} ({})", waker.name()));
        } else if self.index.span_at(&facts, time_ns) == self.index.span_at(&facts, u64::MAX) {
            lines.push("nobody let it go on before the log ends".to_owned());
        }
        if is_known && reason != BlockReason::Join {
            lines.extend(self.object_lines(event.object, time_ns, false, Some(facts.thread)));
        }
        lines
    }

    fn where_lines(&mut self, stack: StackId) -> Vec<String> {
        let mut lines = self.stack_lines(stack);
        let frames = self.names.stack(stack);
        // What the program did not write is of little use before what it did.
        let own = mmtrace_analyzer::symbol::program_frame(&frames)
            .and_then(|own| frames.iter().position(|frame| std::ptr::eq(frame, own)))
            .unwrap_or(0);
        if own > 2 {
            lines.splice(1..own, [format!("  .. {} frames down to", own - 1)]);
        }
        let frame = mmtrace_analyzer::symbol::program_frame(&frames);
        if let Some((file, line)) = frame.and_then(|f| Some((f.file.as_deref()?, f.line?))) {
            lines.extend(source_lines(file, line));
        }
        lines
    }

    /// The locks that a lane holds at a moment, in the order in which it took them.
    pub fn locks_held(&mut self, lane: usize, time_ns: u64) -> Vec<Hold> {
        let index = Arc::clone(&self.index);
        let facts = index.lane(lane);
        let Some(number) = fragment_at(&index, &facts, time_ns) else { return Vec::new() };
        let mut held = index.holds_before(&facts, number);
        let fragment = index.fragment(&facts, number);
        if let Some(decoded) = self.decoded(fragment) {
            decoded.each(fragment.place, |_, record| {
                if let Record::Event(event) = record
                    && event.time.ns <= time_ns
                {
                    follow(&mut held, &event);
                }
            });
        }
        held
    }

    fn lock_lines(locks: &[Hold], now_ns: u64) -> Vec<String> {
        let line = |lock: &Hold| {
            let mode = match lock.kind {
                EventKind::ReadLock => "rwlock for reading",
                EventKind::WriteLock => "rwlock for writing",
                _ => "mutex",
            };
            let since = duration(now_ns.saturating_sub(lock.since_ns));
            format!("{mode} {:#x}, for {since}", lock.object)
        };
        locks.iter().map(line).collect()
    }

    fn lane_lines(&mut self, lane: usize) -> Vec<String> {
        let facts = self.index.lane(lane);
        let mut lines = Vec::new();
        let born = time(facts.born_ns);
        match (facts.parent, self.names.site(facts.created_at)) {
            (Some(parent), site) => {
                let parent = self.lane_name(parent);
                let site = site.map(|site| format!(" at {site}")).unwrap_or_default();
                lines.push(format!("started {born} by {parent}{site}"));
            }
            (None, _) => lines.push(format!("there since {born}")),
        }
        lines.push(match facts.ended_ns {
            u64::MAX => format!("did not end; {}", counted(facts.records, "record")),
            ended => format!("ended {}; {}", time(ended), counted(facts.records, "record")),
        });
        let mut times: Vec<(u64, &str)> = STATES
            .iter()
            .filter(|row| row.state.is_alive())
            .map(|row| (facts.totals[row.state as usize], row.name))
            .filter(|&(ns, _)| ns > 0)
            .collect();
        times.sort_by_key(|&(ns, _)| std::cmp::Reverse(ns));
        let times: Vec<String> =
            times.into_iter().map(|(ns, name)| format!("{name} {}", duration(ns))).collect();
        if !times.is_empty() {
            lines.push(times.join(", "));
        }
        if let Some(findings) = &self.findings
            && facts.parent.is_none()
            && !findings.heap.is_empty()
        {
            let at = findings.heap.iter().max_by_key(|point| point.live_bytes);
            let most = at.map_or(0, |point| point.live_bytes);
            lines.push(format!("heap of the program: at most {} live", size(most)));
        }
        lines
    }
}

/// The source around a line, if the file is on this machine.
fn source_lines(file: &str, line: u32) -> Vec<String> {
    /// A longer file is no source.
    const LEN_MAX: u64 = 4 << 20;
    let is_source = std::fs::metadata(file).is_ok_and(|it| it.is_file() && it.len() <= LEN_MAX);
    let Some(text) = is_source.then(|| std::fs::read_to_string(file).ok()).flatten() else {
        return Vec::new();
    };
    let first = line.saturating_sub(SOURCE_LINES / 2).max(1);
    let shown = (first..).zip(text.lines().skip(first as usize - 1)).take(SOURCE_LINES as usize);
    shown
        .map(|(number, text)| {
            let here = if number == line { '>' } else { ' ' };
            format!("{here}{number:>6} {}", text.replace(char::is_control, " "))
        })
        .collect()
}
