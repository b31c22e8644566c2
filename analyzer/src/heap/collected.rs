//! The verdict on a site of a heap with a garbage collector: what its collections left.
//!
//! # Definition
//! A site *leaks* if its floors ([`super::collections`]) grow to the end of the recording, of what
//! it allocated in the time of many collections some is still there, and enough of them were seen
//! to tell. All of these must hold:
//!
//! - [`FLOORS_MIN`] collections left something known (the last one does not count);
//! - the *retained* floor (the least from then on) grows by a tenth of its height or more;
//! - in the last four tenths of that time it grows at least half as fast as all along, by the clock
//!   or by what the program allocates; if by the latter, it is not at rest by the clock;
//! - in three quarters of the second half it grows, each time by a quarter of its share or more (a
//!   line), or it rises in four jumps or more, two of them in the second half (a staircase);
//! - after the last collection it may have grown on, at least half as fast;
//! - blocks from the time of half of the collections (of four, if there are [`FLOORS_MANY`]) are
//!   still there. Instead, it may be a few blocks that are replaced by larger ones, as a slice or a
//!   map is that grows: six times or more, to four times the bytes, to the end, and never less than
//!   half.
//!
//! What rises and falls between collections is garbage that was not yet found, whatever its curve.
//!
//! # What it cannot see
//! A cache that has not filled up; what a program with fewer collections keeps; a leak that is
//! slower than the ups and downs of what else its site allocates.

use std::collections::BTreeSet;

use mmtrace_format::Timestamp;

use super::GrowthVerdict;
use super::collections::{Collections, Floor, Left};
use super::growth::{Growth, NOT_AT_REST};
use super::robust::{falls, retained, to_f64, to_index};
use super::series::Curve;
use super::shape::{FALL, LATE, STILL_GROWING};
use crate::quantity::size;

/// Fewer floors than this are no trend.
const FLOORS_MIN: usize = 5;
/// So many floors are a trend although few of the blocks are old.
const FLOORS_MANY: usize = 16;
/// The least growth, as a share of the height.
const GROWN_MIN: f64 = 0.1;
/// Growth is even if four fifths of it take more than this share of the time.
const EVEN: f64 = 0.5;
/// The share of the second half in which an even growth goes on.
const THROUGHOUT: f64 = 0.75;
/// The fewest jumps of a staircase.
const JUMPS_MIN: usize = 4;
/// A site of which collections leave this share of its peak has nothing but garbage.
const GARBAGE: f64 = 0.1;
/// How much what is replaced as it grows has grown, and how often.
const MULTIPLIED: f64 = 4.0;
const REPLACED_MIN: usize = 6;
/// What is replaced as it grows are no more blocks than this.
const REPLACED_BLOCKS_MAX: usize = 4;

/// A verdict, and what the blocks that are there in the end have to say to it.
#[derive(Clone, Debug)]
pub(crate) struct Judged {
    pub(crate) growth: Growth,
    doubt: Option<Doubt>,
}

/// What must be so of the blocks that are there in the end, and the verdict if it is not.
#[derive(Clone, Debug)]
struct Doubt {
    /// They are from the time of so many collections,
    cohorts_min: usize,
    /// or they are this few.
    blocks_max: usize,
    otherwise: Growth,
}

impl From<Growth> for Judged {
    fn from(growth: Growth) -> Self {
        Self { growth, doubt: None }
    }
}

