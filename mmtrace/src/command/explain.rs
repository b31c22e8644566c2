//! `mmtrace explain`: two events, and what orders them.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::anyhow;
use mmtrace_analyzer::EventRef;
use mmtrace_analyzer::analysis::symbols;
use mmtrace_analyzer::explain::text::render;
use mmtrace_analyzer::explain::{Relation, explain};
use mmtrace_analyzer::finding::{Evidence, Finding};
use mmtrace_analyzer::order::Trace;
use mmtrace_analyzer::visibility::{Visible, WRITES_MAX, visible_writes};
use mmtrace_format::AccessKind;

use crate::args::{Explain, Shared};
use crate::command::analyze;
use crate::exit::{Failure, Outcome};
use crate::inputs;
use crate::output::{Output, unwritten};

/// Explains two events, or the two of a finding.
pub(crate) fn run(args: &Explain, shared: Shared) -> Result<Outcome, Failure> {
    // Words are checked before the log is: a wrong one is the quicker answer.
    let events = match &args.second {
        Some(second) => Some((event(&args.first)?, event(second)?)),
        None => None,
    };
    let log = inputs::open(&args.log)?;
    let (first, second) = match events {
        Some(events) => events,
        None => finding_events(args, shared)?,
    };
    let trace = Trace::new(&log);
    let explanation = explain(&trace, first, second).map_err(Failure::usage)?;
    let name = args.log.display().to_string();
    let mut text = analyze::with_text_options(&name, |options| {
        render(&explanation, &mut symbols(&log), options)
    });
    if matches!(explanation.relation, Relation::Concurrent(_)) {
        for event in [first, second] {
            if let Some(visible) = visible_writes(&trace, event) {
                describe_visible(&mut text, event, &visible);
            }
        }
    }
    let mut output = Output::standard();
    output.write_all(text.as_bytes()).map_err(unwritten)?;
    output.finish()?;
    Ok(Outcome::Clean)
}

fn event(word: &str) -> Result<EventRef, Failure> {
    word.parse().map_err(|error: mmtrace_analyzer::order::EventRefError| Failure::usage(error))
}

/// The two accesses of the race whose fingerprint begins with what was asked for.
fn finding_events(args: &Explain, shared: Shared) -> Result<(EventRef, EventRef), Failure> {
    let asked = &args.first;
    if asked.is_empty() || !asked.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(Failure::usage(anyhow!(
            "`{asked}` is neither the fingerprint of a finding nor, with another one, an event \
             like t3#120"
        )));
    }
    let report = analyze::report_of(&args.log, &args.resources, shared)?;
    let named = |finding: &&Finding| finding.fingerprint.to_string().starts_with(asked.as_str());
    let named: Vec<&Finding> = report.findings.iter().filter(named).collect();
    match named.as_slice() {
        [] => Err(Failure::usage(anyhow!(
            "no finding's fingerprint begins with {asked}, among the log's {}",
            report.findings.len()
        ))),
        [finding] => match &finding.evidence {
            Evidence::Race(race) => Ok((race.first.event, race.second.event)),
            Evidence::LockOrder(order) if order.edges.len() >= 2 => {
                Ok((order.edges[0].taken_event, order.edges[1].taken_event))
            }
            Evidence::Deadlock(stuck) if stuck.waits.len() >= 2 => {
                Ok((stuck.waits[0].event, stuck.waits[1].event))
            }
            _ => Err(Failure::usage(anyhow!(
                "{} is not about two events: see mmtrace analyze",
                finding.fingerprint
            ))),
        },
        several => Err(Failure::usage(anyhow!(
            "{} findings' fingerprints begin with {asked}: give more letters",
            several.len()
        ))),
    }
}

/// What a read may observe, for all that orders it: this is what reordering means.
fn describe_visible(text: &mut String, event: EventRef, visible: &Visible) {
    let is_read = matches!(
        visible.read.kind,
        AccessKind::Read | AccessKind::AtomicRead | AccessKind::RangeRead
    );
    if !is_read {
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\nWhat the read {event} may observe");
    if visible.initial {
        let _ = writeln!(text, "  what was there before any write");
    }
    for write in &visible.writes {
        let value = write.value.map(|value| format!(" of {value}")).unwrap_or_default();
        let how = if write.is_ordered { "which happens before it" } else { "which nothing orders" };
        let _ = writeln!(text, "  the {} {}{value}, {how}", write.access.kind.name(), write.at);
    }
    if visible.truncated {
        let _ = writeln!(text, "  and perhaps more: {WRITES_MAX} writes were followed");
    }
}
