//! From a log to its report: which passes run, in which order, and what each contributes.

mod beside;
mod blocked;
mod gaps;
mod heap;
mod log;

use std::collections::BTreeSet;

use mmtrace_format::table::Tables;
use mmtrace_format::{Log, ModuleId, ThreadId};

use crate::context::{Context, Lives};
use crate::finding::grouping::{NamedStacks, bugs};
use crate::finding::race::{Writer, questions};
use crate::finding::{Finding, FindingKind};
use crate::heap::HeapHistory;
use crate::options::{AnalyzeError, Options, Progress, Silent};
use crate::order::{Merge, Trace};
use crate::race::{RacePair, Races, detect_beside};
use crate::report::{
    BlockedSummary, BlockedThread, HeapSummary, LogFacts, RaceSummary, Report, ReportedGap, SCHEMA,
    Summary, Verdict,
};
use crate::symbol::trim::is_go_runtime;
use crate::symbol::{Section, Symbols};
use beside::Beside;

/// What an analysis reads besides the events themselves.
pub struct Input<'a> {
    /// What events name.
    pub tables: &'a Tables,
    /// The ELF sections that the log has of a module.
    pub sections: &'a dyn Fn(ModuleId) -> Vec<Section>,
    /// Whether a garbage collector frees the program's memory.
    pub is_collected: bool,
    /// The folder that the recorder's own sources were in, if the log says.
    pub recorder_source: Option<String>,
    /// What was recorded.
    pub log: LogFacts,
    /// The holes that opening the log found.
    pub gaps: Vec<ReportedGap>,
    /// The hole that a chunk leaves, of which something cannot be read.
    pub chunk_gap: &'a dyn Fn(usize, &str) -> ReportedGap,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("log", &self.log).finish_non_exhaustive()
    }
}

