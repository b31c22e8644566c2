//! What becomes of a site's live bytes: a leak, or one of the shapes that are none.
//!
//! # Definition
//! *Retained* at a moment is the least that is live from then on: what was not given back. A site
//! *leaks* if the retained bytes still grow at the end of the recording as they grew before, evenly
//! (a line) or in jumps (a staircase).
//!
//! # Algorithm and source
//! The curve is resampled to `SAMPLES` points and smoothed by a running median, which keeps
//! steps. Points are even in time; if that does not show a leak, they are also taken even in what
//! the rest of the program allocated meanwhile, since a program on a busy machine does not work
//! evenly. A last fall to almost nothing is the program's exit and is cut off. Of the retained
//! curve we then ask how fast it grows late compared with all along (Theil-Sen slopes), in how
//! many of the late windows it grows, and how few samples carry most of the growth.
//!
//! # Where we differ
//! The four shapes are those that the manual of bytehound sorts by eye; here they get a verdict.
//!
//! # What it cannot see
//! A cache that has not filled up by the end of the recording is a line like any other. A leak that
//! adds less than the noise of its site is called steady. Doubt always speaks for the program:
//! between a saturating cache and a leak the verdict is the cache.

use std::ops::Range;

use serde::Serialize;

use super::robust::{falls, median_filter, retained, theil_sen_slope};
use super::series::Curve;

/// How many points a curve is judged by.
const SAMPLES: usize = 128;
/// Fewer points than this say nothing about a trend.
const SAMPLES_MIN: usize = 12;
/// Growth that late is "still growing": the late slope as a share of the slope all along.
const STILL_GROWING: f64 = 0.5;
/// Where "late" begins, as a share of the site's life.
const LATE: f64 = 0.6;
/// What is still growing by the program's work must not be at rest by the clock.
const NOT_AT_REST: f64 = 0.15;
/// Into how many windows the late part is cut, to see whether it grows throughout.
const LATE_WINDOWS: usize = 6;
/// Growth is even if more than this share of the steps is needed to carry four fifths of it.
const EVEN: f64 = 0.2;
/// A level that is reached within this share of the site's life was not grown into.
const QUICK: f64 = 0.06;
/// What still grows reaches the level of its second half no sooner than this.
const GRADUAL: f64 = 0.2;

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
        }
    }
}

/// A verdict with what supports it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Growth {
    pub(crate) verdict: GrowthVerdict,
    /// From 0 to 1.
    pub(crate) confidence: f64,
    /// Growth of the retained bytes per bin, while it lasted.
    pub(crate) slope_per_bin: f64,
    /// Whether almost everything was freed in the last moments.
    pub(crate) freed_at_exit: bool,
    /// The reason in words.
    pub(crate) why: String,
}

impl Growth {
    /// Nothing can be said of a heap that was hardly ever collected.
    pub(crate) fn too_few_collections() -> Self {
        Self {
            verdict: GrowthVerdict::Steady,
            confidence: 0.0,
            slope_per_bin: 0.0,
            freed_at_exit: false,
            why: "too few garbage collections to tell what stays".to_owned(),
        }
    }
}

/// Judges a site's curve; `recording_bins` is how long the whole recording is, and `total` the
/// curve of all sites together.
pub(crate) fn judge(curve: &Curve, recording_bins: u32, total: &Curve) -> Growth {
    let recording = f64::from(recording_bins.max(1));
    let working = working_len(&curve.live, recording);
    let freed_at_exit = working < curve.live.len();
    let growth = |verdict, confidence: f64, slope_per_bin, why| Growth {
        verdict,
        confidence: (confidence.clamp(0.0, 1.0) * 100.0).round() / 100.0,
        slope_per_bin,
        freed_at_exit,
        why,
    };

    let burst = burst_share(curve, recording);
    if burst >= 0.95 {
        let why = format!("{:.0}% of its bytes came in one short stretch", burst * 100.0);
        return growth(GrowthVerdict::OneOff, burst, 0.0, why);
    }
    if working < SAMPLES_MIN {
        let why = "too short a stretch to show a trend".to_owned();
        return growth(GrowthVerdict::Steady, 0.2, 0.0, why);
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
        let even = shape.carrying_share > EVEN;
        let why = shape.growth_in_words(even);
        let confidence = evidence * shape.late_windows * shape.late_ratio.min(1.0).sqrt();
        let verdict = match (freed_at_exit, even) {
            (true, _) => GrowthVerdict::FreedAtExit,
            (false, true) => GrowthVerdict::LinearLeak,
            (false, false) => GrowthVerdict::Staircase,
        };
        return growth(verdict, confidence, shape.slope_per_bin, why);
    }
    if shape.falls >= 2 && shape.ripple < 0.5 {
        let why = format!("given back {} times, by {:.0}% or more", shape.falls, FALL * 100.0);
        let confidence = evidence * (to_f64(shape.falls as u64) / 4.0).min(1.0);
        return growth(GrowthVerdict::Sawtooth, confidence, 0.0, why);
    }
    if shape.is_ramp_then_level() {
        let why = format!(
            "near its level after {:.0}% of its life; late it grows {:.0}% as fast as all along",
            shape.ramp * 100.0,
            shape.late_ratio.max(0.0) * 100.0
        );
        let confidence = evidence * (1.0 - shape.late_ratio.clamp(0.0, 0.8));
        return growth(GrowthVerdict::Saturating, confidence, 0.0, why);
    }
    let why = "goes up and down around a level".to_owned();
    growth(GrowthVerdict::Steady, evidence * 0.8, 0.0, why)
}

