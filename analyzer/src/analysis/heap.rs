//! The heap's history with names, and the findings in it.

use mmtrace_format::StringId;

use crate::finding::{Evidence, Finding, FindingKind, GrowthEvidence, Severity};
use crate::fingerprint::{Fingerprint, line_free};
use crate::heap::{GrowthVerdict, HeapHistory, SiteHistory};
use crate::report::{HeapReport, HeapSite};
use crate::symbol::{Place, Symbols, program_frame};

/// How sure a verdict of growth must be to be a finding.
const CONFIDENCE_MIN: f64 = 0.5;
/// A leak of less than this, and of less than a hundredth of the heap's peak, is not a finding.
const LEAK_BYTES_MIN: u64 = 64 << 10;
/// The most sites that a report lists: those that grow first, then by their peaks.
const SITES_MAX: usize = 64;

/// Sites that grow and grow, the fastest first.
pub(super) fn findings(history: &HeapHistory, symbols: &mut Symbols<'_>) -> Vec<Finding> {
    let least = LEAK_BYTES_MIN.min(history.peak.live_bytes / 100);
    let matters = |site: &&SiteHistory| {
        site.growth.is_leak()
            && site.confidence >= CONFIDENCE_MIN
            && site.grown_bytes >= least.max(1)
    };
    let mut growing: Vec<&SiteHistory> = history.sites.iter().filter(matters).collect();
    growing.sort_by_key(|site| {
        (std::cmp::Reverse(site.slope_bytes_per_second), site.stack, site.type_name)
    });
    growing.into_iter().map(|site| finding(site, symbols)).collect()
}

fn finding(site: &SiteHistory, symbols: &mut Symbols<'_>) -> Finding {
    let stack = symbols.stack(site.stack);
    let place = match program_frame(&stack) {
        Some(frame) if frame.function.is_some() => format!("{frame} at {}", Place(frame)),
        Some(frame) => frame.to_string(),
        None => "an unknown place".to_owned(),
    };
    let shape = match site.growth {
        GrowthVerdict::Staircase => "grows in jumps",
        _ => "grows evenly",
    };
    let key = line_free(&stack);
    // One stack may allocate of several types, each of which grows by itself.
    let (keys, what) = match symbols.string(site.type_name) {
        "" => (vec![key.as_str()], String::new()),
        name => (vec![key.as_str(), name], format!(" ({name})")),
    };
    Finding {
        kind: FindingKind::HeapGrowth,
        fingerprint: Fingerprint::new("heap-growth", &keys, 0),
        severity: Severity::Warning,
        title: format!("heap growth: what {place} allocates{what} {shape} and is not freed"),
        count: site.allocations,
        test: None,
        evidence: Evidence::HeapGrowth(Box::new(GrowthEvidence {
            stack,
            growth: site.growth,
            confidence: site.confidence,
            slope_bytes_per_second: site.slope_bytes_per_second,
            live_at_end_bytes: site.live_at_end_bytes,
            points: site.points.iter().map(|&point| point.into()).collect(),
            why: site.why.clone(),
        })),
    }
}

/// The heap's history with names.
pub(super) fn report(
    history: HeapHistory,
    duration_ns: u64,
    symbols: &mut Symbols<'_>,
) -> HeapReport {
    let totals = history.totals;
    let per_second =
        u128::from(totals.allocated_bytes) * 1_000_000_000 / u128::from(duration_ns.max(1));
    let site_count = history.sites.len() as u64;
    let (mut sites, others): (Vec<_>, Vec<_>) =
        history.sites.into_iter().partition(|site| site.growth.is_leak());
    sites.sort_by_key(|site| {
        (std::cmp::Reverse(site.slope_bytes_per_second), site.stack, site.type_name)
    });
    sites.extend(others);
    sites.truncate(SITES_MAX);
    HeapReport {
        peak: history.peak.into(),
        live_at_end_bytes: totals.live_at_end_bytes,
        live_at_end_blocks: totals.live_at_end_blocks,
        allocated_bytes: totals.allocated_bytes,
        allocated_bytes_per_second: u64::try_from(per_second).unwrap_or(u64::MAX),
        unknown_frees: totals.unknown_frees,
        missing_frees: totals.missing_frees,
        points: history.points.into_iter().map(Into::into).collect(),
        site_count,
        sites: sites.into_iter().map(|site| named(site, symbols)).collect(),
    }
}

fn named(site: SiteHistory, symbols: &mut Symbols<'_>) -> HeapSite {
    let type_name = symbols.string(site.type_name).to_owned();
    HeapSite {
        stack: symbols.stack(site.stack),
        type_name: (site.type_name != StringId::EMPTY && !type_name.is_empty())
            .then_some(type_name),
        growth: site.growth,
        confidence: site.confidence,
        slope_bytes_per_second: site.slope_bytes_per_second,
        freed_at_exit: site.freed_at_exit,
        why: site.why,
        peak_bytes: site.peak_bytes,
        live_at_end_bytes: site.live_at_end_bytes,
        allocated_bytes: site.allocated_bytes,
        allocations: site.allocations,
        frees: site.frees,
        points: site.points.into_iter().map(Into::into).collect(),
    }
}
