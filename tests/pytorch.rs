//! The network, the losses and the optimisers give PyTorch's numbers.
//!
//! `tests/parity/pytorch_numbers.py` makes the numbers; weights and inputs are waves that both sides compute.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use runner::loss::Loss;
use runner::model::weights::NamedTensor;
use runner::model::{Model, Network, Pass, max_pool, nearest, trilinear};
use runner::optim::{Optimizer, OptimizerSpec};
use runner::seed::{Purpose, Seed};
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct File<T> {
    data: T,
}

fn reference<T: DeserializeOwned>(name: &str) -> T {
    let text = std::fs::read_to_string(format!("tests/parity/pytorch/{name}.json")).unwrap();
    serde_json::from_str::<File<T>>(&text).unwrap().data
}

fn device() -> Device {
    runner::model::device::DeviceName::Auto.open().unwrap()
}

/// `sin(step * (i + 1)) * scale`, as the script's `wave`.
fn wave(count: usize, step: f64, scale: f64) -> Vec<f32> {
    (0..count).map(|i| ((step * (i as f64 + 1.0)).sin() * scale) as f32).collect()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// The class of voxel i is `(7 i + i / 5) % classes`, as the script's `one_hot`.
fn one_hot([batch, x, y, z]: [usize; 4], classes: usize) -> Tensor<5> {
    let voxels = x * y * z;
    let mut target = vec![0.0; batch * classes * voxels];
    for i in 0..batch * voxels {
        let class = (i * 7 + i / 5) % classes;
        target[(i / voxels * classes + class) * voxels + i % voxels] = 1.0;
    }
    tensor(target, [batch, classes, x, y, z])
}

fn host<const D: usize>(value: Tensor<D>) -> Vec<f32> {
    value.inner().into_data_as::<f32>().try_to_vec().unwrap()
}

#[derive(Deserialize)]
struct Summary {
    sum: f64,
    squares: f64,
    places: Vec<usize>,
    values: Vec<f64>,
}

impl Summary {
    /// Every sampled value to within `tolerance`, and the sums to within what so many values may differ.
    fn compare(&self, what: &str, values: &[f32], tolerance: f64) {
        for (&place, &expected) in self.places.iter().zip(&self.values) {
            let found = f64::from(values[place]);
            assert!((found - expected).abs() <= tolerance, "{what}[{place}]: expected {expected}, got {found}");
        }
        let sum: f64 = values.iter().map(|v| f64::from(*v)).sum();
        let squares: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
        let slack = tolerance * (values.len() as f64).sqrt() * 4.0 + tolerance;
        assert!((sum - self.sum).abs() <= slack, "sum of {what}: expected {}, got {sum}", self.sum);
        let slack = slack * (self.squares / values.len() as f64).sqrt().max(1.0) * 2.0;
        assert!((squares - self.squares).abs() <= slack, "squares of {what}: expected {}, got {squares}", self.squares);
    }
}

#[derive(Deserialize)]
struct NetworkCase {
    spec: serde_json::Value,
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

/// Gives each trained parameter the script's wave.
fn fill(network: &mut Network, device: &Device) {
    let mut tensors = network.parameters.export();
    let trained: Vec<String> = network.parameters.trained_names().map(str::to_owned).collect();
    let mut names: Vec<&String> = trained.iter().collect();
    names.sort();
    for (place, name) in names.into_iter().enumerate() {
        let NamedTensor { shape, data, .. } = tensors.iter_mut().find(|tensor| tensor.name == *name).unwrap();
        let fan_in = if shape.len() > 1 { data.len() / shape[0] } else { 8 };
        let offset = if name.contains("norm") && name.ends_with("weight") { 1.0 } else { 0.0 };
        *data = wave(data.len(), 0.7 + 0.01 * place as f64, (fan_in as f64).powf(-0.5));
        data.iter_mut().for_each(|value| *value += offset);
    }
    network.parameters.import(&tensors, device).unwrap();
}

#[test]
fn networks_give_pytorchs_logits_gradients_and_adam_step() {
    for case in reference::<Vec<NetworkCase>>("networks") {
        let what = case.spec.to_string();
        let model = Model::Unet(serde_json::from_value(case.spec).unwrap());
        assert_eq!(model.num_parameters(case.channels, case.classes), case.num_parameters, "{what}");
        let device = device().autodiff();
        let mut network = model.build(case.channels, case.classes, Seed(0), &device);
        fill(&mut network, &device);

        let [x, y, z] = case.shape;
        let count = 2 * case.channels * x * y * z;
        let image = tensor(wave(count, 0.37, 1.0), [2, case.channels, x, y, z]);
        let mut pass = Pass::training(Seed(0).stream(Purpose::Dropout, 0, "", 0));
        let logits = network.forward(&mut pass, image.clone().autodiff());
        case.logits.compare(&format!("logits of {what}"), &host(logits.clone()), 1e-4);

        let loss: Loss = serde_yaml::from_str("!binary_cross_entropy {}").unwrap();
        let loss = loss.forward(logits, one_hot([2, x, y, z], case.classes).autodiff());
        assert!((f64::from(host(loss.clone())[0]) - case.loss).abs() < 1e-5, "{what}");

        let mut gradients = loss.backward();
        let names: Vec<String> = network.parameters.trained_names().map(str::to_owned).collect();
        let values: Vec<Tensor<1>> = network.parameters.trained_values().cloned().collect();
        let gradients: Vec<Tensor<1>> = values.iter().map(|value| value.grad_remove(&mut gradients).unwrap()).collect();
        for (name, gradient) in names.iter().zip(&gradients) {
            case.gradients[name].compare(&format!("gradient of {name} of {what}"), &host(gradient.clone()), 1e-5);
        }

        pass.finish(&mut network.parameters);
        let logits = network.without_gradients().forward(&mut Pass::inference(), image);
        case.inference.compare(&format!("inference of {what}"), &host(logits), 1e-4);

        let spec: OptimizerSpec = serde_yaml::from_str("!adam {learning_rate: 1.0e-3}").unwrap();
        let mut optimizer = Optimizer::new(&spec, &values);
        let values = values.into_iter().map(|value| value.inner()).collect();
        let values = optimizer.step(values, gradients, 1e-3, 0);
        for (name, value) in names.iter().zip(&values) {
            // A bias before a normalisation has no effect; of its gradient, which is rounding, Adam makes a step of
            // any sign.
            if case.gradients[name].squares.sqrt() < 1e-6 {
                continue;
            }
            case.after_adam[name].compare(&format!("{name} of {what} after Adam"), &host(value.clone()), 1e-6);
        }
    }
}

#[test]
fn the_recipes_network_has_5836099_parameters() {
    let model: Model = serde_yaml::from_str("!unet {widths: [32, 64, 128, 256]}").unwrap();
    assert_eq!(model.num_parameters(1, 3), 5_836_099);
}

#[derive(Deserialize)]
struct LayerCase {
    shape: [usize; 5],
    output: Vec<f32>,
    gradient: Vec<f32>,
}

type Layer = fn(Tensor<5>) -> Tensor<5>;

#[test]
fn pooling_and_upsampling_give_pytorchs_output_and_gradient() {
    let cases = reference::<BTreeMap<String, LayerCase>>("layers");
    let functions: [(&str, Layer); 3] = [("max_pool", max_pool), ("trilinear", trilinear), ("nearest", nearest)];
    for (name, function) in functions {
        let case = &cases[name];
        let count = case.shape.iter().product();
        // Rounded to thirds, so that many windows hold equal values; halves round to even, as in PyTorch.
        let image = wave(count, 0.37, 1.0).into_iter().map(|v| (v * 3.0).round_ties_even() / 3.0).collect();
        let image = tensor(image, case.shape).autodiff().require_grad();
        let output = function(image.clone());
        close(name, &host(output.clone()), &case.output, 1e-5);
        let factor = tensor(wave(case.output.len(), 0.11, 1.0), output.dims()).autodiff();
        let gradients = output.mul(factor).sum().backward();
        close(&format!("gradient of {name}"), &host(image.grad(&gradients).unwrap()), &case.gradient, 1e-5);
    }
}

fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= tolerance, "{what}[{i}]: expected {expected}, got {found}");
    }
}