/// How deep a fall must be, as a share of the curve's height, to be a tooth.
const FALL: f64 = 0.4;

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

/// What is measured of a curve before it is judged.
#[derive(Clone, Debug)]
struct Shape {
    /// Late slope as a share of the slope all along.
    late_ratio: f64,
    /// The share of windows of the late part in which retained bytes grew.
    late_windows: f64,
    /// The share of samples that carries four fifths of the growth.
    carrying_share: f64,
    /// When four fifths of the late level were first reached, as a share of the site's life.
    ramp: f64,
    /// Retained growth as a share of the curve's height.
    grown_share: f64,
    /// How many deep falls.
    falls: usize,
    /// The median height of what happens inside one sample, as a share of the curve's height.
    ripple: f64,
    slope_per_bin: f64,
}

impl Shape {
    fn measure(curve: &Curve, samples: &[Range<usize>], working: usize) -> Self {
        let samples = resample(curve, samples);
        let bins_per_sample = to_f64(working as u64) / to_f64(samples.len() as u64);
        let ends: Vec<f64> = samples.iter().map(|s| s.end).collect();
        let lows: Vec<f64> = samples.iter().skip(1).map(|s| s.low).collect();
        let height = samples.iter().fold(0.0, |most: f64, s| most.max(s.high)).max(1.0);

        let falls = falls(&ends, FALL * height);
        let judged_len = lows.len().min(without_last_tooth(&falls, ends.len()));
        let kept = retained(&median_filter(&lows[..judged_len], 3));
        let grown = kept[kept.len() - 1] - kept[0];
        let late_from = to_index(to_f64(kept.len() as u64) * LATE);
        let late = &kept[late_from..];
        let overall_slope = grown / to_f64(kept.len() as u64 - 1);
        // The last rise of a retained curve is only what has not been given back *yet*: the late
        // slope is taken without its last sixth, and by medians.
        let judged = &late[..late.len() - late.len() / 6];
        let carrying_share = carrying_share(&kept);
        let late_slope = late_slope(judged, carrying_share > EVEN);
        let level = super::robust::median(&mut ends[ends.len() / 2..].to_vec());
        let ramp = ends.iter().position(|&end| end >= 0.8 * level).unwrap_or(0);
        let mut inner: Vec<f64> = samples.iter().map(|s| (s.high - s.low) / height).collect();

        Self {
            late_ratio: if overall_slope > 0.0 { late_slope / overall_slope } else { 0.0 },
            late_windows: growing_windows(late, overall_slope),
            carrying_share,
            ramp: to_f64(ramp as u64) / to_f64(ends.len() as u64),
            grown_share: grown / height,
            falls: falls.len(),
            ripple: super::robust::median(&mut inner),
            slope_per_bin: overall_slope / bins_per_sample,
        }
    }

    fn grows_to_the_end(&self) -> bool {
        self.grown_share >= 0.25
            && self.ramp >= GRADUAL
            && self.late_ratio >= STILL_GROWING
            && self.late_windows >= if self.carrying_share > EVEN { 0.8 } else { 0.3 }
    }

    fn is_ramp_then_level(&self) -> bool {
        self.grown_share >= 0.3 && self.ripple < 0.5 && self.ramp >= QUICK
    }

