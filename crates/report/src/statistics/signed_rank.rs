//! The Wilcoxon signed-rank test, and Holm's correction for multiple testing.

use statrs::distribution::{ContinuousCDF, Normal};

/// Up to this many differences the p-value is exact.
const MAX_EXACT: usize = 50;

/// The result of a two-sided Wilcoxon signed-rank test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignedRankTest {
    /// The two-sided p-value.
    pub p_value: f64,
    /// Whether the positive differences have the larger rank sum; the mean difference can have the other sign.
    pub favours_positive: bool,
    /// The number of differences that are not zero.
    pub num_nonzero: usize,
    /// Whether the p-value is exact rather than a normal approximation.
    pub is_exact: bool,
}

/// Tests with the two-sided Wilcoxon signed-rank test whether paired differences are symmetric around zero.
///
/// Differences of zero are dropped (Wilcoxon's method). Up to 50 remaining differences the p-value is exact, also with
/// ties: the rank sum is compared with all 2ⁿ assignments of signs (Pratt and Gibbons, Concepts of Nonparametric
/// Theory, 1981, chapter 3). For more it is the normal approximation with the correction for ties. `None` if every
/// difference is zero.
///
/// Differences are rounded to twelve decimals, so that scores up to 1 that differ by rounding errors alone are ties.
pub fn wilcoxon_signed_rank(differences: &[f64]) -> Option<SignedRankTest> {
    let rounded = |value: &f64| (value * 1e12).round() / 1e12;
    let mut nonzero: Vec<f64> = differences.iter().map(rounded).filter(|value| *value != 0.0).collect();
    if nonzero.is_empty() {
        return None;
    }
    nonzero.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let ranks = doubled_ranks(&nonzero);
    let positive: usize = nonzero.iter().zip(&ranks).filter(|(value, _)| **value > 0.0).map(|(_, rank)| rank).sum();
    let is_exact = nonzero.len() <= MAX_EXACT;
    let p_value = if is_exact { exact_p_value(&ranks, positive) } else { approximate_p_value(&ranks, positive) };
    let favours_positive = 2 * positive > ranks.iter().sum();
    Some(SignedRankTest { p_value, favours_positive, num_nonzero: nonzero.len(), is_exact })
}

/// Returns twice the rank of each absolute value. Ties get their mean rank, and doubling makes every rank whole.
fn doubled_ranks(sorted: &[f64]) -> Vec<usize> {
    let mut ranks = Vec::with_capacity(sorted.len());
    for ties in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let first = ranks.len() + 1;
        ranks.extend(std::iter::repeat_n(2 * first + ties.len() - 1, ties.len()));
    }
    ranks
}

fn exact_p_value(ranks: &[usize], positive: usize) -> f64 {
    let total: usize = ranks.iter().sum();
    // counts[s]: how many assignments of signs give the positive rank sum s.
    let mut counts = vec![0.0; total + 1];
    counts[0] = 1.0;
    let mut max_sum = 0;
    for rank in ranks {
        max_sum += rank;
        for sum in (*rank..=max_sum).rev() {
            counts[sum] += counts[sum - rank];
        }
    }
    // The distribution is symmetric, so the smaller rank sum has the smaller tail.
    let tail: f64 = counts[..=positive.min(total - positive)].iter().sum();
    (2.0 * tail / 2f64.powi(ranks.len() as i32)).min(1.0)
}

fn approximate_p_value(ranks: &[usize], positive: usize) -> f64 {
    let n = ranks.len() as f64;
    let ties = ranks.chunk_by(|a, b| a == b).map(|ties| (ties.len() as f64).powi(3) - ties.len() as f64);
    let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0 - ties.sum::<f64>() / 48.0;
    let distance = (positive as f64 / 2.0 - n * (n + 1.0) / 4.0).abs();
    (2.0 * Normal::standard().sf(distance / variance.sqrt())).min(1.0)
}

/// Returns the smallest p-value that the exact test can reach with the given number of differences.
pub fn min_p_value(num_differences: usize) -> f64 {
    2.0 / 2f64.powi(num_differences as i32)
}

/// Returns Holm-adjusted p-values (step-down Bonferroni, 1979), in the order of the input.
pub fn holm_adjust(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|a, b| p_values[*a].total_cmp(&p_values[*b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut largest: f64 = 0.0;
    for (rank, index) in order.into_iter().enumerate() {
        largest = largest.max((p_values.len() - rank) as f64 * p_values[index]).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_positive_differences_have_a_p_value_of_a_quarter() {
        let test = wilcoxon_signed_rank(&[0.1, 0.0, 0.2, 0.3]).unwrap();
        let expected = SignedRankTest { p_value: 0.25, favours_positive: true, num_nonzero: 3, is_exact: true };
        assert_eq!(test, expected);
        assert_eq!(min_p_value(3), 0.25);
    }

    #[test]
    fn ties_have_their_mean_rank() {
        assert_eq!(doubled_ranks(&[1.0, -1.0, 2.0]), [3, 3, 6]);
        // Signs of ranks 1.5, 1.5 and 3: sums 0, 1.5, 1.5, 3, 3, 4.5, 4.5, 6; the sum here is 4.5.
        assert_eq!(wilcoxon_signed_rank(&[1.0, -1.0, 2.0]).unwrap().p_value, 0.75);
    }

    #[test]
    fn differences_up_to_rounding_errors_are_ties() {
        assert_eq!(wilcoxon_signed_rank(&[0.1 + 0.2 - 0.3]), None);
        assert_eq!(
            wilcoxon_signed_rank(&[0.1 + 0.2, -0.3, 1.0]).unwrap().p_value,
            wilcoxon_signed_rank(&[0.3, -0.3, 1.0]).unwrap().p_value
        );
    }

    #[test]
    fn rank_sums_can_favour_the_other_side_than_the_mean() {
        let test = wilcoxon_signed_rank(&[9.0, -0.1, -0.2, -0.3, -0.4, -0.5, -0.6, -0.7]).unwrap();
        assert!(!test.favours_positive, "{test:?}");
    }

    #[test]
    fn there_is_no_test_if_every_difference_is_zero() {
        assert_eq!(wilcoxon_signed_rank(&[0.0, 0.0]), None);
    }

    #[test]
    fn the_normal_approximation_is_close_to_the_exact_value() {
        let differences: Vec<f64> = (1..=50).map(|i| if i % 3 == 0 { -f64::from(i) } else { f64::from(i) }).collect();
        let ranks = doubled_ranks(&differences);
        let positive = ranks.iter().zip(&differences).filter(|(_, d)| **d > 0.0).map(|(rank, _)| rank).sum();
        let (exact, approximate) = (exact_p_value(&ranks, positive), approximate_p_value(&ranks, positive));
        assert!((exact - approximate).abs() < 0.002, "{exact} {approximate}");
    }

    #[test]
    fn holm_multiplies_the_smallest_p_value_by_their_number_and_keeps_their_order() {
        let adjusted = holm_adjust(&[0.04, 0.01, 0.03]);
        assert!(adjusted.iter().zip([0.06, 0.03, 0.06]).all(|(got, want)| (got - want).abs() < 1e-12));
        assert_eq!(holm_adjust(&[0.9, 0.8]), [1.0, 1.0]);
    }
}
