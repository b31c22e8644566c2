//! Who waits for whom, told to a person.

use super::page::{Page, Painted, Tone, counted, paint};
use super::{TextOptions, in_place, stack};
use crate::finding::{
    DeadlockEvidence, Finding, FindingKind, LockOrderEdge, LockOrderEvidence, thread_in_words,
};
use crate::quantity::{duration, grouped};
use crate::report::{BlockedThread, Waker};
use crate::symbol::program_frame;

/// The most threads of a deadlock that are shown in full.
const WAITS_MAX: usize = 8;
/// The most threads that could wake another of which each is named.
const WAKERS_MAX: usize = 4;

/// A deadlock, or threads that were left behind.
pub(super) fn write_stuck(
    page: &mut Page,
    options: &TextOptions<'_>,
    finding: &Finding,
    stuck: &DeadlockEvidence,
) {
    let heading = match finding.kind {
        FindingKind::Deadlock => paint(Tone::Danger, "DEADLOCK"),
        _ => paint(Tone::Caution, "LEFT WAITING"),
    };
    let count = counted(stuck.waits.len() as u64, "thread", "threads");
    let when = format!("  {count}, since {}", duration(stuck.since_ns));
    write_heading(page, heading, finding, when);
    for wait in stuck.waits.iter().take(WAITS_MAX) {
        page.blank();
        write_wait(page, options, wait);
    }
    more(page, stuck.waits.len(), WAITS_MAX);
    page.blank();
    page.paragraph(2, 2, &paint(Tone::Heading, "why  "), &stuck.why);
}

/// Locks in circular order.
pub(super) fn write_lock_order(
    page: &mut Page,
    options: &TextOptions<'_>,
    finding: &Finding,
    order: &LockOrderEvidence,
) {
    let seen = format!("  seen {}", counted(finding.count, "time", "times"));
    write_heading(page, paint(Tone::Danger, "LOCK ORDER"), finding, seen);
    for edge in &order.edges {
        page.blank();
        write_edge(page, options, edge);
    }
    page.blank();
    page.paragraph(2, 2, &paint(Tone::Heading, "why  "), &order.why);
}

/// All that were waiting when the log ended, apart from those that findings tell of.
pub(super) fn write_waiting(page: &mut Page, options: &TextOptions<'_>, blocked: &[BlockedThread]) {
    let others = || blocked.iter().filter(|thread| !thread.is_deadlocked);
    let count = others().count();
    if count == 0 {
        return;
    }
    page.blank();
    let counted = counted(count as u64, "thread was", "threads were");
    let text = format!("  {counted} waiting when the log ended, and might have gone on");
    page.line(0, [paint(Tone::Heading, "WAITING"), text.into()]);
    for thread in others().take(options.findings) {
        write_wait(page, options, thread);
    }
    more(page, count, options.findings);
}

fn write_heading(page: &mut Page, heading: Painted, finding: &Finding, facts: String) {
    let mut parts =
        vec![heading, paint(Tone::Faint, format!("  {}", finding.fingerprint)), facts.into()];
    if let Some(test) = &finding.test {
        parts.push(format!(", in test {test}").into());
    }
    page.blank();
    page.line(0, parts);
}

fn write_wait(page: &mut Page, options: &TextOptions<'_>, wait: &BlockedThread) {
    let on = if wait.object.0 == 0 { String::new() } else { format!(" {}", wait.object) };
    let name = thread_in_words(wait.goroutine, wait.goroutine_name.as_deref());
    page.line(
        2,
        [
            paint(Tone::Heading, name),
            format!(" waits for {}{on} since {}", wait.reason, duration(wait.since_ns)).into(),
            paint(Tone::Faint, format!("  {}", wait.event)),
        ],
    );
    stack::write(page, options, 4, &wait.stack);
    // Time, the system and the collector end these.
    if matches!(wait.reason, "sleep" | "io" | "syscall" | "gc" | "unknown") {
        return;
    }
    let is_lock = matches!(wait.reason, "mutex" | "read-lock" | "write-lock");
    let lead = paint(Tone::Faint, if is_lock { "held by" } else { "woken by" }).padded(10);
    if wait.waker_count == 0 {
        let nobody = "nobody else that is alive has used it so far, as far as the log knows";
        page.line(4, [lead, nobody.into()]);
        return;
    }
    let mut wakers: Vec<String> =
        wait.wakers.iter().take(WAKERS_MAX).map(|w| waker(w, is_lock)).collect();
    let left_out = wait.waker_count - wakers.len() as u64;
    if left_out > 0 {
        wakers.push(format!("{} more", grouped(left_out)));
    }
    page.line(4, [lead, wakers.join(", or ").into()]);
}

fn waker(waker: &Waker, is_holder: bool) -> String {
    let name = thread_in_words(waker.goroutine, waker.goroutine_name.as_deref());
    if waker.stack.is_empty() {
        return format!("{name}, when it ends");
    }
    let what = if is_holder { "taken at" } else { "last there at" };
    format!("{name}, {what} {}  {}", in_place(program_frame(&waker.stack)), waker.event)
}

fn write_edge(page: &mut Page, options: &TextOptions<'_>, edge: &LockOrderEdge) {
    let name = thread_in_words(edge.goroutine, edge.goroutine_name.as_deref());
    page.line(
        2,
        [
            paint(Tone::Heading, name.clone()),
            format!(" takes {}", edge.taken).into(),
            paint(Tone::Faint, format!("  {}", edge.taken_event)),
        ],
    );
    stack::write(page, options, 4, &edge.taken_stack);
    page.line(
        2,
        [
            format!("while it holds {}, taken at", edge.held).into(),
            paint(Tone::Faint, format!("  {}", edge.held_event)),
        ],
    );
    stack::write(page, options, 4, &edge.held_stack);
}

fn more(page: &mut Page, all: usize, shown: usize) {
    if all > shown {
        let left_out = grouped((all - shown) as u64);
        page.line(2, [paint(Tone::Faint, format!("and {left_out} more"))]);
    }
}
