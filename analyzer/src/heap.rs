//! The heap over time: live bytes by allocation site, peak, rates, and a growth verdict per site.
//!
//! # Definition
//! A *site* is the whole stack of an allocation, and its type if that is known. Live bytes of a site
//! at a moment are the sizes of the blocks that it allocated and nobody freed so far. A realloc is a
//! free and an allocation.
//!
//! # Algorithm and source
//! One pass over the memory events in merged order. Blocks are paired by address, which the order
//! numbers make exact; *times* only place the changes on a curve. Curves are kept as differences in
//! bins of one common width that doubles as the recording goes on (`series`); [`growth`] judges
//! their shapes.
//!
//! A heap with a garbage collector is judged by what the collector left: up to the end of its last
//! collection, and only if there were [`COLLECTIONS_MIN`] of them.
//!
//! # Where we differ
//! Memory does not grow with the length of the log: it takes 40 bytes a live block, and at most
//! [`Limits::points`] bins for all curves together, which get coarser when that is used up.
//!
//! # What it cannot see
//! Blocks that were allocated before recording began; frees that fell into a gap (their blocks stay
//! live, and the report counts blocks that were allocated over); what a garbage collector would
//! free but has not yet.

pub mod growth;
pub mod robust;
mod series;

use std::collections::HashMap;

use mmtrace_format::{Address, Event, EventKind, StackId, StringId, Timestamp};

use crate::hash::FastHash;
pub use growth::GrowthVerdict;
use growth::{Growth, judge};
use series::{BinWidth, Series};

/// Bounds on what the heap pass keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bins of all curves together; 40 bytes each.
    pub points: usize,
}

