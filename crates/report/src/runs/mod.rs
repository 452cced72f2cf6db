//! Run folders of any age and in any state, as the comparison sees them.
//!
//! [`find`] searches a folder for runs and reads them. A missing or broken file costs only the information it had.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use dataset::split::Parts;
use metrics::{Metric, ScoreColumn};
use run_folder::manifest::Status;
use run_folder::table::{Table, is_better};

mod metric;
mod read;

pub use metric::ComparedMetric;
#[cfg(test)]
pub(crate) use read::declared_metrics;
pub use read::{FoundRuns, find};

/// The column of `metrics.csv` that decides the best epoch, unless the plan names another.
const DEFAULT_MONITOR: &str = "val_dice_mean";

/// The contents of a run folder.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// The path of its folder, relative to the folder of runs.
    pub name: String,
    /// The status in the manifest; `None` without a manifest.
    pub status: Option<Status>,
    /// Whether the status is `running` although no process holds the folder.
    pub is_interrupted: bool,
    /// Whether another program trained it, so that it has no history.
    pub is_imported: bool,
    /// Why it failed or was pruned.
    pub reason: Option<String>,
    /// The time it started, RFC 3339.
    pub start: String,
    /// A hash of its input files.
    pub data_fingerprint: Option<String>,
    /// The device it was trained on.
    pub device: String,
    /// The git commit of the program.
    pub git_commit: String,
    /// `plan.yaml`, or `experiment.yaml` if there is no plan.
    pub plan: Json,
    /// The metrics of the plan.
    pub declared: Vec<Metric>,
    /// The subjects of each part of the split.
    pub parts: Option<Parts>,
    /// `metrics.csv`.
    pub metrics: Table,
    /// `cases.csv`.
    pub cases: Cases,
    /// The duration of all epochs in seconds.
    pub seconds: Option<f64>,
    /// The peak memory in bytes.
    pub peak_memory_bytes: Option<f64>,
}

/// The scores of the validation cases.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cases {
    /// The names of the scores, such as `dice_liver`.
    pub columns: Vec<String>,
    /// The scores of each subject at each epoch, in the order of the columns.
    pub epochs: BTreeMap<usize, BTreeMap<String, Vec<Option<f64>>>>,
}

impl Run {
    /// Returns the value of the plan at a path of keys, or null.
    pub fn planned(&self, keys: &[&str]) -> &Json {
        keys.iter().fold(&self.plan, |node, key| &node[*key])
    }

    /// Returns the name of the experiment, or of the folder if it has none.
    pub fn title(&self) -> String {
        self.plan["name"].as_str().unwrap_or(&self.name).to_owned()
    }

    /// Returns whether the split was read from a file.
    pub fn is_split_by_file(&self) -> bool {
        !self.planned(&["data", "split", "file"]).is_null()
    }

    /// Returns the seed of the experiment.
    pub fn seed(&self) -> Option<u64> {
        self.plan["seed"].as_u64()
    }

    /// Returns the column of `metrics.csv` that decides the best epoch.
    pub fn monitor(&self) -> &str {
        self.planned(&["checkpoint", "monitor"]).as_str().unwrap_or(DEFAULT_MONITOR)
    }

    /// Returns the validation subjects in sorted order.
    pub fn validation(&self) -> Vec<String> {
        if let Some(parts) = &self.parts {
            let mut subjects = parts.val.clone();
            subjects.sort();
            return subjects;
        }
        let largest = self.cases.epochs.values().max_by_key(|cases| cases.len());
        largest.map(|cases| cases.keys().cloned().collect()).unwrap_or_default()
    }

    /// Returns the number of finished epochs.
    pub fn epochs(&self) -> usize {
        let last = self.metrics.rows.len().checked_sub(1);
        last.and_then(|row| self.metrics.value(row, "epoch")).map_or(0, |epoch| epoch as usize)
    }

    /// Returns the epochs after which whole volumes were scored by a metric.
    pub fn scored_epochs(&self, metric: &str) -> Vec<usize> {
        let is_of_metric =
            |name: &&String| ScoreColumn::of(name, &self.declared).is_some_and(|column| column.metric == metric);
        let columns: Vec<&String> = self.metrics.names.iter().filter(is_of_metric).collect();
        let has_cases = self.cases.columns.iter().any(|name| is_of_metric(&name));
        let is_scored = |row: usize, epoch: usize| {
            // Where the metric is undefined in every case, the row has no score.
            (has_cases && self.cases.epochs.contains_key(&epoch))
                || columns.iter().any(|name| self.metrics.value(row, name).is_some())
        };
        let epoch = |row: usize| self.metrics.value(row, "epoch").map(|epoch| epoch as usize);
        let rows = 0..self.metrics.rows.len();
        rows.filter_map(|row| epoch(row).filter(|epoch| is_scored(row, *epoch))).collect()
    }

