//! Mean, quantiles and box plot statistics.

/// Returns the arithmetic mean; `None` if there are no values.
pub fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let (mut sum, mut count) = (0.0, 0usize);
    for value in values {
        sum += value;
        count += 1;
    }
    (count > 0).then(|| sum / count as f64)
}

/// Returns a quantile of sorted values with linear interpolation, NumPy's default; `None` if there are no values.
///
/// `fraction` is between 0 and 1: 0.5 is the median.
pub fn quantile(sorted: &[f64], fraction: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = fraction * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    let (low, high, weight) = (sorted[below], sorted[above], position - below as f64);
    // Equal neighbours may be infinite, and interpolating between them would give NaN.
    Some(if weight == 0.0 || low == high { low } else { low + (high - low) * weight })
}

/// The numbers of a Tukey box plot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoxPlotStatistics {
    /// The smallest value that is at most 1.5 interquartile ranges below the first quartile.
    pub lower_whisker: f64,
    /// The 25th percentile.
    pub first_quartile: f64,
    /// The 50th percentile.
    pub median: f64,
    /// The 75th percentile.
    pub third_quartile: f64,
    /// The largest value that is at most 1.5 interquartile ranges above the third quartile.
    pub upper_whisker: f64,
}

impl BoxPlotStatistics {
    /// Computes the statistics of finite scores; `None` if there are none.
    pub fn of(scores: &[f64]) -> Option<Self> {
        let mut sorted = scores.to_vec();
        sorted.sort_by(f64::total_cmp);
        let [first, median, third] = [0.25, 0.5, 0.75].map(|fraction| quantile(&sorted, fraction));
        let (first_quartile, median, third_quartile) = (first?, median?, third?);
        let reach = 1.5 * (third_quartile - first_quartile);
        let is_within = |score: &&f64| (first_quartile - reach..=third_quartile + reach).contains(*score);
        let lower_whisker = sorted.iter().find(is_within).map_or(first_quartile, |low| low.min(first_quartile));
        let upper_whisker = sorted.iter().rev().find(is_within).map_or(third_quartile, |high| high.max(third_quartile));
        Some(Self { lower_whisker, first_quartile, median, third_quartile, upper_whisker })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinite_values_have_quantiles() {
        let sorted = [1.0, f64::INFINITY, f64::INFINITY, f64::INFINITY];
        assert_eq!(quantile(&sorted, 0.5), Some(f64::INFINITY));
    }

    #[test]
    fn whiskers_end_at_the_outermost_value_that_is_no_outlier() {
        let statistics = BoxPlotStatistics::of(&[0.0, 0.7, 0.8, 0.8, 0.9, 1.0]).unwrap();
        assert_eq!((statistics.lower_whisker, statistics.median, statistics.upper_whisker), (0.7, 0.8, 1.0));
        assert!(BoxPlotStatistics::of(&[]).is_none());
    }
}