/// Judges a site by what collections left of it, in a recording of so many bins that ends at `end`.
pub(crate) fn judge(curve: &Curve, left: &Left, recording_bins: u32, end: Timestamp) -> Judged {
    if let Some(one_off) = Growth::one_off(curve, recording_bins) {
        return one_off.into();
    }
    let count = left.floors.len();
    let evidence = 1.0 - (-to_f64(count as u64) / 4.0).exp();
    let peak = curve.high.iter().copied().max().unwrap_or(0);
    let most = left.floors.iter().map(|floor| floor.bytes).max().unwrap_or(0);
    let garbage = || {
        let why = format!(
            "grows to {} between collections, which leave {} or less",
            size(peak),
            size(most)
        );
        Growth::of(GrowthVerdict::Sawtooth, evidence, why)
    };
    let is_garbage = to_f64(most) <= to_f64(peak) * GARBAGE;
    if count < FLOORS_MIN {
        return if is_garbage && count >= 2 { garbage() } else { too_few(count) }.into();
    }
    let live_at_end = curve.live.last().copied().unwrap_or(0);
    if let Some(judged) = growing(left, live_at_end, end, evidence) {
        return judged;
    }
    if is_garbage { garbage() } else { level(&left.floors, evidence) }.into()
}

fn too_few(count: usize) -> Growth {
    Growth::unclear(format!(
        "it takes {FLOORS_MIN} whole collections since the first allocation to tell what stays, and \
         there {} {count}: run longer, or with GOGC=10 for more of them",
        if count == 1 { "was" } else { "were" }
    ))
}

/// The verdict on a site that grows.
fn growing(left: &Left, live_at_end: u64, end: Timestamp, evidence: f64) -> Option<Judged> {
    let kept = Kept::of(left)?;
    let by_clock = kept.trend(|floor| to_f64(floor.time.ns));
    let by_work = kept.trend(|floor| to_f64(floor.allocated));
    let still = by_clock.late_ratio >= NOT_AT_REST && by_clock.late_growing >= NOT_AT_REST;
    let trend = [by_clock, by_work].into_iter().find(|trend| still && trend.goes_on());
    let (trend, is_trend) = match trend {
        Some(trend) => (trend, true),
        None if kept.multiplies() => (by_clock, false),
        None => return None,
    };
    let even = is_trend && trend.is_even();
    let first = left.floors[0].time.ns;
    let last = left.floors[left.floors.len() - 1];
    let seen_ns = to_f64(last.time.ns.saturating_sub(first).max(1));
    let slope_per_ns = kept.grown() / seen_ns;
    let unseen_ns = to_f64(end.ns.saturating_sub(last.time.ns));
    let may_have_grown = to_f64(live_at_end.saturating_sub(last.bytes));
    // A tread of a staircase is longer than a step of a line.
    let is_short = unseen_ns <= seen_ns / if even { 10.0 } else { 3.0 };
    if !is_short && may_have_grown < slope_per_ns * unseen_ns * STILL_GROWING {
        return None;
    }
    let verdict = if even { GrowthVerdict::LinearLeak } else { GrowthVerdict::Staircase };
    let why = format!(
        "of {} collections the first left {}, the last {}; it grows {}: {:.0}% as fast late as all \
         along",
        left.floors.len(),
        size(left.floors[0].bytes),
        size(last.bytes),
        if even { "evenly" } else { "in jumps" },
        trend.late_ratio * 100.0
    );
    let throughout = if even { trend.late_growing.min(1.0) } else { 0.8 };
    let confidence = evidence * throughout * trend.late_ratio.min(1.0).sqrt();
    let growth = Growth {
        slope_per_ns,
        grown_bytes: kept.grown_bytes(),
        ..Growth::of(verdict, confidence, why)
    };
    let doubt = Doubt {
        cohorts_min: match left.floors.len() {
            _ if !is_trend => usize::MAX,
            FLOORS_MANY.. => 4,
            few => (few / 2).max(4),
        },
        blocks_max: if kept.multiplies() { REPLACED_BLOCKS_MAX } else { 0 },
        otherwise: if is_trend {
            Growth::unclear(format!("{}, but little of it is old", growth.why))
        } else {
            level(&left.floors, evidence)
        },
    };
    Some(Judged { growth, doubt: Some(doubt) })
}