    /// Returns the best epoch scored by a metric, by the run's own monitor. As in training, the first of several equal ones
    /// wins.
    pub fn best_epoch(&self, metric: &str) -> Option<usize> {
        let monitor = self.monitor();
        let mut best: Option<(usize, f64)> = None;
        for epoch in self.scored_epochs(metric) {
            let Some(value) = self.metric(epoch, monitor) else { continue };
            if best.is_none_or(|(_, old)| is_better(monitor, value, old)) {
                best = Some((epoch, value));
            }
        }
        best.map(|(epoch, _)| epoch)
    }

    /// Returns a value of `metrics.csv`.
    pub fn metric(&self, epoch: usize, column: &str) -> Option<f64> {
        let rows = 0..self.metrics.rows.len();
        let row = rows.rev().find(|row| self.metrics.value(*row, "epoch") == Some(epoch as f64))?;
        self.metrics.value(row, column)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const METRICS: &str = "epoch,step,val_loss,val_dice_liver,val_dice_whole,val_dice_mean\n\
        1,2,0.9,0.5,0.6,0.5\n2,4,0.7,,,\n3,6,0.8,0.5,0.6,0.5\n4,8,0.6,0.4,0.7,0.4\n";

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            std::fs::write(root.join(name), text).unwrap();
        }
    }

    fn read(root: &Path) -> Run {
        find(root).unwrap().runs.remove(0)
    }

    #[test]
    fn the_best_epoch_is_the_first_with_the_best_score() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), &[("metrics.csv", METRICS)]);
        let run = read(root.path());
        assert_eq!((run.epochs(), run.scored_epochs("dice"), run.best_epoch("dice")), (4, vec![1, 3, 4], Some(1)));
        write(root.path(), &[("plan.yaml", "checkpoint: {monitor: val_loss}\n")]);
        assert_eq!(read(root.path()).best_epoch("dice"), Some(4));
    }

    #[test]
    fn regions_are_no_labels_and_incomplete_lines_are_ignored() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("metrics.csv", METRICS),
                ("plan.yaml", "metrics: [{dice: {regions: {whole: [1, 2]}}}]\n"),
                ("cases.csv", "epoch,subject,dice_liver,dice_whole\n1,a,0.5,\n1,b,0.25,1\n2,a,0.7"),
            ],
        );
        let run = read(root.path());
        assert_eq!(run.labels("dice"), ["liver"]);
        assert_eq!(run.cases.epochs[&1]["a"], [Some(0.5), None]);
        assert_eq!(run.cases.epochs.len(), 1);
        assert_eq!(run.validation(), ["a", "b"]);
    }

    #[test]
    fn global_dice_is_no_label() {
        let root = tempfile::tempdir().unwrap();
        let metrics = "epoch,val_dice_liver,val_dice_mean,val_dice_global_liver\n1,0.5,0.5,0.6\n";
        let plan = "metrics: [{hd: {}}, {dice: {global: true}}]\n";
        write(root.path(), &[("metrics.csv", metrics), ("plan.yaml", plan)]);
        assert_eq!(read(root.path()).labels("dice"), ["liver"]);
    }

    #[test]
    fn runs_are_compared_by_dice_or_else_by_the_metric_of_their_monitor() {
        let root = tempfile::tempdir().unwrap();
        let metrics = "epoch,val_hd95_liver,val_hd95_mean,val_assd_liver,val_assd_mean\n1,3.5,3.5,1,1\n";
        let plan = "metrics: [{assd: {}}, {hd95: {}}]\ncheckpoint: {monitor: val_hd95_mean}\n";
        write(root.path(), &[("metrics.csv", metrics), ("plan.yaml", plan)]);
        let run = read(root.path());
        assert_eq!(run.metric_names(), ["assd", "hd95"]);
        assert_eq!(run.compared_metric(None).header("mean"), "HD95 mean (mm)");
        assert_eq!(run.compared_metric(Some("assd")).name, "assd");
        assert_eq!((run.labels("hd95"), run.scored_epochs("hd95")), (vec!["liver".to_owned()], vec![1]));
        assert!(run.labels("dice").is_empty() && run.scored_epochs("dice").is_empty());
    }
}
