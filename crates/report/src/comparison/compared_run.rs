//! A run of a group, and the scores of the epoch that is compared.

use std::collections::BTreeMap;

use super::ComparedEpoch;
use super::estimate::{CaseScores, Estimate, Intervals, columns};
use crate::runs::Run;
use crate::statistics::mean;
use run_folder::manifest::Status;

/// A run of a group.
#[derive(Clone, Debug)]
pub struct ComparedRun {
    /// The run.
    pub run: Run,
    /// Its setting, by place; a run that is in no mean has none.
    pub setting: Option<usize>,
    /// Why it is in no mean.
    pub left_out: Option<String>,
    /// The fold that validates, where the split has folds.
    pub fold: Option<u64>,
    /// The scores of the compared epoch.
    pub chosen: Option<EpochScores>,
}

/// The scores of one epoch of a run.
#[derive(Clone, Debug)]
pub struct EpochScores {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The mean over cases of each label.
    pub labels: Vec<Estimate>,
    /// The mean over labels.
    pub mean: Estimate,
    /// The mean over labels after the last scored epoch.
    pub last: Option<f64>,
    /// Epochs that the best one was chosen from.
    pub choices: usize,
    /// For each case the score of each label; empty for a run that recorded none.
    pub cases: CaseScores,
}

impl Run {
    /// The experiment's name, or else the folder's.
    pub fn title(&self) -> String {
        self.plan["name"].as_str().unwrap_or(&self.name).to_owned()
    }
}

impl ComparedRun {
    pub(super) fn new(run: Run, labels: &[String], epoch: ComparedEpoch, intervals: &mut Intervals) -> Self {
        let fold = run.planned(&["data", "split", "fold", "index"]).as_u64();
        let chosen = EpochScores::of(&run, labels, epoch, intervals);
        let left_out = match (&chosen, run.status) {
            (_, Some(Status::Running)) if run.is_dead => Some("interrupted".to_owned()),
            (_, Some(status)) if status != Status::Done => Some(word(status).to_owned()),
            (None, _) => Some("no whole volumes were scored".to_owned()),
            (Some(chosen), _) if chosen.cases.is_empty() => Some("the scores of its cases are missing".to_owned()),
            _ => None,
        };
        Self { run, setting: None, left_out, fold, chosen }
    }

    pub(super) fn mean(&self) -> f64 {
        self.chosen.as_ref().and_then(|chosen| chosen.mean.mean).unwrap_or(f64::NEG_INFINITY)
    }
}

/// A status as a word.
pub fn word(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Stopped => "stopped",
        Status::Pruned => "pruned",
    }
}

impl EpochScores {
    fn of(run: &Run, labels: &[String], epoch: ComparedEpoch, intervals: &mut Intervals) -> Option<Self> {
        let scored = run.scored_epochs();
        let last = *scored.last()?;
        let epoch = match epoch {
            ComparedEpoch::Best => run.best_epoch().unwrap_or(last),
            ComparedEpoch::Last => last,
        };
        let cases = cases(run, labels, epoch);
        let columns = columns(&cases, labels.len());
        let recorded = |label: &String| run.metric(epoch, &format!("val_dice_{label}"));
        let estimate = |(place, label): (usize, &String)| match cases.is_empty() {
            true => Estimate { mean: recorded(label), interval: None },
            false => intervals.estimate(&columns[place..=place]),
        };
        let labels: Vec<Estimate> = labels.iter().enumerate().map(estimate).collect();
        let mean = match cases.is_empty() {
            true => Estimate { mean: mean(labels.iter().filter_map(|label| label.mean)), interval: None },
            false => intervals.estimate(&columns),
        };
        let last = run.metric(last, "val_dice_mean");
        Some(Self { epoch, labels, mean, last, choices: scored.len(), cases })
    }
}

/// The scores of an epoch, if all validation cases have theirs.
fn cases(run: &Run, labels: &[String], epoch: usize) -> CaseScores {
    let Some(scores) = run.cases.epochs.get(&epoch) else { return BTreeMap::new() };
    let place = |label: &String| run.cases.columns.iter().position(|name| *name == format!("dice_{label}"));
    let Some(places) = labels.iter().map(place).collect::<Option<Vec<usize>>>() else { return BTreeMap::new() };
    if run.validation().iter().any(|subject| !scores.contains_key(subject)) {
        return BTreeMap::new();
    }
    let pick = |row: &Vec<Option<f64>>| places.iter().map(|place| row[*place]).collect();
    scores.iter().map(|(subject, row)| (subject.clone(), pick(row))).collect()
}
