//! One optimiser step, and the network between steps.

use burn::tensor::{Device, Tensor, TensorData};

use super::TrainError;
use super::checkpoint::State;
use crate::data::patch::Patch;
use crate::data::volume::Label;
use crate::loss::Loss;
use crate::model::input::Batch;
use crate::model::weights::{self, NamedTensor};
use crate::model::{self, Network};
use crate::optim::{Gradients, Optimizer, Schedule};
use crate::seed::Seed;
use crate::spec::plan::Plan;

/// A network and what changes it.
#[derive(Debug)]
pub struct Trainer {
    network: Network,
    optimizer: Optimizer,
    schedule: Schedule,
    loss: Loss,
    labels: Vec<Label>,
    clip_norm: Option<f64>,
    device: Device,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutcome {
    /// The mean loss of its batches.
    pub loss: f64,
    /// The norm of all gradients together, before clipping.
    pub grad_norm: f64,
}
