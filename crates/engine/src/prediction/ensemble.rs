//! Prediction of one image, by one run or the mean of several.

use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use super::{PredictError, Predictor, ReportProgress};
use crate::inference::file_mapping::FileMapping;
use crate::inference::options::{Average, Inference, WindowConvention};
use crate::inference::sliding_window::{LabelMapOutput, add_probabilities, predict_label_map};
use crate::preprocessing::FittedPreprocessing;
use volume::{Label, Volume, Voxels};

/// The prediction of an image, on the grid of its file.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// The label map.
    pub label: Voxels<Label>,
    /// The probability of each class, `[class, x, y, z]`, if it was asked for: the background and the labels, or the regions.
    pub probabilities: Option<Voxels<f32>>,
}

/// Checks whether runs can form an ensemble: they need the same labels, the same regions, the same post-processing and the
/// same `inference.average`. Logits can be averaged if also the preprocessing, the windows and the activation function are the
/// same; statistics that steps are fitted to may differ.
///
/// # Errors
/// When two of them differ; both are named.
pub fn check_ensemble(predictors: &[Predictor]) -> Result<(), PredictError> {
    let Some((first, others)) = predictors.split_first() else { return Ok(()) };
    for other in others {
        if let Some(what) = difference(first, other) {
            return Err(PredictError::Differ { first: first.root.clone(), other: other.root.clone(), what });
        }
    }
    Ok(())
}

/// Returns what keeps two runs from forming an ensemble.
fn difference(first: &Predictor, other: &Predictor) -> Option<&'static str> {
    let average = first.experiment.inference.average;
    let required = [
        (first.targets.labels == other.targets.labels, "labels"),
        (first.targets.regions == other.targets.regions, "regions"),
        (first.experiment.postprocess == other.experiment.postprocess, "postprocess steps"),
        (average == other.experiment.inference.average, "values of `inference.average`"),
    ];
    let windows =
        |predictor: &Predictor| Inference { batch_size: NonZeroUsize::MIN, ..predictor.experiment.inference.clone() };
    let of_logits = || {
        [
            (
                first.experiment.preprocess_chain() == other.experiment.preprocess_chain(),
                "preprocess steps or orientations, while `inference.average: logits` needs the same",
            ),
            (
                first.experiment.window() == other.experiment.window() && windows(first) == windows(other),
                "windows, while `inference.average: logits` needs the same",
            ),
            (
                first.sliding_window().activation == other.sliding_window().activation,
                "activation functions, while `inference.average: logits` needs the same",
            ),
        ]
    };
    let of_logits = if average == Average::Logits { Vec::from(of_logits()) } else { Vec::new() };
    required.into_iter().chain(of_logits).find(|(is_same, _)| !is_same).map(|(_, what)| what)
}

/// Predicts an image with one run, or with the mean of the probabilities or logits of several.
///
/// Without `keep_probabilities`, one run, or several whose logits are averaged, hold no more of them in memory than those of a
/// slab as thick as a window.
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
    let targets = &first.targets;
    let output = LabelMapOutput { grid: &grid, targets, postprocess: &first.experiment.postprocess };
    let streams = predictors.len() == 1 || first.experiment.inference.average == Average::Logits;
    let probabilities = if streams {
        let together = Together::new(predictors, source)?;
        let (image, mapping, sliding_window) = (&together.image, &together.mapping, first.sliding_window());
        let forward = together.forward(stop, progress);
        if !keep_probabilities {
            let label = predict_label_map(image, mapping, &sliding_window, &output, forward)?;
            return Ok(Prediction { label, probabilities: None });
        }
        let mut sums = vec![0.0; targets.num_classes() * grid.num_voxels()];
        add_probabilities(image, mapping, &sliding_window, targets.has_background(), (1.0, &mut sums), forward)?;
        sums
    } else {
        mean_probabilities(predictors, source, stop, progress)?
    };
    let label = output.label_map(&probabilities);
    let probabilities = keep_probabilities.then(|| Voxels::new(targets.num_classes(), grid.shape, probabilities));
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

