//! `summary.csv`, `cases.csv` and `comparisons.csv`.

use std::collections::BTreeSet;
use std::path::Path;

use super::integer;
use crate::comparison::{EpochScores, Estimate, Group, status_name};
use run_folder::folder::{RunError, write_atomically};

/// Writes `summary.csv`: a row per run.
///
/// # Errors
/// If the file cannot be written.
pub fn write_summary(path: &Path, groups: &[&Group]) -> Result<(), RunError> {
    let columns = ScoreColumns::of(groups);
    let keys = distinct(groups.iter().flat_map(|group| &group.varying_keys).map(|key| &key.path));
    let mut table = Csv::new(&summary_header(&columns, &keys));
    for (number, group) in groups.iter().enumerate() {
        for (index, run) in group.runs.iter().enumerate() {
            let setting = run.setting.map(|setting| group.settings[setting].name.clone());
            let status = run.run.status.map(status_name).unwrap_or_default();
            let in_mean = run.setting.is_some();
            let mut cells =
                vec![run.run.name.clone(), (number + 1).to_string(), setting.unwrap_or_default(), status.to_owned()];
            cells.push(run.run.reason.clone().or_else(|| run.exclusion.clone()).unwrap_or_default());
            cells.push(in_mean.to_string());
            let value = |path: &String| group.varying_keys.iter().find(|key| key.path == *path)?.values[index].clone();
            cells.extend(keys.iter().map(|path| value(path).unwrap_or_default()));
            cells.extend([integer(run.run.seed()), integer(run.fold), run.run.epochs().to_string()]);
            cells.extend(columns.cells(group, run.scores.as_ref()));
            cells.extend([float(run.run.seconds), float(run.run.peak_memory_bytes)]);
            cells.extend([run.run.device.clone(), run.run.git_commit.clone()]);
            table.push(&cells);
        }
    }
    table.write(path)
}

fn summary_header(columns: &ScoreColumns, keys: &[String]) -> Vec<String> {
    let mut header: Vec<String> =
        ["run", "group", "setting", "status", "reason", "in_mean"].map(str::to_owned).to_vec();
    header.extend(keys.iter().cloned());
    header.extend(["seed", "fold", "epochs", "best_epoch", "scored_epochs"].map(str::to_owned));
    for (metric, label) in &columns.scores {
        header.extend(["", "_low", "_high"].map(|suffix| format!("{metric}_{label}{suffix}")));
    }
    header.extend(columns.metrics.iter().map(|metric| format!("last_{metric}_mean")));
    header.extend(["cases", "seconds", "peak_memory_bytes", "device", "git_commit"].map(str::to_owned));
    header
}

/// The columns of scores that the groups have.
struct ScoreColumns {
    /// The compared metrics.
    metrics: Vec<String>,
    /// The metric and label of each score; the label `mean` follows the labels of its metric.
    scores: Vec<(String, String)>,
}

impl ScoreColumns {
    fn of(groups: &[&Group]) -> Self {
        let metrics = distinct(groups.iter().map(|group| &group.metric.name));
        let labels = |metric: &String| {
            let of_metric = groups.iter().filter(|group| group.metric.name == *metric);
            let labels = distinct(of_metric.flat_map(|group| &group.labels));
            labels.into_iter().chain(["mean".to_owned()]).map(|label| (metric.clone(), label)).collect::<Vec<_>>()
        };
        let scores = metrics.iter().flat_map(labels).collect();
        Self { metrics, scores }
    }

    /// Returns epochs, means and intervals of a run, and its number of cases.
    fn cells(&self, group: &Group, scores: Option<&EpochScores>) -> Vec<String> {
        let Some(scores) = scores else {
            return vec![String::new(); 2 + 3 * self.scores.len() + self.metrics.len() + 1];
        };
        let mut cells = vec![scores.epoch.to_string(), scores.num_scored_epochs.to_string()];
        for (metric, label) in &self.scores {
            let index = group.labels.iter().position(|own| own == label);
            let estimate = match (*metric == group.metric.name, index) {
                (true, Some(index)) => scores.labels[index],
                (true, None) if label == "mean" => scores.mean,
                _ => Estimate::default(),
            };
            let interval = estimate.interval;
            cells.extend([float(estimate.mean), float(interval.map(|i| i.low)), float(interval.map(|i| i.high))]);
        }
        let last_mean = |metric: &String| scores.last_mean.filter(|_| *metric == group.metric.name);
        cells.extend(self.metrics.iter().map(|metric| float(last_mean(metric))));
        cells.push(scores.cases.len().to_string());
        cells
    }
}

