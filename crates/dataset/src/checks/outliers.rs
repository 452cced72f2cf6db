//! Outliers, by robust statistics that a few faulty subjects do not change.

use statrs::statistics::{Data, OrderStatistics};

/// Minimum number of values; among fewer there are no outliers.
const MIN_VALUES: usize = 8;
/// Number of standard deviations from the median beyond which a value is an outlier. Fewer than one in a million normally
/// distributed values are.
const MAX_DEVIATIONS: f64 = 5.0;
/// Maximum fraction of outliers; more are a second group of values.
const MAX_FRACTION: f64 = 0.1;

/// Robust estimates of location and scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RobustEstimate {
    /// The median.
    pub median: f64,
    /// The standard deviation of a normal distribution with the same spread.
    deviation: f64,
}

impl RobustEstimate {
    /// Estimates location and scale of finite values; `None` for fewer than eight.
    ///
    /// The deviation is the larger of two robust estimates (Rousseeuw and Croux 1993): from the median absolute
    /// deviation and from the interquartile range. The first is 0 if more than half of the values are equal, even if a
    /// quarter of them differs.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.len() < MIN_VALUES {
            return None;
        }
        let mut sorted = Data::new(values.to_vec());
        let (median, quartiles) = (sorted.median(), sorted.interquartile_range());
        let mut distances = Data::new(values.iter().map(|value| (value - median).abs()).collect::<Vec<_>>());
        Some(Self { median, deviation: (1.4826 * distances.median()).max(quartiles / 1.349) })
    }

    /// Returns whether a value is an outlier and differs from the median by more than `min_distance`.
    fn is_outlier(&self, value: f64, min_distance: f64) -> bool {
        (value - self.median).abs() > min_distance.max(MAX_DEVIATIONS * self.deviation)
    }
}

/// Returns the indices of the outliers that differ from the median by more than `min_distance`.
pub(super) fn outliers(values: &[f64], min_distance: f64) -> Vec<usize> {
    let Some(estimate) = RobustEstimate::of(values) else { return Vec::new() };
    let indices: Vec<usize> =
        (0..values.len()).filter(|index| estimate.is_outlier(values[*index], min_distance)).collect();
    let max_count = (MAX_FRACTION * values.len() as f64).max(2.0);
    if indices.len() as f64 <= max_count { indices } else { Vec::new() }
}

/// Returns the median of finite values, or NaN if there are none.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Data::new(values.into_iter().collect::<Vec<_>>()).median()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_outlier_does_not_mask_itself() {
        let values = [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 50.0];
        assert_eq!(outliers(&values, 0.0), [7]);
    }

    #[test]
    fn a_value_within_the_minimum_distance_is_no_outlier() {
        let values = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.5];
        assert_eq!(outliers(&values, 1.0), [0; 0]);
        assert_eq!(outliers(&values, 0.4), [7]);
    }

    #[test]
    fn few_values_have_no_outliers() {
        assert_eq!(outliers(&[1.0, 1.0, 1.0, 90.0], 0.0), [0; 0]);
    }

    #[test]
    fn a_second_group_of_values_is_no_outlier() {
        let mut values = vec![1.0; 80];
        values.extend([3.0; 20]);
        assert_eq!(outliers(&values, 1.0), [0; 0]);
    }

    #[test]
    fn normally_distributed_values_have_no_outliers() {
        // The quantiles of the normal distribution.
        use statrs::distribution::{ContinuousCDF, Normal};
        let values: Vec<f64> = (1..=200).map(|k| Normal::standard().inverse_cdf(f64::from(k) / 201.0)).collect();
        assert_eq!(outliers(&values, 0.0), [0; 0]);
    }
}
