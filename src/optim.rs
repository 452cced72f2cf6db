//! Optimisers and learning-rate schedules, as written and as built.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{NonNegative, Positive, Share};

/// How weights follow gradients; equal to PyTorch's optimiser of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerSpec {
    /// Adam (Kingma and Ba 2015); weight decay is added to the gradient.
    Adam(AdamSpec),
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    Adamw(AdamwSpec),
    /// Stochastic gradient descent with momentum.
    Sgd(SgdSpec),
}

/// Adam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamSpec {
    /// The step size, before the schedule.
    pub learning_rate: Positive,
    /// Decay of the running means of the gradient and of its square.
    #[serde(default = "default_betas")]
    pub betas: [Share; 2],
    /// Added to the denominator.
    #[serde(default = "default_epsilon")]
    pub epsilon: Positive,
    /// A multiple of the weights that is added to their gradient.
    #[serde(default = "default_no_decay")]
    pub weight_decay: NonNegative,
}

/// AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamwSpec {
    /// The step size, before the schedule.
    pub learning_rate: Positive,
    /// Decay of the running means of the gradient and of its square.
    #[serde(default = "default_betas")]
    pub betas: [Share; 2],
    /// Added to the denominator.
    #[serde(default = "default_epsilon")]
    pub epsilon: Positive,
    /// The share of the weights, times the learning rate, that each step takes away.
    #[serde(default = "default_decoupled_decay")]
    pub weight_decay: NonNegative,
}

/// Stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SgdSpec {
    /// The step size, before the schedule.
    pub learning_rate: Positive,
    /// Decay of the running sum of gradients; 0 keeps none.
    #[serde(default = "default_no_momentum")]
    pub momentum: Share,
    /// Whether the step looks ahead along the momentum; needs momentum above 0.
    #[serde(default)]
    pub nesterov: bool,
    /// A multiple of the weights that is added to their gradient.
    #[serde(default = "default_no_decay")]
    pub weight_decay: NonNegative,
}

/// How the learning rate changes over the steps of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// It stays, after the warm-up.
    Constant(Constant),
    /// It falls as `(1 - progress) ^ power`, nnU-Net's schedule.
    Polynomial(Polynomial),
    /// It falls along half a cosine.
    Cosine(Cosine),
}

/// A learning rate that stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Steps over which the rate rises linearly from 0 to its value.
    #[serde(default)]
    pub warmup_steps: usize,
}

/// A learning rate that falls as a power of the remaining share of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Polynomial {
    /// The exponent.
    #[serde(default = "default_power")]
    pub power: Positive,
    /// Steps over which the rate rises linearly from 0 to its value.
    #[serde(default)]
    pub warmup_steps: usize,
}

/// A learning rate that falls along half a cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// The share of the learning rate that is left at the end.
    #[serde(default = "default_final_share")]
    pub final_share: Share,
    /// Steps over which the rate rises linearly from 0 to its value.
    #[serde(default)]
    pub warmup_steps: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule::Constant(Constant { warmup_steps: 0 })
    }
}

fn default_betas() -> [Share; 2] {
    [0.9, 0.999].map(|beta| Share::new(beta).expect("0.9 and 0.999 are shares"))
}

fn default_epsilon() -> Positive {
    Positive::new(1e-8).expect("1e-8 is above 0")
}

fn default_no_decay() -> NonNegative {
    NonNegative::new(0.0).expect("0 is not negative")
}

fn default_decoupled_decay() -> NonNegative {
    NonNegative::new(0.01).expect("0.01 is not negative")
}

fn default_no_momentum() -> Share {
    Share::new(0.0).expect("0 is a share")
}

fn default_power() -> Positive {
    Positive::new(0.9).expect("0.9 is above 0")
}

fn default_final_share() -> Share {
    Share::new(0.0).expect("0 is a share")
}

/// An optimiser at work. Parameters are flat tensors in a fixed order; it does not know their names.
#[derive(Debug)]
pub struct Optimizer {
    spec: OptimizerSpec,
    /// For each parameter, what the optimiser remembers of its gradients, in the order of [`OptimizerSpec::moments`].
    moments: Vec<Vec<Tensor<1>>>,
}

