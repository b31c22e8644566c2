//! What becomes of a site's live bytes: a leak, or one of the shapes that are none.
//!
//! # Definition
//! *Retained* at a moment is the least that is live from then on: what was not given back. A site
//! *leaks* if the retained bytes still grow at the end of the recording as they grew before, evenly
//! (a line) or in jumps (a staircase).
//!
//! # Algorithm and source
//! The curve is resampled to at most 128 points and smoothed by a running median, which keeps
//! steps. Points are even in time; if that does not show a leak, they are also taken even in what
//! the rest of the program allocated meanwhile, since a program on a busy machine does not work
//! evenly. A last fall to almost nothing is the program's exit and is cut off. Of the retained
//! curve we then ask how fast it grows late compared with all along (Theil-Sen slopes), in how
//! many of the late windows it grows, and how few samples carry most of the growth (`shape`).
//!
//! Where a garbage collector frees, what is live between two collections says nothing of what
//! stays, and `collected` judges instead what each collection left.
//!
//! # Where we differ
//! The four shapes are those that the manual of bytehound sorts by eye; here they get a verdict.
//!
//! # What it cannot see
//! A cache that has not filled up by the end of the recording is a line like any other. A leak that
//! adds less than the noise of its site is called steady. Doubt always speaks for the program:
//! between a saturating cache and a leak the verdict is the cache.

use serde::Serialize;

use super::robust::{to_f64, to_index};
use super::series::{BinWidth, Curve};
use super::shape::{EVEN, FALL, QUICK, SAMPLES_MIN, Shape, even_samples, work_samples};

/// What is still growing by the program's work must not be at rest by the clock.
pub(super) const NOT_AT_REST: f64 = 0.15;
/// Fewer allocations than this are no trend, whatever line they lie on.
const ALLOCATIONS_MIN: u64 = 8;

/// The shape of a site's live bytes over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrowthVerdict {
    /// Grows evenly to the end.
    LinearLeak,
    /// Grows in jumps to the end.
    Staircase,
    /// Grows evenly or in jumps for as long as the program works, and is freed when it exits.
    FreedAtExit,
    /// Grows, then stops: a cache that fills up.
    Saturating,
    /// Grows and is given back, again and again.
    Sawtooth,
    /// Allocated in one short stretch.
    OneOff,
    /// Goes up and down around a level.
    Steady,
    /// Too little was seen of it to tell.
    Unclear,
}

impl GrowthVerdict {
    /// Whether memory would run out if the program went on like this, and nobody gives it back.
    pub fn is_leak(self) -> bool {
        matches!(self, Self::LinearLeak | Self::Staircase)
    }

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::LinearLeak => "linear leak",
            Self::Staircase => "staircase",
            Self::FreedAtExit => "freed at exit",
            Self::Saturating => "saturating",
            Self::Sawtooth => "sawtooth",
            Self::OneOff => "one-off",
            Self::Steady => "steady",
            Self::Unclear => "unclear",
        }
    }
}

/// A verdict with what supports it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Growth {
    pub(crate) verdict: GrowthVerdict,
    /// From 0 to 1, in hundredths.
    pub(crate) confidence: f64,
    /// Growth of the retained bytes, while it lasted.
    pub(crate) slope_per_ns: f64,
    /// By how much they grew.
    pub(crate) grown_bytes: u64,
    /// Whether almost everything was freed in the last moments.
    pub(crate) freed_at_exit: bool,
    /// The reason in words.
    pub(crate) why: String,
}

impl Growth {
    /// A shape that does not grow.
    pub(crate) fn of(verdict: GrowthVerdict, confidence: f64, why: String) -> Self {
        Self {
            verdict,
            confidence: in_hundredths(confidence),
            slope_per_ns: 0.0,
            grown_bytes: 0,
            freed_at_exit: false,
            why,
        }
    }

    /// Nothing can be said, for this reason.
    pub(crate) fn unclear(why: String) -> Self {
        Self::of(GrowthVerdict::Unclear, 0.0, why)
    }

    /// What comes in one short stretch, if this does.
    pub(crate) fn one_off(curve: &Curve, recording_bins: u32) -> Option<Self> {
        let burst = burst_share(curve, f64::from(recording_bins.max(1)));
        let why = || format!("{:.0}% of its bytes came in one short stretch", burst * 100.0);
        (burst >= 0.95).then(|| Self::of(GrowthVerdict::OneOff, burst, why()))
    }
}

pub(super) fn in_hundredths(confidence: f64) -> f64 {
    (confidence.clamp(0.0, 1.0) * 100.0).round() / 100.0
}

