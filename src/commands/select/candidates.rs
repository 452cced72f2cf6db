//! Candidates: settings and pairs of them, scored on every subject by out-of-fold predictions.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::SelectArgs;
use super::compressed::CompressedLabels;
use super::ensembles;
use super::predictions::{OpenRun, PredictOrCliError, read_label};
use super::settings::Setting;
use crate::commands::evaluate::folders::pair;
use crate::commands::predict::{Windows, predict_error};
use crate::terminal::CliError;
use crate::terminal::signals::stop_flag;
use engine::experiment::targets::{Targets, score_without_ignored};
use engine::inference::postprocess::Postprocess;
use engine::prediction::different_targets;
use engine::selection::postprocessing::ClassMetric;
use metrics::{CaseScores, Metric};
use rayon::prelude::*;
use volume::{Grid, Label, Voxels};

/// A setting or a pair of settings.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Its name.
    pub name: String,
    /// The indices of its settings.
    pub settings: Vec<usize>,
    /// The scores of each subject.
    pub scores: BTreeMap<String, CaseScores>,
    /// The label map of each subject.
    label_maps: BTreeMap<String, PathBuf>,
}

/// All candidates with their scores, and the true label map of each subject.
pub(super) struct Scored {
    /// The candidates: settings, then pairs.
    pub candidates: Vec<Candidate>,
    /// The metric.
    pub metric: Metric,
    /// What all runs predict.
    pub targets: Targets,
    /// The post-processing of the runs of each candidate's first setting.
    pub postprocess: Vec<Vec<Postprocess>>,
    /// Ensembles that are left out, and why.
    pub notes: Vec<String>,
    truths: BTreeMap<String, (Grid, CompressedLabels)>,
}

/// Predicts and scores every subject; returns `None` if the user stopped it.
pub(super) fn score(settings: &[Setting], arguments: &SelectArgs) -> Result<Option<Scored>, CliError> {
    let mut open: Vec<OpenRun> = settings
        .iter()
        .map(|setting| OpenRun::open(setting, first_run(setting), arguments))
        .collect::<Result<_, _>>()?;
    let mut scored = Scored::new(settings, &open, arguments)?;
    let order = order(settings);
    for (number, subject) in order.iter().enumerate() {
        for (setting, open) in settings.iter().zip(&mut open) {
            let index = setting.run_of[subject];
            if !open.is(index) {
                *open = OpenRun::open(setting, index, arguments)?;
            }
        }
        if stop_flag().load(Ordering::Relaxed) {
            return Ok(None);
        }
        let title = format!("{subject} ({}/{})", number + 1, order.len());
        match scored.add(subject, &title, settings, &open, arguments) {
            Ok(()) => {}
            Err(PredictOrCliError::Stopped) => return Ok(None),
            Err(PredictOrCliError::Error(CliError::Failure(message))) => {
                return Err(CliError::Failure(format!("subject {subject}: {message}")));
            }
            Err(PredictOrCliError::Error(error)) => return Err(error),
        }
    }
    Ok(Some(scored))
}

/// Returns the run of a setting that predicts its first subject.
fn first_run(setting: &Setting) -> usize {
    setting.run_of.values().next().copied().unwrap_or(0)
}

/// Returns the subjects, those of the same runs one after the other, so that each run is opened once.
fn order(settings: &[Setting]) -> Vec<String> {
    let mut subjects: Vec<&String> = settings[0].run_of.keys().collect();
    subjects.sort_by_key(|subject| settings.iter().map(|setting| setting.run_of[*subject]).collect::<Vec<_>>());
    subjects.into_iter().cloned().collect()
}

