//! What the model knows of a log and its lanes.

use mmtrace_format::{Log, StackId, StringId, ThreadId};

use crate::engine::{Engine, counted, duration};
use crate::page::Window;

/// A log as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The file's name.
    pub name: String,
    /// Which recording it is: marks are kept under this.
    pub run: String,
    /// The first moment.
    pub first_ns: u64,
    /// The last moment.
    pub last_ns: u64,
    /// Events and accesses.
    pub records: u64,
    /// Threads that did anything.
    pub threads: u64,
    /// Holes, in words.
    pub gaps: Vec<String>,
}

impl Facts {
    /// What the directory of a log says.
    pub fn of(log: &Log) -> Self {
        let (first, last) = log.time_range().unwrap_or_default();
        let name = log.path().file_name().unwrap_or(log.path().as_os_str());
        let run = format!("{:032x}", u128::from_be_bytes(log.identity().run_id));
        Self {
            name: name.to_string_lossy().into_owned(),
            run,
            first_ns: first.ns,
            last_ns: last.ns,
            records: log.event_count() + log.access_count(),
            threads: log.threads().len() as u64,
            gaps: log.gaps().iter().map(ToString::to_string).collect(),
        }
    }

    /// All of the log.
    pub fn whole(&self) -> Window {
        // At least as long as any screen is wide.
        let to_ns = self.last_ns.saturating_add(1).max(self.first_ns.saturating_add(16));
        Window { from_ns: self.first_ns, to_ns }
    }

    /// The log in a line.
    pub fn line(&self) -> String {
        let length = duration(self.last_ns - self.first_ns);
        let (lanes, records) = (counted(self.threads, "lane"), counted(self.records, "record"));
        format!("{}  {length}  {lanes}  {records}", self.name)
    }
}

/// What is shown and sorted of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneFacts {
    /// Who.
    pub thread: ThreadId,
    /// In words.
    pub name: String,
    /// Its group.
    pub group: usize,
    /// When it begins.
    pub born_ns: u64,
    /// When it ends.
    pub ended_ns: u64,
    /// How long it waits in all.
    pub waiting_ns: u64,
    /// Events and accesses.
    pub records: u64,
}

/// Lanes that were started at the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupFacts {
    /// Where, in words.
    pub label: String,
    /// Its lanes, ascending.
    pub lanes: Vec<usize>,
}

/// All lanes and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lanes {
    /// The lanes, by number.
    pub lanes: Vec<LaneFacts>,
    /// The groups.
    pub groups: Vec<GroupFacts>,
}

impl Lanes {
    /// The lanes of an engine's index. Groups get their names from symbols if `with_symbols`, which
    /// may take a moment.
    pub fn of(engine: &mut Engine<'_>, with_symbols: bool) -> Self {
        let index = std::sync::Arc::clone(engine.index());
        let lanes = (0..index.lane_count())
            .map(|lane| {
                let facts = index.lane(lane);
                let mut name = engine.names.thread(facts.thread, Some(facts.name));
                // The name of its group would say it, if it had others in it.
                if with_symbols
                    && facts.name == StringId::EMPTY
                    && index.group(facts.group as usize).lane_count == 1
                    && let Some(spot) = engine.names.spot(facts.created_at)
                    && facts.created_at != StackId::UNKNOWN
                {
                    name = format!("{name} {spot}");
                }
                LaneFacts {
                    thread: facts.thread,
                    name,
                    group: facts.group as usize,
                    born_ns: facts.born_ns,
                    ended_ns: facts.ended_ns,
                    waiting_ns: facts.waiting_ns(),
                    records: facts.records,
                }
            })
            .collect();
        let groups = (0..index.group_count())
            .map(|group| {
                let created_at = index.group(group).created_at;
                let label = match created_at {
                    StackId::UNKNOWN => Some("start unknown".to_owned()),
                    known => with_symbols.then(|| engine.names.spot(known)).flatten(),
                };
                let label = label.unwrap_or_else(|| format!("group {group}"));
                GroupFacts { label, lanes: index.members(group).collect() }
            })
            .collect();
        Self { lanes, groups }
    }

    /// The lane of a thread.
    pub fn of_thread(&self, thread: ThreadId) -> Option<usize> {
        self.lanes.binary_search_by_key(&thread, |lane| lane.thread).ok()
    }
}
