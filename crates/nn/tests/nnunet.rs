//! Networks agree with nnU-Net's own classes in PyTorch.
//!
//! `nnunet/networks.py` writes the expected values, in double precision; weights, inputs and targets are
//! formulas, which the test repeats.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use nn::devices::DeviceName;
use nn::losses::{Loss, Target};
use nn::optimizers::{self, Optimizer, OptimizerSpec};
use nn::weights::NamedTensor;
use nn::{FloatFormat, Model, Network, Pass, Unet};
use random::{Purpose, Seed};
use serde::Deserialize;

const BATCH: usize = 2;
const LEARNING_RATE: f64 = 0.01;
const CLIP_NORM: f64 = 12.0;
/// The largest difference of the gradient of a parameter, relative to its norm: rounding alone gives up to about 1e-5, and the
/// order of sums depends on the processor's registers.
const MAX_DIFFERENCE: f64 = 3e-5;
/// The largest difference of the gradients of all parameters together, relative to their norm.
const MAX_DIFFERENCE_OF_ALL: f64 = 2e-6;

#[derive(Deserialize)]
struct File {
    data: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    unet: Unet,
    channels: usize,
    classes: usize,
    shape: [usize; 3],
    /// The step of the wave that is the image.
    image_step: f64,
    num_parameters: usize,
    /// The logits from the full resolution down.
    heads: Vec<Summary>,
    /// The gradients of the first step, of parameters that the loss depends on.
    gradients: BTreeMap<String, SignedSums>,
    /// The loss of each step.
    losses: Vec<f64>,
    /// The weights after all steps.
    weights: BTreeMap<String, Summary>,
}

#[derive(Deserialize)]
struct Summary {
    norm: f64,
    indices: Vec<usize>,
    values: Vec<f64>,
}

impl Summary {
    /// Returns the largest difference from a tensor's values, over the samples and the norm.
    fn difference(&self, values: &[f32]) -> f64 {
        let samples = self.indices.iter().zip(&self.values);
        let samples = samples.map(|(index, expected)| (f64::from(values[*index]) - expected).abs());
        let norm = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        // The norm sums as many errors as there are values.
        let norm = (norm - self.norm).abs() / (values.len() as f64).sqrt();
        samples.chain([norm]).map(|value| if value.is_nan() { f64::INFINITY } else { value }).fold(0.0, f64::max)
    }
}

/// A gradient, summarized by its norm and by sums of its values with pseudorandom signs.
#[derive(Deserialize)]
struct SignedSums {
    norm: f64,
    sums: Vec<f64>,
}

impl SignedSums {
    /// Returns an estimate of the squared norm of the difference from a tensor's values: the mean square of the
    /// differences of the sums.
    fn squared_difference(&self, values: &[f32]) -> f64 {
        let square = |(index, expected): (usize, &f64)| {
            let signed = values.iter().enumerate().map(|(i, value)| f64::from(*value) * self.sign(i, index));
            (signed.sum::<f64>() - expected).powi(2)
        };
        self.sums.iter().enumerate().map(square).sum::<f64>() / self.sums.len() as f64
    }

