//! Prediction of one image, by one run or several together.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use super::source::{Source, Stages};
use super::together::Together;
use super::{PredictError, Predictor, ReportProgress, final_activation};
use crate::experiment::spec::Experiment;
use crate::experiment::targets::Targets;
use crate::inference::options::{Average, Inference};
use crate::inference::postprocess::Postprocess;
use crate::inference::sliding_window::{LabelMapOutput, add_probabilities, predict_label_map};
use volume::{Grid, Label, Volume, Voxels};

/// The prediction of an image, on the grid of its file.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The label map.
    pub label: Voxels<Label>,
    /// The probability of each class, `[class, x, y, z]`, if it was asked for: the background and the labels, or the regions.
    pub probabilities: Option<Voxels<f32>>,
}

/// Runs that predict together: settings, each of which is the mean of its runs, of logits or of probabilities as they declare.
#[derive(Clone, Debug)]
pub struct Ensemble<'a> {
    /// All runs.
    pub predictors: &'a [Predictor],
    /// The post-processing steps.
    pub postprocess: &'a [Postprocess],
    /// The settings: the indices of their runs, and the weight of their probabilities; all weights together are 1.
    members: Vec<(Range<usize>, f32)>,
}

impl<'a> Ensemble<'a> {
    /// Returns the ensemble of runs that count the same, with their own post-processing.
    ///
    /// They need the same labels, the same regions, the same post-processing and the same `inference.average`. Logits can be
    /// averaged if also the preprocessing, the windows and the activation function are the same; statistics that steps are
    /// fitted to may differ.
    ///
    /// # Errors
    /// When two of them differ; both are named.
    ///
    /// # Panics
    /// When there is no run.
    pub fn of_runs(predictors: &'a [Predictor]) -> Result<Self, PredictError> {
        let first = &predictors[0];
        let postprocess = &first.experiment.postprocess[..];
        let ensemble = Self { predictors, postprocess, members: vec![(0..predictors.len(), 1.0)] };
        let different_steps =
            |other: &Predictor| (other.experiment.postprocess[..] != *postprocess).then_some(DIFFERENT_STEPS);
        require_same(first, predictors, different_steps)?;
        ensemble.check()?;
        Ok(ensemble)
    }

    /// Returns the ensemble of settings, given as the number of consecutive runs and the weight of each, with other
    /// post-processing steps than those of the runs.
    ///
    /// # Errors
    /// When two runs differ in what they predict, or two of a setting in how they are averaged; both are named.
    ///
    /// # Panics
    /// When there is no run, or not as many as the settings have.
    pub fn of_settings(
        predictors: &'a [Predictor],
        settings: &[(usize, f64)],
        postprocess: &'a [Postprocess],
    ) -> Result<Self, PredictError> {
        let mut members = Vec::new();
        let mut start = 0;
        for (count, weight) in settings {
            members.push((start..start + count, *weight as f32));
            start += count;
        }
        assert!(start == predictors.len() && start > 0, "every run belongs to a setting");
        let ensemble = Self { predictors, postprocess, members };
        ensemble.check()?;
        Ok(ensemble)
    }

    /// Checks whether the predictions of the runs can be averaged.
    fn check(&self) -> Result<(), PredictError> {
        let first = &self.predictors[0];
        require_same(first, self.predictors, |other| different_targets(&first.targets, &other.targets))?;
        for (runs, _) in &self.members {
            let (first, runs) = (&self.predictors[runs.start], &self.predictors[runs.clone()]);
            require_same(first, runs, |other| {
                let is_same = first.network_channels() == other.network_channels() || !predicts_together(runs);
                let average =
                    different_average((&first.experiment, &first.targets), (&other.experiment, &other.targets));
                average
                    .or((!is_same)
                        .then_some("numbers of input channels, while `inference.average: logits` needs the same"))
            })?;
        }
        Ok(())
    }

    /// Returns how the probabilities of the runs are converted to a label map on a grid.
    pub fn output<'b>(&'b self, grid: &'b Grid) -> LabelMapOutput<'b> {
        LabelMapOutput { grid, targets: &self.predictors[0].targets, postprocess: self.postprocess }
    }

    /// Adds the probabilities of a setting to `sums`, `[class, x, y, z]` on the grid of the file.
    fn add(
        &self,
        (runs, weight): (Range<usize>, f32),
        source: Source,
        sums: &mut [f32],
        stop: &AtomicBool,
        progress: ReportProgress,
    ) -> Result<(), PredictError> {
        let all = self.predictors.len();
        let has_background = self.predictors[0].targets.has_background();
        let members = &self.predictors[runs.clone()];
        // Runs may have windows of different shapes; each is reported as an equal part of the whole.
        if predicts_together(members) {
            let mut report = |done, total| progress(runs.start * total / runs.len() + done, all * total / runs.len());
            let together = Together::new(members, source)?;
            let (image, mapping, window) = (&together.image, &together.mapping, members[0].sliding_window());
            let forward = together.forward(stop, &mut report);
            return add_probabilities(image, mapping, &window, has_background, (weight, sums), forward);
        }
        let factor = weight / runs.len() as f32;
        for (index, predictor) in runs.zip(members) {
            let (image, mapping) = predictor.preprocess(source.clone())?;
            let windows = predictor.num_windows(image.shape);
            let forward = predictor.forward(stop, (index * windows, all * windows), progress);
            let window = predictor.sliding_window();
            add_probabilities(&image, &mapping, &window, has_background, (factor, &mut *sums), forward)?;
        }
        Ok(())
    }
}

