//! Reference values that PyTorch computed for small networks; weights and inputs are sine waves that both sides
//! compute.
//!
//! `tests/parity/pytorch_numbers.py` generated the values.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use serde::Deserialize;

use super::Deviation;
use nn::losses::{BinaryCrossEntropyLoss, Loss, Target};
use nn::optimizers::{Optimizer, OptimizerSpec};
use nn::weights::NamedTensor;
use nn::{FloatFormat, Model, Network, Pass, Unet};
use random::{Purpose, Seed};

/// PyTorch's values.
const NUMBERS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/parity/pytorch/networks.json"));

/// Tolerance of logits.
const LOGITS: f64 = 1e-4;
/// Tolerance of losses and gradients.
const GRADIENTS: f64 = 1e-5;
/// Tolerance of weights after a step of Adam.
const WEIGHTS: f64 = 1e-6;
const LEARNING_RATE: f64 = 1e-3;

#[derive(Deserialize)]
struct File {
    /// The version of PyTorch.
    torch: String,
    data: Vec<ReferenceNetwork>,
}

/// A network and what PyTorch computed with it.
#[derive(Debug, Deserialize)]
pub struct ReferenceNetwork {
    /// Its `unet` section.
    pub spec: Unet,
    channels: usize,
    classes: usize,
    shape: [usize; 3],
    num_parameters: usize,
    logits: Summary,
    loss: f64,
    gradients: BTreeMap<String, Summary>,
    after_adam: BTreeMap<String, Summary>,
    inference: Summary,
}

/// Samples of a tensor's values, and sums over all of them.
#[derive(Debug, Deserialize)]
struct Summary {
    sum: f64,
    squares: f64,
    indices: Vec<usize>,
    values: Vec<f64>,
}

impl Summary {
    /// Returns the largest difference from a tensor's values, over the samples and the sums; those of sums are scaled to
    /// that of a single value.
    fn max_difference(&self, values: &[f32]) -> f64 {
        let samples = self.indices.iter().zip(&self.values).map(|(index, expected)| {
            values.get(*index).map_or(f64::INFINITY, |actual| (f64::from(*actual) - expected).abs())
        });
        let count = values.len() as f64;
        let slack = count.sqrt() * 4.0 + 1.0;
        let sum: f64 = values.iter().map(|value| f64::from(*value)).sum();
        let squares: f64 = values.iter().map(|value| f64::from(*value).powi(2)).sum();
        let squares_slack = slack * (self.squares / count).sqrt().max(1.0) * 2.0;
        let sums = [(sum - self.sum).abs() / slack, (squares - self.squares).abs() / squares_slack];
        let nan_as_infinite = |difference: f64| if difference.is_nan() { f64::INFINITY } else { difference };
        samples.chain(sums).map(nan_as_infinite).fold(0.0, f64::max)
    }
}

/// Returns the version of PyTorch and the networks.
pub fn networks() -> (String, Vec<ReferenceNetwork>) {
    let file: File = serde_json::from_str(NUMBERS).expect("the numbers were written by the script");
    (file.torch, file.data)
}

/// `sin(step * (i + 1)) * scale`, as the script's `wave`.
pub fn wave(count: usize, step: f64, scale: f64) -> Vec<f32> {
    (0..count).map(|i| ((step * (i as f64 + 1.0)).sin() * scale) as f32).collect()
}

/// One-hot classes `[batch, class, x, y, z]`: that of voxel i is `(7 i + i / 5) % classes`, as the script's `one_hot`.
pub fn one_hot([batch, x, y, z]: [usize; 4], classes: usize) -> Vec<f32> {
    let voxels = x * y * z;
    let mut target = vec![0.0; batch * classes * voxels];
    for i in 0..batch * voxels {
        let class = (i * 7 + i / 5) % classes;
        target[(i / voxels * classes + class) * voxels + i % voxels] = 1.0;
    }
    target
}

