//! Searching a log: every chunk that can have a match, in parallel, in batches.

use std::collections::HashMap;

use mmtrace_format::event::BlockReason;
use mmtrace_format::{Access, Event, EventKind, StackId};
use rayon::prelude::*;

use super::moment::decode;
use super::{Engine, Moment, Record};
use crate::index::State;
use crate::index::scan::state_after;
use crate::query::{Query, Term};

/// Matches that are kept to go to; all are counted.
pub const MATCHES_KEPT: usize = 1 << 17;

/// Chunks that are searched at one time.
const CHUNKS_AT_ONCE: usize = 16;

/// Threads that are followed upwards to find a test.
const ANCESTORS_MAX: usize = 64;

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matches {
    /// The earliest matches, by time.
    pub hits: Vec<Moment>,
    /// How many there are in all.
    pub total: u64,
    /// Chunks that could not be read.
    pub damaged_chunks: u64,
}

/// An item that may match.
#[derive(Clone, Copy)]
struct Candidate {
    moment: Moment,
    stack: StackId,
    kind: Option<EventKind>,
}

/// What does not change while a query is answered.
struct Plan<'q> {
    query: &'q Query,
    /// By lane: whether the terms about lanes hold.
    lanes: Vec<bool>,
    /// Places that findings name, if the query asks for them.
    finding: Option<(Vec<Moment>, bool)>,
}

impl Engine<'_> {
    /// Finds all matches. `watch` hears of chunks done, of how many, and matches so far, and says
    /// whether to go on.
    pub fn search(
        &mut self,
        query: &Query,
        watch: &mut dyn FnMut(usize, usize, u64) -> bool,
    ) -> Matches {
        let plan = self.plan(query);
        let (from, to) = time_window(query);
        let chunks: Vec<usize> = (0..self.log.chunks().len())
            .filter(|&chunk| {
                let header = &self.log.chunks()[chunk].header;
                // An event may be a little later than its chunk's time of sealing says.
                header.last_time.ns.saturating_add(1_000_000) >= from && header.first_time.ns < to
            })
            .filter(|&chunk| {
                self.log.threads_of(chunk).any(|thread| {
                    let lane = self.index.lane_of(thread);
                    lane.is_some_and(|lane| plan.lanes[lane])
                })
            })
            .collect();
        let mut matches = Matches::default();
        let mut cache = HashMap::new();
        for (number, batch) in chunks.chunks(CHUNKS_AT_ONCE).enumerate() {
            let found: Vec<Option<Vec<Candidate>>> =
                batch.par_iter().map(|&chunk| scan(self.log, &self.index, chunk, &plan)).collect();
            for found in found {
                let Some(candidates) = found else {
                    matches.damaged_chunks += 1;
                    continue;
                };
                for candidate in candidates {
                    if self.names_match(query, &candidate, &mut cache) {
                        matches.total += 1;
                        matches.hits.push(candidate.moment);
                    }
                }
            }
            keep_earliest(&mut matches.hits);
            let done = chunks.len().min((number + 1) * CHUNKS_AT_ONCE);
            if !watch(done, chunks.len(), matches.total) {
                break;
            }
        }
        matches.hits.sort_by_key(|hit| (hit.time_ns, hit.lane, hit.index));
        matches.hits.truncate(MATCHES_KEPT);
        matches
    }

    /// A match in a line: when, which event, what, where.
    pub fn describe(&mut self, hit: Moment) -> String {
        let thread = self.index.lane(hit.lane).thread;
        let name = format!("{thread}#{}", hit.index);
        let Some((_, record)) = self.moment_of(hit.lane, hit.index) else {
            return format!("{} {name}", super::time(hit.time_ns));
        };
        let (what, stack) = match record {
            Record::Event(event) => {
                let line = mmtrace_format::event::text::Line::Event(thread, event).to_string();
                (line.split_whitespace().skip(2).collect::<Vec<_>>().join(" "), event.stack)
            }
            Record::Accesses { .. } => match self.access(hit) {
                Some(access) => {
                    let (kind, size) = (access.kind.name(), super::counted(access.size, "byte"));
                    (format!("{kind} of {size} at {}", access.address), access.stack)
                }
                None => ("access".to_owned(), StackId::UNKNOWN),
            },
        };
        let site = self.names.site(stack).unwrap_or_default();
        let lane = self.lane_name(thread);
        format!("{} {name:<10} {lane}  {what}  {site}", super::time(hit.time_ns))
    }

    fn plan<'q>(&mut self, query: &'q Query) -> Plan<'q> {
        let index = std::sync::Arc::clone(&self.index);
        let lanes = (0..index.lane_count())
            .map(|lane| {
                query.terms.iter().all(|(term, is_turned)| {
                    self.lane_matches(lane, term).is_none_or(|holds| holds != *is_turned)
                })
            })
            .collect();
        let finding = query.terms.iter().find_map(|(term, is_turned)| match term {
            Term::Finding(filter) => {
                let cards = self.findings.iter().flat_map(|findings| &findings.cards);
                let named = cards.filter(|card| card.matches(filter));
                let mut places: Vec<Moment> =
                    named.flat_map(|card| card.places.iter().copied()).collect();
                places.sort_unstable();
                Some((places, *is_turned))
            }
            _ => None,
        });
        Plan { query, lanes, finding }
    }

    /// Whether a term about lanes holds of one; `None` if it is about something else.
    fn lane_matches(&mut self, lane: usize, term: &Term) -> Option<bool> {
        let facts = self.index.lane(lane);
        Some(match term {
            Term::Thread(number) => facts.thread.as_u32() == *number,
            Term::Name(name) => self.lane_name(facts.thread).to_lowercase().contains(name),
            Term::CreatedBy(text) => {
                let stack = self.names.stack(facts.created_at);
                stack.iter().any(|frame| has(frame, text, true, true))
            }
            Term::Test(test) => self.tests_of(lane).to_lowercase().contains(test),
            _ => return None,
        })
    }

    /// The test that a lane, or the nearest that started it, runs.
    fn tests_of(&self, lane: usize) -> &str {
        let mut facts = self.index.lane(lane);
        for _ in 0..ANCESTORS_MAX {
            let test = self.names.string(facts.test);
            if !test.is_empty() {
                return test;
            }
            let parent = facts.parent.and_then(|parent| self.index.lane_of(parent));
            let Some(parent) = parent else { break };
            facts = self.index.lane(parent);
        }
        ""
    }

    /// Whether the terms about names hold.
    fn names_match(
        &mut self,
        query: &Query,
        candidate: &Candidate,
        cache: &mut HashMap<(usize, StackId), bool>,
    ) -> bool {
        for (number, (term, is_turned)) in query.terms.iter().enumerate() {
            let (text, function, file) = match term {
                Term::Function(text) => (text, true, false),
                Term::File(text) => (text, false, true),
                Term::Text(text) => (text, true, true),
                _ => continue,
            };
            let in_stack = if let Some(&known) = cache.get(&(number, candidate.stack)) {
                known
            } else {
                let frames = self.names.stack(candidate.stack);
                let holds = candidate.stack != StackId::UNKNOWN
                    && frames.iter().any(|frame| has(frame, text, function, file));
                cache.insert((number, candidate.stack), holds);
                holds
            };
            let holds = in_stack
                || (matches!(term, Term::Text(_)) && {
                    let kind = candidate.kind.map_or("access", EventKind::name);
                    let thread = self.index.lane(candidate.moment.lane).thread;
                    kind.contains(text.as_str())
                        || self.lane_name(thread).to_lowercase().contains(text.as_str())
                });
            if holds == *is_turned {
                return false;
            }
        }
        true
    }
}

