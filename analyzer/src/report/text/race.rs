//! A race, told to a person: both sides, the memory, and why.

use super::page::{Page, Tone, counted, paint};
use super::{TextOptions, stack};
use crate::finding::{
    Finding, HeldLock, RaceEvidence, RaceSide, SitePair, SyncPoint, thread_in_words,
};
use crate::quantity::grouped;
use crate::symbol::{Frame, Place, library_call, program_frame};

/// The most other pairs of places that are listed; the JSON report has more.
const OTHER_PAIRS_MAX: usize = 8;

pub(super) fn write(
    page: &mut Page,
    options: &TextOptions<'_>,
    (number, count): (usize, u64),
    finding: &Finding,
    race: &RaceEvidence,
) {
    let mut heading = vec![
        paint(Tone::Danger, format!("RACE {number} of {}", grouped(count))),
        paint(Tone::Faint, format!("  {}", finding.fingerprint)),
        format!("  seen {}", counted(finding.count, "time", "times")).into(),
        format!(", {}", counted(race.addresses, "address", "addresses")).into(),
    ];
    if let Some(test) = &finding.test {
        heading.push(format!(", in test {test}").into());
    }
    if !race.certain {
        heading.push(paint(Tone::Caution, "  UNCERTAIN: the log has a gap here"));
    }
    page.blank();
    page.line(0, heading);
    for side in [&race.first, &race.second] {
        page.blank();
        write_side(page, options, side);
    }
    page.blank();
    write_memory(page, options, race);
    page.blank();
    page.paragraph(2, 2, &paint(Tone::Heading, "why  "), &race.why);
    write_other_pairs(page, race);
}

fn write_side(page: &mut Page, options: &TextOptions<'_>, side: &RaceSide) {
    page.line(
        2,
        [
            paint(Tone::Heading, side.access),
            format!(" of {} at {}, by ", counted(side.size, "byte", "bytes"), side.address).into(),
            paint(Tone::Heading, thread(side)),
            paint(Tone::Faint, format!("  {}", side.event)),
        ],
    );
    stack::write(page, options, 4, &side.stack);
    for lock in &side.locks_held {
        fact(page, "holding", &lock_in_words(lock));
    }
    if side.locks_held.is_empty() {
        fact(page, "holding", "no lock");
    }
    fact(page, "sync before", &point_in_words(side.last_sync_before.as_ref(), "none in the log"));
    fact(page, "sync after", &point_in_words(side.first_sync_after.as_ref(), "none in the log"));
    if side.goroutine == 0 && side.created_at.is_empty() {
        return;
    }
    let by = side.ancestors.iter().map(|a| name(a.goroutine, a.goroutine_name.as_deref()));
    let by: Vec<String> = by.collect();
    let by = if by.is_empty() { "someone not in the log".to_owned() } else { by.join(", by ") };
    fact(page, "started", &format!("by {by}"));
    stack::write(page, options, 6, &side.created_at);
}

fn write_memory(page: &mut Page, options: &TextOptions<'_>, race: &RaceEvidence) {
    let Some(block) = &race.allocated_at else {
        page.line(2, ["the memory is no heap block that the log knows".into()]);
        return;
    };
    let kind = block.type_name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let offset = race.second.address.0.saturating_sub(block.address.0);
    let by = name(block.goroutine, block.goroutine_name.as_deref());
    page.line(
        2,
        [
            paint(Tone::Heading, "the memory"),
            format!(
                " is byte {} of a block of {}{kind} at {}, allocated by {by}",
                grouped(offset),
                grouped(block.size),
                block.address
            )
            .into(),
        ],
    );
    stack::write(page, options, 4, &block.stack);
}

fn write_other_pairs(page: &mut Page, race: &RaceEvidence) {
    let others = race.site_pair_count.saturating_sub(1);
    if others == 0 {
        return;
    }
    page.blank();
    let pairs = counted(others, "more pair of places is", "more pairs of places are");
    page.line(2, [format!("{pairs} the same bug").into()]);
    for pair in race.site_pairs.iter().skip(1).take(OTHER_PAIRS_MAX) {
        page.line(4, [pair_in_words(pair).into()]);
    }
    let listed = race.site_pairs.len().saturating_sub(1).min(OTHER_PAIRS_MAX) as u64;
    if others > listed {
        page.line(4, [format!("and {} more", grouped(others - listed)).into()]);
    }
}

fn fact(page: &mut Page, what: &str, text: &str) {
    page.line(4, [paint(Tone::Faint, what).padded(13), text.into()]);
}

fn thread(side: &RaceSide) -> String {
    name(side.goroutine, side.goroutine_name.as_deref())
}

fn name(thread: u32, name: Option<&str>) -> String {
    thread_in_words(thread, name)
}

fn lock_in_words(lock: &HeldLock) -> String {
    format!("{} {}, taken at {}", lock.mode, lock.object, place(&lock.stack))
}

fn point_in_words(point: Option<&SyncPoint>, none: &str) -> String {
    let Some(point) = point else { return none.to_owned() };
    let mut words = point.operation.to_owned();
    if let Some(order) = point.order {
        words = format!("{words} ({order})");
    }
    if point.object.0 != 0 {
        words = format!("{words} of {}", point.object);
    }
    if let Some(called) = library_call(&point.stack, point.operation) {
        words = format!("{words} in {called}");
    }
    if !point.stack.is_empty() {
        words = format!("{words} at {}", place(&point.stack));
    }
    format!("{words}  {}", point.event)
}

fn pair_in_words(pair: &SitePair) -> String {
    format!(
        "{} at {}, {} at {}: {}",
        pair.first_access,
        place(&pair.first),
        pair.second_access,
        place(&pair.second),
        counted(pair.event_pairs, "time", "times")
    )
}

fn place(stack: &[Frame]) -> String {
    program_frame(stack)
        .map_or_else(|| "an unknown place".to_owned(), |frame| Place(frame).to_string())
}
