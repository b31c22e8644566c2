//! What the heap did from beginning to end, once the log is at its end.

use std::collections::{HashMap, HashSet};

use mmtrace_format::{StackId, StringId, Timestamp};

use super::collected::{self, Cohorts, Judged};
use super::growth::{self, Growth};
use super::series::{BinWidth, Curve};
use super::{GrowthVerdict, LiveHeap, Site};

/// What the whole heap did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many allocations.
    pub allocations: u64,
    /// How many frees of blocks whose allocation was recorded.
    pub frees: u64,
    /// How many bytes were allocated, freed or not.
    pub allocated_bytes: u64,
    /// Live bytes at the end of the log.
    pub live_at_end_bytes: u64,
    /// Live blocks at the end of the log.
    pub live_at_end_blocks: u64,
    /// Frees of blocks whose allocation was not recorded.
    pub unknown_frees: u64,
    /// Allocations of bytes that were still live as far as the log knows: a free is missing.
    pub missing_frees: u64,
}

/// Live bytes at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When.
    pub time: Timestamp,
    /// How many bytes.
    pub live_bytes: u64,
}

/// What a site did from beginning to end.
#[derive(Clone, Debug, PartialEq)]
pub struct SiteHistory {
    /// The allocations' stack.
    pub stack: StackId,
    /// The type allocated, if the recorder knew.
    pub type_name: StringId,
    /// How many allocations.
    pub allocations: u64,
    /// How many of them were freed.
    pub frees: u64,
    /// How many bytes were allocated, freed or not.
    pub allocated_bytes: u64,
    /// Live bytes at the end of the log.
    pub live_at_end_bytes: u64,
    /// The most bytes that were live, as exactly as the curve's bins tell.
    pub peak_bytes: u64,
    /// The shape of its curve.
    pub growth: GrowthVerdict,
    /// How sure the verdict is, from 0 to 1.
    pub confidence: f64,
    /// Growth of what is not given back; 0 unless the verdict is one of growth.
    pub slope_bytes_per_second: i64,
    /// By how much what is not given back has grown; 0 unless the verdict is one of growth.
    pub grown_bytes: u64,
    /// Whether almost everything was freed in the last moments of the recording.
    pub freed_at_exit: bool,
    /// The verdict's reason in words.
    pub why: String,
    /// The curve, at most [`POINTS_SHOWN`] points.
    pub points: Vec<Point>,
}

/// What the heap did from beginning to end.
#[derive(Clone, Debug, PartialEq)]
pub struct HeapHistory {
    /// Counts over the whole heap.
    pub totals: Totals,
    /// The moment with the most live bytes.
    pub peak: Point,
    /// Live bytes of the whole heap, at most [`POINTS_SHOWN`] points.
    pub points: Vec<Point>,
    /// Every site, those with the highest peak first.
    pub sites: Vec<SiteHistory>,
}

/// The most points of a curve that a report shows.
pub const POINTS_SHOWN: usize = 32;

impl LiveHeap {
    /// Judges every site, at the end of the log.
    pub fn finish(mut self) -> HeapHistory {
        let last = self.width.bin_of(self.end);
        self.totals.live_at_end_blocks = self.blocks.len() as u64;
        let (width, end) = (self.width, self.end);
        self.total.coarsen(width);
        let total = self.total.to_curve(last);
        let mut judged: Vec<(Curve, Judged)> = Vec::with_capacity(self.sites.len());
        for site in &mut self.sites {
            site.series.coarsen(width);
            let curve = site.series.to_curve(last);
            let growth = match &self.collections {
                None => growth::judge(&curve, width, last + 1, &total).into(),
                Some(collections) => {
                    let left = std::mem::take(&mut site.floors).finish(collections);
                    collected::judge(&curve, &left, last + 1, end)
                }
            };
            judged.push((curve, growth));
        }
        self.confirm(&mut judged);
        let judged = self.sites.into_iter().zip(judged);
        let mut sites: Vec<SiteHistory> = judged
            .map(|(site, (curve, judged))| site.finish(width, end, &curve, judged.growth))
            .collect();
        let name = |site: &SiteHistory| (site.stack, site.type_name);
        sites.sort_by(|a, b| b.peak_bytes.cmp(&a.peak_bytes).then(name(a).cmp(&name(b))));

        let peak_bin = (0..).zip(&total.high).max_by_key(|&(bin, &high)| (high, -i64::from(bin)));
        let peak = peak_bin.map_or((0, 0), |(bin, &high)| (total.first_bin + bin, high));
        HeapHistory {
            totals: self.totals,
            peak: Point { time: width.end_of(peak.0).min(end), live_bytes: peak.1 },
            points: points(&total, width, end),
            sites,
        }
    }

    /// Looks at the blocks that are still there of the sites of a collected heap that seem to leak.
    fn confirm(&self, judged: &mut [(Curve, Judged)]) {
        let Some(collections) = &self.collections else { return };
        let leaks = |judged: &Judged| judged.growth.verdict.is_leak();
        let leaking = (0..).zip(judged.iter()).filter(|(_, (_, judged))| leaks(judged));
        let leaking: HashSet<u32> = leaking.map(|(site, _)| site).collect();
        if leaking.is_empty() {
            return;
        }
        let mut cohorts: HashMap<u32, Cohorts> = HashMap::new();
        for block in self.blocks.values().filter(|block| leaking.contains(&block.site)) {
            cohorts.entry(block.site).or_default().add(collections, block.born);
        }
        for site in leaking {
            let cohorts = cohorts.remove(&site).unwrap_or_default();
            judged[site as usize].1.confirm(&cohorts);
        }
    }
}

impl Site {
    fn finish(self, width: BinWidth, end: Timestamp, curve: &Curve, growth: Growth) -> SiteHistory {
        SiteHistory {
            stack: self.stack,
            type_name: self.type_name,
            allocations: self.allocations,
            frees: self.frees,
            allocated_bytes: self.allocated_bytes,
            live_at_end_bytes: self.live_bytes,
            peak_bytes: curve.high.iter().copied().max().unwrap_or(0),
            growth: growth.verdict,
            confidence: growth.confidence,
            slope_bytes_per_second: per_second(growth.slope_per_ns),
            grown_bytes: growth.grown_bytes,
            freed_at_exit: growth.freed_at_exit,
            why: growth.why,
            points: points(curve, width, end),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a rate for people; `as` saturates")]
fn per_second(slope_per_ns: f64) -> i64 {
    (slope_per_ns * 1e9).round() as i64
}

/// The curve thinned to what a report shows; its first and its last bin are always there.
fn points(curve: &Curve, width: BinWidth, end: Timestamp) -> Vec<Point> {
    let bins = curve.live.len();
    let shown = bins.min(POINTS_SHOWN);
    let at = |i: usize| if shown < 2 { 0 } else { i * (bins - 1) / (shown - 1) };
    (0..shown)
        .map(at)
        .map(|bin| {
            let number = curve.first_bin + u32::try_from(bin).expect("below BINS_MAX");
            Point { time: width.end_of(number).min(end), live_bytes: curve.live[bin] }
        })
        .collect()
}
