//! Equal stretches of a recording's time.

/// How many stretches a recording is cut into.
pub const BIN_COUNT: u32 = 1024;

/// The stretches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bins {
    first_ns: u64,
    width_ns: u64,
}

impl Bins {
    /// Of a recording from `first_ns` to `last_ns`, both included.
    pub fn new(first_ns: u64, last_ns: u64) -> Self {
        let len = last_ns.saturating_sub(first_ns).saturating_add(1);
        Self { first_ns, width_ns: len.div_ceil(u64::from(BIN_COUNT)).max(1) }
    }

    /// The stretch that a time lies in; times outside are in the first or the last.
    pub fn of(self, time_ns: u64) -> u32 {
        let bin = time_ns.saturating_sub(self.first_ns) / self.width_ns;
        u32::try_from(bin).unwrap_or(u32::MAX).min(BIN_COUNT - 1)
    }

    /// When a stretch begins.
    pub fn start_ns(self, bin: u32) -> u64 {
        self.first_ns.saturating_add(self.width_ns.saturating_mul(u64::from(bin)))
    }

    /// How long each is.
    pub fn width_ns(self) -> u64 {
        self.width_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_stretch_that_begins_not_after_it() {
        for (first, last) in [(0, 0), (5, 1_000_000), (7, 8), (0, u64::MAX)] {
            let bins = Bins::new(first, last);
            for time in [first, first + (last - first) / 3, last] {
                let bin = bins.of(time);
                assert!(bin < BIN_COUNT);
                assert!(bins.start_ns(bin) <= time, "{first} {last} {time}");
                assert!(time - bins.start_ns(bin) < bins.width_ns());
            }
        }
    }
}
