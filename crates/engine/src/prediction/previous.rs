//! The previous runs of a run, opened for prediction.

use std::ops::Range;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use super::{Ensemble, PredictError, Predictor, ReportProgress, Unfinished, Weights, predict};
use crate::previous::PreviousRuns;
use nn::devices::DeviceName;
use volume::{Label, Volume, Voxels};

/// The previous runs of a run, opened for prediction.
#[derive(Debug)]
pub struct OpenPrevious {
    /// The runs as their folders describe them.
    pub runs: PreviousRuns,
    predictors: Vec<Predictor>,
}

impl OpenPrevious {
    /// Opens the folders of runs on a device.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn open(runs: PreviousRuns, device: DeviceName) -> Result<Self, PredictError> {
        let open = |run: &crate::previous::PreviousRun| Predictor::open(&run.root, Weights::Best, Some(device));
        let predictors = runs.runs.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { runs, predictors })
    }

    /// Returns the runs that predict a subject, or a new image. A subject that all runs were trained on is predicted by all;
    /// `check` does not accept it for training.
    fn members(&self, subject: Option<&str>) -> Range<usize> {
        subject.and_then(|subject| self.runs.predicting(subject)).unwrap_or(0..self.predictors.len())
    }

    /// Returns the hashes of the weights that predict a subject, or a new image, including those of earlier stages.
    pub fn weights(&self, subject: Option<&str>) -> Vec<String> {
        let members = &self.predictors[self.members(subject)];
        let of_run = |predictor: &Predictor| {
            let earlier = predictor.previous().map(|previous| previous.weights(subject)).unwrap_or_default();
            std::iter::once(predictor.weights.sha256.clone()).chain(earlier).collect::<Vec<_>>()
        };
        members.iter().flat_map(of_run).collect()
    }

    /// Returns the runs, those of earlier stages included, whose training is not finished, and how far it got.
    pub(super) fn unfinished_runs(&self) -> Vec<(&Path, &Unfinished)> {
        self.predictors.iter().flat_map(Predictor::unfinished_runs).collect()
    }

    /// Predicts the label map of an image on the grid of its file: for `subject`, by the runs that were not trained on it.
    ///
    /// # Errors
    /// When the image does not fit the runs, the device fails, or `stop` is set.
    pub fn label_map(
        &self,
        volume: Volume,
        subject: Option<&str>,
        stop: &AtomicBool,
        progress: ReportProgress,
    ) -> Result<Voxels<Label>, PredictError> {
        let ensemble = Ensemble::of_runs(&self.predictors[self.members(subject)])?;
        Ok(predict(&ensemble, volume, subject, false, stop, progress)?.label)
    }

    /// Returns about how many windows a prediction takes, those of earlier stages included.
    pub(super) fn expected_windows(&self, volume: &Volume, subject: Option<&str>) -> usize {
        let of_run = |predictor: &Predictor| {
            let earlier = predictor.previous().map_or(0, |previous| previous.expected_windows(volume, subject));
            earlier + predictor.expected_windows(volume)
        };
        self.predictors[self.members(subject)].iter().map(of_run).sum()
    }
}
