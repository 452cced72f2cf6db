//! One optimiser step, and the network between steps.

use burn::tensor::{Device, Tensor, TensorData};

use super::TrainError;
use super::checkpoint::State;
use super::input::{self, Batch, ComputeError};
use crate::experiment::plan::{ClassLabel, Plan};
use dataset::patch::Patch;
use nn::losses::Loss;
use nn::optimizers::{self, Optimizer, OptimizerSpec, Schedule};
use nn::weights::{NamedTensor, WeightsError};
use nn::{FloatFormat, Network, Pass, parameters};
use random::{Purpose, Seed};
use volume::Label;

/// A network and what changes it.
#[derive(Debug)]
pub struct Trainer {
    network: Network,
    optimizer: Optimizer,
    optimizer_spec: OptimizerSpec,
    schedule: Schedule,
    loss: Loss,
    labels: Vec<Label>,
    clip_norm: Option<f64>,
    checkpoint_activations: bool,
    precision: FloatFormat,
    seed: Seed,
    /// With autodiff.
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

/// The batches of a step on their device, each with its share of the step's patches.
#[derive(Debug)]
pub struct Uploaded(Vec<(f64, Batch)>);

/// A step that the device may still be at work on.
#[derive(Debug)]
pub struct Pending {
    losses: Vec<(f64, Tensor<1>)>,
    /// Sums of squares of the gradients before clipping.
    squares: Tensor<1>,
    values: Vec<Tensor<1>>,
    optimizer: Optimizer,
    pass: Pass,
}

impl Trainer {
    /// The network of a plan with random weights, on the plan's device.
    ///
    /// # Errors
    /// When the device cannot be opened.
    pub fn new(plan: &Plan) -> Result<Self, TrainError> {
        let spec = &plan.experiment;
        let seed = Seed(spec.seed);
        let device = plan.device.open()?.autodiff();
        let network = spec.model.build(plan.channels, plan.num_classes(), seed, &device);
        let values: Vec<_> = network.parameters.trained_values().cloned().collect();
        Ok(Self {
            optimizer: Optimizer::new(&spec.optimizer, &values),
            optimizer_spec: spec.optimizer.clone(),
            schedule: spec.schedule.clone(),
            loss: spec.loss.clone(),
            labels: ClassLabel::values(&plan.labels),
            checkpoint_activations: spec.train.checkpoint_activations,
            precision: spec.train.precision,
            clip_norm: spec.train.clip_gradient_norm.map(|norm| norm.get()),
            network,
            seed,
            device,
        })
    }

    /// The learning rate of a step, counted from 0, of a run of `num_steps`.
    pub fn learning_rate(&self, step: usize, num_steps: usize) -> f64 {
        self.optimizer_spec.learning_rate() * self.schedule.factor(step, num_steps)
    }

    /// Moves the batches of a step to the device.
    ///
    /// # Errors
    /// When a patch holds a label that is not declared.
    pub fn upload(&self, batches: &[Vec<Patch>]) -> Result<Uploaded, TrainError> {
        let num_patches: usize = batches.iter().map(Vec::len).sum();
        let upload = |patches: &Vec<Patch>| {
            let share = patches.len() as f64 / num_patches as f64;
            Ok((share, Batch::new(patches, &self.labels, &self.device.clone().inner())?))
        };
        Ok(Uploaded(batches.iter().map(upload).collect::<Result<_, TrainError>>()?))
    }

    /// Hands the step `step`, counted from 0, on the mean gradient of the batches to the device, and does not wait for it.
    ///
    /// The network stays as it is until [`finish`](Self::finish).
    pub fn begin(&self, batches: Uploaded, learning_rate: f64, step: usize) -> Pending {
        let mut pass = Pass::training(self.seed.stream(Purpose::Dropout, step as u64, "", 0), self.precision);
        let mut losses = Vec::new();
        let mut sums: Option<Vec<Tensor<1>>> = None;
        for (share, batch) in batches.0 {
            let (loss, gradients) = self.loss_and_gradients(&mut pass, batch, share);
            losses.push((share, loss));
            sums = Some(match sums {
                None => gradients,
                Some(sums) => sums.into_iter().zip(gradients).map(|(sum, gradient)| sum.add(gradient)).collect(),
            });
        }
        let mut gradients = sums.expect("a step has at least one batch");
        let squares = optimizers::squares(&gradients);
        if let Some(max_norm) = self.clip_norm {
            gradients = optimizers::clip(gradients, &squares, max_norm);
        }
        let values = self.network.parameters.trained_values().map(|value| value.clone().inner()).collect();
        let mut optimizer = self.optimizer.clone();
        let values = optimizer.step(values, gradients, learning_rate, step);
        Pending { losses, squares, values, optimizer, pass }
    }

    /// The loss of a batch, and the gradient of `share` times it by each parameter.
    fn loss_and_gradients(&self, pass: &mut Pass, batch: Batch, share: f64) -> (Tensor<1>, Vec<Tensor<1>>) {
        let objective = |logits| self.loss.forward(logits, batch.target.autodiff());
        let values = || self.network.parameters.trained_values();
        let (loss, gradients): (_, Vec<_>) = if self.checkpoint_activations {
            self.network.gradients_block_by_block(pass, batch.image, objective)
        } else {
            let loss = objective(self.network.forward(pass, batch.image.autodiff()));
            let mut tape = loss.backward();
            (loss.inner(), values().map(|value| value.grad_remove(&mut tape)).collect())
        };
        let scaled = |(value, gradient): (&Tensor<1>, Option<Tensor<1>>)| match gradient {
            Some(gradient) if share == 1.0 => gradient,
            Some(gradient) => gradient.mul_scalar(share),
            // A parameter that no output depends on.
            None => value.clone().inner().zeros_like(),
        };
        (loss, values().zip(gradients).map(scaled).collect())
    }

