//! Networks, layers, losses and optimizers agree with PyTorch.
//!
//! `tests/parity/pytorch_numbers.py` writes the expected values; weights and inputs are sine waves, which the test repeats.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use engine::training::parity::reference::{networks, one_hot as one_hot_values, wave};
use nn::devices::DeviceName;
use nn::losses::{Loss, Target};
use nn::optimizers::{Optimizer, OptimizerSpec};
use nn::{Model, max_pool, nearest, trilinear};
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
    let name = std::env::var("RUNNER_DEVICE").unwrap_or_else(|_| "auto".to_owned());
    name.parse::<DeviceName>().unwrap().open().unwrap()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &device())
}

fn one_hot(shape: [usize; 4], classes: usize) -> Tensor<5> {
    let [batch, x, y, z] = shape;
    tensor(one_hot_values(shape, classes), [batch, classes, x, y, z])
}

fn host<const D: usize>(value: Tensor<D>) -> Vec<f32> {
    value.inner().into_data_as::<f32>().try_to_vec().unwrap()
}

#[test]
fn networks_have_pytorchs_logits_gradients_and_adam_step() {
    let (_, networks) = networks();
    assert_eq!(networks.len(), 6);
    for network in networks {
        for difference in network.compare(&device()) {
            assert!(difference.is_within_tolerance(), "{difference:?} of {:?}", network.spec);
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
fn pooling_and_upsampling_have_pytorchs_output_and_gradient() {
    let cases = reference::<BTreeMap<String, LayerCase>>("layers");
    let functions: [(&str, Layer); 3] = [
        ("max_pool", |input| max_pool(input, [2; 3])),
        ("trilinear", |input| trilinear(input, [2; 3])),
        ("nearest", |input| nearest(input, [2; 3])),
    ];
    for (name, function) in functions {
        let case = &cases[name];
        let count = case.shape.iter().product();
        // Rounded to thirds, so that many windows contain equal values; halves are rounded to even, as in PyTorch.
        let image = wave(count, 0.37, 1.0).into_iter().map(|v| (v * 3.0).round_ties_even() / 3.0).collect();
        let image = tensor(image, case.shape).autodiff().require_grad();
        let output = function(image.clone());
        assert_close(name, &host(output.clone()), &case.output, 1e-5);
        let factor = tensor(wave(case.output.len(), 0.11, 1.0), output.dims()).autodiff();
        let gradients = output.mul(factor).sum().backward();
        assert_close(&format!("gradient of {name}"), &host(image.grad(&gradients).unwrap()), &case.gradient, 1e-5);
    }
}

fn assert_close(name: &str, values: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(values.len(), expected.len(), "{name}");
    for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
        assert!((value - expected).abs() <= tolerance, "{name}[{i}]: expected {expected}, got {value}");
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

/// Parses a component such as `adam: { learning_rate: 0.1 }`.
fn component<T: DeserializeOwned>(yaml: &str) -> T {
    let value: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
    serde_json::from_value(value).unwrap()
}

#[test]
fn losses_have_pytorchs_value_and_gradient() {
    let LossCases { shape, classes, cases } = reference("losses");
    let [batch, x, y, z] = shape;
    for case in cases {
        let loss: Loss = component(&case.yaml);
        let logits = tensor(wave(batch * classes * x * y * z, 0.37, 5.0), [batch, classes, x, y, z]);
        let logits = logits.autodiff().require_grad();
        let value = loss.forward(logits.clone(), Target::one_hot(one_hot(shape, classes)).autodiff());
        assert_close(&case.yaml, &host(value.clone()), &[case.loss], 1e-5);
        let gradients = value.backward();
        assert_close(
            &format!("gradient of {}", case.yaml),
            &host(logits.grad(&gradients).unwrap()),
            &case.gradient,
            1e-6,
        );
    }
}

#[derive(Deserialize)]
struct OptimizerCase {
    yaml: String,
    steps: Vec<Vec<f32>>,
}

#[test]
fn optimizers_have_pytorchs_values_over_ten_steps() {
    for case in reference::<Vec<OptimizerCase>>("optimizers") {
        let spec: OptimizerSpec = component(&case.yaml);
        let mut values = vec![tensor(wave(6, 0.9, 1.0), [6])];
        let mut optimizer = Optimizer::new(&spec, &values);
        for (step, expected) in case.steps.iter().enumerate() {
            let gradient = values[0].clone().add(tensor(wave(6, 0.3 + 0.1 * step as f64, 1.0), [6]));
            values = optimizer.step(values, vec![Some(gradient)], spec.learning_rate(), step);
            assert_close(&format!("step {step} of {}", case.yaml), &host(values[0].clone()), expected, 1e-6);
        }
    }
}
