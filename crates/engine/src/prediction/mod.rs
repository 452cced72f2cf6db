//! Prediction of new images by trained runs: one run or an ensemble.
//!
//! [`predictor`] opens a run folder, [`ensemble`] predicts an image with one run or the mean of several, after their previous
//! runs if they have some, and [`provenance`] describes what made the prediction.

pub mod ensemble;
mod error;
pub mod predictor;
mod previous;
pub mod provenance;
mod source;
mod together;
mod unfinished;

pub(crate) use ensemble::different_settings;
pub use ensemble::{Ensemble, Prediction, different_targets, predict};
pub use error::PredictError;
pub use predictor::{Predictor, Weights, weights_file};
pub use previous::OpenPrevious;
pub use provenance::Provenance;
pub use unfinished::Unfinished;

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
    let activation = final_activation(experiment, targets);
    SlidingWindow { window, classes: targets.num_classes(), inference: &experiment.inference, activation }
}

/// Returns what converts the logits of a network to probabilities.
pub(crate) fn final_activation(experiment: &Experiment, targets: &Targets) -> FinalActivation {
    match experiment.loss.component().output_activation() {
        OutputActivation::Softmax if targets.has_background() => FinalActivation::Softmax,
        OutputActivation::Softmax | OutputActivation::Sigmoid => FinalActivation::Sigmoid,
    }
}
