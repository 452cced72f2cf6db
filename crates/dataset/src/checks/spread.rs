//! What is usual, in a way that a few sick subjects do not change.

use statrs::statistics::{Data, OrderStatistics};

/// With fewer values than this, nothing is called unusual.
const FEWEST: usize = 8;
/// Deviations from the median beyond which a value is unusual. Of normal values, fewer than one in a million are.
const FAR: f64 = 5.0;
/// The largest share of values that can be unusual; more of them are another group, not outliers.
const LARGEST_SHARE: f64 = 0.1;

/// The middle of some values and how far they usually lie from it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    /// The median.
    pub median: f64,
    /// The standard deviation of normal values with the same spread.
    deviation: f64,
}

impl Spread {
    /// Of some finite values; of fewer than eight there is none.
    ///
    /// The deviation is the larger of two robust estimates (Rousseeuw and Croux 1993): from the median absolute
    /// deviation and from the distance of the quartiles. The first is 0 where more than half of the values agree, even if
    /// a quarter lies elsewhere.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.len() < FEWEST {
            return None;
        }
        let mut sorted = Data::new(values.to_vec());
        let (median, quartiles) = (sorted.median(), sorted.interquartile_range());
        let mut distances = Data::new(values.iter().map(|value| (value - median).abs()).collect::<Vec<_>>());
        Some(Self { median, deviation: (1.4826 * distances.median()).max(quartiles / 1.349) })
    }

    /// Whether a value lies farther from the median than values usually do, and than `least` in any case.
    fn is_far(&self, value: f64, least: f64) -> bool {
        (value - self.median).abs() > least.max(FAR * self.deviation)
    }
}

/// The places of the unusual values: those that lie farther from the median than values usually do, and than `least`.
pub(super) fn unusual(values: &[f64], least: f64) -> Vec<usize> {
    let Some(spread) = Spread::of(values) else { return Vec::new() };
    let far: Vec<usize> = (0..values.len()).filter(|place| spread.is_far(values[*place], least)).collect();
    let most = (LARGEST_SHARE * values.len() as f64).max(2.0);
    if far.len() as f64 <= most { far } else { Vec::new() }
}

/// The median of some finite values; of none it is not a number.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Data::new(values.into_iter().collect::<Vec<_>>()).median()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_far_value_is_unusual_and_does_not_hide_itself() {
        let values = [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 50.0];
        assert_eq!(unusual(&values, 0.0), [7]);
    }

    #[test]
    fn a_value_nearer_than_the_least_distance_is_not() {
        let values = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.5];
        assert_eq!(unusual(&values, 1.0), [0; 0]);
        assert_eq!(unusual(&values, 0.4), [7]);
    }

    #[test]
    fn few_values_say_nothing() {
        assert_eq!(unusual(&[1.0, 1.0, 1.0, 90.0], 0.0), [0; 0]);
    }

    #[test]
    fn a_second_group_is_no_outlier() {
        let mut values = vec![1.0; 80];
        values.extend([3.0; 20]);
        assert_eq!(unusual(&values, 1.0), [0; 0]);
    }

    #[test]
    fn normal_values_are_usual() {
        // The quantiles of 200 normal values.
        use statrs::distribution::{ContinuousCDF, Normal};
        let values: Vec<f64> = (1..=200).map(|k| Normal::standard().inverse_cdf(f64::from(k) / 201.0)).collect();
        assert_eq!(unusual(&values, 0.0), [0; 0]);
    }
}