impl ReferenceNetwork {
    /// Compares the results of a device with PyTorch's values.
    ///
    /// # Panics
    /// When the device fails.
    pub fn compare(&self, device: &Device) -> Vec<Deviation> {
        let device = device.clone().autodiff();
        let model = Model::Unet(self.spec.clone());
        let mut network = model.build(self.channels, self.classes, Seed(0), &device);
        fill(&mut network, &device);
        let tensor = |values: Vec<f32>, channels: usize| {
            let [x, y, z] = self.shape;
            Tensor::<5>::from_data(TensorData::new(values, [2, channels, x, y, z]), &device.clone().inner())
        };
        let [x, y, z] = self.shape;
        let image = tensor(wave(2 * self.channels * x * y * z, 0.37, 1.0), self.channels);
        let target = tensor(one_hot([2, x, y, z], self.classes), self.classes);

        let mut pass = Pass::training(Seed(0).stream(Purpose::Dropout, 0, "", 0), FloatFormat::Float32);
        let logits = network.forward(&mut pass, image.clone().autodiff());
        let mut differences = vec![
            difference(
                "parameters",
                model.num_parameters(self.channels, self.classes).abs_diff(self.num_parameters) as f64,
                0.0,
            ),
            difference("logits", self.logits.max_difference(&host(logits.clone())), LOGITS),
        ];
        let loss = Loss::from(BinaryCrossEntropyLoss { class_weights: None });
        let loss = loss.forward(logits, Target::one_hot(target).autodiff());
        differences.push(difference("loss", (f64::from(host(loss.clone())[0]) - self.loss).abs(), GRADIENTS));

        let mut gradients = loss.backward();
        let names: Vec<String> = network.parameters.trained_names().map(str::to_owned).collect();
        let values: Vec<Tensor<1>> = network.parameters.trained_values().cloned().collect();
        let zeros = |value: &Tensor<1>| value.clone().inner().zeros_like();
        let gradients: Vec<Tensor<1>> =
            values.iter().map(|value| value.grad_remove(&mut gradients).unwrap_or_else(|| zeros(value))).collect();
        let worst = |expected: &BTreeMap<String, Summary>, actual: &[Tensor<1>], counts: &dyn Fn(&str) -> bool| {
            let parameters = names.iter().zip(actual).filter(|(name, _)| counts(name));
            let differences =
                parameters.map(|(name, value)| (expected[name].max_difference(&host(value.clone())), name.as_str()));
            differences.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, ""))
        };
        let (largest, name) = worst(&self.gradients, &gradients, &|_| true);
        differences.push(difference(&format!("gradients, worst {name}"), largest, GRADIENTS));

        pass.finish(&mut network.parameters);
        let logits = network.without_gradients().forward(&mut Pass::inference(), image);
        differences.push(difference("logits at inference", self.inference.max_difference(&host(logits)), LOGITS));

        let spec: OptimizerSpec =
            serde_json::from_value(serde_json::json!({ "adam": { "learning_rate": LEARNING_RATE } }))
                .expect("Adam has defaults");
        let mut optimizer = Optimizer::new(&spec, &values);
        let values = values.into_iter().map(|value| value.inner()).collect();
        let gradients = gradients.into_iter().map(Some).collect();
        let values = optimizer.step(values, gradients, LEARNING_RATE, 0);
        let (largest, name) = worst(&self.after_adam, &values, &|name| self.has_gradient(name));
        differences.push(difference(&format!("weights after a step of Adam, worst {name}"), largest, WEIGHTS));
        differences
    }

    /// Returns whether a parameter has a gradient. A bias before a normalization has none but rounding error, which
    /// Adam turns into a step of either sign.
    fn has_gradient(&self, name: &str) -> bool {
        self.gradients.get(name).is_some_and(|gradient| gradient.squares.sqrt() >= 1e-6)
    }
}

fn difference(quantity: &str, relative: f64, tolerance: f64) -> Deviation {
    Deviation { quantity: quantity.to_owned(), relative, tolerance }
}

/// Sets each trained parameter to the script's wave.
fn fill(network: &mut Network, device: &Device) {
    let mut tensors = network.parameters.export();
    let mut names: Vec<String> = network.parameters.trained_names().map(str::to_owned).collect();
    names.sort();
    for (index, name) in names.iter().enumerate() {
        let tensor = tensors.iter_mut().find(|tensor| tensor.name == *name).expect("it was exported");
        let NamedTensor { shape, data, .. } = tensor;
        let fan_in = if shape.len() > 1 { data.len() / shape[0] } else { 8 };
        let offset = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        *data = wave(data.len(), 0.7 + 0.01 * index as f64, (fan_in as f64).powf(-0.5));
        data.iter_mut().for_each(|value| *value += offset);
    }
    network.parameters.import(&tensors, device).expect("names and shapes are its own");
}

fn host<const D: usize>(value: Tensor<D>) -> Vec<f32> {
    value.inner().into_data_as::<f32>().try_to_vec().expect("a tensor read as f32 holds f32")
}