#[derive(Deserialize)]
struct LossCases {
    shape: [usize; 4],
    classes: usize,
    cases: Vec<LossCase>,
}

#[derive(Deserialize)]
struct LossCase {
    yaml: String,
    loss: f32,
    gradient: Vec<f32>,
}

/// `name: {…}` as a value of an enum.
fn tagged<T: DeserializeOwned>(yaml: &str) -> T {
    let value: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
    serde_json::from_value(value).unwrap()
}

#[test]
fn losses_give_pytorchs_value_and_gradient() {
    let LossCases { shape, classes, cases } = reference("losses");
    let [batch, x, y, z] = shape;
    for case in cases {
        let loss: Loss = tagged(&case.yaml);
        let logits = tensor(wave(batch * classes * x * y * z, 0.37, 5.0), [batch, classes, x, y, z]);
        let logits = logits.autodiff().require_grad();
        let value = loss.forward(logits.clone(), one_hot(shape, classes).autodiff());
        close(&case.yaml, &host(value.clone()), &[case.loss], 1e-5);
        let gradients = value.backward();
        close(&format!("gradient of {}", case.yaml), &host(logits.grad(&gradients).unwrap()), &case.gradient, 1e-6);
    }
}

#[derive(Deserialize)]
struct OptimizerCase {
    yaml: String,
    steps: Vec<Vec<f32>>,
}

#[test]
fn optimizers_give_pytorchs_values_over_ten_steps() {
    for case in reference::<Vec<OptimizerCase>>("optimizers") {
        let spec: OptimizerSpec = tagged(&case.yaml);
        let mut values = vec![tensor(wave(6, 0.9, 1.0), [6])];
        let mut optimizer = Optimizer::new(&spec, &values);
        for (step, expected) in case.steps.iter().enumerate() {
            let gradient = values[0].clone().add(tensor(wave(6, 0.3 + 0.1 * step as f64, 1.0), [6]));
            values = optimizer.step(values, vec![gradient], spec.learning_rate(), step);
            close(&format!("step {step} of {}", case.yaml), &host(values[0].clone()), expected, 1e-6);
        }
    }
}
