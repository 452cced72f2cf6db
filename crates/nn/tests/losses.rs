//! Losses agree with those of nnU-Net and MONAI.
//!
//! `losses/losses.py` writes the expected values; logits and targets are formulas, which the test repeats.

use burn::tensor::{Device, Tensor, TensorData};
use nn::losses::Loss;
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    /// `[batch, x, y, z]`.
    shape: [usize; 4],
    classes: usize,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    yaml: String,
    loss: f32,
    gradient: Vec<f32>,
}

fn loss(yaml: &str) -> Loss {
    let value: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
    serde_json::from_value(value).unwrap()
}

fn tensor(values: Vec<f32>, shape: [usize; 5]) -> Tensor<5> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
}

fn host<const D: usize>(value: Tensor<D>) -> Vec<f32> {
    value.inner().into_data_as::<f32>().try_to_vec().unwrap()
}

/// Returns the script's logits and one-hot targets.
fn batch(shape: [usize; 4], classes: usize) -> [Tensor<5>; 2] {
    let ([batch, x, y, z], voxels) = (shape, shape[1..].iter().product::<usize>());
    let full = [batch, classes, x, y, z];
    let wave = (0..full.iter().product()).map(|i| ((0.37 * (i as f64 + 1.0)).sin() * 5.0) as f32);
    let mut target = vec![0.0; full.iter().product()];
    for i in 0..batch * voxels {
        target[(i / voxels * classes + (i * 7 + i / 5) % classes.min(3)) * voxels + i % voxels] = 1.0;
    }
    [tensor(wave.collect(), full), tensor(target, full)]
}

#[test]
fn losses_and_gradients_are_those_of_nnunet_and_monai() {
    let File { shape, classes, cases } = serde_json::from_str(include_str!("losses/losses.json")).unwrap();
    for Case { yaml, loss: expected, gradient } in cases {
        let [logits, target] = batch(shape, classes);
        let logits = logits.require_grad();
        let loss = loss(&yaml);
        assert_eq!(loss.check(), [], "{yaml}");
        let value = loss.forward(logits.clone(), target);
        let actual = host(value.clone())[0];
        assert!((actual - expected).abs() < 1e-5, "{yaml}: {actual}, expected {expected}");
        let gradients = value.backward();
        for (index, (actual, expected)) in host(logits.grad(&gradients).unwrap()).iter().zip(&gradient).enumerate() {
            assert!((actual - expected).abs() < 1e-6, "{yaml}: gradient {index} is {actual}, expected {expected}");
        }
    }
}

#[test]
fn the_focal_tversky_loss_is_a_power_of_the_tversky_loss_of_one_class() {
    let [logits, target] = batch([1, 4, 3, 5], 2);
    let value = |yaml: &str| f64::from(host(loss(yaml).forward(logits.clone(), target.clone()))[0]);
    let plain = value("tversky: { false_negatives: 0.7, false_positives: 0.3 }");
    let focal = value("tversky: { false_negatives: 0.7, false_positives: 0.3, gamma: 0.75 }");
    assert!((focal - plain.powf(0.75)).abs() < 1e-6, "{plain} {focal}");
}