fn has(frame: &mmtrace_analyzer::symbol::Frame, text: &str, function: bool, file: bool) -> bool {
    let contains =
        |name: &Option<String>| name.as_ref().is_some_and(|it| it.to_lowercase().contains(text));
    (function && contains(&frame.function)) || (file && contains(&frame.file))
}

/// The times that a query allows, so that chunks outside need not be read.
fn time_window(query: &Query) -> (u64, u64) {
    let (mut from, mut to) = (0, u64::MAX);
    for (term, is_turned) in &query.terms {
        match term {
            Term::From(time) if !is_turned => from = from.max(*time),
            Term::To(time) if !is_turned => to = to.min(*time),
            _ => {}
        }
    }
    (from, to)
}

fn keep_earliest(hits: &mut Vec<Moment>) {
    if hits.len() >= 2 * MATCHES_KEPT {
        hits.select_nth_unstable_by_key(MATCHES_KEPT, |hit| (hit.time_ns, hit.lane, hit.index));
        hits.truncate(MATCHES_KEPT);
    }
}

/// The items of a chunk of which all terms hold but those about names; `None` if it is damaged.
fn scan(
    log: &mmtrace_format::Log,
    index: &crate::index::Index,
    chunk: usize,
    plan: &Plan<'_>,
) -> Option<Vec<Candidate>> {
    let decoded = decode(log, chunk)?;
    // There are fewer than 2^32 chunks.
    let number = chunk as u32;
    let accesses = if plan.query.wants_accesses() { decoded.accesses(log, number) } else { &[] };
    let mut found = Vec::new();
    for (place, fragment) in (0..).zip(&decoded.header.fragments) {
        let Some(lane) = index.lane_of(fragment.thread).filter(|&lane| plan.lanes[lane]) else {
            continue;
        };
        let facts = index.lane(lane);
        let base = || index.first_index_of(&facts, decoded.fragment(number, place));
        // Most fragments have no match: where they are in their lane is nobody's business then.
        let known = if plan.finding.is_some() { base()? } else { 0 };
        let first = found.len();
        decoded.each(place, |at, record| match record {
            Record::Event(event) => {
                let moment = Moment { lane, index: known + at, time_ns: event.time.ns };
                let item = Item { moment, event: Some(&event), access: None };
                let is_item = event.kind != EventKind::Switch;
                if is_item && item.matches(plan, || wait_ns(index, lane, &event)) {
                    let (stack, kind) = (event.stack, Some(event.kind));
                    found.push(Candidate { moment, stack, kind });
                }
            }
            Record::Accesses { count, time_ns, first } => {
                let run = accesses.get(first as usize..(first + count) as usize);
                for (nth, access) in (0..).zip(run.unwrap_or_default()) {
                    let moment = Moment { lane, index: known + at + nth, time_ns };
                    let item = Item { moment, event: None, access: Some(access) };
                    if access.kind.touches_memory() && item.matches(plan, || 0) {
                        found.push(Candidate { moment, stack: access.stack, kind: None });
                    }
                }
            }
        });
        if plan.finding.is_none() && found.len() > first {
            let base = base()?;
            found[first..].iter_mut().for_each(|found: &mut Candidate| found.moment.index += base);
        }
    }
    log.advise_done(chunk);
    Some(found)
}

