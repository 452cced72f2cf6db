//! Prediction of one image, by one run or the mean of several.

use std::sync::atomic::AtomicBool;

use super::{PredictError, Predictor, ReportProgress};
use crate::inference::sliding_window::{LabelMapOutput, add_probabilities, predict_label_map};
use volume::{Label, Volume, Voxels};

/// The prediction of an image, on the grid of its file.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The label map.
    pub label: Voxels<Label>,
    /// The probability of each class, `[class, x, y, z]`, if it was asked for: the background and the labels, or the regions.
    pub probabilities: Option<Voxels<f32>>,
}

/// Checks whether the probabilities of runs can be averaged: they need the same labels, the same regions and the same post-processing.
///
/// # Errors
/// When two of them differ; both are named.
pub fn check_ensemble(predictors: &[Predictor]) -> Result<(), PredictError> {
    let Some((first, others)) = predictors.split_first() else { return Ok(()) };
    for other in others {
        let differs = |what| PredictError::Differ { first: first.root.clone(), other: other.root.clone(), what };
        if first.targets.labels != other.targets.labels {
            return Err(differs("labels"));
        }
        if first.targets.regions != other.targets.regions {
            return Err(differs("regions"));
        }
        if first.experiment.postprocess != other.experiment.postprocess {
            return Err(differs("postprocess steps"));
        }
    }
    Ok(())
}

/// Predicts an image with one run, or with the mean of the probabilities of several.
///
/// One run without `keep_probabilities` holds no more probabilities in memory than those of a slab as thick as a
/// window.
///
/// # Errors
/// When the image does not fit the runs, the device fails, or `stop` is set.
///
/// # Panics
/// When there is no run.
pub fn predict(
    predictors: &[Predictor],
    source: Volume,
    keep_probabilities: bool,
    stop: &AtomicBool,
    progress: ReportProgress,
) -> Result<Prediction, PredictError> {
    let (grid, first) = (source.grid, &predictors[0]);
    let output = LabelMapOutput { grid: &grid, targets: &first.targets, postprocess: &first.experiment.postprocess };
    if let ([only], false) = (predictors, keep_probabilities) {
        let (image, mapping) = only.preprocess(source)?;
        let total = only.num_windows(image.shape);
        let forward = only.forward(stop, (0, total), progress);
        let label = predict_label_map(&image, &mapping, &only.sliding_window(), &output, forward)?;
        return Ok(Prediction { label, probabilities: None });
    }
    let mean = mean_probabilities(predictors, source, stop, progress)?;
    let label = output.label_map(&mean);
    let probabilities = keep_probabilities.then(|| Voxels::new(first.targets.num_classes(), grid.shape, mean));
    Ok(Prediction { label, probabilities })
}

/// Returns the mean over runs of the probability of each class, `[class, x, y, z]` on the grid of the file.
fn mean_probabilities(
    predictors: &[Predictor],
    source: Volume,
    stop: &AtomicBool,
    progress: ReportProgress,
) -> Result<Vec<f32>, PredictError> {
    let (voxels, targets) = (source.grid.num_voxels(), &predictors[0].targets);
    let factor = 1.0 / predictors.len() as f32;
    let mut sums = vec![0.0; targets.num_classes() * voxels];
    for (index, predictor) in predictors.iter().enumerate() {
        let (image, mapping) = predictor.preprocess(source.clone())?;
        // Runs may have windows of different shapes; each is reported as an equal part of the whole.
        let windows = predictor.num_windows(image.shape);
        let forward = predictor.forward(stop, (index * windows, predictors.len() * windows), progress);
        let has_background = targets.has_background();
        add_probabilities(&image, &mapping, &predictor.sliding_window(), has_background, (factor, &mut sums), forward)?;
    }
    Ok(sums)
}