/// Analyses a log: everything, from its bytes to the report.
///
/// # Errors
/// [`AnalyzeError`] if the system gives no threads. Damage to the log is no error: it costs the
/// damaged part, and the report's gaps name it.
pub fn analyze(
    log: &Log,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Report, AnalyzeError> {
    let trace = Trace::new(log);
    let mut beside = Beside::new(&trace, is_collected(log), options);
    // The pool's threads share the trace; what is not shared (names) stays on this one.
    let races = options.install(|| detect_beside(&trace, options, progress, &mut beside))?;
    Ok(with_input(log, |input| report_of(&trace, &races, beside, input, progress)))
}

/// Who waits for whom at the end of a log, and nothing else. No access is looked at, which makes it
/// quick enough for a program that is being recorded.
pub fn analyze_waiting(log: &Log, options: &Options) -> Report {
    let trace = Trace::new(log);
    let totals = trace.totals();
    let races = Races { events: totals.events, accesses: totals.accesses, ..Races::default() };
    let mut beside = Beside::new(&trace, is_collected(log), options);
    Merge::new(&trace).run(&mut (&mut beside.lives, &mut beside.watch));
    let mut report = with_input(log, |input| report_of(&trace, &races, beside, input, &Silent));
    let is_waiting = |kind| matches!(kind, FindingKind::Deadlock | FindingKind::Leak);
    report.findings.retain(|finding| is_waiting(finding.kind));
    report
}

/// Whether a garbage collector frees the program's memory.
fn is_collected(log: &Log) -> bool {
    log.info().runtime.starts_with("go")
}

/// Does something with what an analysis reads of a log.
fn with_input<T>(log: &Log, f: impl FnOnce(&Input<'_>) -> T) -> T {
    f(&Input {
        tables: log.tables(),
        sections: &|module| log::sections(log, module),
        is_collected: is_collected(log),
        recorder_source: log::recorder_source(log),
        log: log::facts(log),
        gaps: log.gaps().iter().map(log::reported).collect(),
        chunk_gap: &|chunk, what| log::chunk_gap(log, chunk, what),
    })
}

/// The names of a log's stacks, from its tables and the symbols in it.
pub fn symbols(log: &Log) -> Symbols<'_> {
    Symbols::new(log.tables(), |module| log::sections(log, module))
        .with_recorder_source(log::recorder_source(log))
}

/// Runs all passes on the present `rayon` pool. The report is the same for any number of threads.
pub fn report(
    trace: &Trace<'_>,
    input: &Input<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Report {
    let mut beside = Beside::new(trace, input.is_collected, options);
    let races = detect_beside(trace, options, progress, &mut beside);
    report_of(trace, &races, beside, input, progress)
}

fn report_of(
    trace: &Trace<'_>,
    races: &Races,
    beside: Beside<'_>,
    input: &Input<'_>,
    progress: &dyn Progress,
) -> Report {
    let mut symbols = Symbols::new(input.tables, input.sections)
        .with_recorder_source(input.recorder_source.clone());
    let mut stacks = NamedStacks::default();
    let bugs = bugs(&races.pairs, &mut stacks, &mut symbols);

    let mut context = Context::new(trace.threads(), questions(&bugs, &races.pairs));
    if !bugs.is_empty() {
        progress.phase("context", trace.totals().events);
        Merge::new(trace).run(&mut context);
        progress.advance(trace.totals().events);
    }

    let Beside { lives, watch, heap } = beside;
    let (symbols, stacks) = (&mut symbols, &mut stacks);
    let (pairs, answers) = (&races.pairs, context.answers());
    let mut findings = Writer { pairs, lives: &lives, answers, symbols, stacks }.findings(&bugs);
    let waiting = watch.finish();
    let mut names = blocked::Names { lives: &lives, symbols };
    let mut blocked = names.threads(&waiting);
    findings.extend(names.findings(&waiting, &blocked));
    // The collector's goroutines and their like always wait, for nothing that the program does.
    blocked.retain(|thread| !is_go_runtime(&thread.stack));
    let history = heap.finish();
    findings.extend(history.iter().flat_map(|history| heap::findings(history, symbols)));
    // Stable: within a severity, the order in which they were found.
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));

    let log = input.log.clone();
    let (gaps, gap_count) = gaps::collect(trace, races, input);
    let summary = Summary {
        events: races.events,
        accesses: races.accesses,
        goroutines: trace.threads().len() as u64,
        gaps: gap_count,
        races: race_summary(races, bugs.len()),
        blocked: blocked_summary(&blocked, &findings),
        heap: heap_summary(history.as_ref(), &findings),
    };
    Report {
        schema: SCHEMA,
        verdict: Verdict::of(&findings, gaps.is_empty() && log.complete),
        summary,
        findings,
        blocked,
        heap: history.map(|history| heap::report(history, log.duration_ns, symbols)),
        gaps,
        log,
    }
}

fn race_summary(races: &Races, findings: usize) -> RaceSummary {
    let places = |pair: &RacePair| {
        let (a, b) = (pair.first.stack, pair.second.stack);
        (a.min(b), a.max(b))
    };
    RaceSummary {
        findings: findings as u64,
        site_pairs: races.pairs.iter().map(places).collect::<BTreeSet<_>>().len() as u64,
        event_pairs: races.event_pairs(),
        addresses: races.addresses,
    }
}

fn heap_summary(history: Option<&HeapHistory>, findings: &[Finding]) -> HeapSummary {
    let growing = findings.iter().filter(|finding| finding.kind == FindingKind::HeapGrowth);
    history.map_or_else(HeapSummary::default, |history| HeapSummary {
        findings: growing.count() as u64,
        allocations: history.totals.allocations,
        frees: history.totals.frees,
        peak_bytes: history.peak.live_bytes,
        live_at_end_bytes: history.totals.live_at_end_bytes,
    })
}

fn blocked_summary(blocked: &[BlockedThread], findings: &[Finding]) -> BlockedSummary {
    let count = |kind| findings.iter().filter(|finding| finding.kind == kind).count() as u64;
    BlockedSummary {
        at_end: blocked.len() as u64,
        deadlocked: blocked.iter().filter(|thread| thread.is_deadlocked).count() as u64,
        deadlocks: count(FindingKind::Deadlock),
        leaks: count(FindingKind::Leak),
        lock_order: count(FindingKind::LockOrder),
    }
}

fn thread_name(lives: &Lives<'_>, symbols: &Symbols<'_>, thread: ThreadId) -> Option<String> {
    let name = symbols.string(lives.life(thread)?.name);
    (!name.is_empty()).then(|| name.to_owned())
}
