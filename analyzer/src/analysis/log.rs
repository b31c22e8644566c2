//! A log on disk as a source of chunks, and what it knows of its own holes.

use mmtrace_format::chunk::{Chunk, ChunkError};
use mmtrace_format::log::ReadError;
use mmtrace_format::meta::{SETTING_SOURCE, SETTING_STREAMS_IN_TIME};
use mmtrace_format::{Gap, Log, ModuleId};

use crate::order::Lanes;
use crate::report::{LogFacts, ReportedGap};
use crate::symbol::Section;

impl Lanes for Log {
    fn chunk_count(&self) -> usize {
        self.chunks().len()
    }

    fn chunk(&self, chunk: usize) -> Result<Chunk<'_>, ChunkError> {
        self.chunk(chunk).map_err(|error| match error {
            ReadError::Chunk { source, .. } => source,
            around => ChunkError::Compression { part: "block", reason: around.to_string() },
        })
    }

    fn streams_are_in_time(&self) -> bool {
        self.info().setting(SETTING_STREAMS_IN_TIME) == Some("1")
    }

    fn done_with(&self, chunk: usize) {
        self.advise_done(chunk);
    }
}

/// What was recorded, as far as the log says.
pub(super) fn facts(log: &Log) -> LogFacts {
    let info = log.info();
    let mut program = info.program.clone();
    for argument in &info.args {
        program.push(' ');
        program.push_str(argument);
    }
    LogFacts {
        program: (!program.is_empty()).then_some(program),
        complete: log.is_complete(),
        duration_ns: log.time_range().map_or(0, |(first, last)| last.ns.saturating_sub(first.ns)),
    }
}

/// The folder that the recorder's own sources were in.
pub(super) fn recorder_source(log: &Log) -> Option<String> {
    log.info().setting(SETTING_SOURCE).map(str::to_owned)
}

/// The sections that the log has of a module. Damaged ones name nothing.
pub(super) fn sections(log: &Log, module: ModuleId) -> Vec<Section> {
    let (sections, _) = log.symbols_readable(module);
    let section = |section: mmtrace_format::meta::Section| Section {
        name: section.name,
        address: section.address,
        bytes: section.bytes.into(),
    };
    sections.into_iter().map(section).collect()
}

/// The hole that a chunk leaves.
pub(super) fn chunk_gap(log: &Log, chunk: usize, what: &str) -> ReportedGap {
    reported(&log.gap_of(chunk, &what))
}

/// A gap that opening the log found.
pub(super) fn reported(gap: &Gap) -> ReportedGap {
    let mut what = gap.reason.to_string();
    if !gap.detail.is_empty() {
        what = format!("{what}: {}", gap.detail);
    }
    ReportedGap {
        what,
        goroutine: gap.thread.map(mmtrace_format::ThreadId::as_u32),
        events: gap.events,
        offset: Some(gap.offset.0),
        from_ns: gap.first_time.map(|time| time.ns),
        to_ns: gap.last_time.map(|time| time.ns),
    }
}
