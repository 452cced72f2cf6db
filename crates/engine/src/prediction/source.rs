//! The image that runs predict, with what their previous runs predict for it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::{Ensemble, PredictError, Predictor, ReportProgress};
use volume::{Label, Volume, Voxels};

/// An image with the label maps that previous runs predict for it, on the grid of its file. Clones share the voxels.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub volume: Volume,
    /// The label maps by the weights that predicted them.
    label_maps: Arc<Vec<(Vec<String>, Voxels<Label>)>>,
    subject: Option<String>,
}

impl Source {
    /// Predicts an image with the previous runs of some runs; those that have the same ones share the label map.
    ///
    /// # Errors
    /// When the image does not fit the previous runs, the device fails, or `stop` is set.
    pub fn new(
        predictors: &[Predictor],
        volume: Volume,
        subject: Option<&str>,
        stop: &AtomicBool,
        stages: &mut Stages,
    ) -> Result<Self, PredictError> {
        let mut label_maps: Vec<(Vec<String>, Voxels<Label>)> = Vec::new();
        for previous in distinct(predictors, subject) {
            let weights = previous.weights(subject);
            let mut report = |done, total| stages.report_previous(done, total);
            let map = previous.label_map(volume.clone(), subject, stop, &mut report)?;
            stages.end_previous();
            label_maps.push((weights, map));
        }
        Ok(Self { volume, label_maps: Arc::new(label_maps), subject: subject.map(str::to_owned) })
    }

    /// Returns the label map that the previous runs of a run predict, if it has some.
    pub fn label_map(&self, predictor: &Predictor) -> Option<&Voxels<Label>> {
        let weights = predictor.previous()?.weights(self.subject.as_deref());
        self.label_maps.iter().find(|(of_map, _)| *of_map == weights).map(|(_, map)| map)
    }

    /// Returns whether two runs have the same previous label map, or both have none.
    pub fn is_same_label_map(&self, one: &Predictor, other: &Predictor) -> bool {
        let weights = |predictor: &Predictor| predictor.previous().map(|runs| runs.weights(self.subject.as_deref()));
        weights(one) == weights(other)
    }
}

/// Returns the previous runs of some runs, each set once.
fn distinct<'a>(predictors: &'a [Predictor], subject: Option<&str>) -> Vec<&'a super::OpenPrevious> {
    let mut distinct: Vec<&super::OpenPrevious> = Vec::new();
    for previous in predictors.iter().filter_map(Predictor::previous) {
        if distinct.iter().all(|other| other.weights(subject) != previous.weights(subject)) {
            distinct.push(previous);
        }
    }
    distinct
}

/// The progress of a prediction: the windows of the previous runs, then those of the runs themselves.
pub(super) struct Stages<'a> {
    progress: ReportProgress<'a>,
    /// The expected windows of each set of previous runs that is not done yet.
    previous: Vec<usize>,
    /// The windows that are done.
    done: usize,
    total: usize,
}

impl<'a> Stages<'a> {
    /// Estimates the windows of an image.
    pub fn new(ensemble: &Ensemble, volume: &Volume, subject: Option<&str>, progress: ReportProgress<'a>) -> Self {
        let of_runs = distinct(ensemble.predictors, subject);
        let mut previous: Vec<usize> = of_runs.iter().map(|runs| runs.expected_windows(volume, subject)).collect();
        let own: usize = ensemble.predictors.iter().map(|predictor| predictor.expected_windows(volume)).sum();
        let total = previous.iter().sum::<usize>() + own;
        previous.reverse();
        Self { progress, previous, done: 0, total }
    }

    fn report_previous(&mut self, done: usize, total: usize) {
        let expected = self.previous.last().copied().unwrap_or(0);
        (self.progress)(self.done + done * expected / total.max(1), self.total);
    }

    fn end_previous(&mut self) {
        self.done += self.previous.pop().unwrap_or(0);
    }

    /// Reports the progress of the runs themselves, of which the number of windows is known exactly by now.
    pub fn report_last(&mut self, done: usize, total: usize) {
        (self.progress)(self.done + done, self.done + total);
    }
}