/// The verdict on a site that does not.
fn level(floors: &[Floor], evidence: f64) -> Growth {
    let bytes: Vec<f64> = floors.iter().map(|floor| to_f64(floor.bytes)).collect();
    let most = bytes.iter().fold(0.0, |most: f64, &bytes| most.max(bytes));
    let kept = retained(&bytes);
    let (first, last) = (kept[0], kept[kept.len() - 1]);
    // What is replaced by something larger is there twice for a moment, and does not fall back.
    let falls_back = kept[kept.len() / 2] < 0.5 * most;
    let falls = falls(&bytes, FALL * most).len();
    if falls >= 2 && falls_back {
        let share = FALL * 100.0;
        let why = format!("given back {falls} times, by {share:.0}% or more after collections");
        return Growth::of(GrowthVerdict::Sawtooth, evidence, why);
    }
    if last - first >= 0.3 * most {
        let near = kept.iter().position(|&bytes| bytes >= 0.8 * last).unwrap_or(0);
        let why = format!(
            "of {} collections the first left {}, the last {}; near its level after {} of them",
            floors.len(),
            size(floors[0].bytes),
            size(floors[floors.len() - 1].bytes),
            near + 1
        );
        return Growth::of(GrowthVerdict::Saturating, evidence, why);
    }
    let least = floors.iter().map(|floor| floor.bytes).min().unwrap_or(0);
    let most = floors.iter().map(|floor| floor.bytes).max().unwrap_or(0);
    let why = format!("collections leave from {} to {}", size(least), size(most));
    Growth::of(GrowthVerdict::Steady, evidence * 0.8, why)
}

/// The retained floors of a site that has grown.
struct Kept<'a> {
    floors: &'a [Floor],
    /// Never falls, and is no more than what is there in the end.
    retained: Vec<f64>,
}

impl<'a> Kept<'a> {
    /// `None` if it has hardly grown.
    fn of(left: &'a Left) -> Option<Self> {
        let bound = to_f64(left.bound);
        let bytes = left.floors.iter().map(|floor| to_f64(floor.bytes).min(bound));
        let bytes: Vec<f64> = bytes.collect();
        let kept = Self { floors: &left.floors, retained: retained(&bytes) };
        let most = left.floors.iter().map(|floor| floor.bytes).max().unwrap_or(0);
        (kept.grown() > 0.0 && kept.grown() >= GROWN_MIN * to_f64(most)).then_some(kept)
    }

    fn grown(&self) -> f64 {
        self.retained[self.retained.len() - 1] - self.retained[0]
    }

    fn grown_bytes(&self) -> u64 {
        to_index(self.grown()) as u64
    }

    /// How it grows along an axis.
    fn trend(&self, axis: impl Fn(&Floor) -> f64) -> Trend {
        let (from, to) = (axis(&self.floors[0]), axis(&self.floors[self.floors.len() - 1]));
        let place =
            |floor: &Floor| if to > from { (axis(floor) - from) / (to - from) } else { 0.0 };
        let grown = self.grown();
        let steps: Vec<Step> = self
            .floors
            .windows(2)
            .zip(self.retained.windows(2))
            .map(|(floors, kept)| Step {
                from: place(&floors[0]),
                to: place(&floors[1]),
                grown: (kept[1] - kept[0]) / grown,
            })
            .collect();
        let late: f64 = steps.iter().map(|step| step.grown * step.share_after(LATE)).sum();
        let growing = steps.iter().filter(|step| step.grown >= step.len() / 4.0);
        let late_growing = growing.map(|step| step.len() * step.share_after(0.5)).sum::<f64>();
        let jumps = || steps.iter().filter(|step| step.grown > 0.0 && step.grown >= step.len());
        Trend {
            late_ratio: late / (1.0 - LATE),
            late_growing: late_growing / 0.5,
            jumps: jumps().count(),
            late_jumps: jumps().filter(|jump| jump.to > 0.5).count(),
            carrying: carrying(steps.clone()),
        }
    }

