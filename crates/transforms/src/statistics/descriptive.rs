//! Descriptive statistics, with the same bits for any number of threads.

use rayon::prelude::*;

use crate::TransformError;

/// Number of values that are summed sequentially; the sums of chunks are added in order.
const CHUNK: usize = 1 << 16;

/// Returns the mean and the standard deviation (with n - 1) in double precision.
pub(crate) fn mean_and_deviation(values: &[f32]) -> (f64, f64) {
    let mean = sum(values, f64::from) / values.len() as f64;
    let squares = sum(values, |v| (f64::from(v) - mean).powi(2));
    (mean, (squares / (values.len() as f64 - 1.0)).sqrt())
}

fn sum(values: &[f32], function: impl Fn(f32) -> f64 + Sync) -> f64 {
    let sums: Vec<f64> = values.par_chunks(CHUNK).map(|chunk| chunk.iter().map(|v| function(*v)).sum()).collect();
    sums.into_iter().sum()
}

/// Checks that all values are finite, without which there are no percentiles.
pub(crate) fn require_finite(name: &'static str, values: &[f32]) -> Result<(), TransformError> {
    match values.iter().filter(|value| !value.is_finite()).count() {
        0 => Ok(()),
        count => {
            let reason = format!("{count} voxels are not finite, so there are no percentiles; fix the image");
            Err(TransformError { name, reason })
        }
    }
}

/// Returns the mean.
pub(crate) fn mean(values: &[f32]) -> f32 {
    (sum(values, f64::from) / values.len() as f64) as f32
}

/// Returns two percentiles with linear interpolation between the nearest ranks, numpy's default.
pub(crate) fn percentiles(values: &[f32], percents: [f64; 2]) -> [f32; 2] {
    if percents == [0.0, 100.0] {
        return extremes(values);
    }
    let mut values = values.to_vec();
    percents.map(|percent| percentile(&mut values, percent))
}

/// Returns a percentile; reorders the values.
fn percentile(values: &mut [f32], percent: f64) -> f32 {
    let rank = percent / 100.0 * (values.len() - 1) as f64;
    let (low, weight) = (rank.floor() as usize, rank.fract());
    let (_, &mut below, rest) = values.select_nth_unstable_by(low, f32::total_cmp);
    let above = rest.iter().copied().min_by(f32::total_cmp).unwrap_or(below);
    (f64::from(below) + (f64::from(above) - f64::from(below)) * weight) as f32
}

/// Returns percentiles with linear interpolation between the nearest ranks, numpy's default.
pub(crate) fn quantiles(values: &[f32], percents: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.par_sort_unstable_by(f32::total_cmp);
    let quantile = |percent: &f64| {
        let rank = percent / 100.0 * (sorted.len() - 1) as f64;
        let (low, weight) = (rank.floor() as usize, rank.fract());
        let (below, above) = (f64::from(sorted[low]), f64::from(sorted[(low + 1).min(sorted.len() - 1)]));
        below + (above - below) * weight
    };
    percents.iter().map(quantile).collect()
}

/// Returns the median.
pub(crate) fn median(values: &[f32]) -> f32 {
    percentile(&mut values.to_vec(), 50.0)
}

/// Returns the minimum and the maximum.
pub(crate) fn extremes(values: &[f32]) -> [f32; 2] {
    let chunk_extremes = |chunk: &[f32]| {
        chunk.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], v| [low.min(*v), high.max(*v)])
    };
    let extremes = values.par_chunks(CHUNK).map(chunk_extremes);
    extremes.reduce(|| [f32::INFINITY, f32::NEG_INFINITY], |a, b| [a[0].min(b[0]), a[1].max(b[1])])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.percentile([1, 2, 4, 8, 16], [10, 75]) is [1.4, 8].
        assert_eq!(percentiles(&[16.0, 1.0, 8.0, 2.0, 4.0], [10.0, 75.0]), [1.4, 8.0]);
    }

    #[test]
    fn the_deviation_divides_by_n_minus_1() {
        assert_eq!(mean_and_deviation(&[1.0, 3.0]), (2.0, 2.0f64.sqrt()));
    }
}
