//! Optimizers: the trait, the registry, and an optimizer with its state.
//!
//! [`OptimizerSpec`] is the specification of an optimizer in an experiment, [`Optimizer`] adds its state. To add one, write
//! a file with its keys and an [`UpdateRule`], and add a line to the registry. [`gradients`] measures and clips gradients;
//! [`schedules`] change the learning rate.

use burn::tensor::Tensor;

use crate::Diagnostic;
use values::{NonNegative, Positive, UnitFraction};

mod adam;
mod adamw;
pub mod gradients;
pub mod schedules;
mod sgd;

pub use adam::Adam;
pub use adamw::Adamw;
pub use gradients::{clip, squares};
pub use schedules::Schedule;
pub use sgd::Sgd;

values::registry! {
    /// Optimizer: how gradients change the weights. Equal to PyTorch's optimizer of the same name.
    pub enum OptimizerSpec: UpdateRule {
        /// Adam (Kingma and Ba 2015); weight decay is added to the gradient.
        adam::Adam,
        /// AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019).
        adamw::Adamw,
        /// SGD: stochastic gradient descent with momentum.
        sgd::Sgd,
    }
}

/// An update rule with its settings.
pub trait UpdateRule {
    /// Returns the learning rate, before the schedule.
    fn learning_rate(&self) -> Positive;

    /// Returns the names of the state tensors that the rule stores for each parameter, as checkpoints write them.
    fn moments(&self) -> &'static [&'static str];

    /// Returns a parameter after a step, and updates its state tensors, which start as zeros; `step` is counted from 0.
    ///
    /// # Shapes
    /// - parameter, gradient, each of the moments, output: `[value]`
    fn update(
        &self,
        parameter: Tensor<1>,
        gradient: Tensor<1>,
        moments: &mut [Tensor<1>],
        learning_rate: f64,
        step: usize,
    ) -> Tensor<1>;

    /// Validates the keys against one another.
    fn check(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}

impl OptimizerSpec {
    /// Returns the learning rate, before the schedule.
    pub fn learning_rate(&self) -> f64 {
        self.component().learning_rate().get()
    }

    /// Returns the names of the state tensors of each parameter.
    pub fn moments(&self) -> &'static [&'static str] {
        self.component().moments()
    }
}

/// An optimizer with its state. Parameters are flat tensors in a fixed order; their names do not matter.
#[derive(Clone, Debug)]
pub struct Optimizer {
    spec: OptimizerSpec,
    /// The state tensors of each parameter, in the order of [`UpdateRule::moments`].
    moments: Vec<Vec<Tensor<1>>>,
}

impl Optimizer {
    /// Creates the optimizer of `parameters` with zeros as state.
    pub fn new(spec: &OptimizerSpec, parameters: &[Tensor<1>]) -> Self {
        let zeros = |parameter: &Tensor<1>| {
            spec.moments().iter().map(|_| parameter.clone().inner().zeros_like()).collect::<Vec<_>>()
        };
        Self { spec: spec.clone(), moments: parameters.iter().map(zeros).collect() }
    }

    /// Returns the state: for each parameter one tensor for each name of [`UpdateRule::moments`].
    pub fn moments(&self) -> &[Vec<Tensor<1>>] {
        &self.moments
    }

    /// Replaces the state by that of a checkpoint.
    pub fn restore(&mut self, moments: Vec<Vec<Tensor<1>>>) {
        self.moments = moments;
    }

    /// Returns the parameters after a step; `step` counts from 0 at the start of the run.
    ///
    /// A parameter without gradient, on which the loss does not depend, stays unchanged, as in PyTorch. Parameters and
    /// gradients are without autodiff.
    pub fn step(
        &mut self,
        parameters: Vec<Tensor<1>>,
        gradients: Vec<Option<Tensor<1>>>,
        learning_rate: f64,
        step: usize,
    ) -> Vec<Tensor<1>> {
        let rule = self.spec.component();
        let updates = parameters.into_iter().zip(gradients).zip(&mut self.moments);
        let update =
            |((parameter, gradient), moments): ((Tensor<1>, Option<Tensor<1>>), &mut Vec<Tensor<1>>)| match gradient {
                Some(gradient) => rule.update(parameter, gradient, moments, learning_rate, step),
                None => parameter,
            };
        updates.map(update).collect()
    }
}

/// Adds the gradient of an L2 penalty on the weights.
fn add_weight_decay(gradient: Tensor<1>, parameter: &Tensor<1>, weight_decay: NonNegative) -> Tensor<1> {
    match weight_decay.get() {
        0.0 => gradient,
        decay => gradient.add(parameter.clone().mul_scalar(decay)),
    }
}

fn default_betas() -> [UnitFraction; 2] {
    [0.9, 0.999].map(|beta| UnitFraction::new(beta).expect("0.9 and 0.999 are fractions"))
}

fn default_epsilon() -> Positive {
    Positive::new(1e-8).expect("1e-8 is above 0")
}

fn no_weight_decay() -> NonNegative {
    NonNegative::new(0.0).expect("0 is not negative")
}
