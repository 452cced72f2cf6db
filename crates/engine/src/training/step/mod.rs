//! One optimizer step, and the network between steps.

mod state;

use burn::tensor::{Device, Tensor};

use crate::experiment::plan::Plan;
use crate::experiment::spec::LossWeights;
use crate::experiment::targets::Targets;
use crate::inference::forward::{self, ComputeError};
use crate::training::TrainError;
use crate::training::batch::Batch;
use crate::training::fine_tuning::{self, FrozenLayers};
use crate::training::weight_average::WeightAverage;
use dataset::patch::Patch;
use nn::losses::Loss;
use nn::optimizers::{self, Optimizer, OptimizerSpec, Schedule};
use nn::weights::NamedTensor;
use nn::{FloatFormat, Network, Pass, parameters};
use random::{Purpose, Seed};

/// A network with its loss, optimizer and learning-rate schedule, and the moving average of its weights.
#[derive(Debug)]
pub struct Trainer {
    network: Network,
    average: Option<WeightAverage>,
    optimizer: Optimizer,
    optimizer_spec: OptimizerSpec,
    schedule: Schedule,
    loss: Loss,
    loss_weights: Option<LossWeights>,
    targets: Targets,
    clip_norm: Option<f64>,
    checkpoint_activations: bool,
    precision: FloatFormat,
    frozen: Option<FrozenLayers>,
    seed: Seed,
    /// With autodiff.
    device: Device,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepResult {
    /// The mean loss of its batches.
    pub loss: f64,
    /// The norm of all gradients together, before clipping.
    pub grad_norm: f64,
}

/// The batches of a step on the device, each with its fraction of the step's patches.
#[derive(Debug)]
pub struct DeviceBatches(Vec<(f64, Batch)>);

/// A step that the device may still be computing.
#[derive(Debug)]
pub struct PendingStep {
    losses: Vec<(f64, Tensor<1>)>,
    /// Sums of squares of the gradients before clipping.
    squares: Tensor<1>,
    values: Vec<Tensor<1>>,
    optimizer: Optimizer,
    pass: Pass,
}

impl Trainer {
    /// Builds the network of a plan with random weights, on the plan's device.
    ///
    /// # Errors
    /// When the device cannot be opened.
    pub fn new(plan: &Plan) -> Result<Self, TrainError> {
        let spec = &plan.experiment;
        let seed = Seed(spec.seed);
        let device = plan.device.open()?.autodiff();
        let network = spec.model.build(plan.network_channels(), plan.num_classes(), seed, &device);
        let values: Vec<_> = network.parameters.trained_values().cloned().collect();
        let options = network.parameters.trained_names().map(|name| fine_tuning::options(plan, name)).collect();
        Ok(Self {
            average: spec.train.weight_average.as_ref().map(|average| WeightAverage::new(average.decay.get())),
            optimizer: Optimizer::new(&spec.optimizer, &values).with_options(options),
            frozen: FrozenLayers::of(plan),
            optimizer_spec: spec.optimizer.clone(),
            schedule: spec.schedule.clone(),
            loss: spec.loss.clone(),
            loss_weights: spec.train.loss_weights.clone(),
            targets: plan.targets.clone(),
            checkpoint_activations: spec.train.checkpoint_activations,
            precision: spec.train.precision,
            clip_norm: spec.train.clip_gradient_norm.map(|norm| norm.get()),
            network,
            seed,
            device,
        })
    }

    /// Returns the learning rate of a step of a plan's run, counted from 0.
    pub fn learning_rate(&self, step: usize, plan: &Plan) -> f64 {
        self.optimizer_spec.learning_rate() * self.schedule.factor(step, plan.num_steps(), plan.steps_per_epoch)
    }

    /// Transfers the batches of a step to the device.
    ///
    /// # Errors
    /// When a patch contains a label that is not declared.
    pub fn transfer(&self, batches: &[Vec<Patch>]) -> Result<DeviceBatches, TrainError> {
        let num_patches: usize = batches.iter().map(Vec::len).sum();
        let transfer = |patches: &Vec<Patch>| {
            let fraction = patches.len() as f64 / num_patches as f64;
            Ok((fraction, self.batch(patches)?))
        };
        Ok(DeviceBatches(batches.iter().map(transfer).collect::<Result<_, TrainError>>()?))
    }

    fn batch(&self, patches: &[Patch]) -> Result<Batch, TrainError> {
        let batch = Batch::new(patches, &self.targets, &self.device.clone().inner())?;
        let weighted = self.loss_weights.as_ref().filter(|weights| !weights.subjects.is_empty());
        let weight = |weights: &LossWeights| patches.iter().map(|patch| weights.of_subject(&patch.subject)).collect();
        Ok(Batch { patch_weights: weighted.map(weight).unwrap_or_default(), ..batch })
    }

    /// Starts the step `step`, counted from 0, on the mean gradient of the batches, and does not wait for the device.
    ///
    /// The weights stay unchanged until [`finish`](Self::finish).
    pub fn begin(&self, batches: DeviceBatches, learning_rate: f64, step: usize) -> PendingStep {
        let mut pass = Pass::training(self.seed.stream(Purpose::Dropout, step as u64, "", 0), self.precision);
        let frozen = self.frozen.as_ref().filter(|frozen| frozen.is_frozen_at(step));
        let network = frozen.map(|frozen| self.network.frozen(|name| frozen.contains(name)));
        let network = network.as_ref().unwrap_or(&self.network);
        let mut losses = Vec::new();
        let mut sums: Option<Vec<Option<Tensor<1>>>> = None;
        for (fraction, batch) in batches.0 {
            let (loss, gradients) = self.loss_and_gradients(network, &mut pass, batch, fraction);
            losses.push((fraction, loss));
            sums = Some(match sums {
                None => gradients,
                Some(sums) => {
                    sums.into_iter().zip(gradients).map(|(sum, gradient)| Some(sum?.add(gradient?))).collect()
                }
            });
        }
        if let Some(frozen) = frozen {
            pass.discard_updates(&self.network.parameters, |name| frozen.contains(name));
        }
        let mut gradients = sums.expect("a step has at least one batch");
        let squares = optimizers::squares(&gradients);
        if let Some(max_norm) = self.clip_norm {
            gradients = optimizers::clip(gradients, &squares, max_norm);
        }
        let values = self.network.parameters.trained_values().map(|value| value.clone().inner()).collect();
        let mut optimizer = self.optimizer.clone();
        let values = optimizer.step(values, gradients, learning_rate, step);
        PendingStep { losses, squares, values, optimizer, pass }
    }

