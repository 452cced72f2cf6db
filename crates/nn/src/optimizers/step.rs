//! One step of an optimiser on flat parameters.

use burn::tensor::Tensor;

use super::{OptimizerSpec, SgdSpec};
use values::{NonNegative, Positive, UnitFraction};

/// An optimiser at work. Parameters are flat tensors in a fixed order; it does not know their names.
#[derive(Clone, Debug)]
pub struct Optimizer {
    spec: OptimizerSpec,
    /// For each parameter, what the optimiser remembers of its gradients, in the order of [`OptimizerSpec::moments`].
    moments: Vec<Vec<Tensor<1>>>,
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
    betas: [UnitFraction; 2],
    epsilon: Positive,
    learning_rate: f64,
    step: usize,
) -> Tensor<1> {
    let [beta1, beta2] = betas.map(UnitFraction::get);
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

/// Values that are summed in one go. Backends deal longer sums out to threads, in an order that their number decides.
const LONGEST_SUM: usize = 1 << 20;

/// Sums of squares of all gradients; the root of their sum is the norm of all gradients together.
pub fn squares(gradients: &[Tensor<1>]) -> Tensor<1> {
    let pieces = gradients.iter().flat_map(|gradient| gradient.clone().square().split(LONGEST_SUM, 0));
    Tensor::cat(pieces.map(Tensor::sum).collect(), 0)
}

/// Shortens gradients whose common norm exceeds `max_norm`, as PyTorch's `clip_grad_norm_`; `squares` are those of
/// [`squares`]. The device alone decides, so nothing waits for it.
pub fn clip(gradients: Vec<Tensor<1>>, squares: &Tensor<1>, max_norm: f64) -> Vec<Tensor<1>> {
    let norm = squares.clone().sum().sqrt();
    let factor = norm.add_scalar(1e-6).recip().mul_scalar(max_norm).clamp_max(1.0);
    gradients.into_iter().map(|gradient| gradient.mul(factor.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_shortens_to_the_limit() {
        let device = burn::tensor::Device::flex();
        let gradients =
            || vec![Tensor::<1>::from_floats([3.0], &device), Tensor::<1>::from_floats([0.0, 4.0], &device)];
        let norm = |gradients: &[Tensor<1>]| squares(gradients).sum().sqrt().into_scalar::<f32>();
        assert_eq!(norm(&gradients()), 5.0);
        let squares = squares(&gradients());
        assert!((norm(&clip(gradients(), &squares, 1.0)) - 1.0).abs() < 1e-5);
        // Shorter ones stay bit for bit.
        assert_eq!(norm(&clip(gradients(), &squares, 10.0)), 5.0);
    }
}
