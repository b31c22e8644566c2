//! The report as text for people: what, where and who first, then why, then what to do.

mod blocked;
mod heap;
pub(crate) mod page;
mod race;
mod stack;

use std::fmt;

use crate::finding::{
    Evidence, Finding, FindingKind, GrowthEvidence, RaceEvidence, RaceSide, thread_in_words,
};
use crate::quantity::{duration, grouped, size};
use crate::report::{Report, ReportedGap, Summary, Verdict};
use crate::symbol::{Frame, Place, program_frame};
use page::{Page, Painted, Tone, counted, paint};

/// The text of a source line, if there is one: file as recorded, line from 1.
pub type SourceLines<'a> = &'a dyn Fn(&str, u32) -> Option<String>;

/// How the text is to look.
#[derive(Clone, Copy)]
pub struct TextOptions<'a> {
    /// Columns; sentences are broken to fit, names and places are not.
    pub width: usize,
    /// Whether to write ANSI escape codes for colours.
    pub color: bool,
    /// Whether to draw with characters beyond ASCII.
    pub unicode: bool,
    /// The log's name in the commands to try next.
    pub log: &'a str,
    /// The most findings to show in full; the first lines count all.
    pub findings: usize,
    /// The folder that paths are shown relative to, if they are below it.
    pub folder: Option<&'a str>,
    /// Where to take source lines from, to show them under stacks.
    pub source: Option<SourceLines<'a>>,
}

impl Default for TextOptions<'_> {
    fn default() -> Self {
        Self {
            width: 100,
            color: false,
            unicode: true,
            log: "LOG",
            findings: 20,
            folder: None,
            source: None,
        }
    }
}

impl fmt::Debug for TextOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextOptions")
            .field("width", &self.width)
            .field("color", &self.color)
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// The report as text. Equal reports and options give equal text.
pub fn render(report: &Report, options: &TextOptions<'_>) -> String {
    let mut page = Page::new(options.width, options.color).below(options.folder);
    write_head(&mut page, options, report);
    write_findings(&mut page, options, report);
    write_stuck(&mut page, options, report);
    blocked::write_waiting(&mut page, options, &report.blocked);
    if let Some(heap) = &report.heap {
        heap::write(&mut page, options, heap, report.summary.heap.allocations);
    }
    write_gaps(&mut page, &report.gaps);
    write_next(&mut page, options, report);
    page.into_text()
}

/// The first five lines: the verdict, the worst findings, the size of what was looked at.
fn write_head(page: &mut Page, options: &TextOptions<'_>, report: &Report) {
    let summary = &report.summary;
    let verdict = match report.verdict {
        Verdict::Clean => paint(Tone::Good, "no findings"),
        Verdict::Findings => paint(Tone::Danger, found(summary)),
        Verdict::Incomplete => {
            paint(Tone::Caution, "nothing found for sure, but the log is not whole")
        }
    };
    let name: Painted = format!(" in {}", options.log).into();
    page.line(0, [paint(Tone::Heading, "mmtrace: "), verdict, name]);
    let races = report.findings.iter().filter_map(race);
    let growths = report.findings.iter().filter_map(growth);
    let (race, growth) = (races.clone().next(), growths.clone().next());
    if let Some(race) = race {
        head_side(page, "  race  ", &race.first);
        head_side(page, "        ", &race.second);
    }
    if let Some(growth) = growth {
        page.line(0, ["  heap  ".into(), growth_in_words(growth).into()]);
    }
    let stuck =
        |finding: &&Finding| matches!(finding.kind, FindingKind::Deadlock | FindingKind::LockOrder);
    if let Some(stuck) = report.findings.iter().find(stuck) {
        page.line(0, [format!("  wait  {}", stuck.title).into()]);
    } else if let Some(waiting) = report.blocked.first() {
        let count = counted(report.blocked.len() as u64, "thread waits", "threads wait");
        let thread = thread_in_words(waiting.goroutine, waiting.goroutine_name.as_deref());
        let place = in_place(program_frame(&waiting.stack));
        let text =
            format!("  wait  {count} at the end: {thread} for {} at {place}", waiting.reason);
        page.line(0, [text.into()]);
    }
    page.line(2, [paint(Tone::Faint, looked_at(report))]);
}

fn found(summary: &Summary) -> String {
    let mut parts = Vec::new();
    if summary.races.findings > 0 {
        parts.push(counted(summary.races.findings, "data race", "data races"));
    }
    if summary.blocked.deadlocks > 0 {
        parts.push(counted(summary.blocked.deadlocks, "deadlock", "deadlocks"));
    }
    if summary.blocked.lock_order > 0 {
        let (one, many) = ("lock-order circle", "lock-order circles");
        parts.push(counted(summary.blocked.lock_order, one, many));
    }
    if summary.heap.findings > 0 {
        parts.push(counted(summary.heap.findings, "growing heap site", "growing heap sites"));
    }
    parts.join(" and ")
}

fn looked_at(report: &Report) -> String {
    let summary = &report.summary;
    let whole = match (summary.gaps, report.log.complete) {
        (0, true) => "the log is whole".to_owned(),
        (0, false) => "the recording did not end in good order".to_owned(),
        (gaps, _) => format!("the log has {}", counted(gaps, "gap", "gaps")),
    };
    format!(
        "{}, {}, {}, {}; {whole}",
        counted(summary.events, "event", "events"),
        counted(summary.accesses, "access", "accesses"),
        counted(summary.goroutines, "thread", "threads"),
        duration(report.log.duration_ns)
    )
}