/// Checks that no run differs from the first, as `difference` says.
fn require_same(
    first: &Predictor,
    predictors: &[Predictor],
    difference: impl Fn(&Predictor) -> Option<&'static str>,
) -> Result<(), PredictError> {
    match predictors.iter().find_map(|other| Some((other, difference(other)?))) {
        Some((other, what)) => Err(PredictError::Differ { first: first.root.clone(), other: other.root.clone(), what }),
        None => Ok(()),
    }
}

/// Returns what differs in what two runs predict: their labels or their regions.
pub fn different_targets(one: &Targets, other: &Targets) -> Option<&'static str> {
    match (one, other) {
        (one, other) if one.labels != other.labels => Some("labels"),
        (one, other) if one.regions != other.regions => Some("regions"),
        _ => None,
    }
}

/// Returns what keeps two runs from forming an ensemble: what they predict, their post-processing, or how they are averaged.
pub(crate) fn different_settings(one: (&Experiment, &Targets), other: (&Experiment, &Targets)) -> Option<&'static str> {
    let different_steps = || (one.0.postprocess != other.0.postprocess).then_some(DIFFERENT_STEPS);
    different_targets(one.1, other.1).or_else(different_steps).or_else(|| different_average(one, other))
}

/// What differs where two runs have different post-processing.
const DIFFERENT_STEPS: &str = "postprocess steps";

/// Returns what keeps the mean of two runs from being that of one setting.
fn different_average(
    (first, first_targets): (&Experiment, &Targets),
    (other, other_targets): (&Experiment, &Targets),
) -> Option<&'static str> {
    let average = first.inference.average;
    if average != other.inference.average {
        return Some("values of `inference.average`");
    }
    let windows = |experiment: &Experiment| Inference { batch_size: NonZeroUsize::MIN, ..experiment.inference.clone() };
    let of_logits = || {
        [
            (
                first.preprocess_chain() == other.preprocess_chain(),
                "preprocess steps or orientations, while `inference.average: logits` needs the same",
            ),
            (
                first.window() == other.window() && windows(first) == windows(other),
                "windows, while `inference.average: logits` needs the same",
            ),
            (
                final_activation(first, first_targets) == final_activation(other, other_targets),
                "activation functions, while `inference.average: logits` needs the same",
            ),
        ]
    };
    let of_logits = if average == Average::Logits { Vec::from(of_logits()) } else { Vec::new() };
    of_logits.into_iter().find(|(is_same, _)| !is_same).map(|(_, what)| what)
}

/// Returns whether the runs of a setting predict each window together: a single one, or those whose logits are averaged.
fn predicts_together(predictors: &[Predictor]) -> bool {
    predictors.len() == 1 || predictors[0].experiment.inference.average == Average::Logits
}

/// Predicts an image with one run, or with the mean of several.
///
/// If the runs have previous runs, these predict first: for `subject`, which names a subject of the runs' own data, those that
/// were not trained on it, else all.
///
/// Without `keep_probabilities`, one run, or several of a setting whose logits are averaged, hold no more of them in memory
/// than those of a slab as thick as a window.
///
/// # Errors
/// When the image does not fit the runs, the device fails, or `stop` is set.
pub fn predict(
    ensemble: &Ensemble,
    volume: Volume,
    subject: Option<&str>,
    keep_probabilities: bool,
    stop: &AtomicBool,
    progress: ReportProgress,
) -> Result<Prediction, PredictError> {
    let (grid, predictors) = (volume.grid, ensemble.predictors);
    let mut stages = Stages::new(ensemble, &volume, subject, progress);
    let source = Source::new(predictors, volume, subject, stop, &mut stages)?;
    let mut report = |done, total| stages.report_last(done, total);
    let output = ensemble.output(&grid);
    if ensemble.members.len() == 1 && predicts_together(predictors) && !keep_probabilities {
        let together = Together::new(predictors, source)?;
        let (image, mapping, window) = (&together.image, &together.mapping, predictors[0].sliding_window());
        let label = predict_label_map(image, mapping, &window, &output, together.forward(stop, &mut report))?;
        return Ok(Prediction { label, probabilities: None });
    }
    let num_classes = output.targets.num_classes();
    let mut sums = vec![0.0; num_classes * grid.num_voxels()];
    for member in &ensemble.members {
        ensemble.add(member.clone(), source.clone(), &mut sums, stop, &mut report)?;
    }
    let label = output.label_map(&sums);
    let probabilities = keep_probabilities.then(|| Voxels::new(num_classes, grid.shape, sums));
    Ok(Prediction { label, probabilities })
}