    /// Waits for a step and takes it up; where the loss or a gradient is not finite, the network stays as it was.
    ///
    /// # Errors
    /// When the device failed.
    pub fn finish(&mut self, pending: Pending) -> Result<StepOutcome, TrainError> {
        let mut loss = 0.0;
        for (share, batch_loss) in pending.losses {
            loss += share * read(batch_loss)?;
        }
        let grad_norm = read(pending.squares)?.sqrt();
        if loss.is_finite() && grad_norm.is_finite() {
            self.network.parameters.set_trained(pending.values);
            self.optimizer = pending.optimizer;
            pending.pass.finish(&mut self.network.parameters);
        }
        Ok(StepOutcome { loss, grad_norm })
    }

    /// Takes the step `step`, counted from 0, and waits for it.
    ///
    /// # Errors
    /// When a patch holds a label that is not declared or the device fails.
    pub fn step(&mut self, batches: &[Vec<Patch>], learning_rate: f64, step: usize) -> Result<StepOutcome, TrainError> {
        let pending = self.begin(self.upload(batches)?, learning_rate, step);
        self.finish(pending)
    }

    /// The gradient of the loss of a batch by each parameter, without a step.
    ///
    /// # Errors
    /// When a patch holds a label that is not declared or the device fails.
    pub fn gradients_of(&self, patches: &[Patch]) -> Result<Vec<NamedTensor>, TrainError> {
        let batch = Batch::new(patches, &self.labels, &self.device.clone().inner())?;
        let mut pass = Pass::training(self.seed.stream(Purpose::Dropout, 0, "", 0), self.precision);
        let (_, gradients) = self.loss_and_gradients(&mut pass, batch, 1.0);
        let named = self.network.parameters.trained_names().zip(gradients);
        let host = |(name, gradient): (&str, Tensor<1>)| {
            let data = parameters::to_host(&gradient);
            NamedTensor { name: name.to_owned(), shape: vec![data.len()], data }
        };
        Ok(named.map(host).collect())
    }

    /// The loss of a batch, without a step.
    ///
    /// # Errors
    /// When a patch holds a label that is not declared or the device fails.
    pub fn loss_of(&self, patches: &[Patch]) -> Result<f64, TrainError> {
        let batch = Batch::new(patches, &self.labels, &self.device.clone().inner())?;
        let logits = self.network.without_gradients().forward(&mut Pass::inference(), batch.image);
        read(self.loss.forward(logits, batch.target))
    }

    /// The logits `[window, class, x, y, z]` of windows `[window, channel, x, y, z]`; `counts` says how many windows and channels there are.
    ///
    /// # Errors
    /// When the device fails.
    pub fn logits(&self, windows: Vec<f32>, counts: [usize; 2], window: [usize; 3]) -> Result<Vec<f32>, TrainError> {
        Ok(input::logits(&self.network, windows, counts, window, &self.device)?)
    }

    /// The weights on the host, by name.
    pub fn weights(&self) -> Vec<NamedTensor> {
        self.network.parameters.export()
    }

    /// What the optimiser remembers, on the host, by the parameter's name.
    pub fn moments(&self) -> Vec<NamedTensor> {
        let names = self.optimizer_spec.moments();
        let mut all = Vec::new();
        for (parameter, moments) in self.network.parameters.trained_names().zip(self.optimizer.moments()) {
            for (name, moment) in names.iter().zip(moments) {
                let data = parameters::to_host(moment);
                all.push(NamedTensor { name: format!("{parameter}.{name}"), shape: vec![data.len()], data });
            }
        }
        all
    }

    /// Takes up the weights that the plan says training starts from; where it names none, random ones stay.
    ///
    /// # Errors
    /// When their file cannot be used.
    pub fn start(&mut self, plan: &Plan) -> Result<(), TrainError> {
        if let Some(path) = &plan.experiment.train.initial_weights {
            let weights = plan.experiment.model.read_weights(path, plan.channels, plan.num_classes())?;
            self.network.parameters.import(&weights, &self.device)?;
        }
        Ok(())
    }

    /// Takes up the weights and moments of a checkpoint.
    ///
    /// # Errors
    /// When they do not fit the network or the optimiser.
    pub fn restore(&mut self, state: &State) -> Result<(), TrainError> {
        self.network.parameters.import(&state.weights, &self.device)?;
        let device = self.device.clone().inner();
        let find = |name: String, length: usize| {
            let found = state.moments.iter().find(|moment| moment.name == name && moment.data.len() == length);
            let misfit = || WeightsError::Misfit(format!("the optimiser's `{name}` is missing or of another length"));
            let moment = found.ok_or_else(misfit)?;
            Ok(Tensor::<1>::from_data(TensorData::new(moment.data.clone(), [moment.data.len()]), &device))
        };
        let names = self.optimizer_spec.moments();
        let parameters = &self.network.parameters;
        let of_parameter = |(parameter, value): (&str, &Tensor<1>)| {
            let length = value.dims()[0];
            names.iter().map(|name| find(format!("{parameter}.{name}"), length)).collect::<Result<Vec<_>, _>>()
        };
        let trained = parameters.trained_names().zip(parameters.trained_values());
        let moments = trained.map(of_parameter).collect::<Result<_, WeightsError>>()?;
        self.optimizer.restore(moments);
        Ok(())
    }
}

/// Copies numbers to the host and sums them.
fn read(values: Tensor<1>) -> Result<f64, TrainError> {
    let data = values.try_into_data_as::<f32>();
    let data = data.map_err(|error| ComputeError(error.to_string()))?;
    Ok(data.iter::<f32>().map(f64::from).sum())
}
