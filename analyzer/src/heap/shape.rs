//! What is measured of a curve before it is judged: how it grows late, how evenly, how it falls.

use std::ops::Range;

use super::robust::{falls, median, median_filter, retained, theil_sen_slope, to_f64, to_index};
use super::series::Curve;

/// How many points a curve is judged by.
const SAMPLES: usize = 128;
/// Fewer points than this say nothing about a trend.
pub(super) const SAMPLES_MIN: usize = 12;
/// Where "late" begins, as a share of the site's life.
pub(super) const LATE: f64 = 0.6;
/// Growth is even if more than this share of the steps is needed to carry four fifths of it.
pub(super) const EVEN: f64 = 0.2;
/// A level that is reached within this share of the site's life was not grown into.
pub(super) const QUICK: f64 = 0.06;
/// Growth that late is "still growing": the late slope as a share of the slope all along.
pub(super) const STILL_GROWING: f64 = 0.5;
/// Into how many windows the late part is cut, to see whether it grows throughout.
const LATE_WINDOWS: usize = 6;
/// What still grows reaches the level of its second half no sooner than this.
const GRADUAL: f64 = 0.2;

/// How deep a fall must be, as a share of the curve's height, to be a tooth.
pub(super) const FALL: f64 = 0.4;

/// What is measured of a curve before it is judged.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Late slope as a share of the slope all along.
    pub(super) late_ratio: f64,
    /// The share of windows of the late part in which retained bytes grew.
    pub(super) late_windows: f64,
    /// The share of samples that carries four fifths of the growth.
    pub(super) carrying_share: f64,
    /// When four fifths of the late level were first reached, as a share of the site's life.
    pub(super) ramp: f64,
    /// Retained growth as a share of the curve's height.
    grown_share: f64,
    /// Retained growth.
    pub(super) grown: f64,
    /// How many deep falls.
    pub(super) falls: usize,
    /// The median height of what happens inside one sample, as a share of the curve's height.
    pub(super) ripple: f64,
    pub(super) slope_per_bin: f64,
}

impl Shape {
    pub(super) fn measure(curve: &Curve, samples: &[Range<usize>], working: usize) -> Self {
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
        let level = median(&mut ends[ends.len() / 2..].to_vec());
        let ramp = ends.iter().position(|&end| end >= 0.8 * level).unwrap_or(0);
        let mut inner: Vec<f64> = samples.iter().map(|s| (s.high - s.low) / height).collect();

        Self {
            late_ratio: if overall_slope > 0.0 { late_slope / overall_slope } else { 0.0 },
            late_windows: growing_windows(late, overall_slope),
            carrying_share,
            ramp: to_f64(ramp as u64) / to_f64(ends.len() as u64),
            grown_share: grown / height,
            grown,
            falls: falls.len(),
            ripple: median(&mut inner),
            slope_per_bin: overall_slope / bins_per_sample,
        }
    }

    pub(super) fn grows_to_the_end(&self) -> bool {
        self.grown_share >= 0.25
            && self.ramp >= GRADUAL
            && self.late_ratio >= STILL_GROWING
            && self.late_windows >= if self.carrying_share > EVEN { 0.8 } else { 0.3 }
    }

    pub(super) fn is_ramp_then_level(&self) -> bool {
        self.grown_share >= 0.3 && self.ripple < 0.5 && self.ramp >= QUICK
    }

    pub(super) fn growth_in_words(&self, even: bool) -> String {
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
pub(super) fn even_samples(working: usize) -> Vec<Range<usize>> {
    let count = working.min(SAMPLES);
    (0..count).map(|i| i * working / count..(i + 1) * working / count).collect()
}

/// The first `working` bins in at most [`SAMPLES`] stretches in which all other sites allocate
/// about equally often; `None` if they allocate less than this one, which is no clock then.
pub(super) fn work_samples(
    curve: &Curve,
    working: usize,
    total: &Curve,
) -> Option<Vec<Range<usize>>> {
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