impl Limits {
    /// Limits that leave most of `memory` bytes to live blocks.
    pub fn within(memory: u64) -> Self {
        let points = usize::try_from(memory / 8 / 40).unwrap_or(usize::MAX);
        Self { points: points.clamp(1 << 12, 1 << 22) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { points: 1 << 20 }
    }
}

/// After fewer collections than this, what is live says nothing of what stays.
pub const COLLECTIONS_MIN: u32 = 6;

/// A garbage collector, as the events tell of it.
#[derive(Clone, Copy, Debug, Default)]
struct Collector {
    collections: u32,
    last: Timestamp,
}

/// A block that is live.
#[derive(Clone, Copy, Debug)]
struct Block {
    size: u64,
    site: u32,
}

/// A site while the events go by.
#[derive(Debug)]
struct Site {
    stack: StackId,
    type_name: StringId,
    allocations: u64,
    frees: u64,
    allocated_bytes: u64,
    live_bytes: u64,
    series: Series,
}

/// The heap as the events go by.
#[derive(Debug)]
pub struct LiveHeap {
    limits: Limits,
    width: BinWidth,
    points: usize,
    blocks: HashMap<u64, Block, FastHash>,
    sites: Vec<Site>,
    site_of: HashMap<(StackId, StringId), u32, FastHash>,
    total: Series,
    totals: Totals,
    end: Timestamp,
    /// `None` if the program frees by itself.
    collector: Option<Collector>,
}

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
    /// An empty heap.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            width: BinWidth::FINEST,
            points: 0,
            blocks: HashMap::default(),
            sites: Vec::new(),
            site_of: HashMap::default(),
            total: Series::new(BinWidth::FINEST),
            totals: Totals::default(),
            end: Timestamp::default(),
            collector: None,
        }
    }

    /// The same for a program whose blocks are freed by a garbage collector.
    #[must_use]
    pub fn with_collector(mut self, is_collected: bool) -> Self {
        self.collector = is_collected.then(Collector::default);
        self
    }

    /// Takes in an event; those that are not about the heap only move the clock on.
    pub fn event(&mut self, event: &Event) {
        self.end = self.end.max(event.time);
        match event.kind {
            EventKind::Alloc => self.allocate(event),
            EventKind::Free => self.free(Address(event.object), event.time),
            EventKind::GcEnd => {
                let collector = self.collector.get_or_insert_default();
                collector.collections += 1;
                collector.last = collector.last.max(event.time);
            }
            _ => {}
        }
    }

    /// Moves the clock on: the recording lasted at least until `time`.
    pub fn lasts_until(&mut self, time: Timestamp) {
        self.end = self.end.max(time);
    }

    fn allocate(&mut self, event: &Event) {
        let site = self.site(event.stack, StringId::new(u32::try_from(event.extra).unwrap_or(0)));
        let block = Block { size: event.value, site };
        if let Some(lost) = self.blocks.insert(event.object, block) {
            self.totals.missing_frees += 1;
            self.give_back(lost, event.time);
        }
        self.totals.allocations += 1;
        self.totals.allocated_bytes = self.totals.allocated_bytes.saturating_add(block.size);
        self.totals.live_at_end_bytes = self.totals.live_at_end_bytes.saturating_add(block.size);
        let totals = &mut self.sites[site as usize];
        totals.allocations += 1;
        totals.allocated_bytes = totals.allocated_bytes.saturating_add(block.size);
        totals.live_bytes = totals.live_bytes.saturating_add(block.size);
        self.draw(site, event.time, i64::try_from(block.size).unwrap_or(i64::MAX));
    }

    fn free(&mut self, address: Address, time: Timestamp) {
        match self.blocks.remove(&address.0) {
            None => self.totals.unknown_frees += 1,
            Some(block) => {
                self.totals.frees += 1;
                self.sites[block.site as usize].frees += 1;
                self.give_back(block, time);
            }
        }
    }

    fn give_back(&mut self, block: Block, time: Timestamp) {
        self.totals.live_at_end_bytes = self.totals.live_at_end_bytes.saturating_sub(block.size);
        let site = &mut self.sites[block.site as usize];
        site.live_bytes = site.live_bytes.saturating_sub(block.size);
        self.draw(block.site, time, i64::try_from(block.size).map_or(i64::MIN, |size| -size));
    }

    fn site(&mut self, stack: StackId, type_name: StringId) -> u32 {
        if let Some(&site) = self.site_of.get(&(stack, type_name)) {
            return site;
        }
        let number =
            u32::try_from(self.sites.len()).expect("four billion sites fit into no memory");
        self.sites.push(Site {
            stack,
            type_name,
            allocations: 0,
            frees: 0,
            allocated_bytes: 0,
            live_bytes: 0,
            series: Series::new(self.width),
        });
        self.site_of.insert((stack, type_name), number);
        number
    }

    /// Puts a change on the site's curve and on the total's.
    fn draw(&mut self, site: u32, time: Timestamp, change: i64) {
        let bin = self.width.bin_of(time);
        self.total.push(self.width, bin, change);
        let series = &mut self.sites[site as usize].series;
        let before = series.len();
        series.push(self.width, bin, change);
        self.points = (self.points + series.len()).saturating_sub(before);
        if self.points > self.limits.points {
            self.widen();
        }
    }

    /// Makes all curves coarser until they take half of what they may.
    fn widen(&mut self) {
        // Ends: a curve of one bin cannot shrink, so that many sites may take one point each.
        let floor = self.sites.len();
        while self.points > (self.limits.points / 2).max(floor) {
            self.width.widen();
            self.points = 0;
            for site in &mut self.sites {
                site.series.coarsen(self.width);
                self.points += site.series.len();
            }
        }
        self.limits.points = self.limits.points.max(floor * 2);
    }

    /// Judges every site, at the end of the log.
    pub fn finish(mut self) -> HeapHistory {
        let last = self.width.bin_of(self.end);
        self.totals.live_at_end_blocks = self.blocks.len() as u64;
        drop(self.blocks);
        let (width, end) = (self.width, self.end);
        let judged = self.collector.map(|collector| Judged {
            bins: self.width.bin_of(collector.last),
            is_enough: collector.collections >= COLLECTIONS_MIN,
        });
        self.total.coarsen(width);
        let curve = self.total.to_curve(last);
        let sites =
            self.sites.into_iter().map(|site| site.finish(width, last, end, &curve, judged));
        let mut sites: Vec<SiteHistory> = sites.collect();
        sites.sort_by(|a, b| {
            b.peak_bytes
                .cmp(&a.peak_bytes)
                .then((a.stack, a.type_name).cmp(&(b.stack, b.type_name)))
        });

        let peak_bin = (0..).zip(&curve.high).max_by_key(|&(bin, &high)| (high, -i64::from(bin)));
        let peak = peak_bin.map_or((0, 0), |(bin, &high)| (curve.first_bin + bin, high));
        HeapHistory {
            totals: self.totals,
            peak: Point { time: width.end_of(peak.0).min(end), live_bytes: peak.1 },
            points: points(&curve, width, end),
            sites,
        }
    }
}

/// Up to where the curves of a collected heap are judged.
#[derive(Clone, Copy, Debug)]
struct Judged {
    bins: u32,
    is_enough: bool,
}

