//! Comparing the results of two devices for one batch.

use std::time::Instant;

use super::reference::wave;
use crate::experiment::plan::Plan;
use crate::training::TrainError;
use crate::training::step::Trainer;
use dataset::patch::Patch;
use nn::Model;
use nn::weights::NamedTensor;

/// Number of optimizer steps on the batch.
pub const STEPS: usize = 3;
/// Tolerance of logits, relative to the largest one.
const LOGITS: f64 = 1e-4;
/// Relative tolerance of the loss.
const LOSS: f64 = 1e-5;
/// Tolerance of the gradient of a parameter, relative to the norm of its layer's gradient. Rounding can change which
/// voxel is the largest of its pool, or move one across the kink of an activation, which changes a few gradients a lot;
/// the gradient of a bias is a sum that mostly cancels out, so its own relative error is large.
const GRADIENTS: f64 = 5e-3;
/// Relative tolerance of the norm of all gradients.
const NORM: f64 = 1e-3;
/// Tolerance of the change of the weights, relative to its norm: Adam amplifies the rounding of small gradients.
const WEIGHTS: f64 = 1e-1;
/// Gradients below this fraction of the largest ones are rounding errors.
const NO_GRADIENT: f64 = 1e-6;

/// What a device computed for a batch.
#[derive(Clone, Debug)]
pub struct DeviceResult {
    /// Logits `[batch, class, x, y, z]`, as at inference.
    logits: Vec<f32>,
    /// The loss, as at validation.
    loss: f64,
    /// The gradient with respect to each parameter.
    gradients: Vec<NamedTensor>,
    /// Loss and norm of the gradients of each step.
    steps: Vec<[f64; 2]>,
    start: Vec<NamedTensor>,
    end: Vec<NamedTensor>,
    /// Seconds of the fastest step.
    pub seconds: f64,
}

/// The relative difference of one quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// The name of the quantity.
    pub quantity: String,
    /// The difference, relative to the quantity's size.
    pub relative: f64,
    /// The tolerance.
    pub tolerance: f64,
}

impl Deviation {
    /// Returns whether the difference is within the tolerance.
    pub fn is_within_tolerance(&self) -> bool {
        // NaN is never within the tolerance.
        self.relative <= self.tolerance
    }
}

/// Computes logits, loss, gradients and some optimizer steps for a batch on the plan's device, from the weights that
/// training starts with.
///
/// # Errors
/// When the device cannot be opened or fails.
pub fn compute(plan: &Plan, patches: &[Patch]) -> Result<DeviceResult, TrainError> {
    let mut trainer = Trainer::new(plan)?;
    trainer.load_initial_weights(plan)?;
    let start = trainer.weights();
    let images = patches.iter().flat_map(|patch| patch.image.iter().copied()).collect();
    let logits = trainer.logits(images, [patches.len(), plan.network_channels()], plan.patch)?;
    let loss = trainer.loss(patches)?;
    let gradients = trainer.gradients(patches)?;
    let batches = [patches.to_vec()];
    let (mut steps, mut seconds) = (Vec::new(), f64::INFINITY);
    for step in 0..STEPS {
        let begun = Instant::now();
        let outcome = trainer.step(&batches, trainer.learning_rate(step, plan), step)?;
        seconds = seconds.min(begun.elapsed().as_secs_f64());
        steps.push([outcome.loss, outcome.grad_norm]);
    }
    Ok(DeviceResult { logits, loss, gradients, steps, start, end: trainer.weights(), seconds })
}

/// Returns a patch of the plan's shape: sine waves, and labels by their height.
pub fn wavy_patch(plan: &Plan, index: usize) -> Patch {
    let (voxels, channels) = (plan.patch.iter().product::<usize>(), plan.network_channels());
    let image = wave(channels * voxels, 0.37 + 0.1 * index as f64, 1.0);
    let label = image[..voxels].iter().map(|value| if *value > 0.8 { 2 } else { u16::from(*value > 0.2) }).collect();
    let subject = "waves".to_owned();
    let (start, affine, shape, weights) = ([0; 3], volume::Affine::IDENTITY, plan.patch, Vec::new());
    let (params, mask_params) = (Vec::new(), Vec::new());
    Patch { subject, index, start, affine, shape, channels, image, label, weights, params, mask_params }
}

