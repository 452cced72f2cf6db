//! Which differences between settings are significant.
//!
//! Cases and seeds are two sources of variation: the Wilcoxon test covers the cases, Student's t interval the seeds.

use crate::comparison::{Comparison, Difference, Group, Subject};

/// The significance level of the tests.
pub const SIGNIFICANCE_LEVEL: f64 = 0.05;

/// Returns whether the first setting of a pair is significantly better: over cases, beyond the variation between
/// seeds (unless predictions are compared, whose seeds are unknown), and with all its runs complete.
pub fn is_significantly_better(group: &Group, pair: &Comparison) -> bool {
    let is_ahead = pair.mean.estimate.mean.is_some_and(|mean| mean > 0.0);
    let is_complete = group.settings[pair.a].num_incomplete == 0;
    is_ahead
        && is_complete
        && mean_agrees_with_ranks(&pair.mean)
        && is_significant_over_cases(&pair.mean)
        && (group.subject != Subject::Runs || exceeds_seed_variation(group, pair) == Some(true))
}

/// Returns whether the test over cases is significant after Holm's correction.
pub(super) fn is_significant_over_cases(difference: &Difference) -> bool {
    difference.adjusted_p_value.is_some_and(|p| p < SIGNIFICANCE_LEVEL)
}

/// Returns whether the mean difference has the sign that the ranks favour. A few large differences can outweigh many
/// small ones in the mean.
pub(super) fn mean_agrees_with_ranks(difference: &Difference) -> bool {
    let (Some(test), Some(mean)) = (difference.test, difference.estimate.mean) else { return false };
    test.favours_positive == (mean > 0.0)
}

/// Returns whether the first setting of a pair scores significantly lower over cases.
pub(super) fn is_significantly_lower(difference: &Difference) -> bool {
    mean_agrees_with_ranks(difference)
        && is_significant_over_cases(difference)
        && difference.estimate.mean.is_some_and(|mean| mean < 0.0)
}

/// Returns half the width of the interval of differences that seeds alone explain, corrected for all pairs.
pub(super) fn seed_half_width(group: &Group, pair: &Comparison) -> Option<f64> {
    Some(group.seed_variation?.half_width(pair.seed_variance_factor, group.comparisons.len()))
}

/// Returns whether the difference is larger than seeds alone explain; `None` if the variation is unknown.
fn exceeds_seed_variation(group: &Group, pair: &Comparison) -> Option<bool> {
    Some(pair.mean.estimate.mean?.abs() > seed_half_width(group, pair)?)
}