impl Site {
    fn finish(
        mut self,
        width: BinWidth,
        last: u32,
        end: Timestamp,
        total: &series::Curve,
        judged: Option<Judged>,
    ) -> SiteHistory {
        self.series.coarsen(width);
        let curve = self.series.to_curve(last);
        let Growth { verdict, confidence, slope_per_bin, freed_at_exit, why } = match judged {
            None => judge(&curve, last + 1, total),
            Some(Judged { is_enough: false, .. }) => Growth::too_few_collections(),
            Some(Judged { bins, .. }) => judge(&self.series.to_curve_until(bins), bins + 1, total),
        };
        SiteHistory {
            stack: self.stack,
            type_name: self.type_name,
            allocations: self.allocations,
            frees: self.frees,
            allocated_bytes: self.allocated_bytes,
            live_at_end_bytes: self.live_bytes,
            peak_bytes: curve.high.iter().copied().max().unwrap_or(0),
            growth: verdict,
            confidence,
            slope_bytes_per_second: per_second(slope_per_bin, width),
            freed_at_exit,
            why,
            points: points(&curve, width, end),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a rate for people; `as` saturates"
)]
fn per_second(slope_per_bin: f64, width: BinWidth) -> i64 {
    (slope_per_bin * 1e9 / width.end_of(0).ns as f64).round() as i64
}

/// The curve thinned to what a report shows; its first and its last bin are always there.
fn points(curve: &series::Curve, width: BinWidth, end: Timestamp) -> Vec<Point> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn alloc(stack: u32, address: u64, size: u64, ns: u64) -> Event {
        Event {
            object: address,
            value: size,
            stack: StackId::new(stack),
            time: Timestamp::from_ns(ns),
            ..Event::new(EventKind::Alloc)
        }
    }

    fn free(address: u64, ns: u64) -> Event {
        Event { object: address, time: Timestamp::from_ns(ns), ..Event::new(EventKind::Free) }
    }

    #[test]
    fn live_bytes_are_what_was_allocated_and_not_freed() {
        let mut heap = LiveHeap::new(Limits::default());
        for event in [alloc(1, 0x10, 64, 1), alloc(2, 0x80, 32, 2), free(0x10, 3)] {
            heap.event(&event);
        }
        let history = heap.finish();
        assert_eq!(history.totals.live_at_end_bytes, 32);
        assert_eq!(history.totals.live_at_end_blocks, 1);
        assert_eq!(history.peak.live_bytes, 96);
        assert_eq!(history.sites[0].stack, StackId::new(1));
        assert_eq!((history.sites[0].peak_bytes, history.sites[0].live_at_end_bytes), (64, 0));
    }

    #[test]
    fn frees_of_nothing_and_allocations_over_live_blocks_are_counted() {
        let mut heap = LiveHeap::new(Limits::default());
        for event in [free(0x10, 1), alloc(1, 0x20, 8, 2), alloc(1, 0x20, 16, 3)] {
            heap.event(&event);
        }
        let totals = heap.finish().totals;
        assert_eq!((totals.unknown_frees, totals.missing_frees), (1, 1));
        assert_eq!(totals.live_at_end_bytes, 16);
    }

    #[test]
    fn curves_stay_within_their_limit_and_keep_their_bytes() {
        let limits = Limits { points: 256 };
        let mut heap = LiveHeap::new(limits);
        for i in 0..20_000_u64 {
            heap.event(&alloc(u32::try_from(i % 40).unwrap() + 1, i * 64, 10, i * 40_000));
            assert!(heap.points <= limits.points);
        }
        let history = heap.finish();
        assert_eq!(history.totals.live_at_end_bytes, 200_000);
        assert!(history.sites.iter().all(|site| site.points.last().unwrap().live_bytes == 5_000));
    }

    #[test]
    fn a_collected_heap_is_judged_by_what_the_collector_left() {
        // Every block is freed after the collection that follows it, or never.
        let heap_with = |collections: u64, leaks: bool| {
            let mut heap = LiveHeap::new(Limits::default()).with_collector(true);
            for i in 0..4_000_u64 {
                let ns = i * 100_000;
                heap.event(&alloc(1, 0x1000 + i * 64, 64, ns));
                let every = 4_000 / (collections + 1);
                if i % every == every - 1 && i / every < collections {
                    let time = Timestamp::from_ns(ns);
                    heap.event(&Event { time, ..Event::new(EventKind::GcEnd) });
                    let first = i + 1 - every;
                    for old in (first..=i).filter(|_| !leaks) {
                        heap.event(&free(0x1000 + old * 64, ns + 1));
                    }
                }
            }
            heap.finish().sites.remove(0).growth
        };
        assert_eq!(heap_with(2, true), GrowthVerdict::Steady);
        assert_eq!(heap_with(20, true), GrowthVerdict::LinearLeak);
        for collections in [0, 2, 6, 7, 20] {
            let growth = heap_with(collections, false);
            assert!(!growth.is_leak(), "{collections} collections: {growth:?}");
        }
    }

    #[test]
    fn hostile_sizes_saturate() {
        let mut heap = LiveHeap::new(Limits::default());
        for event in [alloc(1, 1, u64::MAX, u64::MAX), alloc(1, 2, u64::MAX, 0), free(1, 5)] {
            heap.event(&event);
        }
        heap.finish();
    }
}
