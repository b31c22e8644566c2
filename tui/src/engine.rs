//! Answers what the explorer asks about a log. All reading of the log happens here, off the thread
//! that draws.
//!
//! An [`Engine`] belongs to one thread (names of symbols are not shared); what takes long is worked
//! out by others ([`crate::worker`]) and handed in.

pub mod causality;
pub mod critical;
pub mod details;
pub mod findings;
pub mod moment;
mod names;
pub mod objects;
mod pages;
pub mod search;
mod text;

use std::cmp::Reverse;
use std::sync::Arc;

use mmtrace_analyzer::analysis::symbols;
use mmtrace_analyzer::symbol::Symbols;
use mmtrace_format::{Log, StackId, ThreadId};

use crate::index::Index;
use crate::page::Marks;

pub use moment::{Moment, Record};
pub use names::Names;
pub(crate) use text::{counted, duration, size, time};

use causality::Causality;
use findings::Findings;
use moment::ChunkCache;

/// Answers questions about one log.
pub struct Engine<'log> {
    pub(crate) log: &'log Log,
    pub(crate) index: Arc<Index>,
    pub(crate) cache: ChunkCache,
    pub(crate) names: Names<'log>,
    pub(crate) findings: Option<Arc<Findings>>,
    pub(crate) causality: Option<Arc<Causality>>,
    /// By lane: when, and what; ascending.
    marks: MarkTable,
    /// All chunks, those first that end last.
    by_end: Vec<u32>,
}

impl std::fmt::Debug for Engine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("log", &self.log.path()).finish_non_exhaustive()
    }
}

impl<'log> Engine<'log> {
    /// An engine that knows what this index knows.
    pub fn new(log: &'log Log, index: Arc<Index>) -> Self {
        let symbols: Symbols<'log> = symbols(log);
        let mut engine = Self {
            log,
            index,
            cache: ChunkCache::default(),
            names: Names::new(log, symbols),
            findings: None,
            causality: None,
            marks: MarkTable::default(),
            by_end: by_end(log),
        };
        engine.collect_marks();
        engine
    }

    /// A better index is there.
    pub fn set_index(&mut self, index: Arc<Index>) {
        self.index = index;
        self.collect_marks();
    }

    /// The findings are there.
    pub fn set_findings(&mut self, findings: Arc<Findings>) {
        self.findings = Some(findings);
        self.collect_marks();
    }

    /// Who let whom go on is known.
    pub fn set_causality(&mut self, causality: Arc<Causality>) {
        self.causality = Some(causality);
    }

    /// What the index knows.
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The lane of a thread in words: `t3 worker-2`.
    pub fn lane_name(&self, thread: ThreadId) -> String {
        let lane = self.index.lane_of(thread).map(|lane| self.index.lane(lane));
        self.names.thread(thread, lane.map(|lane| lane.name))
    }

    /// A stack's frames as lines.
    pub(crate) fn stack_lines(&mut self, stack: StackId) -> Vec<String> {
        self.names.stack_lines(stack)
    }

    fn collect_marks(&mut self) {
        let mut marks = MarkTable::default();
        for gap in self.log.gaps() {
            if let (Some(first), Some(last)) = (gap.first_time, gap.last_time) {
                let lane = gap.thread.and_then(|thread| self.index.lane_of(thread));
                marks.push(lane, first.ns, Marks::GAP);
                marks.push(lane, last.ns, Marks::GAP);
            }
        }
        for card in self.findings.iter().flat_map(|findings| &findings.cards) {
            for place in &card.places {
                marks.push(Some(place.lane), place.time_ns, card.marks());
            }
            if let Some(moment_ns) = card.moment_ns {
                marks.push(None, moment_ns, card.marks());
            }
        }
        marks.finish(&self.index);
        self.marks = marks;
    }
}

fn by_end(log: &Log) -> Vec<u32> {
    // There are fewer than 2^32 chunks.
    let mut chunks: Vec<u32> = (0..log.chunks().len() as u32).collect();
    chunks.sort_by_key(|&chunk| Reverse(log.chunks()[chunk as usize].header.last_time.ns));
    chunks
}

/// Marks by lane, by group, and of the whole log, each ascending by time.
#[derive(Debug, Default)]
struct MarkTable {
    lanes: std::collections::BTreeMap<usize, Vec<(u64, Marks)>>,
    groups: std::collections::BTreeMap<usize, Vec<(u64, Marks)>>,
    all: Vec<(u64, Marks)>,
}

impl MarkTable {
    fn push(&mut self, lane: Option<usize>, time_ns: u64, marks: Marks) {
        self.all.push((time_ns, marks));
        if let Some(lane) = lane {
            self.lanes.entry(lane).or_default().push((time_ns, marks));
        }
    }

    fn finish(&mut self, index: &Index) {
        for (&lane, marks) in &mut self.lanes {
            marks.sort_unstable_by_key(|&(time_ns, _)| time_ns);
            if lane < index.lane_count() {
                let group = index.lane(lane).group as usize;
                self.groups.entry(group).or_default().extend(marks.iter().copied());
            }
        }
        for marks in self.groups.values_mut() {
            marks.sort_unstable_by_key(|&(time_ns, _)| time_ns);
        }
        self.all.sort_unstable_by_key(|&(time_ns, _)| time_ns);
    }
}

/// All marks from `from_ns` up to, not including, `to_ns`.
fn marks_between(marks: &[(u64, Marks)], from_ns: u64, to_ns: u64) -> Marks {
    let start = marks.partition_point(|&(time_ns, _)| time_ns < from_ns);
    let within = marks[start..].iter().take_while(|&&(time_ns, _)| time_ns < to_ns);
    // There are five bits: once all are set, looking further finds nothing new.
    let mut all = Marks::default();
    for &(_, mark) in within {
        all = all.with(mark);
        if all.0 & 0x1f == 0x1f {
            break;
        }
    }
    all
}