impl Scored {
    /// Checks that the settings can be compared, and lists the candidates.
    fn new(settings: &[Setting], open: &[OpenRun], arguments: &SelectArgs) -> Result<Self, CliError> {
        let first = &open[0].predictor;
        for (setting, other) in settings.iter().zip(open) {
            if let Some(what) = different_targets(&first.targets, &other.predictor.targets) {
                let message = format!("{} and {} have different {what}", settings[0].name, setting.name);
                return Err(CliError::problem(message, "select among settings that predict the same classes"));
            }
        }
        let postprocess: Vec<_> = open.iter().map(|open| open.predictor.experiment.postprocess.clone()).collect();
        let candidate = |name: String, settings: Vec<usize>| Candidate {
            name,
            settings,
            scores: BTreeMap::new(),
            label_maps: BTreeMap::new(),
        };
        let mut candidates: Vec<Candidate> =
            settings.iter().enumerate().map(|(index, setting)| candidate(setting.name.clone(), vec![index])).collect();
        let mut notes = Vec::new();
        let pairs = (0..settings.len()).flat_map(|a| (a + 1..settings.len()).map(move |b| (a, b)));
        for (a, b) in pairs.filter(|_| !arguments.no_ensembles) {
            let name = format!("{} + {}", settings[a].name, settings[b].name);
            if postprocess[a] == postprocess[b] {
                candidates.push(candidate(name, vec![a, b]));
            } else {
                notes.push(format!("the ensemble {name} is left out: their `postprocess` steps differ"));
            }
        }
        let scored = Self {
            metric: metric(open, arguments)?,
            targets: first.targets.clone(),
            truths: BTreeMap::new(),
            candidates,
            postprocess,
            notes,
        };
        scored.check_metric()?;
        if scored.candidates.len() > settings.len() {
            ensembles::check_memory(settings.len(), scored.targets.num_classes(), &open[0])?;
        }
        Ok(scored)
    }

    /// Checks that the metric can decide, before anything is predicted.
    fn check_metric(&self) -> Result<(), CliError> {
        let metric = ClassMetric { metric: &self.metric, classes: &self.targets.classes() };
        if metric.scores_each_class() {
            return Ok(());
        }
        Err(cannot_decide(&self.metric))
    }

    /// Predicts a subject by every setting, and scores every candidate.
    fn add(
        &mut self,
        subject: &str,
        title: &str,
        settings: &[Setting],
        open: &[OpenRun],
        arguments: &SelectArgs,
    ) -> Result<(), PredictOrCliError> {
        let volume = open[0].load(subject)?;
        let grid = volume.grid;
        let truth = self.truth(subject, &volume, settings, open)?;
        let files: Vec<PathBuf> =
            self.candidates.iter().map(|candidate| ensembles::file(candidate, subject, open, arguments)).collect();
        let mut are_done = Vec::new();
        for open in open {
            are_done.push(open.is_predicted(subject, arguments)?);
        }
        // An ensemble of earlier predictions is named after their weights.
        let is_ready = |index: usize| {
            let candidate: &Candidate = &self.candidates[index];
            candidate.settings.iter().all(|setting| are_done[*setting]) && files[index].exists()
        };
        let is_needed = |setting: usize| {
            let pairs = self.candidates.iter().enumerate().filter(|(_, candidate)| candidate.settings.len() > 1);
            pairs.into_iter().any(|(index, candidate)| candidate.settings.contains(&setting) && !is_ready(index))
        };
        let needed: Vec<bool> = (0..settings.len()).map(is_needed).collect();
        let ready: Vec<bool> = (0..self.candidates.len()).map(is_ready).collect();
        let mut predicted = Vec::new();
        for ((setting, open), needs_probabilities) in settings.iter().zip(open).zip(needed) {
            let bar = Windows::new(&format!("{title} {}", setting.name), arguments.quiet);
            predicted.push(open.predict(subject, &volume, needs_probabilities, arguments, &bar)?);
        }
        let classes = self.targets.classes();
        for (index, candidate) in self.candidates.iter_mut().enumerate() {
            let path = files[index].clone();
            let label_map = match candidate.settings[..] {
                [setting] => predicted[setting].label_map.clone(),
                _ if ready[index] => read_label(&path)?,
                _ => ensembles::label_map(candidate, &predicted, &grid, &open[candidate.settings[0]], &path)?,
            };
            if label_map.shape != grid.shape {
                let message = format!("{} has another shape than the image", path.display());
                return Err(CliError::problem(message, "remove it, so that it is predicted again").into());
            }
            let metric = std::slice::from_ref(&self.metric);
            let scores = score_without_ignored(metric, &pair(&grid, &truth, &label_map), &classes, self.targets.ignore);
            candidate.scores.extend(scores.into_iter().map(|scores| (subject.to_owned(), scores)));
            candidate.label_maps.insert(subject.to_owned(), path);
        }
        self.truths.insert(subject.to_owned(), (grid, CompressedLabels::new(&truth)));
        Ok(())
    }

