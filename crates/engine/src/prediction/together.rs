//! Several runs as one network.

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;

use super::source::Source;
use super::{PredictError, Predictor, ReportProgress};
use crate::inference::file_mapping::FileMapping;
use crate::inference::options::WindowConvention;
use crate::preprocessing::FittedPreprocessing;
use volume::Voxels;

/// Runs that predict each window together, so that the mean of their logits is that of one network. By nnU-Net's convention,
/// which rounds the logits of each run, they are averaged after blending, else before.
///
/// Runs with the same preprocessing and the same previous label map share an image; of several, the channels follow each other.
pub(super) struct Together<'a> {
    /// The runs, each with the index of its image.
    predictors: Vec<(&'a Predictor, usize)>,
    /// The channels of one image.
    channels: usize,
    /// The images, one after the other, `[channel, x, y, z]`.
    pub image: Voxels<f32>,
    /// From the grid of the images to that of the file.
    pub mapping: FileMapping,
    /// Whether logits are averaged after blending.
    is_averaged_later: bool,
}

impl<'a> Together<'a> {
    /// Preprocesses an image as each of the runs does.
    pub fn new(predictors: &'a [Predictor], source: Source) -> Result<Self, PredictError> {
        let mut distinct: Vec<(&Predictor, Cow<FittedPreprocessing>)> = Vec::new();
        let mut assigned = Vec::with_capacity(predictors.len());
        for predictor in predictors {
            let preprocessing = predictor.preprocessing_of(&source.volume);
            let known = distinct.iter().position(|(representative, other)| {
                *other == preprocessing && source.is_same_label_map(representative, predictor)
            });
            assigned.push((predictor, known.unwrap_or(distinct.len())));
            if known.is_none() {
                distinct.push((predictor, preprocessing));
            }
        }
        let representatives: Vec<&Predictor> = distinct.iter().map(|(predictor, _)| *predictor).collect();
        let (first, others) = representatives.split_first().expect("an ensemble has a run");
        let channels = first.network_channels();
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
    pub fn forward(
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
