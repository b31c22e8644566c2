//! What one site did to the heap over time, resampled into a bounded number of bins.

use mmtrace_format::Timestamp;

/// The most bins that a series has. When time runs past the last one, the bins double their width.
pub(crate) const BINS_MAX: u32 = 512;

/// The width of a bin to begin with: 2^14 ns, so that the first 8 ms are seen in full detail.
const FIRST_SHIFT: u32 = 14;

/// How wide the bins of all series are at the moment: 2^shift ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BinWidth {
    shift: u32,
}

impl BinWidth {
    pub(crate) const FINEST: Self = Self { shift: FIRST_SHIFT };

    /// The bin that holds `time`, after widening the bins until there is one.
    pub(crate) fn bin_of(&mut self, time: Timestamp) -> u32 {
        let mut bin = time.ns >> self.shift;
        while bin >= u64::from(BINS_MAX) {
            bin >>= 1;
            self.shift += 1;
        }
        u32::try_from(bin).expect("below BINS_MAX")
    }

    pub(crate) fn widen(&mut self) {
        self.shift = (self.shift + 1).min(63);
    }

    /// How long a bin is.
    #[expect(clippy::cast_precision_loss, reason = "a power of two")]
    pub(crate) fn ns(self) -> f64 {
        (1_u64 << self.shift) as f64
    }

    /// When a bin ends.
    pub(crate) fn end_of(self, bin: u32) -> Timestamp {
        Timestamp::from_ns((u64::from(bin) + 1) << self.shift)
    }
}

/// What happened to a site's live bytes during one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bin {
    number: u32,
    allocations: u32,
    /// Live bytes at the end less those at the beginning.
    net: i64,
    /// The highest and lowest that the live bytes were, above those at the beginning.
    high: i64,
    low: i64,
    allocated: u64,
}

impl Bin {
    /// Appends what happened next, in the same bin or in one that this one is merged with.
    fn then(&mut self, next: Self) {
        self.high = self.high.max(self.net.saturating_add(next.high));
        self.low = self.low.min(self.net.saturating_add(next.low));
        self.net = self.net.saturating_add(next.net);
        self.allocations = self.allocations.saturating_add(next.allocations);
        self.allocated = self.allocated.saturating_add(next.allocated);
    }
}

/// A site's history: only the bins in which something happened, in the order of time.
///
/// Bins hold differences, so it does not matter in which order the bins are filled: two threads'
/// events may come out of the merge in an order that is not the order of their clocks.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    width: BinWidth,
    bins: Vec<Bin>,
}

impl Series {
    pub(crate) fn new(width: BinWidth) -> Self {
        Self { width, bins: Vec::new() }
    }

    /// How many bins it keeps.
    pub(crate) fn len(&self) -> usize {
        self.bins.len()
    }

    /// Notes that live bytes changed by `change` in bin `number` of bins this wide.
    pub(crate) fn push(&mut self, width: BinWidth, number: u32, change: i64) {
        self.coarsen(width);
        let allocated = u64::try_from(change).unwrap_or(0);
        let bin = Bin {
            number,
            allocations: u32::from(change >= 0),
            net: change,
            high: change.max(0),
            low: change.min(0),
            allocated,
        };
        match self.bins.last_mut() {
            Some(last) if last.number == number => last.then(bin),
            Some(last) if last.number > number => {
                match self.bins.binary_search_by_key(&number, |b| b.number) {
                    Ok(i) => self.bins[i].then(bin),
                    Err(i) => self.bins.insert(i, bin),
                }
            }
            _ => self.bins.push(bin),
        }
    }

    /// Merges bins until they are as wide as `width`.
    pub(crate) fn coarsen(&mut self, width: BinWidth) {
        let by = width.shift.saturating_sub(self.width.shift);
        if by == 0 {
            return;
        }
        self.width = width;
        let narrow = std::mem::take(&mut self.bins);
        for mut bin in narrow {
            bin.number = bin.number.checked_shr(by).unwrap_or(0);
            match self.bins.last_mut() {
                Some(last) if last.number == bin.number => last.then(bin),
                _ => self.bins.push(bin),
            }
        }
    }

