//! Prediction of one image, by one run or the mean of several.

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use super::{PredictError, Predictor, ReportProgress};
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

/// Runs that predict together: settings, each of which is the mean of its runs.
#[derive(Clone, Debug)]
pub struct Ensemble<'a> {
    /// All runs.
    pub predictors: &'a [Predictor],
    /// The post-processing steps.
    pub postprocess: &'a [Postprocess],
    /// The settings: the indices of their runs, and the weight of their mean; all weights together are 1.
    members: Vec<(Range<usize>, f32)>,
}

impl<'a> Ensemble<'a> {
    /// Returns the ensemble of runs that count the same, with their own post-processing.
    ///
    /// # Errors
    /// When two of them differ in what they predict, or in their post-processing; both are named.
    ///
    /// # Panics
    /// When there is no run.
    pub fn of_runs(predictors: &'a [Predictor]) -> Result<Self, PredictError> {
        let postprocess = &predictors[0].experiment.postprocess[..];
        let ensemble = Self { predictors, postprocess, members: vec![(0..predictors.len(), 1.0)] };
        ensemble.check()?;
        let differs = |other: &&Predictor| other.experiment.postprocess[..] != *postprocess;
        match predictors.iter().find(differs) {
            Some(other) => Err(ensemble.difference(other, "postprocess steps")),
            None => Ok(ensemble),
        }
    }

    /// Returns the ensemble of settings, given as the number of consecutive runs and the weight of each, with other
    /// post-processing steps than those of the runs.
    ///
    /// # Errors
    /// When two runs differ in what they predict; both are named.
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

    /// Checks whether the probabilities of the runs can be averaged: they need the same labels and the same regions.
    fn check(&self) -> Result<(), PredictError> {
        let first = &self.predictors[0];
        let different = self.predictors.iter().find_map(|other| Some((other, different_targets(first, other)?)));
        different.map_or(Ok(()), |(other, what)| Err(self.difference(other, what)))
    }

    fn difference(&self, other: &Predictor, what: &'static str) -> PredictError {
        PredictError::Differ { first: self.predictors[0].root.clone(), other: other.root.clone(), what }
    }

    /// Returns how the probabilities of the runs are converted to a label map on a grid.
    pub fn output<'b>(&'b self, grid: &'b Grid) -> LabelMapOutput<'b> {
        LabelMapOutput { grid, targets: &self.predictors[0].targets, postprocess: self.postprocess }
    }

    /// Returns the mean over settings of the probability of each class, `[class, x, y, z]` on the grid of the file.
    fn mean_probabilities(
        &self,
        source: Volume,
        stop: &AtomicBool,
        progress: ReportProgress,
    ) -> Result<Vec<f32>, PredictError> {
        let targets = &self.predictors[0].targets;
        let mut sums = vec![0.0; targets.num_classes() * source.grid.num_voxels()];
        for (runs, weight) in &self.members {
            let factor = weight / runs.len() as f32;
            for index in runs.clone() {
                let predictor = &self.predictors[index];
                let (image, mapping) = predictor.preprocess(source.clone())?;
                // Runs may have windows of different shapes; each is reported as an equal part of the whole.
                let windows = predictor.num_windows(image.shape);
                let forward = predictor.forward(stop, (index * windows, self.predictors.len() * windows), progress);
                let (window, has_background) = (predictor.sliding_window(), targets.has_background());
                add_probabilities(&image, &mapping, &window, has_background, (factor, &mut sums), forward)?;
            }
        }
        Ok(sums)
    }
}

/// Returns what differs in what two runs predict: their labels or their regions.
pub fn different_targets(one: &Predictor, other: &Predictor) -> Option<&'static str> {
    match (&one.targets, &other.targets) {
        (one, other) if one.labels != other.labels => Some("labels"),
        (one, other) if one.regions != other.regions => Some("regions"),
        _ => None,
    }
}

/// Predicts an image with one run, or with the mean of several.
///
/// One run without `keep_probabilities` holds no more probabilities in memory than those of a slab as thick as a
/// window.
///
/// # Errors
/// When the image does not fit the runs, the device fails, or `stop` is set.
pub fn predict(
    ensemble: &Ensemble,
    source: Volume,
    keep_probabilities: bool,
    stop: &AtomicBool,
    progress: ReportProgress,
) -> Result<Prediction, PredictError> {
    let grid = source.grid;
    let output = ensemble.output(&grid);
    if let ([only], false) = (ensemble.predictors, keep_probabilities) {
        let (image, mapping) = only.preprocess(source)?;
        let total = only.num_windows(image.shape);
        let forward = only.forward(stop, (0, total), progress);
        let label = predict_label_map(&image, &mapping, &only.sliding_window(), &output, forward)?;
        return Ok(Prediction { label, probabilities: None });
    }
    let mean = ensemble.mean_probabilities(source, stop, progress)?;
    let label = output.label_map(&mean);
    let num_classes = output.targets.num_classes();
    let probabilities = keep_probabilities.then(|| Voxels::new(num_classes, grid.shape, mean));
    Ok(Prediction { label, probabilities })
}
