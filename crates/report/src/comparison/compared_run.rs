//! A run of a group, and its scores at the compared epoch.

use std::collections::BTreeMap;

use super::estimate::{BootstrapCache, Estimate, ScoresByColumn, columns};
use super::{ComparabilityKey, ComparedEpoch};
use crate::runs::{ComparedMetric, Run};
use crate::statistics::mean;
use run_folder::manifest::Status;

/// A run of a group.
#[derive(Clone, Debug)]
pub struct ComparedRun {
    /// The run.
    pub run: Run,
    /// The index of its setting; `None` if it is excluded.
    pub setting: Option<usize>,
    /// Why it is excluded from all means.
    pub exclusion: Option<String>,
    /// The validation fold, if the split has folds.
    pub fold: Option<u64>,
    /// The scores at the compared epoch.
    pub scores: Option<EpochScores>,
}

/// The scores of a run at one epoch.
#[derive(Clone, Debug)]
pub struct EpochScores {
    /// The epoch, starting at 1.
    pub epoch: usize,
    /// The mean over cases of each label.
    pub labels: Vec<Estimate>,
    /// The mean over labels.
    pub mean: Estimate,
    /// The mean over labels at the last scored epoch.
    pub last_mean: Option<f64>,
    /// The number of scored epochs, from which the best is selected.
    pub num_scored_epochs: usize,
    /// The score of each label in each case; empty if the run has none, or not those of all validation cases.
    pub cases: ScoresByColumn,
}

impl Run {
    /// Returns whether the run is finished. Without a manifest this is unknown, and the scores are used as they are.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.status, None | Some(Status::Done))
    }
}

impl ComparedRun {
    pub(super) fn new(run: Run, key: &ComparabilityKey, epoch: ComparedEpoch, cache: &mut BootstrapCache) -> Self {
        let index = |kind| run.planned(&["data", "split", kind, "index"]).as_u64();
        let fold = index("fold").or_else(|| index("nnunet"));
        let scores = EpochScores::of(&run, &key.metric, &key.labels, epoch, cache);
        let title = &key.metric.title;
        let exclusion = match (&scores, run.status) {
            (_, Some(Status::Running)) if run.is_interrupted => Some("interrupted".to_owned()),
            (_, Some(status)) if status != Status::Done => Some(status_name(status).to_owned()),
            (None, _) if run.is_imported => Some("imported, not trained here".to_owned()),
            (None, _) if run.metric_names().contains(&key.metric.name) => {
                Some("no whole volumes were scored".to_owned())
            }
            (None, _) => Some(format!("{title} was not scored")),
            (Some(scores), _) if scores.cases.is_empty() => Some("case scores are missing".to_owned()),
            (Some(scores), _) if scores.mean.mean.is_none() => Some(format!("{title} is undefined in every case")),
            _ => None,
        };
        Self { run, setting: None, exclusion, fold, scores }
    }

    /// Returns the mean over labels at the compared epoch.
    pub fn mean(&self) -> Option<f64> {
        self.scores.as_ref().and_then(|scores| scores.mean.mean)
    }
}

/// Returns the name of a status.
pub fn status_name(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Stopped => "stopped",
        Status::Pruned => "pruned",
    }
}

impl EpochScores {
    fn of(
        run: &Run,
        metric: &ComparedMetric,
        labels: &[String],
        epoch: ComparedEpoch,
        cache: &mut BootstrapCache,
    ) -> Option<Self> {
        let scored = run.scored_epochs(&metric.name);
        let last = *scored.last()?;
        let epoch = match epoch {
            ComparedEpoch::Best => run.best_epoch(&metric.name).unwrap_or(last),
            ComparedEpoch::Last => last,
        };
        let cases = case_scores(run, metric, labels, epoch);
        let columns = columns(&cases, labels.len());
        let estimate = |(index, label): (usize, &String)| match cases.is_empty() {
            true => Estimate { mean: recorded(run, metric, epoch, label), interval: None },
            false => cache.estimate(&columns[index..=index]),
        };
        let label_estimates: Vec<Estimate> = labels.iter().enumerate().map(estimate).collect();
        let mean = match cases.is_empty() {
            true => Estimate { mean: mean(label_estimates.iter().filter_map(|label| label.mean)), interval: None },
            false => cache.estimate(&columns),
        };
        let last_mean = mean_at(run, metric, labels, last);
        Some(Self { epoch, labels: label_estimates, mean, last_mean, num_scored_epochs: scored.len(), cases })
    }
}

/// Returns the mean over labels at an epoch.
fn mean_at(run: &Run, metric: &ComparedMetric, labels: &[String], epoch: usize) -> Option<f64> {
    let cases = case_scores(run, metric, labels, epoch);
    let columns = columns(&cases, labels.len());
    let label_mean = |(index, label): (usize, &String)| match cases.is_empty() {
        true => recorded(run, metric, epoch, label),
        false => mean(columns[index].iter().copied().flatten()),
    };
    mean(labels.iter().enumerate().filter_map(label_mean))
}

/// Returns the mean over cases of a label, from `metrics.csv`.
fn recorded(run: &Run, metric: &ComparedMetric, epoch: usize, label: &str) -> Option<f64> {
    run.metric(epoch, &format!("val_{}", metric.column(label))).map(|score| metric.compared(score))
}

/// Returns the case scores of an epoch, or none if a validation case is missing.
fn case_scores(run: &Run, metric: &ComparedMetric, labels: &[String], epoch: usize) -> ScoresByColumn {
    let Some(scores) = run.cases.epochs.get(&epoch) else { return BTreeMap::new() };
    let column = |label: &String| run.cases.columns.iter().position(|name| *name == metric.column(label));
    let Some(columns) = labels.iter().map(column).collect::<Option<Vec<usize>>>() else { return BTreeMap::new() };
    if run.validation().iter().any(|subject| !scores.contains_key(subject)) {
        return BTreeMap::new();
    }
    let select = |row: &Vec<Option<f64>>| {
        columns.iter().map(|column| row[*column].map(|score| metric.compared(score))).collect()
    };
    scores.iter().map(|(subject, row)| (subject.clone(), select(row))).collect()
}