/// Runs that predict each window together, so that the mean of their logits is that of one network. By nnU-Net's convention,
/// which rounds the logits of each run, they are averaged after blending, else before.
///
/// Runs with the same preprocessing share an image; of several, the channels follow each other.
struct Together<'a> {
    /// The runs, each with the index of its image.
    predictors: Vec<(&'a Predictor, usize)>,
    /// The channels of one image.
    channels: usize,
    image: Voxels<f32>,
    mapping: FileMapping,
    /// Whether logits are averaged after blending.
    is_averaged_later: bool,
}

impl<'a> Together<'a> {
    /// Preprocesses an image as each of the runs does.
    fn new(predictors: &'a [Predictor], source: Volume) -> Result<Self, PredictError> {
        let mut distinct: Vec<(&Predictor, Cow<FittedPreprocessing>)> = Vec::new();
        let mut assigned = Vec::with_capacity(predictors.len());
        for predictor in predictors {
            let preprocessing = predictor.preprocessing_of(&source);
            let known = distinct.iter().position(|(_, other)| *other == preprocessing);
            assigned.push((predictor, known.unwrap_or(distinct.len())));
            if known.is_none() {
                distinct.push((predictor, preprocessing));
            }
        }
        let representatives: Vec<&Predictor> = distinct.iter().map(|(predictor, _)| *predictor).collect();
        let (first, others) = representatives.split_first().expect("an ensemble has a run");
        let channels = first.channels();
        let is_averaged_later = first.experiment.inference.convention == WindowConvention::Nnunet;
        if others.is_empty() {
            let (image, mapping) = first.preprocess(source)?;
            return Ok(Self { predictors: assigned, channels, image, mapping, is_averaged_later });
        }
        let (image, mapping) = first.preprocess(source.clone())?;
        let shape = image.shape;
        let mut values = image.to_vec();
        drop(image);
        for other in others {
            let (image, _) = other.preprocess(source.clone())?;
            if image.shape != shape {
                let (first, other, shapes) = (first.root.clone(), other.root.clone(), [shape, image.shape]);
                return Err(PredictError::Shapes { first, other, shapes });
            }
            values.extend_from_slice(&image);
        }
        let image = Voxels::new(channels * representatives.len(), shape, values);
        Ok(Self { predictors: assigned, channels, image, mapping, is_averaged_later })
    }

    /// Returns the mean of the forward passes of the runs, which fails when `stop` is set.
    fn forward(
        &self,
        stop: &AtomicBool,
        progress: ReportProgress,
    ) -> impl FnMut(Vec<f32>, usize) -> Result<Vec<f32>, PredictError> {
        let total = self.predictors[0].0.num_windows(self.image.shape) * self.predictors.len();
        let mut done = 0;
        move |windows, count| {
            let mut report = |progress: &mut dyn FnMut(usize, usize)| {
                done += count;
                progress(done, total);
            };
            let size = windows.len() / count / self.image.channels * self.channels;
            let of_image = |index: usize| -> Vec<f32> {
                windows
                    .chunks_exact(windows.len() / count)
                    .flat_map(|window| &window[index * size..][..size])
                    .copied()
                    .collect()
            };
            let mut of_runs: Vec<Vec<f32>> = Vec::with_capacity(self.predictors.len());
            for (predictor, image) in &self.predictors {
                of_runs.push(predictor.logits(of_image(*image), count, stop)?);
                report(progress);
            }
            if self.is_averaged_later {
                let size = of_runs[0].len() / count;
                let of_window = |window: usize| of_runs.iter().flat_map(move |run| &run[window * size..][..size]);
                return Ok((0..count).flat_map(of_window).copied().collect());
            }
            let runs = of_runs.len() as f32;
            let mut sum = of_runs.swap_remove(0);
            for run in of_runs {
                sum.iter_mut().zip(run).for_each(|(sum, logit)| *sum += logit);
            }
            sum.iter_mut().for_each(|sum| *sum /= runs);
            Ok(sum)
        }
    }
}
