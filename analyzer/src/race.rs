//! Data races: every pair of places in the program that raced, exactly.
//!
//! # Definition
//! Two accesses race iff they touch a common byte of the same object, are by different threads, at
//! least one writes, not both are atomic, and neither happens before the other. Memory that was
//! allocated anew, or retired, is another object.
//!
//! # Algorithm and source
//! Two passes over the log, each of which runs the sync pass ([`crate::happens_before`]) ahead of
//! the accesses, window by window (`window`):
//! 1. `filter`: `FastTrack` (Flanagan and Freund, PLDI 2009) on granules of 8 bytes, for yes or
//!    no. Accesses are routed by a hash of their granule to a fixed number of shards.
//! 2. `refine`: only the accesses of the granules found, byte by byte, against all earlier ones:
//!    every pair of sites, with counts. Chunks that touch no suspect memory are not decoded again.
//!
//! A log without races is walked once, and one with races whose windows fit into memory, too: the
//! second pass then replays them. Whatever else needs the events in merged order, and no clocks,
//! rides on the first walk ([`detect_beside`]).
//!
//! # Where we differ
//! The filter keeps bytes apart only as far as threads do, so that it may say yes too often, never
//! too seldom; the second pass decides. Nothing depends on the number of worker
//! threads: shards, windows and passes are cut by the log and [`Options::memory`] alone.
//!
//! # What it cannot see
//! Races of another run of the program, where locks were taken in another order: happens-before is
//! about this run. Races on accesses that were not recorded.
//!
//! [`Options::memory`]: crate::options::Options::memory

mod filter;
mod refine;
mod route;
mod scan;
mod shards;
mod window;

use mmtrace_format::{AccessKind, Address, StackId, ThreadId};

use crate::clock::Epoch;
use crate::options::{Options, Progress};
use crate::order::{EventRef, MergeSink, OrderGap, Trace};
use filter::Filter;
use refine::{Collector, Tallies};
use scan::{Scanned, Scans};
use shards::ShardSet;

/// One access, as evidence of a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AccessRef {
    /// Who accessed.
    pub thread: ThreadId,
    /// Its place in the thread's program order.
    pub program_index: u64,
    /// How.
    pub kind: AccessKind,
    /// The first byte.
    pub address: Address,
    /// How many bytes.
    pub size: u64,
    /// Where in the program.
    pub stack: StackId,
    /// The thread's time then: all of the thread's accesses between two of its sync events that
    /// matter have the same.
    pub epoch: Epoch,
    /// The place of the thread's last sync event before, if there is one.
    pub last_sync: Option<u64>,
    /// Its place in the merged order of all accesses: for telling which of two came first there.
    pub order: u64,
}

impl AccessRef {
    /// The access as an event.
    pub fn event(&self) -> EventRef {
        EventRef { thread: self.thread, index: self.program_index }
    }

    /// The place in the program, and what it does.
    pub fn site(&self) -> Site {
        Site { stack: self.stack, kind: self.kind }
    }
}

/// A place in the program that touches memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site {
    /// Where.
    pub stack: StackId,
    /// How.
    pub kind: AccessKind,
}

/// Two sites that raced with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RacePair {
    /// The earlier access, in merged order, of the first pair found: see [`RacePair::second`].
    pub first: AccessRef,
    /// The later access. The pair shown is the one whose later access is first in merged order.
    pub second: AccessRef,
    /// How many pairs of accesses of these two sites race, in either order.
    pub event_pairs: u64,
    /// At how many places they race: distinct first common bytes of racing accesses.
    pub addresses: u64,
    /// The order that the pair was judged by has a gap before its second access: it may be that
    /// what would order them was lost.
    pub uncertain: bool,
}

impl RacePair {
    /// The two sites, smaller first: what makes the pair distinct from others.
    pub fn sites(&self) -> (Site, Site) {
        let (a, b) = (self.first.site(), self.second.site());
        if a <= b { (a, b) } else { (b, a) }
    }
}