/// Compares the results of two devices, quantity by quantity. The gradient of a parameter that has no effect in the
/// model is rounding error, and only has to be small compared with the others.
pub fn compare(model: &Model, one: &DeviceResult, other: &DeviceResult) -> Vec<Deviation> {
    let difference = |quantity: String, relative, tolerance| Deviation { quantity, relative, tolerance };
    let mut differences = vec![
        difference("logits".to_owned(), relative_maximum(&one.logits, &other.logits), LOGITS),
        difference("loss".to_owned(), relative(one.loss, other.loss), LOSS),
    ];
    let largest = one.gradients.iter().map(|gradient| norm(&gradient.data)).fold(0.0, f64::max);
    let layer_norm = |parameter: &NamedTensor| {
        let is_same_layer = |other: &&NamedTensor| layer(&other.name) == layer(&parameter.name);
        one.gradients.iter().filter(is_same_layer).map(|gradient| norm(&gradient.data).powi(2)).sum::<f64>().sqrt()
    };
    let compare_gradient = |(one, other): (&NamedTensor, &NamedTensor)| {
        let scale = if model.component().is_without_effect(&one.name) { largest } else { layer_norm(one) };
        let scale = scale.max(NO_GRADIENT * largest);
        let difference: Vec<f32> = one.data.iter().zip(&other.data).map(|(one, other)| one - other).collect();
        (norm(&difference) / scale, one.name.clone())
    };
    let gradients = one.gradients.iter().zip(&other.gradients).map(compare_gradient);
    if let Some((relative, name)) = gradients.max_by(|a, b| a.0.total_cmp(&b.0)) {
        differences.push(difference(format!("gradients, worst {name}"), relative, GRADIENTS));
    }
    for (step, (one, other)) in one.steps.iter().zip(&other.steps).enumerate() {
        // Adam amplifies rounding errors from step to step.
        let slack = 10f64.powi(step as i32);
        let [loss, norm] = [0, 1].map(|value| relative(one[value], other[value]));
        differences.push(difference(format!("loss of step {}", step + 1), loss, LOSS * slack));
        differences.push(difference(format!("gradient norm of step {}", step + 1), norm, NORM * slack));
    }
    let weights = weight_change_difference(one, other, |name| !model.component().is_without_effect(name));
    differences.push(difference(format!("weights after {STEPS} steps"), weights, WEIGHTS));
    differences
}

/// Returns the difference of the final weights, relative to their change since the start.
fn weight_change_difference(one: &DeviceResult, other: &DeviceResult, counts: impl Fn(&str) -> bool) -> f64 {
    let (mut difference, mut change) = (0.0, 0.0);
    let parameters = one.start.iter().zip(&one.end).zip(&other.end).filter(|((start, _), _)| counts(&start.name));
    for ((start, one), other) in parameters {
        for ((start, one), other) in start.data.iter().zip(&one.data).zip(&other.data) {
            difference += f64::from(one - other).powi(2);
            change += f64::from(one - start).powi(2);
        }
    }
    (difference / change.max(f64::MIN_POSITIVE)).sqrt()
}

/// Returns the layer of a parameter.
fn layer(parameter: &str) -> &str {
    parameter.rsplit_once('.').map_or(parameter, |(layer, _)| layer)
}

fn relative(one: f64, other: f64) -> f64 {
    (one - other).abs() / one.abs().max(f64::MIN_POSITIVE)
}

