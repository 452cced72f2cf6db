//! Percentile bootstrap over cases.

use random::{Purpose, Rng, Seed};

use super::quantiles::{mean, quantile};

/// Bootstrap samples per confidence interval.
const NUM_RESAMPLES: usize = 5000;

/// Bootstrap samples of cases, drawn with replacement; all scores of the same cases share them.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    num_cases: usize,
    /// The case indices of all samples, one sample after the other.
    samples: Vec<u32>,
}

/// A 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfidenceInterval {
    /// The lower bound: the 2.5th percentile of the bootstrap distribution.
    pub low: f64,
    /// The upper bound: the 97.5th percentile.
    pub high: f64,
}

impl Bootstrap {
    /// Resamples the given number of cases. The same number always yields the same samples.
    pub fn new(num_cases: usize) -> Self {
        let mut rng: Rng = Seed(0).stream(Purpose::Bootstrap, 0, "", num_cases as u64);
        let samples = (0..NUM_RESAMPLES * num_cases).map(|_| rng.below(num_cases as u64) as u32).collect();
        Self { num_cases, samples }
    }

    /// Returns the percentile interval of the mean over labels of the mean over cases.
    ///
    /// `columns` has the scores of each label, in the order of the cases; undefined scores are ignored. A bootstrap
    /// sample without any defined score of some label is discarded, because its mean would be that of the other
    /// labels. `None` if a label has only one score, or no label has any.
    pub fn interval(&self, columns: &[Vec<Option<f64>>]) -> Option<ConfidenceInterval> {
        let defined: Vec<_> = columns.iter().filter(|scores| scores.iter().any(Option::is_some)).collect();
        if defined.is_empty() || defined.iter().any(|scores| scores.iter().flatten().count() < 2) {
            return None;
        }
        let resampled_mean = |cases: &[u32]| {
            let column = |scores: &&Vec<Option<f64>>| mean(cases.iter().filter_map(|case| scores[*case as usize]));
            mean(defined.iter().map(column).collect::<Option<Vec<f64>>>()?)
        };
        let mut means: Vec<f64> = self.samples.chunks_exact(self.num_cases).filter_map(resampled_mean).collect();
        means.sort_by(f64::total_cmp);
        Some(ConfidenceInterval { low: quantile(&means, 0.025)?, high: quantile(&means, 0.975)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinite_scores_have_an_interval() {
        let scores = vec![Some(1.0), Some(2.0), Some(3.0), Some(f64::INFINITY), Some(f64::INFINITY)];
        let interval = Bootstrap::new(5).interval(&[scores]).unwrap();
        assert!(interval.low >= 1.0 && interval.high == f64::INFINITY, "{interval:?}");
    }

    #[test]
    fn the_interval_of_equal_scores_is_a_point_and_of_others_contains_the_mean() {
        let bootstrap = Bootstrap::new(4);
        let equal = vec![Some(0.5); 4];
        assert_eq!(bootstrap.interval(&[equal]), Some(ConfidenceInterval { low: 0.5, high: 0.5 }));
        let scores = [0.2, 0.4, 0.6, 0.9].map(Some).to_vec();
        let interval = bootstrap.interval(&[scores]).unwrap();
        assert!(interval.low < 0.4 && 0.65 < interval.high, "{interval:?}");
        assert_eq!(Bootstrap::new(1).interval(&[vec![Some(0.5)]]), None);
        assert_eq!(Bootstrap::new(3).interval(&[vec![Some(0.5), None, None]]), None);
    }

    #[test]
    fn samples_without_a_score_of_some_label_are_discarded() {
        let liver = vec![Some(0.95); 10];
        let tumour = (0..10).map(|case| (case < 2).then_some(0.5)).collect();
        let interval = Bootstrap::new(10).interval(&[liver, tumour, vec![None; 10]]).unwrap();
        assert!((interval.low - 0.725).abs() < 1e-12 && (interval.high - 0.725).abs() < 1e-12, "{interval:?}");
    }

    #[test]
    fn about_95_percent_of_the_intervals_contain_the_true_mean() {
        let mut rng = Seed(7).stream(Purpose::Phantom, 0, "", 0);
        let bootstrap = Bootstrap::new(40);
        let covered = (0..200)
            .filter(|_| {
                let scores = (0..40).map(|_| Some(rng.unit())).collect();
                let interval = bootstrap.interval(&[scores]).unwrap();
                interval.low <= 0.5 && 0.5 <= interval.high
            })
            .count();
        assert!((180..=199).contains(&covered), "{covered} of 200");
    }
}