impl OptimizerSpec {
    /// The learning rate, before the schedule.
    pub fn learning_rate(&self) -> f64 {
        match self {
            OptimizerSpec::Adam(adam) => adam.learning_rate.get(),
            OptimizerSpec::Adamw(adamw) => adamw.learning_rate.get(),
            OptimizerSpec::Sgd(sgd) => sgd.learning_rate.get(),
        }
    }

    /// The names of what the optimiser remembers of each parameter.
    pub fn moments(&self) -> &'static [&'static str] {
        match self {
            OptimizerSpec::Adam(_) | OptimizerSpec::Adamw(_) => &["first_moment", "second_moment"],
            OptimizerSpec::Sgd(sgd) if sgd.momentum.get() > 0.0 => &["momentum"],
            OptimizerSpec::Sgd(_) => &[],
        }
    }
}

impl Optimizer {
    /// An optimiser that remembers nothing yet of `parameters`.
    pub fn new(spec: &OptimizerSpec, parameters: &[Tensor<1>]) -> Self {
        let zeros = |parameter: &Tensor<1>| {
            spec.moments().iter().map(|_| parameter.clone().inner().zeros_like()).collect::<Vec<_>>()
        };
        Self { spec: spec.clone(), moments: parameters.iter().map(zeros).collect() }
    }

    /// What it remembers: for each parameter, one tensor for each name of [`OptimizerSpec::moments`].
    pub fn moments(&self) -> &[Vec<Tensor<1>>] {
        &self.moments
    }

    /// Takes up what another run remembered.
    pub fn restore(&mut self, moments: Vec<Vec<Tensor<1>>>) {
        self.moments = moments;
    }

    /// The parameters after a step. `step` counts from 0 since the start of the run.
    ///
    /// Neither parameters nor gradients are tracked here.
    pub fn step(
        &mut self,
        parameters: Vec<Tensor<1>>,
        gradients: Vec<Tensor<1>>,
        learning_rate: f64,
        step: usize,
    ) -> Vec<Tensor<1>> {
        let spec = &self.spec;
        let updates = parameters.into_iter().zip(gradients).zip(&mut self.moments);
        updates
            .map(|((parameter, gradient), moments)| match spec {
                OptimizerSpec::Adam(adam) => {
                    let gradient = decayed(gradient, &parameter, adam.weight_decay);
                    adam_step(parameter, gradient, moments, adam.betas, adam.epsilon, learning_rate, step)
                }
                OptimizerSpec::Adamw(adamw) => {
                    let parameter = parameter.mul_scalar(1.0 - learning_rate * adamw.weight_decay.get());
                    adam_step(parameter, gradient, moments, adamw.betas, adamw.epsilon, learning_rate, step)
                }
                OptimizerSpec::Sgd(sgd) => {
                    let gradient = decayed(gradient, &parameter, sgd.weight_decay);
                    sgd_step(parameter, gradient, moments, sgd, learning_rate)
                }
            })
            .collect()
    }
}

/// Adds the gradient of the squared norm of the weights.
fn decayed(gradient: Tensor<1>, parameter: &Tensor<1>, weight_decay: NonNegative) -> Tensor<1> {
    match weight_decay.get() {
        0.0 => gradient,
        decay => gradient.add(parameter.clone().mul_scalar(decay)),
    }
}

fn adam_step(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: &mut [Tensor<1>],
    betas: [Share; 2],
    epsilon: Positive,
    learning_rate: f64,
    step: usize,
) -> Tensor<1> {
    let [beta1, beta2] = betas.map(Share::get);
    let [first, second] = moments else { unreachable!("Adam remembers two moments of each parameter") };
    *first = first.clone().mul_scalar(beta1).add(gradient.clone().mul_scalar(1.0 - beta1));
    *second = second.clone().mul_scalar(beta2).add(gradient.square().mul_scalar(1.0 - beta2));
    // Both moments start at 0; the corrections undo their pull towards it.
    let exponent = i32::try_from(step + 1).unwrap_or(i32::MAX);
    let corrections = [1.0 - beta1.powi(exponent), 1.0 - beta2.powi(exponent)];
    let denominator = second.clone().sqrt().div_scalar(corrections[1].sqrt()).add_scalar(epsilon.get());
    parameter.sub(first.clone().div(denominator).mul_scalar(learning_rate / corrections[0]))
}

