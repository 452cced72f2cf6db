//! Losses agree with those of nnU-Net and MONAI.
//!
//! `losses/losses.py` writes the expected values; logits and targets are formulas, which the test repeats.

use burn::tensor::{Device, Tensor, TensorData};
use nn::losses::{Loss, Target};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    /// `[batch, x, y, z]`.
    shape: [usize; 4],
    classes: usize,
    cases: Vec<Case>,
    /// Losses with a label to ignore, the last class of the formula.
    ignore: Vec<Case>,
    /// Losses of regions, with and without ignored voxels.
    regions: Vec<Case>,
    regions_ignore: Vec<Case>,
    /// Losses at three resolutions; `[batch, x, y, z]` is that of the full one.
    supervised: Vec<Case>,
    supervised_ignore: Vec<Case>,
    supervised_regions_ignore: Vec<Case>,
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

/// Returns the script's logits.
fn logits([batch, x, y, z]: [usize; 4], classes: usize) -> Tensor<5> {
    let full = [batch, classes, x, y, z];
    let wave = (0..full.iter().product()).map(|i| ((0.37 * (i as f64 + 1.0)).sin() * 5.0) as f32);
    tensor(wave.collect(), full)
}

/// Returns the script's target: the label of voxel i is `(i * 7 + i / 5) % modulus`, and `classes` are the labels of each class.
fn target(shape: [usize; 4], modulus: usize, classes: &[&[usize]], ignore: Option<usize>) -> Target {
    let ([batch, x, y, z], voxels) = (shape, shape[1..].iter().product::<usize>());
    let mut one_hot = vec![0.0; batch * classes.len() * voxels];
    let mut weights = vec![1.0; batch * voxels];
    for i in 0..batch * voxels {
        let label = (i * 7 + i / 5) % modulus;
        if Some(label) == ignore {
            weights[i] = 0.0;
            continue;
        }
        for (class, _) in classes.iter().enumerate().filter(|(_, labels)| labels.contains(&label)) {
            one_hot[(i / voxels * classes.len() + class) * voxels + i % voxels] = 1.0;
        }
    }
    Target {
        classes: tensor(one_hot, [batch, classes.len(), x, y, z]),
        weights: ignore.map(|_| tensor(weights, [batch, 1, x, y, z])),
        has_background: classes[0] == [0],
    }
}

const LABELS: [&[usize]; 4] = [&[0], &[1], &[2], &[3]];
const REGIONS: [&[usize]; 3] = [&[1, 2, 3], &[2, 3], &[3]];

/// Returns the script's logits and one-hot targets.
fn batch(shape: [usize; 4], classes: usize) -> (Tensor<5>, Target) {
    (logits(shape, classes), target(shape, classes.min(3), &LABELS[..classes], None))
}

/// Compares a loss and the gradient of each of its logits, one after the other, with the reference.
fn compare(case: &Case, logits: Vec<Tensor<5>>, target: Target) {
    let Case { yaml, loss: expected, gradient } = case;
    let logits: Vec<Tensor<5>> = logits.into_iter().map(Tensor::require_grad).collect();
    let loss = loss(yaml);
    assert_eq!((loss.check(), loss.check_classes(target.has_background)), (vec![], None), "{yaml}");
    let value = match &logits[..] {
        [logits] => loss.forward(logits.clone(), target),
        _ => loss.forward_supervised(logits.clone(), target),
    };
    let actual = host(value.clone())[0];
    assert!((actual - expected).abs() < 1e-5, "{yaml}: {actual}, expected {expected}");
    let gradients = value.backward();
    let actual = logits.iter().flat_map(|logits| match logits.grad(&gradients) {
        Some(gradient) => host(gradient),
        None => vec![0.0; logits.dims().iter().product()],
    });
    let actual: Vec<f32> = actual.collect();
    assert_eq!(actual.len(), gradient.len(), "{yaml}");
    for (index, (actual, expected)) in actual.iter().zip(gradient).enumerate() {
        assert!((actual - expected).abs() < 1e-6, "{yaml}: gradient {index} is {actual}, expected {expected}");
    }
}

fn file() -> File {
    serde_json::from_str(include_str!("losses/losses.json")).unwrap()
}

#[test]
fn losses_and_gradients_are_those_of_nnunet_and_monai() {
    let File { shape, classes, cases, .. } = file();
    for case in cases {
        let (logits, target) = batch(shape, classes);
        compare(&case, vec![logits], target);
    }
}

#[test]
fn losses_without_ignored_voxels_are_those_of_nnunet() {
    let File { shape, ignore, .. } = file();
    assert!(!ignore.is_empty());
    for case in ignore {
        compare(&case, vec![logits(shape, 4)], target(shape, 5, &LABELS, Some(4)));
    }
}

#[test]
fn losses_of_regions_are_those_of_nnunet_and_monai() {
    let File { shape, regions, regions_ignore, .. } = file();
    assert!(!regions.is_empty() && !regions_ignore.is_empty());
    for case in regions {
        compare(&case, vec![logits(shape, 3)], target(shape, 4, &REGIONS, None));
    }
    for case in regions_ignore {
        compare(&case, vec![logits(shape, 3)], target(shape, 5, &REGIONS, Some(4)));
    }
}

#[test]
fn losses_at_several_resolutions_are_those_of_nnunet() {
    let File { supervised, supervised_ignore, supervised_regions_ignore, .. } = file();
    let shape = [2, 8, 4, 8];
    let levels =
        |classes: usize| [[2, 8, 4, 8], [2, 4, 4, 4], [2, 2, 2, 2]].map(|shape| logits(shape, classes)).to_vec();
    assert!([&supervised, &supervised_ignore, &supervised_regions_ignore].iter().all(|cases| !cases.is_empty()));
    for case in supervised {
        compare(&case, levels(4), target(shape, 4, &LABELS, None));
    }
    for case in supervised_ignore {
        compare(&case, levels(4), target(shape, 5, &LABELS, Some(4)));
    }
    for case in supervised_regions_ignore {
        compare(&case, levels(3), target(shape, 5, &REGIONS, Some(4)));
    }
}

#[test]
fn a_batch_of_ignored_voxels_has_finite_losses_without_gradient() {
    let shape = [1, 2, 2, 2];
    for name in Loss::NAMES {
        for (classes, labels) in [(2, &LABELS[..2]), (3, &REGIONS[..])] {
            let loss = loss(&format!("{name}: {{}}"));
            if labels[0] != [0] && !loss.component().allows_regions() {
                continue;
            }
            let mut target = target(shape, 1, labels, Some(0));
            target.has_background = labels[0] == [0];
            let logits = logits(shape, classes).require_grad();
            let value = loss.forward(logits.clone(), target);
            assert!(host(value.clone())[0].is_finite(), "{name}");
            let gradient = host(logits.grad(&value.backward()).unwrap());
            assert!(gradient.iter().all(|value| value.abs() < 1e-6), "{name}: {gradient:?}");
        }
    }
}

#[test]
fn the_focal_tversky_loss_is_a_power_of_the_tversky_loss_of_one_class() {
    let (logits, target) = batch([1, 4, 3, 5], 2);
    let value = |yaml: &str| f64::from(host(loss(yaml).forward(logits.clone(), target.clone()))[0]);
    let plain = value("tversky: { false_negatives: 0.7, false_positives: 0.3 }");
    let focal = value("tversky: { false_negatives: 0.7, false_positives: 0.3, gamma: 0.75 }");
    assert!((focal - plain.powf(0.75)).abs() < 1e-6, "{plain} {focal}");
}