fn head_side(page: &mut Page, lead: &str, side: &RaceSide) {
    let frame = program_frame(&side.stack);
    let function = frame.and_then(|frame| frame.function.as_ref());
    page.line(
        0,
        [
            lead.into(),
            side.access.into(),
            function.map(|function| format!(" in {function}")).unwrap_or_default().into(),
            " at ".into(),
            paint(Tone::Place, in_place(frame)),
            format!(" by {}", thread_in_words(side.goroutine, side.goroutine_name.as_deref()))
                .into(),
        ],
    );
}

fn in_place(frame: Option<&Frame>) -> String {
    frame.map_or_else(|| "an unknown place".to_owned(), |frame| Place(frame).to_string())
}

fn growth_in_words(growth: &GrowthEvidence) -> String {
    let frame = program_frame(&growth.stack);
    let function = frame.map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let slope = u64::try_from(growth.slope_bytes_per_second).unwrap_or(0);
    format!(
        "{function} at {} grows by {}/s ({}), {} at the end",
        in_place(frame),
        size(slope),
        growth.growth.name(),
        size(growth.live_at_end_bytes)
    )
}

fn race(finding: &Finding) -> Option<&RaceEvidence> {
    match &finding.evidence {
        Evidence::Race(race) => Some(race),
        _ => None,
    }
}

fn growth(finding: &Finding) -> Option<&GrowthEvidence> {
    match &finding.evidence {
        Evidence::HeapGrowth(growth) => Some(growth),
        _ => None,
    }
}

fn write_findings(page: &mut Page, options: &TextOptions<'_>, report: &Report) {
    let races = report.findings.iter().filter_map(|finding| Some((finding, race(finding)?)));
    let count = races.clone().count();
    for (number, (finding, race)) in (1..).zip(races).take(options.findings) {
        race::write(page, options, (number, count as u64), finding, race);
    }
    if count > options.findings {
        page.blank();
        let left_out = counted((count - options.findings) as u64, "more race", "more races");
        page.line(0, [format!("and {left_out}: --format json lists them all").into()]);
    }
}

/// Deadlocks, threads that were left behind, and locks in circular order.
fn write_stuck(page: &mut Page, options: &TextOptions<'_>, report: &Report) {
    let is_told = |finding: &&Finding| {
        matches!(finding.evidence, Evidence::Deadlock(_) | Evidence::LockOrder(_))
    };
    let findings = report.findings.iter().filter(is_told);
    let count = findings.clone().count();
    for finding in findings.take(options.findings) {
        match &finding.evidence {
            Evidence::Deadlock(stuck) => blocked::write_stuck(page, options, finding, stuck),
            Evidence::LockOrder(order) => blocked::write_lock_order(page, options, finding, order),
            _ => {}
        }
    }
    if count > options.findings {
        page.blank();
        let left_out = counted((count - options.findings) as u64, "more", "more");
        page.line(
            0,
            [format!("and {left_out} about waiting: --format json lists them all").into()],
        );
    }
}

fn write_gaps(page: &mut Page, gaps: &[ReportedGap]) {
    const GAPS_MAX: usize = 10;
    if gaps.is_empty() {
        return;
    }
    page.blank();
    let count = counted(gaps.len() as u64, "hole", "holes");
    page.line(0, [paint(Tone::Caution, "GAPS"), format!("  {count} in what the log says").into()]);
    for gap in gaps.iter().take(GAPS_MAX) {
        let when = match (gap.from_ns, gap.to_ns) {
            (Some(from), Some(to)) if from != to => {
                format!(" ({} to {})", duration(from), duration(to))
            }
            (Some(at), _) | (None, Some(at)) => format!(" (at {})", duration(at)),
            (None, None) => String::new(),
        };
        page.paragraph(2, 2, &"".into(), &format!("{}{when}", gap.what));
    }
    if gaps.len() > GAPS_MAX {
        page.line(2, [format!("and {} more", grouped((gaps.len() - GAPS_MAX) as u64)).into()]);
    }
    page.paragraph(
        2,
        2,
        &"".into(),
        "A race whose order was judged across a gap is marked as uncertain; one that lies inside \
         a gap cannot be seen.",
    );
}

fn write_next(page: &mut Page, options: &TextOptions<'_>, report: &Report) {
    let log = options.log;
    let mut commands = Vec::new();
    if let Some(race) = report.findings.iter().find_map(race) {
        let (first, second) = (race.first.event, race.second.event);
        commands.push((
            format!("mmtrace explain {log} {first} {second}"),
            "what each side knew of the other, edge by edge",
        ));
    }
    if !report.gaps.is_empty() || !report.log.complete {
        commands.push((format!("mmtrace verify {log}"), "what of the log is damaged or missing"));
    }
    commands.push((format!("mmtrace dump {log}"), "every event as a line of text"));
    commands.push((
        format!("mmtrace analyze --format json {log}"),
        "this report, in full, for scripts",
    ));
    page.blank();
    page.line(0, [paint(Tone::Heading, "What to try next")]);
    let width = commands.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    for (command, what) in commands {
        page.line(2, [paint(Tone::Plain, command).padded(width + 2), paint(Tone::Faint, what)]);
    }
}