fn sgd_step(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: &mut [Tensor<1>],
    sgd: &SgdSpec,
    learning_rate: f64,
) -> Tensor<1> {
    let direction = match moments {
        [momentum] => {
            let decay = sgd.momentum.get();
            *momentum = momentum.clone().mul_scalar(decay).add(gradient.clone());
            if sgd.nesterov { gradient.add(momentum.clone().mul_scalar(decay)) } else { momentum.clone() }
        }
        _ => gradient,
    };
    parameter.sub(direction.mul_scalar(learning_rate))
}

/// The norm of all gradients together.
///
/// # Panics
/// When the device fails.
pub fn global_norm(gradients: &[Tensor<1>]) -> f64 {
    let squares: Vec<Tensor<1>> = gradients.iter().map(|gradient| gradient.clone().square().sum()).collect();
    let squares = Tensor::cat(squares, 0).into_data_as::<f32>();
    squares.iter::<f32>().map(f64::from).sum::<f64>().sqrt()
}

/// Shortens gradients whose common norm exceeds `max_norm`, as PyTorch's `clip_grad_norm_`.
pub fn clip(gradients: Vec<Tensor<1>>, norm: f64, max_norm: f64) -> Vec<Tensor<1>> {
    let factor = max_norm / (norm + 1e-6);
    if factor >= 1.0 {
        return gradients;
    }
    gradients.into_iter().map(|gradient| gradient.mul_scalar(factor)).collect()
}

impl Schedule {
    /// The factor of the learning rate in a step, counted from 0, of a run of `num_steps`.
    ///
    /// During warm-up step s has the factor `(s + 1) / warmup_steps`; the schedule runs over the rest.
    pub fn factor(&self, step: usize, num_steps: usize) -> f64 {
        let warmup = self.warmup_steps();
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let progress = ((step - warmup) as f64 / num_steps.saturating_sub(warmup).max(1) as f64).min(1.0);
        match self {
            Schedule::Constant(_) => 1.0,
            Schedule::Polynomial(polynomial) => (1.0 - progress).powf(polynomial.power.get()),
            Schedule::Cosine(cosine) => {
                let left = cosine.final_share.get();
                left + (1.0 - left) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        }
    }

    /// Steps over which the learning rate rises.
    pub fn warmup_steps(&self) -> usize {
        match self {
            Schedule::Constant(constant) => constant.warmup_steps,
            Schedule::Polynomial(polynomial) => polynomial.warmup_steps,
            Schedule::Cosine(cosine) => cosine.warmup_steps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polynomial_falls_to_zero() {
        let schedule = Schedule::Polynomial(Polynomial { power: Positive::new(0.9).unwrap(), warmup_steps: 0 });
        assert_eq!(schedule.factor(0, 100), 1.0);
        assert!((schedule.factor(50, 100) - 0.5f64.powf(0.9)).abs() < 1e-12);
        assert_eq!(schedule.factor(100, 100), 0.0);
    }

    #[test]
    fn a_cosine_is_half_way_down_in_the_middle() {
        let schedule = Schedule::Cosine(Cosine { final_share: Share::new(0.2).unwrap(), warmup_steps: 0 });
        assert!((schedule.factor(50, 100) - 0.6).abs() < 1e-12);
        assert!((schedule.factor(100, 100) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn warm_up_rises_in_equal_steps_and_the_schedule_follows() {
        let schedule = Schedule::Polynomial(Polynomial { power: Positive::new(1.0).unwrap(), warmup_steps: 4 });
        let factors: Vec<f64> = (0..6).map(|step| schedule.factor(step, 14)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0, 0.9]);
    }

    #[test]
    fn clipping_shortens_to_the_limit() {
        let device = burn::tensor::Device::flex();
        let gradients =
            || vec![Tensor::<1>::from_floats([3.0], &device), Tensor::<1>::from_floats([0.0, 4.0], &device)];
        let norm = global_norm(&gradients());
        assert_eq!(norm, 5.0);
        assert!((global_norm(&clip(gradients(), norm, 1.0)) - 1.0).abs() < 1e-5);
        assert_eq!(global_norm(&clip(gradients(), norm, 10.0)), 5.0);
    }
}
