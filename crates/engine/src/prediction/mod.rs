//! Prediction of new images by trained runs: one run or an ensemble.
//!
//! [`predictor`] opens a run folder, [`ensemble`] predicts an image with one run or the mean of several, and [`provenance`]
//! describes what made the prediction.

pub mod ensemble;
mod error;
pub mod predictor;
pub mod provenance;
mod together;

pub use ensemble::{Ensemble, Prediction, different_targets, predict};
pub use error::PredictError;
pub use predictor::{Predictor, Weights};
pub use provenance::Provenance;

use crate::experiment::spec::Experiment;
use crate::experiment::targets::Targets;
use crate::inference::activation::FinalActivation;
use crate::inference::sliding_window::SlidingWindow;
use nn::losses::OutputActivation;

/// A callback that receives the number of finished windows and the total.
pub type ReportProgress<'a> = &'a mut dyn FnMut(usize, usize);

/// Returns the sliding-window inference of a network that was trained as an experiment declares.
pub(crate) fn sliding_window<'a>(
    experiment: &'a Experiment,
    window: [usize; 3],
    targets: &Targets,
) -> SlidingWindow<'a> {
    let activation = match experiment.loss.component().output_activation() {
        OutputActivation::Softmax if targets.has_background() => FinalActivation::Softmax,
        OutputActivation::Softmax | OutputActivation::Sigmoid => FinalActivation::Sigmoid,
    };
    SlidingWindow { window, classes: targets.num_classes(), inference: &experiment.inference, activation }
}