    /// Returns the true label map of a subject, which must be the same for every setting.
    fn truth(
        &self,
        subject: &str,
        volume: &volume::Volume,
        settings: &[Setting],
        open: &[OpenRun],
    ) -> Result<Voxels<Label>, CliError> {
        let truth = |open: &OpenRun| open.predictor.ground_truth(volume).map_err(predict_error);
        let Some(first) = truth(&open[0])? else {
            let message = format!("subject {subject} has no label map, so no prediction of it can be scored");
            return Err(CliError::problem(message, "remove it from the dataset, or add its label map"));
        };
        for (setting, open) in settings.iter().zip(open).skip(1) {
            if truth(open)?.is_none_or(|other| other[..] != first[..]) {
                let message = format!("{} and {} change label maps differently", settings[0].name, setting.name);
                return Err(CliError::problem(message, "select among settings with the same steps for label maps"));
            }
        }
        Ok(first)
    }

    /// Returns the scores of a candidate after some post-processing steps of its label maps.
    pub fn after(
        &self,
        candidate: &Candidate,
        steps: &[Postprocess],
    ) -> Result<BTreeMap<String, CaseScores>, CliError> {
        let classes = self.targets.classes();
        let score = |(subject, path): (&String, &PathBuf)| -> Result<_, CliError> {
            let (grid, truth) = &self.truths[subject];
            let mut map = read_label(path)?.to_vec();
            steps.iter().for_each(|step| step.component().apply(&mut map, grid));
            let (truth, map) = (truth.label_map(grid.shape), Voxels::new(1, grid.shape, map));
            let metric = std::slice::from_ref(&self.metric);
            let scores = score_without_ignored(metric, &pair(grid, &truth, &map), &classes, self.targets.ignore);
            Ok(scores.into_iter().map(|scores| (subject.clone(), scores)).collect::<Vec<_>>())
        };
        let scores: Vec<_> = candidate.label_maps.par_iter().map(score).collect::<Result<_, _>>()?;
        Ok(scores.into_iter().flatten().collect())
    }
}

/// Returns the error of a metric that does not score each class.
pub(super) fn cannot_decide(metric: &Metric) -> CliError {
    let message = format!("{} does not score each class, so it cannot decide", metric.name());
    CliError::problem(message, "name another metric with --metric, such as dice")
}

/// Returns the metric that decides, as the first setting declares it.
fn metric(open: &[OpenRun], arguments: &SelectArgs) -> Result<Metric, CliError> {
    let declared = &open[0].predictor.experiment.metrics;
    let name = arguments.metric.as_deref().unwrap_or("dice");
    match declared.iter().find(|metric| metric.name() == name) {
        Some(metric) => Ok(metric.clone()),
        None if name == "dice" => Ok(metrics::Dice::default().into()),
        None => {
            let names: Vec<&str> = declared.iter().map(Metric::name).collect();
            let message = format!("the runs do not declare the metric {name}");
            let help = match names.is_empty() {
                true => "leave out --metric to select by Dice, which is always possible".to_owned(),
                false => format!("they declare {}; Dice is always possible", names.join(", ")),
            };
            Err(CliError::problem(message, help))
        }
    }
}