    /// Returns the loss of a batch, and the gradient of `factor` times the loss with respect to each parameter; `None` for a
    /// parameter on which the loss does not depend or which is frozen, which is the same for every batch.
    fn loss_and_gradients(
        &self,
        network: &Network,
        pass: &mut Pass,
        batch: Batch,
        factor: f64,
    ) -> (Tensor<1>, Vec<Option<Tensor<1>>>) {
        let weights = batch.patch_weights;
        let objective = |logits| self.loss.forward_weighted(logits, batch.target.autodiff(), &weights);
        let (loss, gradients): (_, Vec<_>) = if self.checkpoint_activations {
            network.gradients_block_by_block(pass, batch.image, objective)
        } else {
            let loss = objective(network.forward_supervised(pass, batch.image.autodiff()));
            let mut tape = loss.backward();
            let values = network.parameters.trained_values();
            (loss.inner(), values.map(|value| value.grad_remove(&mut tape)).collect())
        };
        if factor == 1.0 {
            return (loss, gradients);
        }
        (loss, gradients.into_iter().map(|gradient| Some(gradient?.mul_scalar(factor))).collect())
    }

    /// Waits for a step and updates weights and optimizer; if the loss or a gradient is not finite, both stay
    /// unchanged.
    ///
    /// # Errors
    /// When the device fails.
    pub fn finish(&mut self, pending: PendingStep) -> Result<StepResult, TrainError> {
        let mut loss = 0.0;
        for (fraction, batch_loss) in pending.losses {
            loss += fraction * host_sum(batch_loss)?;
        }
        let grad_norm = host_sum(pending.squares)?.sqrt();
        if loss.is_finite() && grad_norm.is_finite() {
            self.network.parameters.set_trained(pending.values);
            self.optimizer = pending.optimizer;
            pending.pass.finish(&mut self.network.parameters);
            if let Some(average) = &mut self.average {
                average.add(self.network.parameters.trained_values());
            }
        }
        Ok(StepResult { loss, grad_norm })
    }

    /// Takes the step `step`, counted from 0, and waits for it.
    ///
    /// # Errors
    /// When a patch contains a label that is not declared or the device fails.
    pub fn step(&mut self, batches: &[Vec<Patch>], learning_rate: f64, step: usize) -> Result<StepResult, TrainError> {
        let pending = self.begin(self.transfer(batches)?, learning_rate, step);
        self.finish(pending)
    }

    /// Computes the gradient of the loss of a batch with respect to each parameter, without a step.
    ///
    /// # Errors
    /// When a patch contains a label that is not declared or the device fails.
    pub fn gradients(&self, patches: &[Patch]) -> Result<Vec<NamedTensor>, TrainError> {
        let batch = self.batch(patches)?;
        let mut pass = Pass::training(self.seed.stream(Purpose::Dropout, 0, "", 0), self.precision);
        let (_, gradients) = self.loss_and_gradients(&self.network, &mut pass, batch, 1.0);
        let parameters = &self.network.parameters;
        let named = parameters.trained_names().zip(parameters.trained_values()).zip(gradients);
        let host = |((name, value), gradient): ((&str, &Tensor<1>), Option<Tensor<1>>)| {
            let data = parameters::to_host(&gradient.unwrap_or_else(|| value.clone().inner().zeros_like()));
            NamedTensor { name: name.to_owned(), shape: vec![data.len()], data }
        };
        Ok(named.map(host).collect())
    }

    /// Returns the network that validation and predictions use: with averaged weights, if the plan asks for them.
    fn prediction_network(&self) -> Network {
        match self.average.as_ref().and_then(WeightAverage::values) {
            Some(values) => self.network.with_trained(values),
            None => self.network.without_gradients(),
        }
    }

    /// Computes the loss of a batch, without a step.
    ///
    /// # Errors
    /// When a patch contains a label that is not declared or the device fails.
    pub fn loss(&self, patches: &[Patch]) -> Result<f64, TrainError> {
        let batch = self.batch(patches)?;
        let logits = self.prediction_network().forward(&mut Pass::inference(), batch.image);
        host_sum(self.loss.forward_weighted(vec![logits], batch.target, &batch.patch_weights))
    }

    /// Computes the logits `[window, class, x, y, z]` of windows `[window, channel, x, y, z]`; `counts` are the numbers
    /// of windows and channels.
    ///
    /// # Errors
    /// When the device fails.
    pub fn logits(&self, windows: Vec<f32>, counts: [usize; 2], window: [usize; 3]) -> Result<Vec<f32>, TrainError> {
        Ok(forward::logits(&self.prediction_network(), windows, counts, window, &self.device)?)
    }
}

/// Copies values to the host and sums them.
fn host_sum(values: Tensor<1>) -> Result<f64, TrainError> {
    let data = values.try_into_data_as::<f32>();
    let data = data.map_err(|error| ComputeError(error.to_string()))?;
    Ok(data.iter::<f32>().map(f64::from).sum())
}
