//! Whether two devices compute the same: one batch through the network, its loss, its gradients and some steps.

use std::time::Instant;

use super::TrainError;
use super::step::Trainer;
use crate::experiment::plan::Plan;
use dataset::patch::Patch;
use nn::Model;
use nn::weights::NamedTensor;

pub mod kept;

/// Steps that are taken on the batch.
pub const STEPS: usize = 3;
/// How far logits may be off, as a share of the largest one.
const LOGITS: f64 = 1e-4;
/// How far a loss may be off, as a share of it.
const LOSS: f64 = 1e-5;
/// How far the gradients of a parameter may be off, as a share of the length of its layer's. Where rounding makes another
/// voxel the largest of its pool, or moves one over the kink of an activation, a few gradients go another way; the gradient
/// of a bias is a sum that mostly cancels out, so the same error is a large share of it.
const GRADIENTS: f64 = 5e-3;
/// How far the norm of all gradients may be off, as a share of it.
const NORM: f64 = 1e-3;
/// How far the way of the weights may be off, as a share of its length: where a gradient is small, Adam makes much of
/// its rounding.
const WEIGHTS: f64 = 1e-1;
/// Gradients smaller than this share of the largest ones are rounding.
const NO_GRADIENT: f64 = 1e-6;

/// What a device made of a batch.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Logits `[batch, class, x, y, z]`, as at inference.
    logits: Vec<f32>,
    /// The loss, as at validation.
    loss: f64,
    /// The gradient of each parameter.
    gradients: Vec<NamedTensor>,
    /// Loss and norm of the gradients of each step.
    steps: Vec<[f64; 2]>,
    start: Vec<NamedTensor>,
    end: Vec<NamedTensor>,
    /// Seconds of the fastest step.
    pub seconds: f64,
}

/// How far something is off.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What is compared.
    pub quantity: String,
    /// How far it is off, as a share of its size.
    pub share: f64,
    /// How far it may be off.
    pub tolerance: f64,
}

impl Difference {
    /// Whether it is no farther off than it may be.
    pub fn is_small(&self) -> bool {
        // Not a number is never small.
        self.share <= self.tolerance
    }
}

/// Takes a batch through the network of a plan, on the plan's device, from the weights that training starts with.
///
/// # Errors
/// When the device cannot be opened or fails.
pub fn trace(plan: &Plan, patches: &[Patch]) -> Result<Trace, TrainError> {
    let mut trainer = Trainer::new(plan)?;
    trainer.start(plan)?;
    let start = trainer.weights();
    let images = patches.iter().flat_map(|patch| patch.image.iter().copied()).collect();
    let logits = trainer.logits(images, [patches.len(), plan.channels], plan.patch)?;
    let loss = trainer.loss_of(patches)?;
    let gradients = trainer.gradients_of(patches)?;
    let batches = [patches.to_vec()];
    let (mut steps, mut seconds) = (Vec::new(), f64::INFINITY);
    for step in 0..STEPS {
        let begun = Instant::now();
        let outcome = trainer.step(&batches, trainer.learning_rate(step, plan.num_steps()), step)?;
        seconds = seconds.min(begun.elapsed().as_secs_f64());
        steps.push([outcome.loss, outcome.grad_norm]);
    }
    Ok(Trace { logits, loss, gradients, steps, start, end: trainer.weights(), seconds })
}

/// A patch of the plan's shape: waves, and a label that follows their height.
pub fn wavy_patch(plan: &Plan, index: usize) -> Patch {
    let image = kept::wave(plan.patch.iter().product(), 0.37 + 0.1 * index as f64, 1.0);
    let label = image.iter().map(|value| if *value > 0.8 { 2 } else { u16::from(*value > 0.2) }).collect();
    let (subject, draws) = ("waves".to_owned(), serde_json::Value::Null);
    Patch { subject, index, start: [0; 3], shape: plan.patch, channels: 1, image, label, draws }
}