    /// Returns the sign of a value in the sum `index`, as the script's `signs`.
    fn sign(&self, value: usize, index: usize) -> f64 {
        let bits = ((value * self.sums.len() + index + 1) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let bits = (bits ^ bits >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        1.0 - 2.0 * (bits >> 63) as f64
    }
}

fn device() -> Device {
    let name = std::env::var("RUNNER_DEVICE").unwrap_or_else(|_| "auto".to_owned());
    name.parse::<DeviceName>().unwrap().open().unwrap().autodiff()
}

fn cases() -> Vec<Case> {
    serde_json::from_str::<File>(include_str!("nnunet/networks.json")).unwrap().data
}

/// Returns `sin(step * i) * scale` for i = 1, 2, ..., as the script's `wave`.
fn wave(count: usize, step: f64, scale: f64) -> Vec<f32> {
    (0..count).map(|i| ((step * (i as f64 + 1.0)).sin() * scale) as f32).collect()
}

/// Returns one-hot classes `[batch, class, x, y, z]` of the script's `labels`.
fn one_hot([batch, x, y, z]: [usize; 4], classes: usize) -> Vec<f32> {
    let voxels = x * y * z;
    let mut target = vec![0.0; batch * classes * voxels];
    for i in 0..batch * voxels {
        let class = (i * 7 + i / 5) % classes;
        target[(i / voxels * classes + class) * voxels + i % voxels] = 1.0;
    }
    target
}

fn host<const D: usize>(value: Tensor<D>) -> Vec<f32> {
    value.inner().into_data_as::<f32>().try_to_vec().unwrap()
}

/// Sets each trained parameter to the script's wave.
fn fill(network: &mut Network, device: &Device) {
    let mut tensors = network.parameters.export();
    tensors.sort_by(|one, other| one.name.cmp(&other.name));
    for (index, NamedTensor { name, shape, data }) in tensors.iter_mut().enumerate() {
        let fan_in = if shape.len() > 1 { data.len() / shape[0] } else { 8 };
        let offset = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        *data = wave(data.len(), 0.7 + 0.01 * index as f64, (fan_in as f64).powf(-0.5));
        data.iter_mut().for_each(|value| *value += offset);
    }
    network.parameters.import(&tensors, device).unwrap();
}

/// A network in training on the script's batch.
struct Training {
    model: Model,
    network: Network,
    image: Tensor<5>,
    target: Tensor<5>,
    loss: Loss,
}

impl Training {
    fn new(case: &Case, device: &Device) -> Self {
        let model = Model::Unet(case.unet.clone());
        let mut network = model.build(case.channels, case.classes, Seed(0), device);
        fill(&mut network, device);
        let [x, y, z] = case.shape;
        let tensor = |values: Vec<f32>, channels: usize| {
            Tensor::<5>::from_data(TensorData::new(values, [BATCH, channels, x, y, z]), &device.clone().inner())
        };
        let image = tensor(wave(BATCH * case.channels * x * y * z, case.image_step, 1.0), case.channels);
        let target = tensor(one_hot([BATCH, x, y, z], case.classes), case.classes);
        let loss = serde_json::from_value(serde_json::json!({ "cross_entropy": {} })).unwrap();
        Self { model, network, image, target, loss }
    }

    fn pass() -> Pass {
        Pass::training(Seed(0).stream(Purpose::Dropout, 0, "", 0), FloatFormat::Float32)
    }

    /// Returns the loss and the gradient of each parameter, with or without gradient checkpointing.
    fn gradients(&self, checkpointing: bool) -> (f64, Vec<Option<Tensor<1>>>) {
        let objective = |logits| self.loss.forward_supervised(logits, Target::one_hot(self.target.clone()).autodiff());
        let (loss, gradients) = if checkpointing {
            self.network.gradients_block_by_block(&mut Self::pass(), self.image.clone(), objective)
        } else {
            let loss = objective(self.network.forward_supervised(&mut Self::pass(), self.image.clone().autodiff()));
            let mut tape = loss.backward();
            let gradients = self.network.parameters.trained_values().map(|value| value.grad_remove(&mut tape));
            (loss.inner(), gradients.collect())
        };
        (f64::from(host(loss)[0]), gradients)
    }
}

#[test]
fn networks_have_as_many_parameters_as_nnunets() {
    for case in cases() {
        let model = Model::Unet(case.unet.clone());
        assert_eq!(model.component().check(), [], "{}", case.name);
        assert_eq!(model.num_parameters(case.channels, case.classes), case.num_parameters, "{}", case.name);
    }
}

#[test]
fn logits_of_every_head_are_nnunets() {
    let device = device();
    for case in cases() {
        let training = Training::new(&case, &device);
        let logits = training.network.forward_supervised(&mut Training::pass(), training.image.clone().autodiff());
        assert_eq!(logits.len(), case.heads.len(), "{}", case.name);
        for (head, (logits, expected)) in logits.iter().zip(&case.heads).enumerate() {
            let difference = expected.difference(&host(logits.clone()));
            assert!(difference < 1e-4, "{}, head {head}: {difference}", case.name);
        }
        let only = training.network.without_gradients().forward(&mut Pass::inference(), training.image.clone());
        assert_eq!(host(only), host(logits[0].clone()), "{}: inference", case.name);
    }
}

#[test]
fn gradients_are_nnunets_with_and_without_gradient_checkpointing() {
    let device = device();
    for case in cases() {
        let training = Training::new(&case, &device);
        for checkpointing in [false, true] {
            let (loss, gradients) = training.gradients(checkpointing);
            assert!((loss - case.losses[0]).abs() < 1e-5, "{}: loss {loss}", case.name);
            let (mut squared_difference, mut squared_norm) = (0.0, 0.0);
            for (name, gradient) in training.network.parameters.trained_names().zip(gradients) {
                let Some(expected) = case.gradients.get(name) else {
                    assert!(gradient.is_none(), "{}: {name}", case.name);
                    continue;
                };
                let squared = expected.squared_difference(&host(gradient.unwrap()));
                // The gradient of a bias before a normalization is 0, apart from rounding.
                let scale = if training.model.component().is_without_effect(name) { 1.0 } else { expected.norm };
                let difference = squared.sqrt() / scale;
                assert!(difference < MAX_DIFFERENCE, "{}: {name} {difference}", case.name);
                squared_difference += squared;
                squared_norm += expected.norm.powi(2);
            }
            let difference = (squared_difference / squared_norm).sqrt();
            assert!(difference < MAX_DIFFERENCE_OF_ALL, "{}: {difference}", case.name);
        }
    }
}

#[test]
fn three_steps_of_nnunets_optimizer_give_its_weights() {
    let device = device();
    for case in cases() {
        let mut training = Training::new(&case, &device);
        let spec: OptimizerSpec = serde_json::from_value(serde_json::json!({
            "sgd": { "learning_rate": LEARNING_RATE, "momentum": 0.99, "nesterov": true, "weight_decay": 3e-5 }
        }))
        .unwrap();
        let values = |network: &Network| -> Vec<Tensor<1>> {
            network.parameters.trained_values().map(|value| value.clone().inner()).collect()
        };
        let mut optimizer = Optimizer::new(&spec, &values(&training.network));
        for (step, expected) in case.losses.iter().enumerate() {
            let (loss, gradients) = training.gradients(false);
            assert!((loss - expected).abs() < 1e-5, "{}, step {step}: loss {loss}", case.name);
            let squares = optimizers::squares(&gradients);
            let gradients = optimizers::clip(gradients, &squares, CLIP_NORM);
            let new = optimizer.step(values(&training.network), gradients, LEARNING_RATE, step);
            training.network.parameters.set_trained(new);
        }
        for NamedTensor { name, data, .. } in training.network.parameters.export() {
            let difference = case.weights[&name].difference(&data);
            assert!(difference < 1e-6, "{}: {name} {difference}", case.name);
        }
    }
}
