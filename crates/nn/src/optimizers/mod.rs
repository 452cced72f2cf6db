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

/// The options of one parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ParameterOptions {
    /// Factor of the learning rate.
    pub learning_rate_factor: f64,
    /// The first step that changes the parameter; before, it is frozen.
    pub first_step: usize,
}

impl Default for ParameterOptions {
    fn default() -> Self {
        Self { learning_rate_factor: 1.0, first_step: 0 }
    }
}

/// An optimizer with its state. Parameters are flat tensors in a fixed order; their names do not matter.
#[derive(Clone, Debug)]
pub struct Optimizer {
    spec: OptimizerSpec,
    /// The options of each parameter.
    options: Vec<ParameterOptions>,
    /// The state tensors of each parameter, in the order of [`UpdateRule::moments`].
    moments: Vec<Vec<Tensor<1>>>,
}

impl Optimizer {
    /// Creates the optimizer of `parameters` with zeros as state.
    pub fn new(spec: &OptimizerSpec, parameters: &[Tensor<1>]) -> Self {
        let zeros = |parameter: &Tensor<1>| {
            spec.moments().iter().map(|_| parameter.clone().inner().zeros_like()).collect::<Vec<_>>()
        };
        let options = vec![ParameterOptions::default(); parameters.len()];
        Self { spec: spec.clone(), options, moments: parameters.iter().map(zeros).collect() }
    }

    /// Gives each parameter options, in the order of the parameters.
    #[must_use]
    pub fn with_options(self, options: Vec<ParameterOptions>) -> Self {
        assert_eq!(options.len(), self.moments.len(), "every parameter has options");
        Self { options, ..self }
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
    /// A parameter without gradient, on which the loss does not depend or which is frozen, stays unchanged with its state, as
    /// in PyTorch; the steps of a parameter that was frozen count from its first one. Parameters and gradients are without
    /// autodiff.
    pub fn step(
        &mut self,
        parameters: Vec<Tensor<1>>,
        gradients: Vec<Option<Tensor<1>>>,
        learning_rate: f64,
        step: usize,
    ) -> Vec<Tensor<1>> {
        let rule = self.spec.component();
        let mut updated = Vec::with_capacity(parameters.len());
        let gradients = gradients.into_iter().zip(&self.options);
        for ((parameter, (gradient, options)), moments) in parameters.into_iter().zip(gradients).zip(&mut self.moments)
        {
            updated.push(match (gradient, step.checked_sub(options.first_step)) {
                (Some(gradient), Some(step)) => {
                    let learning_rate = learning_rate * options.learning_rate_factor;
                    rule.update(parameter, gradient, moments, learning_rate, step)
                }
                _ => parameter,
            });
        }
        updated
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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn adam() -> OptimizerSpec {
        serde_json::from_value(serde_json::json!({ "adam": { "learning_rate": 0.1 } })).unwrap()
    }

    fn tensor(value: f32) -> Tensor<1> {
        Tensor::from_floats([value], &Device::flex())
    }

    /// Returns the values of two parameters after each of some steps with gradient 1.
    fn values(options: [ParameterOptions; 2], steps: usize) -> Vec<[f32; 2]> {
        let mut parameters = vec![tensor(1.0), tensor(1.0)];
        let mut optimizer = Optimizer::new(&adam(), &parameters).with_options(options.to_vec());
        let step = |step| {
            let gradients = vec![Some(tensor(1.0)), Some(tensor(1.0))];
            parameters = optimizer.step(std::mem::take(&mut parameters), gradients, 0.1, step);
            [0, 1].map(|index: usize| parameters[index].clone().into_scalar::<f32>())
        };
        (0..steps).map(step).collect()
    }

    #[test]
    fn a_frozen_parameter_starts_as_if_its_first_step_were_that_of_the_run() {
        let frozen = ParameterOptions { first_step: 2, ..ParameterOptions::default() };
        let values = values([ParameterOptions::default(), frozen], 5);
        assert_eq!([values[0][1], values[1][1]], [1.0, 1.0]);
        assert_eq!([values[2][1], values[4][1]], [values[0][0], values[2][0]]);
    }

    #[test]
    fn a_factor_scales_the_learning_rate_of_a_parameter() {
        let scaled = ParameterOptions { learning_rate_factor: 0.5, ..ParameterOptions::default() };
        let [plain, scaled] = values([ParameterOptions::default(), scaled], 1)[0];
        assert!((1.0 - plain - 2.0 * (1.0 - scaled)).abs() < 1e-6, "{plain} {scaled}");
    }
}