/// Judges the curve of a site whose blocks the program frees itself; `recording_bins` is how long
/// the whole recording is, and `total` the curve of all sites together.
pub(crate) fn judge(curve: &Curve, width: BinWidth, recording_bins: u32, total: &Curve) -> Growth {
    let working = working_len(&curve.live, f64::from(recording_bins.max(1)));
    let freed_at_exit = working < curve.live.len();
    let growth = Growth::one_off(curve, recording_bins)
        .unwrap_or_else(|| judge_working(curve, working, width, total));
    let verdict = match growth.verdict {
        leak if leak.is_leak() && freed_at_exit => GrowthVerdict::FreedAtExit,
        verdict => verdict,
    };
    Growth { verdict, freed_at_exit, ..growth }
}

/// Judges what a curve does before the program exits.
fn judge_working(curve: &Curve, working: usize, width: BinWidth, total: &Curve) -> Growth {
    if working < SAMPLES_MIN {
        return Growth::unclear("too short a stretch to show a trend".to_owned());
    }
    let shape = Shape::measure(curve, &even_samples(working), working);
    let evidence = 1.0 - (-to_f64(curve.allocations) / 12.0).exp();
    let by_work = || work_samples(curve, working, total);
    let by_work = || by_work().map(|samples| Shape::measure(curve, &samples, working));
    let still_grows = |by_work: &Shape| {
        by_work.grows_to_the_end()
            && shape.late_ratio >= NOT_AT_REST
            && shape.late_windows >= 0.3
            && shape.ramp >= QUICK
    };
    let growing =
        if shape.grows_to_the_end() { Some(shape.clone()) } else { by_work().filter(still_grows) };
    if let Some(shape) = growing {
        if curve.allocations < ALLOCATIONS_MIN {
            return Growth::unclear(format!("{} allocations are no trend", curve.allocations));
        }
        let even = shape.carrying_share > EVEN;
        let verdict = if even { GrowthVerdict::LinearLeak } else { GrowthVerdict::Staircase };
        let confidence = evidence * shape.late_windows * shape.late_ratio.min(1.0).sqrt();
        return Growth {
            slope_per_ns: shape.slope_per_bin / width.ns(),
            grown_bytes: to_index(shape.grown) as u64,
            ..Growth::of(verdict, confidence, shape.growth_in_words(even))
        };
    }
    if shape.falls >= 2 && shape.ripple < 0.5 {
        let why = format!("given back {} times, by {:.0}% or more", shape.falls, FALL * 100.0);
        let confidence = evidence * (to_f64(shape.falls as u64) / 4.0).min(1.0);
        return Growth::of(GrowthVerdict::Sawtooth, confidence, why);
    }
    if shape.is_ramp_then_level() {
        let why = format!(
            "near its level after {:.0}% of its life; late it grows {:.0}% as fast as all along",
            shape.ramp * 100.0,
            shape.late_ratio.max(0.0) * 100.0
        );
        let confidence = evidence * (1.0 - shape.late_ratio.clamp(0.0, 0.8));
        return Growth::of(GrowthVerdict::Saturating, confidence, why);
    }
    let why = "goes up and down around a level".to_owned();
    Growth::of(GrowthVerdict::Steady, evidence * 0.8, why)
}

/// How many bins are left when the frees of the program's exit are cut off: all, unless live bytes
/// fall to a tenth within the last 4% of the recording.
fn working_len(live: &[u64], recording: f64) -> usize {
    let exit_bins = to_index((recording * 0.04).ceil().max(2.0));
    let Some(before) = live.len().checked_sub(exit_bins + 1) else { return live.len() };
    let (level, end) = (live[before], live[live.len() - 1]);
    if level == 0 || end > level / 10 {
        return live.len();
    }
    // The last bin at which most of it was still there.
    let tail = live[before..].iter().rposition(|&bytes| bytes > level / 2);
    before + tail.unwrap_or(0) + 1
}

/// The largest share of the allocated bytes that falls into one stretch of 5% of the recording.
fn burst_share(curve: &Curve, recording: f64) -> f64 {
    let stretch = to_index((recording * 0.05).ceil()).max(1);
    let total: u64 = curve.allocated.iter().sum();
    let mut within: u64 = curve.allocated.iter().take(stretch).sum();
    let mut most = within;
    for i in stretch..curve.allocated.len() {
        within = within + curve.allocated[i] - curve.allocated[i - stretch];
        most = most.max(within);
    }
    if total == 0 { 1.0 } else { to_f64(most) / to_f64(total) }
}
