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
//! A heap with a garbage collector is judged by what each collection left (`collections`,
//! `collected`), and only if there were enough of them.
//!
//! # Where we differ
//! Memory does not grow with the length of the log: it takes 40 bytes a live block, and at most
//! [`Limits::points`] bins for all curves together, which get coarser when that is used up.
//!
//! # What it cannot see
//! Blocks that were allocated before recording began; frees that fell into a gap (their blocks stay
//! live, and the report counts blocks that were allocated over); what a garbage collector would
//! free but has not yet.

mod collected;
mod collections;
pub mod growth;
mod history;
pub mod robust;
mod series;
mod shape;

use std::collections::HashMap;

use mmtrace_format::{Address, Event, EventKind, StackId, StringId, Timestamp};

use crate::hash::FastHash;
use collections::{Collections, Floors};
pub use growth::GrowthVerdict;
pub use history::{HeapHistory, POINTS_SHOWN, Point, SiteHistory, Totals};
use series::{BinWidth, Series};

/// Bounds on what the heap pass keeps.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bins and floors of all curves together; at most 40 bytes each.
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

/// A block that is live.
#[derive(Clone, Copy, Debug)]
struct Block {
    size: u64,
    site: u32,
    /// How many collections had begun before it was allocated.
    born: u32,
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
    floors: Floors,
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
    collections: Option<Collections>,
}

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
            collections: None,
        }
    }

    /// The same for a program whose blocks are freed by a garbage collector.
    #[must_use]
    pub fn with_collector(mut self, is_collected: bool) -> Self {
        self.collections = is_collected.then(Collections::default);
        self
    }

    /// Takes in an event; those that are not about the heap only move the clock on.
    pub fn event(&mut self, event: &Event) {
        self.end = self.end.max(event.time);
        match event.kind {
            EventKind::Alloc => self.allocate(event),
            EventKind::Free => self.free(Address(event.object), event.time),
            EventKind::GcStart => {
                let allocated = self.totals.allocated_bytes;
                self.collections.get_or_insert_default().begin(event.time, allocated);
            }
            EventKind::GcEnd => {
                let allocated = self.totals.allocated_bytes;
                self.collections.get_or_insert_default().end(event.time, allocated);
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
        let born = self.collections.as_ref().map_or(0, |all| all.number_at(event.time));
        let block = Block { size: event.value, site, born };
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
        if let Some(collections) = &self.collections {
            let before = totals.floors.len();
            totals.floors.allocate(collections, born, block.size);
            self.points = (self.points + totals.floors.len()).saturating_sub(before);
        }
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
        if let Some(collections) = &self.collections {
            let before = site.floors.len();
            site.floors.free(collections, block.born, collections.number_at(time), block.size);
            self.points = (self.points + site.floors.len()).saturating_sub(before);
        }
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
            floors: Floors::default(),
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
        // Ends: a curve of one bin and a floor of one group cannot shrink, so that many sites may
        // take these two each.
        let least = self.sites.len() * 2;
        while self.points > (self.limits.points / 2).max(least) {
            let floors: usize = self.sites.iter().map(|site| site.floors.len()).sum();
            match &mut self.collections {
                Some(collections) if floors > self.points / 2 => collections.widen(),
                _ => self.width.widen(),
            }
            let shift = self.collections.as_ref().map_or(0, Collections::shift);
            self.points = 0;
            for site in &mut self.sites {
                site.series.coarsen(self.width);
                site.floors.coarsen(shift);
                self.points += site.series.len() + site.floors.len();
            }
        }
        self.limits.points = self.limits.points.max(least * 2);
    }
}

#[cfg(test)]
mod tests;