    /// Every bin from the site's first to `last`, quiet ones included.
    pub(crate) fn to_curve(&self, last: u32) -> Curve {
        let Some(first) = self.bins.first() else { return Curve::default() };
        let mut curve = Curve { first_bin: first.number, ..Curve::default() };
        let mut live = 0_i64;
        for bin in &self.bins {
            curve.fill_to(bin.number, live);
            curve.high.push(clamp(live.saturating_add(bin.high)));
            curve.low.push(clamp(live.saturating_add(bin.low)));
            live = live.saturating_add(bin.net);
            curve.live.push(clamp(live));
            curve.allocated.push(bin.allocated);
            curve.counts.push(bin.allocations);
            curve.allocations += u64::from(bin.allocations);
        }
        curve.fill_to(last.saturating_add(1), live);
        curve
    }
}

/// Clocks of two threads may disagree by a little, so that a free is drawn before its allocation.
fn clamp(live: i64) -> u64 {
    u64::try_from(live).unwrap_or(0)
}

/// Live bytes bin by bin, from the first bin in which anything happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Curve {
    pub(crate) first_bin: u32,
    /// At the end of each bin.
    pub(crate) live: Vec<u64>,
    /// The most within each bin.
    pub(crate) high: Vec<u64>,
    /// The least within each bin.
    pub(crate) low: Vec<u64>,
    /// Bytes allocated within each bin.
    pub(crate) allocated: Vec<u64>,
    /// Allocations within each bin.
    pub(crate) counts: Vec<u32>,
    pub(crate) allocations: u64,
}

impl Curve {
    fn fill_to(&mut self, bin: u32, live: i64) {
        let len = bin.saturating_sub(self.first_bin) as usize;
        if len > self.live.len() {
            for column in [&mut self.live, &mut self.high, &mut self.low] {
                column.resize(len, clamp(live));
            }
            self.allocated.resize(len, 0);
            self.counts.resize(len, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve_of(changes: &[(u64, i64)]) -> Curve {
        let mut width = BinWidth::FINEST;
        let mut series = Series::new(width);
        let mut last = 0;
        for &(ns, change) in changes {
            let bin = width.bin_of(Timestamp::from_ns(ns));
            series.push(width, bin, change);
            last = bin.max(last);
        }
        series.coarsen(width);
        series.to_curve(last)
    }

    #[test]
    fn quiet_bins_keep_what_is_live() {
        let bin = 1 << FIRST_SHIFT;
        let curve = curve_of(&[(0, 100), (3 * bin, 50), (4 * bin, -150)]);
        assert_eq!(curve.live, [100, 100, 100, 150, 0]);
        assert_eq!(curve.allocated, [100, 0, 0, 50, 0]);
    }

    #[test]
    fn a_tooth_inside_a_bin_is_seen_in_its_high_and_low() {
        let curve = curve_of(&[(0, 100), (1, 900), (2, -900), (3, -60)]);
        assert_eq!((curve.live[0], curve.high[0], curve.low[0]), (40, 1000, 0));
    }

    #[test]
    fn widening_keeps_every_byte_and_every_extreme() {
        let far = u64::from(BINS_MAX) << (FIRST_SHIFT + 3);
        let curve = curve_of(&[(0, 10), (1 << FIRST_SHIFT, 90), (2 << FIRST_SHIFT, -40), (far, 1)]);
        assert_eq!((curve.live[0], curve.high[0]), (60, 100));
        assert_eq!(curve.live.last(), Some(&61));
        assert!(curve.live.len() <= BINS_MAX as usize);
    }

    #[test]
    fn the_order_in_which_bins_are_filled_does_not_matter() {
        let bin = 1 << FIRST_SHIFT;
        let forwards = curve_of(&[(0, 10), (bin, 20), (2 * bin, 30)]);
        let backwards = curve_of(&[(2 * bin, 30), (bin, 20), (0, 10)]);
        assert_eq!(forwards, backwards);
    }

    #[test]
    fn the_end_of_time_has_a_bin() {
        let mut width = BinWidth::FINEST;
        assert!(width.bin_of(Timestamp::from_ns(u64::MAX)) < BINS_MAX);
    }
}