/// Returns the largest difference, relative to the largest value.
fn relative_maximum(one: &[f32], other: &[f32]) -> f64 {
    max_difference(one, other) / max_abs(one).max(f64::MIN_POSITIVE)
}

/// Returns the largest difference; infinite if a value is NaN.
fn max_difference(one: &[f32], other: &[f32]) -> f64 {
    let differences = one.iter().zip(other).map(|(one, other)| f64::from((one - other).abs()));
    differences.fold(0.0, |max, value| if value.is_nan() { f64::INFINITY } else { max.max(value) })
}

/// Returns the Euclidean norm; infinite if a value is NaN.
fn norm(values: &[f32]) -> f64 {
    let norm = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if norm.is_nan() { f64::INFINITY } else { norm }
}

fn max_abs(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(value.abs())).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> DeviceResult {
        let tensor = |name: &str, data: Vec<f32>| NamedTensor { name: name.into(), shape: vec![data.len()], data };
        DeviceResult {
            logits: vec![1.0, -2.0],
            loss: 0.5,
            gradients: vec![
                tensor("encoder.0.conv1.weight", vec![1.0, 2.0]),
                tensor("encoder.0.conv1.bias", vec![1e-9]),
            ],
            steps: vec![[0.5, 1.0], [0.4, 1.0]],
            start: vec![tensor("encoder.0.conv1.weight", vec![0.0, 0.0]), tensor("encoder.0.conv1.bias", vec![0.0])],
            end: vec![tensor("encoder.0.conv1.weight", vec![0.1, 0.2]), tensor("encoder.0.conv1.bias", vec![0.1])],
            seconds: 1.0,
        }
    }

    fn model() -> Model {
        serde_json::from_value(serde_json::json!({ "unet": { "widths": [2], "norm": "instance" } })).unwrap()
    }

    fn outside_tolerance(other: &DeviceResult) -> Vec<String> {
        let differences =
            compare(&model(), &result(), other).into_iter().filter(|difference| !difference.is_within_tolerance());
        differences.map(|difference| difference.quantity).collect()
    }

    #[test]
    fn each_quantity_that_differs_is_named() {
        assert!(compare(&model(), &result(), &result()).iter().all(|difference| difference.relative == 0.0));
        let mut other = result();
        other.logits[0] += 3e-4;
        other.gradients[0].data[1] += 0.03;
        other.end[0].data[0] = 0.2;
        assert_eq!(
            outside_tolerance(&other),
            ["logits", "gradients, worst encoder.0.conv1.weight", "weights after 3 steps"]
        );
        let mut other = result();
        (other.loss, other.steps[1][1]) = (0.51, 1.5);
        assert_eq!(outside_tolerance(&other), ["loss", "gradient norm of step 2"]);
    }

    #[test]
    fn the_gradient_of_a_bias_is_compared_relative_to_its_layer() {
        let with_bias = |bias: f32| {
            let mut result = result();
            result.gradients[1] = NamedTensor { name: "head.bias".into(), shape: vec![1], data: vec![bias] };
            result.gradients[0].name = "head.weight".into();
            result
        };
        let num_outside = |bias| {
            let differences = compare(&model(), &with_bias(0.01), &with_bias(bias));
            differences.into_iter().filter(|difference| !difference.is_within_tolerance()).count()
        };
        // The gradient of the bias differs by half or twice its size: by 0.2 or 0.9 % of the norm of the layer.
        assert_eq!((num_outside(0.015), num_outside(0.03)), (0, 1));
    }

    #[test]
    fn rounding_errors_of_a_parameter_without_effect_are_within_tolerance() {
        let mut other = result();
        (other.gradients[1].data[0], other.end[1].data[0]) = (-1e-9, -0.1);
        assert_eq!(outside_tolerance(&other), [""; 0]);
    }

    #[test]
    fn nan_is_outside_the_tolerance() {
        let mut other = result();
        other.logits[1] = f32::NAN;
        assert_eq!(outside_tolerance(&other), ["logits"]);
    }
}
