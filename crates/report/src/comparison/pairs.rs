//! Paired comparison of two settings, case by case.

use std::collections::BTreeMap;

use super::estimate::{BootstrapCache, Estimate, ScoresByColumn, average, columns};
use super::settings::Setting;
use crate::runs::ComparedMetric;
use crate::statistics::{SignedRankTest, holm_adjust, mean, wilcoxon_signed_rank};

/// Two settings compared on the cases that both were scored on.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The index of the setting that ranks higher.
    pub a: usize,
    /// The index of the other setting.
    pub b: usize,
    /// The advantage of `a` for each label: how much better it scores.
    pub labels: Vec<Difference>,
    /// The advantage in the mean over labels.
    pub mean: Difference,
    /// The number of runs of each setting on the common cases.
    pub num_runs: [usize; 2],
    /// The variance of the difference that seeds cause, in units of the variance of one run. Folds are weighted by
    /// their number of cases.
    pub seed_variance_factor: f64,
    /// For each label the number of cases whose score is defined in only one of the settings. They count in that
    /// setting's mean but in no difference.
    pub unpaired_cases: Vec<usize>,
}

/// The mean difference between the paired scores of two settings; it is positive if the first one is better.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The mean over cases.
    pub estimate: Estimate,
    /// The number of cases with a score in both settings.
    pub num_cases: usize,
    /// The Wilcoxon signed-rank test over cases; `None` if every difference is zero.
    pub test: Option<SignedRankTest>,
    /// The p-value after Holm's correction for all pairs of settings.
    pub adjusted_p_value: Option<f64>,
}

/// Compares all pairs of settings that share validation cases.
pub(super) fn compare_pairs(
    settings: &[Setting],
    metric: &ComparedMetric,
    num_labels: usize,
    cache: &mut BootstrapCache,
) -> Vec<Comparison> {
    let pairs = (0..settings.len()).flat_map(|a| (a + 1..settings.len()).map(move |b| (a, b)));
    let compared = pairs.filter_map(|(a, b)| Comparison::new(settings, [a, b], metric, num_labels, cache));
    let mut comparisons: Vec<Comparison> = compared.collect();
    for label in 0..num_labels {
        adjust_p_values(&mut comparisons, |comparison| &mut comparison.labels[label]);
    }
    adjust_p_values(&mut comparisons, |comparison| &mut comparison.mean);
    comparisons
}

/// Adjusts the p-values of one score for the number of pairs.
fn adjust_p_values(comparisons: &mut [Comparison], select: impl Fn(&mut Comparison) -> &mut Difference) {
    let mut tested: Vec<&mut Difference> =
        comparisons.iter_mut().map(select).filter(|difference| difference.test.is_some()).collect();
    let p_values: Vec<f64> = tested.iter().filter_map(|difference| difference.test.map(|test| test.p_value)).collect();
    for (difference, p_value) in tested.iter_mut().zip(holm_adjust(&p_values)) {
        difference.adjusted_p_value = Some(p_value);
    }
}

impl Comparison {
    fn new(
        settings: &[Setting],
        [a, b]: [usize; 2],
        metric: &ComparedMetric,
        num_labels: usize,
        cache: &mut BootstrapCache,
    ) -> Option<Self> {
        let (first, second) = (&settings[a], &settings[b]);
        let mut differences: Vec<ScoresByColumn> = Vec::new();
        let (mut num_runs, mut unpaired_cases, mut seed_variance) = ([0; 2], vec![0; num_labels], 0.0);
        for (subjects, block) in &first.blocks {
            let Some(other) = second.blocks.get(subjects) else { continue };
            for (count, runs_of_block) in num_runs.iter_mut().zip([block.means.len(), other.means.len()]) {
                *count += runs_of_block;
                seed_variance += (block.cases.len() as f64).powi(2) / runs_of_block as f64;
            }
            for (subject, scores) in &block.cases {
                let pairs = scores.iter().zip(&other.cases[subject]);
                let is_unpaired = pairs.map(|(a, b)| usize::from(a.is_some() != b.is_some()));
                unpaired_cases.iter_mut().zip(is_unpaired).for_each(|(count, one)| *count += one);
            }
            let subtract = |(subject, scores): (&String, &Vec<Option<f64>>)| {
                let pairs = scores.iter().zip(&other.cases[subject]);
                (subject.clone(), pairs.map(|(a, b)| Some(metric.advantage((*a)? - (*b)?))).collect())
            };
            differences.push(block.cases.iter().map(subtract).collect());
        }
        if differences.is_empty() {
            return None;
        }
        let num_cases: usize = differences.iter().map(BTreeMap::len).sum();
        let columns = columns(&average(differences.iter(), num_labels), num_labels);
        let mean_over_labels = |case: usize| mean(columns.iter().filter_map(|column| column[case]));
        let means: Vec<Option<f64>> = (0..columns.first().map_or(0, Vec::len)).map(mean_over_labels).collect();
        let label = |column: &Vec<Option<f64>>| Difference::new(std::slice::from_ref(column), column, cache);
        let labels = columns.iter().map(label).collect();
        Some(Self {
            a,
            b,
            labels,
            mean: Difference::new(&columns, &means, cache),
            num_runs,
            seed_variance_factor: seed_variance / (num_cases as f64).powi(2),
            unpaired_cases,
        })
    }

    /// Returns the differences with their names: of each label, then of the mean.
    pub fn scores<'a>(&'a self, labels: &'a [String]) -> impl Iterator<Item = (&'a str, &'a Difference)> {
        let labels = labels.iter().map(String::as_str).zip(&self.labels);
        labels.chain([("mean", &self.mean)])
    }
}

impl Difference {
    fn new(columns: &[Vec<Option<f64>>], cases: &[Option<f64>], cache: &mut BootstrapCache) -> Self {
        let defined: Vec<f64> = cases.iter().copied().flatten().collect();
        let test = wilcoxon_signed_rank(&defined);
        Self { estimate: cache.estimate(columns), num_cases: defined.len(), test, adjusted_p_value: None }
    }
}