    fn growth_in_words(&self, even: bool) -> String {
        let how = if even { "evenly" } else { "in jumps" };
        format!(
            "what is not given back grows {how}: {:.0}% as fast late as all along",
            self.late_ratio * 100.0
        )
    }
}

/// The mean slope of the late part or, if growth is even, its median slope if that is less. (The
/// median slope of a staircase is that of its treads: nothing.)
fn late_slope(late: &[f64], even: bool) -> f64 {
    let (Some(first), Some(last)) = (late.first(), late.last()) else { return 0.0 };
    let mean = (last - first) / to_f64((late.len() as u64).saturating_sub(1).max(1));
    if even { mean.min(theil_sen_slope(late)) } else { mean }
}

/// Where the last rise begins if it may be just another tooth: what it holds may yet be given back.
fn without_last_tooth(falls: &[usize], len: usize) -> usize {
    let Some(&last) = falls.last() else { return len };
    let starts = std::iter::once(&0).chain(falls);
    let longest = starts.zip(falls).map(|(start, fall)| fall - start).max().unwrap_or(0);
    if len - last <= longest + longest / 2 && last >= 2 { last + 1 } else { len }
}

/// The share of windows in which the values grow by at least a quarter of what an even slope gives.
fn growing_windows(values: &[f64], slope: f64) -> f64 {
    let window = (values.len() / LATE_WINDOWS).max(1);
    let (mut windows, mut growing) = (0_u32, 0_u32);
    let mut start = 0;
    while start + window < values.len() {
        windows += 1;
        let expected = slope * to_f64(window as u64);
        growing +=
            u32::from(values[start + window] - values[start] >= expected / 4.0 && slope > 0.0);
        start += window;
    }
    if windows == 0 { 0.0 } else { f64::from(growing) / f64::from(windows) }
}

/// The least share of steps that together make four fifths of the growth.
fn carrying_share(kept: &[f64]) -> f64 {
    let mut steps: Vec<f64> = kept.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let wanted = steps.iter().sum::<f64>() * 0.8;
    steps.sort_by(|a, b| b.total_cmp(a));
    let mut sum = 0.0;
    let needed = steps.iter().take_while(|&&step| (sum < wanted, sum += step).0).count();
    to_f64(needed as u64) / to_f64(steps.len().max(1) as u64)
}

/// The first `working` bins in at most [`SAMPLES`] stretches of one length.
fn even_samples(working: usize) -> Vec<Range<usize>> {
    let count = working.min(SAMPLES);
    (0..count).map(|i| i * working / count..(i + 1) * working / count).collect()
}

/// The first `working` bins in at most [`SAMPLES`] stretches in which all other sites allocate
/// about equally often; `None` if they allocate less than this one, which is no clock then.
fn work_samples(curve: &Curve, working: usize, total: &Curve) -> Option<Vec<Range<usize>>> {
    let first = curve.first_bin.checked_sub(total.first_bin)? as usize;
    let all = total.counts.get(first..first + working)?;
    let others =
        all.iter().zip(&curve.counts).map(|(all, own)| u64::from(all.saturating_sub(*own)));
    let sum: u64 = others.clone().sum();
    if sum < curve.allocations {
        return None;
    }
    let share = sum.div_ceil(SAMPLES as u64).max(1);
    let mut samples = Vec::new();
    let (mut start, mut done) = (0, 0);
    for (bin, count) in others.enumerate() {
        done += count;
        if done >= share {
            samples.push(start..bin + 1);
            (start, done) = (bin + 1, 0);
        }
    }
    if start < working {
        samples.push(start..working);
    }
    (samples.len() >= SAMPLES_MIN).then_some(samples)
}

struct Sample {
    end: f64,
    low: f64,
    high: f64,
}

/// What the curve does in each of these stretches of bins, none of which is empty.
fn resample(curve: &Curve, samples: &[Range<usize>]) -> Vec<Sample> {
    let sample = |bins: &Range<usize>| {
        let least = curve.low[bins.clone()].iter().min();
        let most = curve.high[bins.clone()].iter().max();
        Sample {
            end: to_f64(curve.live[bins.end - 1]),
            low: to_f64(*least.expect("a sample has a bin")),
            high: to_f64(*most.expect("a sample has a bin")),
        }
    };
    samples.iter().map(sample).collect()
}

#[expect(clippy::cast_precision_loss, reason = "shapes do not depend on the 53rd bit of a size")]
fn to_f64(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shares of BINS_MAX, rounded up"
)]
fn to_index(bins: f64) -> usize {
    bins as usize
}