/// All races of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Races {
    /// Every pair of sites, by the merged order of the second access, then of the first.
    pub pairs: Vec<RacePair>,
    /// How many distinct first common bytes of racing accesses there are, over all pairs of sites.
    pub addresses: u64,
    /// Events in the log's sync lanes.
    pub events: u64,
    /// Records in the log's access lanes, function entries and exits included.
    pub accesses: u64,
    /// Width of the clocks: how many chains the threads were put into.
    pub chains: usize,
    /// Passes over the log that were needed: 1 when nothing races and all fits into memory.
    pub passes: u32,
    /// Where the order was not known, in merged order.
    pub gaps: Vec<RaceGap>,
    /// Chunks whose access lanes cannot be read: races in them are missed.
    pub lost_lanes: Vec<usize>,
}

/// A gap in the order, and what it casts doubt on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RaceGap {
    /// How many accesses come before it in merged order: the races of later ones are uncertain.
    pub accesses_before: u64,
    /// The gap.
    pub gap: OrderGap,
}

/// Finds all races of a log. Runs on the present `rayon` pool.
pub fn detect(trace: &Trace<'_>, options: &Options, progress: &dyn Progress) -> Races {
    detect_beside(trace, options, progress, &mut ())
}

/// The same, and shows everything in merged order, once, to `observer`: the walk is the same, and
/// its cost is hidden behind the accesses.
pub fn detect_beside(
    trace: &Trace<'_>,
    options: &Options,
    progress: &dyn Progress,
    observer: &mut (impl MergeSink + Send),
) -> Races {
    let mut races = Races::default();
    let records = trace.totals().events + trace.totals().accesses;
    let mut scans = Scans::new(trace, options.memory);
    let (mut suspects, mut to_do) = (Vec::new(), ShardSet::ALL);
    while !to_do.is_empty() {
        progress.phase("filter", records);
        let mut filter = Filter::new(to_do, options.memory);
        if races.passes == 0 {
            races.take_scan(scans.walk(&mut filter, observer, progress));
        } else {
            scans.again(&mut filter, progress);
        }
        let (found, put_off) = filter.finish();
        suspects.extend(found);
        to_do = put_off;
        races.passes += 1;
    }
    let mut tallies = Tallies::default();
    let mut to_do = if suspects.is_empty() { ShardSet::NONE } else { ShardSet::ALL };
    while !to_do.is_empty() {
        progress.phase("refine", records);
        let mut collector = Collector::new(&suspects, to_do, options.memory);
        scans.again(&mut collector, progress);
        let (found, put_off) = collector.finish();
        tallies = tallies.merge(found);
        to_do = put_off;
        races.passes += 1;
    }
    races.take_tallies(tallies);
    races.lost_lanes = scans.lost().to_vec();
    races
}

impl Races {
    /// How many pairs of accesses race.
    pub fn event_pairs(&self) -> u64 {
        self.pairs.iter().map(|pair| pair.event_pairs).sum()
    }

    fn take_scan(&mut self, scanned: Scanned) {
        self.events = scanned.events;
        self.accesses = scanned.accesses;
        self.chains = scanned.chains;
        self.gaps = scanned.gaps;
    }

    fn take_tallies(&mut self, tallies: Tallies) {
        let certain_before = self.gaps.first().map_or(u64::MAX, |gap| gap.accesses_before);
        self.addresses = tallies.addresses;
        self.pairs = tallies
            .pairs
            .into_values()
            .map(|tally| RacePair {
                first: tally.first,
                second: tally.second,
                event_pairs: tally.event_pairs,
                addresses: tally.addresses,
                uncertain: tally.second.order >= certain_before,
            })
            .collect();
        self.pairs.sort_by_key(|pair| (pair.second.order, pair.first.order, pair.sites()));
    }
}

#[cfg(test)]
mod tests;
