//! Statistics that a few odd points cannot sway.

/// The middle value; 0 of nothing.
pub(crate) fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    values.select_nth_unstable_by(middle, f64::total_cmp);
    values[middle]
}

/// The median slope of all lines through two points, per step (Theil 1950, Sen 1968). It stays
/// right while fewer than 29% of the points are wild. O(n^2), for at most a few hundred points.
pub(crate) fn theil_sen_slope(values: &[f64]) -> f64 {
    let mut slopes = Vec::with_capacity(values.len() * values.len().saturating_sub(1) / 2);
    let mut run = 0.0;
    for distance in 1..values.len() {
        run += 1.0;
        slopes.extend(values.iter().zip(&values[distance..]).map(|(a, b)| (b - a) / run));
    }
    median(&mut slopes)
}

/// Each value replaced by the median of it and its neighbours: noise goes, steps stay.
pub(crate) fn median_filter(values: &[f64], reach: usize) -> Vec<f64> {
    let mut window = Vec::with_capacity(2 * reach + 1);
    (0..values.len())
        .map(|i| {
            // Near an edge the window shrinks on both sides, so that a slope is not bent.
            let reach = reach.min(i).min(values.len() - 1 - i);
            window.clear();
            window.extend_from_slice(&values[i - reach..=i + reach]);
            median(&mut window)
        })
        .collect()
}

/// What will never be given back: for each moment, the least value from then on.
pub(crate) fn retained(values: &[f64]) -> Vec<f64> {
    let mut retained = values.to_vec();
    for i in (0..retained.len().saturating_sub(1)).rev() {
        retained[i] = retained[i].min(retained[i + 1]);
    }
    retained
}

/// Where the values have fallen by at least `depth` from a peak, rising as much in between.
pub(crate) fn falls(values: &[f64], depth: f64) -> Vec<usize> {
    let Some(&first) = values.first() else { return Vec::new() };
    let (mut falls, mut rising) = (Vec::new(), true);
    let (mut top, mut bottom) = (first, first);
    for (i, &value) in values.iter().enumerate() {
        if rising {
            top = top.max(value);
            if top - value >= depth {
                falls.push(i);
                rising = false;
                bottom = value;
            }
        } else {
            bottom = bottom.min(value);
            if value - bottom >= depth {
                rising = true;
                top = value;
            }
        }
    }
    falls
}

#[expect(clippy::cast_precision_loss, reason = "shapes do not depend on the 53rd bit of a size")]
pub(crate) fn to_f64(number: u64) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "shares of BINS_MAX, rounded up"
)]
pub(crate) fn to_index(bins: f64) -> usize {
    bins as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wild_quarter_does_not_change_the_slope() {
        let mut line: Vec<f64> = (0..40).map(|i| f64::from(i) * 3.0).collect();
        for i in (0..40).step_by(5) {
            line[i] = 1e9;
        }
        assert!((theil_sen_slope(&line) - 3.0).abs() < 1.0);
    }

    #[test]
    fn a_step_survives_the_median_filter_and_a_spike_does_not() {
        let filtered = median_filter(&[0.0, 0.0, 9.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0], 2);
        assert_eq!(filtered, [0.0, 0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0]);
    }

    #[test]
    fn what_is_given_back_later_is_not_retained() {
        assert_eq!(retained(&[0.0, 5.0, 2.0, 7.0, 3.0]), [0.0, 2.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn teeth_are_counted_and_ripples_are_not() {
        let saw = [0.0, 10.0, 1.0, 11.0, 0.0, 1.0, 0.0, 9.0];
        assert_eq!(falls(&saw, 5.0), [2, 4]);
        assert!(falls(&[], 5.0).is_empty());
    }
}
