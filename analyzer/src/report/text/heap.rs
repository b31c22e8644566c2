//! The heap as a table: which sites grow, how fast, how sure.

use super::page::{Page, Tone, counted, paint};
use super::{TextOptions, stack};
use crate::heap::GrowthVerdict;
use crate::quantity::{duration, grouped, size};
use crate::report::{HeapPoint, HeapReport, HeapSite};
use crate::symbol::{Place, program_frame};

/// The most rows of the table.
const ROWS_MAX: usize = 12;

pub(super) fn write(
    page: &mut Page,
    options: &TextOptions<'_>,
    heap: &HeapReport,
    allocations: u64,
) {
    page.blank();
    page.line(
        0,
        [
            paint(Tone::Heading, "HEAP"),
            format!(
                "  peak {} at {}, {} in {} at the end",
                size(heap.peak.live_bytes),
                duration(heap.peak.time_ns),
                size(heap.live_at_end_bytes),
                counted(heap.live_at_end_blocks, "block", "blocks")
            )
            .into(),
        ],
    );
    page.line(
        6,
        [format!(
            "{} of {} in all ({}/s) from {}",
            counted(allocations, "allocation", "allocations"),
            size(heap.allocated_bytes),
            size(heap.allocated_bytes_per_second),
            counted(heap.site_count, "site", "sites")
        )
        .into()],
    );
    page.blank();
    // Small sites say nothing, unless they are all there is.
    let least = heap.peak.live_bytes / 100;
    let matters = |&(row, site): &(usize, &HeapSite)| {
        row < 3 || site.growth.is_leak() || site.peak_bytes >= least
    };
    let rows = heap.sites.iter().enumerate().filter(matters).map(|(_, site)| site);
    let shown: Vec<&HeapSite> = rows.take(ROWS_MAX).collect();
    header(page, options);
    for site in &shown {
        row(page, options, site);
    }
    let left_out = heap.site_count.saturating_sub(shown.len() as u64);
    if left_out > 0 {
        page.line(2, [paint(Tone::Faint, format!("and {} more sites", grouped(left_out)))]);
    }
    for site in shown.iter().filter(|site| site.growth.is_leak()) {
        page.blank();
        let lead = paint(Tone::Heading, format!("{}  ", site.growth.name()));
        let text = format!("{}: {}", site_in_words(site), site.why);
        page.paragraph(2, 2, &lead, &text);
        stack::write(page, options, 4, &site.stack);
    }
    let unclear = shown.iter().find(|site| site.growth == GrowthVerdict::Unclear);
    if let Some(site) = unclear {
        page.blank();
        page.paragraph(2, 2, &paint(Tone::Faint, "unclear  "), &site.why);
    }
    if heap.missing_frees + heap.unknown_frees > 0 {
        page.blank();
        let text = format!(
            "{} of blocks allocated before or outside the log; {} over blocks whose free is not \
             in the log",
            counted(heap.unknown_frees, "free", "frees"),
            counted(heap.missing_frees, "allocation", "allocations")
        );
        page.paragraph(2, 2, &paint(Tone::Faint, "note  "), &text);
    }
}

fn header(page: &mut Page, options: &TextOptions<'_>) {
    let curve = if options.unicode { "over time         " } else { "" };
    page.line(
        2,
        [paint(
            Tone::Faint,
            format!(
                "{:<14}{:>5}  {:>13}{:>12}{:>12}{:>13}  {curve}site",
                "shape", "sure", "growth", "at the end", "peak", "allocations"
            ),
        )],
    );
}

fn row(page: &mut Page, options: &TextOptions<'_>, site: &HeapSite) {
    let growth = match site.slope_bytes_per_second {
        0 => String::new(),
        slope => format!("{}{}/s", if slope > 0 { "+" } else { "-" }, size(slope.unsigned_abs())),
    };
    let tone = match site.growth {
        shape if shape.is_leak() => Tone::Caution,
        GrowthVerdict::FreedAtExit => Tone::Heading,
        _ => Tone::Plain,
    };
    let curve = if options.unicode { format!("{}  ", curve(&site.points)) } else { String::new() };
    page.line(
        2,
        [
            paint(tone, site.growth.name()).padded(14),
            format!(
                "{:>4.0}%  {growth:>13}{:>12}{:>12}{:>13}  {curve}",
                site.confidence * 100.0,
                size(site.live_at_end_bytes),
                size(site.peak_bytes),
                grouped(site.allocations)
            )
            .into(),
            paint(Tone::Place, site_in_words(site)),
        ],
    );
}

/// The function and place of a site, and what it allocates.
fn site_in_words(site: &HeapSite) -> String {
    let place = match program_frame(&site.stack) {
        Some(frame) if frame.function.is_some() && frame.file.is_some() => {
            format!("{frame} at {}", Place(frame))
        }
        Some(frame) => frame.to_string(),
        None => "an unknown place".to_owned(),
    };
    match &site.type_name {
        Some(name) => format!("{place} ({name})"),
        None => place,
    }
}

/// Live bytes over time in 16 characters.
fn curve(points: &[HeapPoint]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = points.iter().map(|point| point.live_bytes).max().unwrap_or(0).max(1);
    let bar = |column: usize| {
        let point = points.get(column * points.len() / 16)?;
        let level = u128::from(point.live_bytes) * 7 / u128::from(most);
        Some(BARS[usize::try_from(level).expect("at most 7")])
    };
    (0..16).map(|column| bar(column).unwrap_or(' ')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_drawn_from_its_lowest_to_its_highest() {
        let points: Vec<HeapPoint> =
            (0..16).map(|i| HeapPoint { time_ns: i, live_bytes: i * 100 }).collect();
        assert_eq!(curve(&points), "▁▁▁▂▂▃▃▄▄▅▅▆▆▇▇█");
        assert_eq!(curve(&[]), " ".repeat(16));
    }
}
