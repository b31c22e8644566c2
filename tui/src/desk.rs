//! Where requests are answered: the engine with what it needs to know, for a worker thread and for
//! scripts alike.

use std::path::Path;
use std::sync::Arc;

use mmtrace_analyzer::{Progress, Silent};
use mmtrace_format::Log;

use crate::engine::causality::{Causality, Cone};
use crate::engine::findings::Findings;
use crate::engine::{Engine, Moment};
use crate::index::{Detail, Index};
use crate::message::{Answer, Request};
use crate::model::{Facts, Lanes, Shading};
use crate::{export, marks};

/// Logs with more records than this are analysed only when somebody asks for findings.
pub const ANALYSE_UNASKED: u64 = 20_000_000;

/// Logs with more sync events than this have their edges worked out only when somebody asks.
pub const EDGES_UNASKED: u64 = 4_000_000;

/// Answers after which the pages of the index that they looked at are given back.
const ANSWERS_BETWEEN: u32 = 16;

/// An engine that answers requests.
pub struct Desk<'log> {
    log: &'log Log,
    engine: Engine<'log>,
    answers: u32,
    /// Is told how far an answer is that takes long.
    progress: &'log dyn Progress,
}

impl std::fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Desk").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl<'log> Desk<'log> {
    /// A desk that knows what this index knows.
    pub fn new(log: &'log Log, index: Arc<Index>) -> Self {
        Self { log, engine: Engine::new(log, index), answers: 0, progress: &Silent }
    }

    /// The same, telling how far an answer is that takes long.
    #[must_use]
    pub fn with_progress(self, progress: &'log dyn Progress) -> Self {
        Self { progress, ..self }
    }

    /// The log's lanes, as the index has them. Groups are named if `with_symbols`.
    pub fn lanes(&mut self, with_symbols: bool) -> Answer {
        let has_states = self.engine.index().detail() == Detail::States;
        let lanes = Arc::new(Lanes::of(&mut self.engine, with_symbols));
        Answer::Lanes { facts: Facts::of(self.log), lanes, has_states }
    }

    /// A better index is there.
    pub fn set_index(&mut self, index: Arc<Index>) {
        self.engine.set_index(index);
    }

    /// The findings are there.
    pub fn set_findings(&mut self, findings: Arc<Findings>) {
        self.engine.set_findings(findings);
    }

    /// The edges are there.
    pub fn set_causality(&mut self, causality: Arc<Causality>) {
        self.engine.set_causality(causality);
    }

    /// The engine itself.
    pub fn engine(&mut self) -> &mut Engine<'log> {
        &mut self.engine
    }

    /// Answers a request; `None` if it is one for whoever runs the desk: a search, or work that
    /// takes long.
    pub fn answer(&mut self, request: Request) -> Option<Answer> {
        self.answers += 1;
        if self.answers.is_multiple_of(ANSWERS_BETWEEN) {
            self.engine.index().advise_done();
        }
        Some(match request {
            Request::Page(request) => Answer::Page(Arc::new(self.engine.page(request))),
            Request::Details(request) => Answer::Details(Arc::new(self.engine.details(request))),
            Request::Object { address, time_ns } => {
                let lines = self.engine.object_lines(address, time_ns, true, None);
                Answer::Object { address, time_ns, lines }
            }
            Request::Hop { lane, time_ns, index, to_cause } => {
                let at = self.place(lane, time_ns, index);
                let hop = at.and_then(|at| {
                    if to_cause {
                        self.engine.cause(lane, at.index)
                    } else {
                        self.engine.effect(lane, at.index)
                    }
                });
                Answer::Hop(hop, to_cause)
            }
            Request::Shade { lane, time_ns, index } => {
                let at = self.place(lane, time_ns, index);
                Answer::Shade(at.and_then(|at| self.shading(at)).map(Arc::new))
            }
            Request::Path { lane, time_ns } => {
                Answer::Path(self.engine.critical_path(lane, time_ns).map(Arc::new))
            }
            Request::SaveNotes(notes) => {
                let facts = Facts::of(self.log);
                Answer::Said(match marks::save(self.log.path(), &facts.run, &notes) {
                    Ok(path) => format!("marks are kept in {}", path.display()),
                    Err(error) => format!("marks cannot be kept: {error}"),
                })
            }
            Request::Perfetto { path, window, rows } => {
                let written = export::perfetto(&mut self.engine, window, &rows, self.progress);
                let written = written.and_then(|text| std::fs::write(&path, text));
                Answer::Said(match written {
                    Ok(()) => format!("written to {}: opens in the Perfetto UI", path.display()),
                    Err(error) => format!("{} cannot be written: {error}", path.display()),
                })
            }
            Request::Search { .. }
            | Request::StopSearch
            | Request::Findings
            | Request::Causality => return None,
        })
    }

    fn place(&mut self, lane: usize, time_ns: u64, index: Option<u64>) -> Option<Moment> {
        match index {
            Some(index) => Some(Moment { lane, index, time_ns }),
            None => self.engine.moment_at(lane, time_ns).map(|(moment, _)| moment),
        }
    }

    fn shading(&mut self, at: Moment) -> Option<Shading> {
        let causality = self.engine.causality.clone()?;
        let times = |engine: &mut Engine<'_>, cone: Cone| {
            let mut times = std::collections::BTreeMap::new();
            for (lane, index) in cone {
                if let Some((moment, _)) = engine.moment_of(lane, index) {
                    times.insert(lane, moment.time_ns);
                }
            }
            times
        };
        let past = times(&mut self.engine, causality.past(at.lane, at.index));
        let future = times(&mut self.engine, causality.future(at.lane, at.index));
        Some(Shading { lane: at.lane, time_ns: at.time_ns, past, future })
    }
}

/// Whether a log is short enough to be analysed unasked.
pub fn is_analysed_unasked(log: &Log) -> bool {
    log.event_count() + log.access_count() <= ANALYSE_UNASKED
}

/// Whether a log is short enough for its edges to be worked out unasked.
pub fn has_edges_unasked(log: &Log) -> bool {
    log.event_count() <= EDGES_UNASKED
}

/// The marks that are kept of a log, and what to say if they cannot be read.
pub fn kept_notes(log: &Path, facts: &Facts) -> (Vec<marks::Note>, Option<String>) {
    match marks::load(log, &facts.run) {
        Ok(notes) => (notes, None),
        Err(error) => (Vec::new(), Some(format!("the marks cannot be read: {error}"))),
    }
}