    /// Whether it never fell far, and has become several times what it was, to the end. When a
    /// block is replaced, both may be there for a moment.
    fn multiplies(&self) -> bool {
        let floors = self.floors.iter().zip(&self.retained);
        let floors: Vec<(&Floor, f64)> = floors
            .map(|(floor, &kept)| (floor, kept))
            .skip_while(|&(_, kept)| kept == 0.0)
            .collect();
        let (Some(&(first, least)), Some(&(last, most))) = (floors.first(), floors.last()) else {
            return false;
        };
        let never_halves = self.floors.windows(2).all(|pair| pair[1].bytes >= pair[0].bytes / 2);
        let rises = || floors.windows(2).filter(|pair| pair[1].1 >= pair[0].1 * 1.1);
        let life_ns = last.time.ns.saturating_sub(first.time.ns);
        let last_ns = rises().next_back().map_or(0, |pair| pair[1].0.time.ns - first.time.ns);
        never_halves
            && rises().count() >= REPLACED_MIN
            && most >= MULTIPLIED * least
            && last_ns >= life_ns / 4 * 3
    }
}

/// From one floor to the next, as shares of the whole.
#[derive(Clone, Copy)]
struct Step {
    from: f64,
    to: f64,
    grown: f64,
}

impl Step {
    fn len(&self) -> f64 {
        self.to - self.from
    }

    /// How much of it lies after `place`.
    fn share_after(&self, place: f64) -> f64 {
        if self.len() <= 0.0 {
            return f64::from(u8::from(self.to > place));
        }
        ((self.to - place.max(self.from)) / self.len()).clamp(0.0, 1.0)
    }
}

/// How the retained floors grow along an axis.
#[derive(Clone, Copy, Debug)]
struct Trend {
    /// How fast late, as a share of how fast all along.
    late_ratio: f64,
    /// The share of the second half in which they grow.
    late_growing: f64,
    /// Steps that grow faster than all do together.
    jumps: usize,
    /// Those of them in the second half.
    late_jumps: usize,
    /// The least share of the axis that carries four fifths of the growth.
    carrying: f64,
}

impl Trend {
    fn is_even(&self) -> bool {
        self.carrying > EVEN
    }

    fn goes_on(&self) -> bool {
        let throughout = if self.is_even() {
            self.late_growing >= THROUGHOUT
        } else {
            self.jumps >= JUMPS_MIN && self.late_jumps >= 2
        };
        self.late_ratio >= STILL_GROWING && throughout
    }
}

/// The least share of the axis on which four fifths are grown.
fn carrying(mut steps: Vec<Step>) -> f64 {
    let slope = |step: &Step| if step.len() > 0.0 { step.grown / step.len() } else { f64::MAX };
    steps.sort_by(|a, b| slope(b).total_cmp(&slope(a)));
    let mut grown = 0.0;
    let needed = steps.iter().take_while(|step| (grown < 0.8, grown += step.grown).0);
    needed.map(Step::len).sum()
}

/// From the time of which collections the blocks are that a site still has.
#[derive(Debug, Default)]
pub(crate) struct Cohorts {
    groups: BTreeSet<u32>,
    blocks: usize,
}

impl Cohorts {
    /// A block is still there in the end that was allocated after `born` collections. It counts if
    /// it has outlived one.
    pub(crate) fn add(&mut self, collections: &Collections, born: u32) {
        if collections.count() >= born.saturating_add(2) {
            self.groups.insert(collections.group_of(born));
            self.blocks += 1;
        }
    }
}

impl Judged {
    /// The verdict, after a look at what is still there.
    pub(crate) fn confirm(&mut self, cohorts: &Cohorts) {
        let Some(doubt) = self.doubt.take() else { return };
        let is_replaced = (1..=doubt.blocks_max).contains(&cohorts.blocks);
        if cohorts.groups.len() < doubt.cohorts_min && !is_replaced {
            self.growth = doubt.otherwise;
        }
    }
}