/// How long the wait lasts that an event begins: until its lane runs again, or the log ends.
fn wait_ns(index: &crate::index::Index, lane: usize, event: &Event) -> u64 {
    let facts = index.lane(lane);
    let Some(number) = index.span_at(&facts, event.time.ns) else { return 0 };
    let span = index.span(&facts, number);
    if span.start_ns != event.time.ns || !span.state.is_waiting() {
        return 0;
    }
    let is_last = number + 1 >= index.span_count(&facts);
    let next = (!is_last).then(|| index.span(&facts, number + 1));
    match next.filter(|next| next.state == State::Runnable) {
        Some(runnable) => runnable.end_ns - span.start_ns,
        None => span.len_ns(),
    }
}

struct Item<'a> {
    moment: Moment,
    event: Option<&'a Event>,
    access: Option<&'a Access>,
}

impl Item<'_> {
    fn matches(&self, plan: &Plan<'_>, wait_ns: impl Fn() -> u64) -> bool {
        if let Some((places, is_turned)) = &plan.finding
            && places.binary_search(&self.moment).is_ok() == *is_turned
        {
            return false;
        }
        plan.query.terms.iter().all(|(term, is_turned)| {
            self.holds(term, &wait_ns).is_none_or(|holds| holds != *is_turned)
        })
    }

    /// Whether a term holds; `None` if it is about lanes or names.
    fn holds(&self, term: &Term, wait_ns: &impl Fn() -> u64) -> Option<bool> {
        let event = |holds: &dyn Fn(&Event) -> bool| self.event.is_some_and(holds);
        let access = |holds: &dyn Fn(&Access) -> bool| self.access.is_some_and(holds);
        let begins_wait = || event(&|event| state_after(event).is_waiting());
        Some(match term {
            Term::State(state) => match self.event {
                Some(event) => state_after(event) == *state,
                None => *state == State::Running,
            },
            Term::Waiting => begins_wait(),
            Term::Reason(reason) => event(&|event| {
                event.kind == EventKind::Block && BlockReason::from_detail(event.detail) == *reason
            }),
            Term::Kind(kind) => event(&|event| event.kind == *kind),
            Term::Access(kind) => access(&|access| access.kind == *kind),
            Term::Longer(ns) => begins_wait() && wait_ns() >= *ns,
            Term::Shorter(ns) => begins_wait() && wait_ns() < *ns,
            Term::Object(object) => {
                event(&|event| event.object == *object)
                    || access(&|access| access.address.0 == *object)
            }
            Term::Touches(address) => access(&|access| {
                let start = access.address.0;
                start <= *address && address - start < access.size.max(1)
            }),
            Term::From(time) => self.moment.time_ns >= *time,
            Term::To(time) => self.moment.time_ns < *time,
            _ => return None,
        })
    }
}
