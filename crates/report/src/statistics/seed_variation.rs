//! The variation of a run's mean score between seeds.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::quantiles::mean;

/// The standard deviation of a run's mean score between runs that differ only in their seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedVariation {
    /// The standard deviation.
    pub standard_deviation: f64,
    /// Its degrees of freedom.
    pub degrees_of_freedom: usize,
}

impl SeedVariation {
    /// Returns the pooled standard deviation within groups of runs that differ only in their seed; `None` if no group
    /// has two runs.
    pub fn pooled(groups: &[Vec<f64>]) -> Option<Self> {
        let degrees_of_freedom = groups.iter().map(|group| group.len().saturating_sub(1)).sum();
        let sum_of_squares: f64 = groups
            .iter()
            .filter_map(|group| {
                let mean = mean(group.iter().copied())?;
                Some(group.iter().map(|value| (value - mean).powi(2)).sum::<f64>())
            })
            .sum();
        Self::new(sum_of_squares, degrees_of_freedom)
    }

    /// Returns the residual standard deviation of a two-way additive model (settings in rows, seeds in columns).
    ///
    /// This is the estimate where each seed has its own validation cases, so that runs with different seeds cannot be
    /// compared directly.
    pub fn residual(table: &[Vec<f64>]) -> Option<Self> {
        let num_columns = table.first()?.len();
        let degrees_of_freedom = (table.len() - 1) * num_columns.saturating_sub(1);
        let row_means: Vec<f64> = table.iter().filter_map(|row| mean(row.iter().copied())).collect();
        let column_mean = |column: usize| mean(table.iter().map(|row| row[column]));
        let column_means: Vec<f64> = (0..num_columns).filter_map(column_mean).collect();
        let grand_mean = mean(row_means.iter().copied())?;
        let residual =
            |row: usize, column: usize| table[row][column] - row_means[row] - column_means[column] + grand_mean;
        let cells = (0..table.len()).flat_map(|row| (0..num_columns).map(move |column| (row, column)));
        let sum_of_squares: f64 = cells.map(|(row, column)| residual(row, column).powi(2)).sum();
        Self::new(sum_of_squares, degrees_of_freedom)
    }

    fn new(sum_of_squares: f64, degrees_of_freedom: usize) -> Option<Self> {
        let standard_deviation = (sum_of_squares / degrees_of_freedom as f64).sqrt();
        (degrees_of_freedom > 0).then_some(Self { standard_deviation, degrees_of_freedom })
    }

    /// Returns half the width of the 95 % confidence interval of the difference between two mean scores that differ by
    /// seeds alone, Bonferroni-corrected for the given number of comparisons.
    ///
    /// `variance_factor` is the variance of the difference in units of the variance of one run: `1 / a + 1 / b` for the
    /// means of `a` and of `b` runs.
    pub fn half_width(&self, variance_factor: f64, num_comparisons: usize) -> f64 {
        let student_t =
            StudentsT::new(0.0, 1.0, self.degrees_of_freedom as f64).expect("the degrees of freedom are positive");
        let quantile = student_t.inverse_cdf(1.0 - 0.025 / num_comparisons.max(1) as f64);
        quantile * self.standard_deviation * variance_factor.sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_deviation_is_pooled_within_groups() {
        let variation = SeedVariation::pooled(&[vec![1.0, 3.0], vec![10.0, 10.0], vec![5.0]]).unwrap();
        assert_eq!(variation, SeedVariation { standard_deviation: 1.0, degrees_of_freedom: 2 });
        assert_eq!(SeedVariation::pooled(&[vec![1.0]]), None);
        // Student's t at 97.5 % with 2 degrees of freedom is 4.3027.
        let half_width = variation.half_width(1.0, 1);
        assert!((half_width - 4.302_652_729_7).abs() < 1e-6, "{half_width}");
    }

    #[test]
    fn the_residual_excludes_the_effects_of_setting_and_seed() {
        let additive = SeedVariation::residual(&[vec![0.1, 0.4], vec![0.3, 0.6]]).unwrap();
        assert!(additive.standard_deviation < 1e-12);
        let variation = SeedVariation::residual(&[vec![1.0, 0.0], vec![0.0, 1.0]]).unwrap();
        assert_eq!(variation, SeedVariation { standard_deviation: 1.0, degrees_of_freedom: 1 });
    }
}