/// How far one trace is off another, quantity by quantity. Parameters that have no effect in the model have rounding for
/// a gradient, which only has to be small beside the others.
pub fn compare(model: &Model, one: &Trace, other: &Trace) -> Vec<Difference> {
    let difference = |quantity: String, share, tolerance| Difference { quantity, share, tolerance };
    let mut differences = vec![
        difference("logits".to_owned(), farthest(&one.logits, &other.logits), LOGITS),
        difference("loss".to_owned(), share(one.loss, other.loss), LOSS),
    ];
    let largest = one.gradients.iter().map(|gradient| length(&gradient.data)).fold(0.0, f64::max);
    let of_layer = |parameter: &NamedTensor| {
        let is_beside = |other: &&NamedTensor| layer(&other.name) == layer(&parameter.name);
        one.gradients.iter().filter(is_beside).map(|gradient| length(&gradient.data).powi(2)).sum::<f64>().sqrt()
    };
    let of_gradient = |(one, other): (&NamedTensor, &NamedTensor)| {
        let own = if model.is_without_effect(&one.name) { largest } else { of_layer(one) };
        let scale = own.max(NO_GRADIENT * largest);
        let apart: Vec<f32> = one.data.iter().zip(&other.data).map(|(one, other)| one - other).collect();
        (length(&apart) / scale, one.name.clone())
    };
    let gradients = one.gradients.iter().zip(&other.gradients).map(of_gradient);
    if let Some((share, name)) = gradients.max_by(|a, b| a.0.total_cmp(&b.0)) {
        differences.push(difference(format!("gradients, worst {name}"), share, GRADIENTS));
    }
    for (step, (one, other)) in one.steps.iter().zip(&other.steps).enumerate() {
        // What Adam makes of rounding grows from step to step.
        let slack = 10f64.powi(step as i32);
        let shares = [0, 1].map(|value| share(one[value], other[value]));
        differences.push(difference(format!("loss of step {}", step + 1), shares[0], LOSS * slack));
        differences.push(difference(format!("gradient norm of step {}", step + 1), shares[1], NORM * slack));
    }
    let apart = ways_apart(one, other, |name| !model.is_without_effect(name));
    differences.push(difference(format!("weights after {STEPS} steps"), apart, WEIGHTS));
    differences
}

/// How far apart the weights end, as a share of the way they have gone.
fn ways_apart(one: &Trace, other: &Trace, counts: impl Fn(&str) -> bool) -> f64 {
    let (mut apart, mut way) = (0.0, 0.0);
    let places = one.start.iter().zip(&one.end).zip(&other.end).filter(|((start, _), _)| counts(&start.name));
    for ((start, one), other) in places {
        for ((start, one), other) in start.data.iter().zip(&one.data).zip(&other.data) {
            apart += f64::from(one - other).powi(2);
            way += f64::from(one - start).powi(2);
        }
    }
    (apart / way.max(f64::MIN_POSITIVE)).sqrt()
}

/// The layer of a parameter.
fn layer(parameter: &str) -> &str {
    parameter.rsplit_once('.').map_or(parameter, |(layer, _)| layer)
}

fn share(one: f64, other: f64) -> f64 {
    (one - other).abs() / one.abs().max(f64::MIN_POSITIVE)
}

fn farthest(one: &[f32], other: &[f32]) -> f64 {
    distance(one, other) / size(one).max(f64::MIN_POSITIVE)
}

/// The largest difference; infinite where one of the values is no number.
fn distance(one: &[f32], other: &[f32]) -> f64 {
    let distances = one.iter().zip(other).map(|(one, other)| f64::from((one - other).abs()));
    distances.fold(0.0, |most, distance| if distance.is_nan() { f64::INFINITY } else { most.max(distance) })
}

/// The root of the sum of squares; infinite where one of the values is no number.
fn length(values: &[f32]) -> f64 {
    let length = values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if length.is_nan() { f64::INFINITY } else { length }
}

fn size(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(value.abs())).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Trace {
        let tensor = |name: &str, data: Vec<f32>| NamedTensor { name: name.into(), shape: vec![data.len()], data };
        Trace {
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

    fn too_far(other: &Trace) -> Vec<String> {
        let differences = compare(&model(), &trace(), other).into_iter().filter(|difference| !difference.is_small());
        differences.map(|difference| difference.quantity).collect()
    }

    #[test]
    fn each_quantity_that_is_off_is_named() {
        assert!(compare(&model(), &trace(), &trace()).iter().all(|difference| difference.share == 0.0));
        let mut other = trace();
        other.logits[0] += 3e-4;
        other.gradients[0].data[1] += 0.03;
        other.end[0].data[0] = 0.2;
        assert_eq!(too_far(&other), ["logits", "gradients, worst encoder.0.conv1.weight", "weights after 3 steps"]);
        let mut other = trace();
        (other.loss, other.steps[1][1]) = (0.51, 1.5);
        assert_eq!(too_far(&other), ["loss", "gradient norm of step 2"]);
    }

    #[test]
    fn a_bias_is_measured_by_its_layer() {
        let with_bias = |bias: f32| {
            let mut trace = trace();
            trace.gradients[1] = NamedTensor { name: "head.bias".into(), shape: vec![1], data: vec![bias] };
            trace.gradients[0].name = "head.weight".into();
            trace
        };
        let too_far = |bias| {
            let differences = compare(&model(), &with_bias(0.01), &with_bias(bias));
            differences.into_iter().filter(|difference| !difference.is_small()).count()
        };
        // Half of itself, and 0.2 or 0.9 % of the layer.
        assert_eq!((too_far(0.015), too_far(0.03)), (0, 1));
    }

    #[test]
    fn rounding_of_a_parameter_without_effect_is_no_difference() {
        let mut other = trace();
        (other.gradients[1].data[0], other.end[1].data[0]) = (-1e-9, -0.1);
        assert_eq!(too_far(&other), [""; 0]);
    }

    #[test]
    fn a_value_that_is_no_number_is_a_difference() {
        let mut other = trace();
        other.logits[1] = f32::NAN;
        assert_eq!(too_far(&other), ["logits"]);
    }
}
