//! Percentiles and medians as NumPy computes them, to the last bit: plans depend on comparisons and roundings of them.

/// Returns a percentile with linear interpolation between the nearest ranks, as `numpy.percentile`.
///
/// # Panics
/// When there are no values.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (rank, weight) = rank_and_weight(sorted.len(), percent);
    let above = sorted[(rank + 1).min(sorted.len() - 1)];
    interpolate(sorted[rank], above, above - sorted[rank], weight)
}

/// Returns the median: the mean of the two middle values of an even number of values.
///
/// # Panics
/// When there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// Returns the rank below a percentile of `count` values, and the weight of the rank above.
pub(crate) fn rank_and_weight(count: usize, percent: f64) -> (usize, f64) {
    let position = (count - 1) as f64 * (percent / 100.0);
    (position.floor() as usize, position - position.floor())
}

/// Interpolates between two values with a given difference, from the nearer one, as NumPy.
pub(crate) fn interpolate(below: f64, above: f64, difference: f64, weight: f64) -> f64 {
    if weight >= 0.5 { above - difference * (1.0 - weight) } else { below + difference * weight }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.percentile([5, 3.3, 1, 2.2, 10], [0, 10, 50, 90, 100])
        let values = [5.0, 3.3, 1.0, 2.2, 10.0];
        let percentiles = [0.0, 10.0, 50.0, 90.0, 100.0].map(|percent| percentile(&values, percent));
        assert_eq!(percentiles, [1.0, 1.48, 3.3, 8.0, 10.0]);
        assert_eq!(percentile(&[4.0], 10.0), 4.0);
    }

    #[test]
    fn the_median_of_an_even_number_of_values_is_the_mean_of_the_middle_ones() {
        assert_eq!((median(&[3.0, 1.0, 2.0]), median(&[4.0, 1.0, 2.0, 3.0])), (2.0, 2.5));
    }
}
