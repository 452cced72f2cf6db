//! Means over cases with bootstrap confidence intervals.

use std::collections::BTreeMap;

use crate::statistics::{Bootstrap, ConfidenceInterval, mean};

/// The score of each label in each case, by subject.
pub type ScoresByColumn = BTreeMap<String, Vec<Option<f64>>>;

/// A mean over cases.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The mean of the defined scores.
    pub mean: Option<f64>,
    /// Its 95 % bootstrap confidence interval over cases.
    pub interval: Option<ConfidenceInterval>,
}

/// Bootstrap samples by number of cases; each is drawn once.
#[derive(Debug, Default)]
pub(super) struct BootstrapCache {
    by_num_cases: BTreeMap<usize, Bootstrap>,
}

impl BootstrapCache {
    /// Returns the mean over labels of the mean over cases. `columns` has the scores of each label.
    pub(super) fn estimate(&mut self, columns: &[Vec<Option<f64>>]) -> Estimate {
        let num_cases = columns.first().map_or(0, Vec::len);
        let mean = mean(columns.iter().filter_map(|column| mean(column.iter().copied().flatten())));
        if num_cases == 0 {
            return Estimate { mean, interval: None };
        }
        let bootstrap = self.by_num_cases.entry(num_cases).or_insert_with(|| Bootstrap::new(num_cases));
        Estimate { mean, interval: bootstrap.interval(columns) }
    }
}

/// Returns the scores of each label, in the order of the cases.
pub(super) fn columns(cases: &ScoresByColumn, num_labels: usize) -> Vec<Vec<Option<f64>>> {
    (0..num_labels).map(|label| cases.values().map(|scores| scores[label]).collect()).collect()
}

/// Averages the score of each case and label over the runs that have it.
pub(super) fn average<'a>(runs: impl Iterator<Item = &'a ScoresByColumn>, num_labels: usize) -> ScoresByColumn {
    let mut by_case: BTreeMap<&String, Vec<&Vec<Option<f64>>>> = BTreeMap::new();
    for (subject, scores) in runs.flatten() {
        by_case.entry(subject).or_default().push(scores);
    }
    let mean_over_runs = |rows: &[&Vec<Option<f64>>], label: usize| mean(rows.iter().filter_map(|row| row[label]));
    by_case
        .into_iter()
        .map(|(subject, rows)| (subject.clone(), (0..num_labels).map(|label| mean_over_runs(&rows, label)).collect()))
        .collect()
}
