//! Two settings, case by case.

use std::collections::BTreeMap;

use super::estimate::{CaseScores, Estimate, Intervals, average, columns};
use super::settings::Setting;
use crate::statistics::{SignedRankTest, holm_adjust, mean, wilcoxon_signed_rank};

/// Two settings on the cases that both have seen.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The setting that comes first.
    pub a: usize,
    /// The other.
    pub b: usize,
    /// A difference for each label.
    pub labels: Vec<Difference>,
    /// The difference of the mean over labels.
    pub mean: Difference,
    /// How many runs of each stand behind it.
    pub runs: [usize; 2],
    /// The variance that seeds give the difference, in units of that of a run: folds weigh by their cases.
    pub seed_share: f64,
    /// For each label the cases whose score is defined in one of the two only: they are in its mean, and in no
    /// difference.
    pub one_sided: Vec<usize>,
}

/// How far one setting is ahead of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The mean over cases.
    pub estimate: Estimate,
    /// Cases with a score in both.
    pub cases: usize,
    /// Wilcoxon's signed-rank test over the cases.
    pub test: Option<SignedRankTest>,
    /// Its p after Holm's correction for all pairs of settings.
    pub corrected: Option<f64>,
}

/// Compares every pair of settings that share validation cases.
pub(super) fn compare_pairs(settings: &[Setting], num_labels: usize, intervals: &mut Intervals) -> Vec<Comparison> {
    let pairs = (0..settings.len()).flat_map(|a| (a + 1..settings.len()).map(move |b| (a, b)));
    let compared = pairs.filter_map(|(a, b)| Comparison::new(settings, a, b, num_labels, intervals));
    let mut comparisons: Vec<Comparison> = compared.collect();
    for label in 0..num_labels {
        correct(&mut comparisons, |comparison| &mut comparison.labels[label]);
    }
    correct(&mut comparisons, |comparison| &mut comparison.mean);
    comparisons
}

/// Corrects the p-values of one score for the number of pairs.
fn correct(comparisons: &mut [Comparison], pick: impl Fn(&mut Comparison) -> &mut Difference) {
    let mut tested: Vec<&mut Difference> =
        comparisons.iter_mut().map(pick).filter(|difference| difference.test.is_some()).collect();
    let p: Vec<f64> = tested.iter().filter_map(|difference| difference.test.map(|test| test.p)).collect();
    for (difference, p) in tested.iter_mut().zip(holm_adjust(&p)) {
        difference.corrected = Some(p);
    }
}

impl Comparison {
    fn new(settings: &[Setting], a: usize, b: usize, num_labels: usize, intervals: &mut Intervals) -> Option<Self> {
        let (first, second) = (&settings[a], &settings[b]);
        let mut differences: Vec<CaseScores> = Vec::new();
        let (mut runs, mut one_sided, mut seed_share) = ([0; 2], vec![0; num_labels], 0.0);
        for (subjects, block) in &first.blocks {
            let Some(other) = second.blocks.get(subjects) else { continue };
            for (count, runs_of_block) in runs.iter_mut().zip([block.means.len(), other.means.len()]) {
                *count += runs_of_block;
                seed_share += (block.cases.len() as f64).powi(2) / runs_of_block as f64;
            }
            for (subject, scores) in &block.cases {
                let pairs = scores.iter().zip(&other.cases[subject]);
                let is_one_sided = pairs.map(|(a, b)| usize::from(a.is_some() != b.is_some()));
                one_sided.iter_mut().zip(is_one_sided).for_each(|(count, one)| *count += one);
            }
            let subtract = |(subject, scores): (&String, &Vec<Option<f64>>)| {
                let pairs = scores.iter().zip(&other.cases[subject]);
                (subject.clone(), pairs.map(|(a, b)| Some((*a)? - (*b)?)).collect())
            };
            differences.push(block.cases.iter().map(subtract).collect());
        }
        if differences.is_empty() {
            return None;
        }
        let num_cases: usize = differences.iter().map(BTreeMap::len).sum();
        let columns = columns(&average(differences.iter(), num_labels), num_labels);
        let over_labels = |case: usize| mean(columns.iter().filter_map(|column| column[case]));
        let means: Vec<Option<f64>> = (0..columns.first().map_or(0, Vec::len)).map(over_labels).collect();
        Some(Self {
            a,
            b,
            labels: columns
                .iter()
                .map(|column| Difference::new(std::slice::from_ref(column), column, intervals))
                .collect(),
            mean: Difference::new(&columns, &means, intervals),
            runs,
            seed_share: seed_share / (num_cases as f64).powi(2),
            one_sided,
        })
    }
}

impl Difference {
    fn new(columns: &[Vec<Option<f64>>], cases: &[Option<f64>], intervals: &mut Intervals) -> Self {
        let defined: Vec<f64> = cases.iter().copied().flatten().collect();
        Self {
            estimate: intervals.estimate(columns),
            cases: defined.len(),
            test: wilcoxon_signed_rank(&defined),
            corrected: None,
        }
    }
}