/// Writes `cases.csv`: a row per case and run, at the compared epoch.
///
/// # Errors
/// If the file cannot be written.
pub fn write_cases(path: &Path, groups: &[&Group]) -> Result<(), RunError> {
    let columns = distinct(groups.iter().flat_map(|group| &group.runs).flat_map(|run| &run.run.cases.columns));
    let mut header: Vec<String> = ["run", "group", "setting", "epoch", "subject"].map(str::to_owned).to_vec();
    header.extend(columns.iter().cloned());
    let mut table = Csv::new(&header);
    for (number, group) in groups.iter().enumerate() {
        for run in &group.runs {
            let Some(EpochScores { epoch, .. }) = &run.scores else { continue };
            let setting = run.setting.map(|setting| group.settings[setting].name.clone()).unwrap_or_default();
            let own = &run.run.cases.columns;
            let indices: Vec<_> = columns.iter().map(|name| own.iter().position(|other| other == name)).collect();
            for (subject, scores) in run.run.cases.epochs.get(epoch).into_iter().flatten() {
                let mut cells = vec![run.run.name.clone(), (number + 1).to_string(), setting.clone()];
                cells.extend([epoch.to_string(), subject.clone()]);
                cells.extend(indices.iter().map(|index| float(index.and_then(|index| scores[index]))));
                table.push(&cells);
            }
        }
    }
    table.write(path)
}

/// Writes `comparisons.csv`: a row per pair of settings and score.
///
/// # Errors
/// If the file cannot be written.
pub fn write_comparisons(path: &Path, groups: &[&Group]) -> Result<(), RunError> {
    let header = [
        "group",
        "setting",
        "other",
        "score",
        "cases",
        "difference",
        "low",
        "high",
        "wilcoxon_p",
        "holm_p",
        "seed_noise_half_width",
        "metric",
    ];
    let mut table = Csv::new(&header.map(str::to_owned));
    for (number, group) in groups.iter().enumerate() {
        for pair in &group.comparisons {
            for (name, difference) in pair.scores(&group.labels) {
                let [a, b] = [pair.a, pair.b].map(|setting| &group.settings[setting]);
                let Estimate { mean, interval } = group.difference(difference);
                let variation = group.seed_variation.filter(|_| name == "mean");
                let half_width = variation.map(|v| v.half_width(pair.seed_variance_factor, group.comparisons.len()));
                let mut cells = vec![(number + 1).to_string(), a.name.clone(), b.name.clone(), name.to_owned()];
                cells.push(difference.num_cases.to_string());
                cells.extend([
                    float(mean),
                    float(interval.map(|interval| interval.low)),
                    float(interval.map(|interval| interval.high)),
                    float(difference.test.map(|test| test.p_value)),
                    float(difference.adjusted_p_value),
                    float(half_width),
                    group.metric.name.clone(),
                ]);
                table.push(&cells);
            }
        }
    }
    table.write(path)
}

/// Returns the distinct names, in the order of their first occurrence.
fn distinct<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(*name)).cloned().collect()
}

/// Formats a number with the fewest digits that read back as the same number; empty for `None`.
fn float(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// A CSV file, written atomically.
struct Csv {
    writer: csv::Writer<Vec<u8>>,
}

impl Csv {
    fn new(header: &[String]) -> Self {
        let mut table = Self { writer: csv::Writer::from_writer(Vec::new()) };
        table.push(header);
        table
    }

    fn push(&mut self, cells: &[String]) {
        self.writer.write_record(cells).expect("writing rows of equal length to memory cannot fail");
    }

    fn write(self, path: &Path) -> Result<(), RunError> {
        let bytes = self.writer.into_inner().expect("writing to memory cannot fail");
        write_atomically(path, &bytes)
    }
}
