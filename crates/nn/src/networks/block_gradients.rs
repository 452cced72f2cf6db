//! Backward passes through one block at a time, for gradient checkpointing.

use burn::tensor::{Gradients, Tensor};

use crate::FloatFormat;
use crate::layers::Pass;
use crate::parameters::Parameters;
use random::Rng;

/// The state of a block that the forward pass stores: its inputs, and the random stream of its dropout.
pub(super) struct StoredBlock {
    pub inputs: Vec<Tensor<5>>,
    pub rng: Option<Rng>,
}

/// The gradients of parameters, collected block by block.
pub(super) struct BlockGradients<'a> {
    parameters: &'a Parameters,
    precision: FloatFormat,
    collected: Vec<Option<Tensor<1>>>,
}

impl<'a> BlockGradients<'a> {
    pub fn new(parameters: &'a Parameters, precision: FloatFormat) -> Self {
        Self { parameters, precision, collected: parameters.trained_values().map(|_| None).collect() }
    }

    /// Computes the loss and the gradients of the activations from which `loss` is computed.
    pub fn loss(
        &mut self,
        activations: Vec<Tensor<5>>,
        loss: impl FnOnce(Vec<Tensor<5>>) -> Tensor<1>,
    ) -> (Tensor<1>, Vec<Tensor<5>>) {
        let activations: Vec<_> = activations.into_iter().map(|values| values.autodiff().require_grad()).collect();
        let loss = loss(activations.clone());
        let mut gradients = loss.backward();
        self.collect(&mut gradients);
        let of_activations = activations.iter().map(|values| gradient_of(values, &gradients)).collect();
        (loss, of_activations)
    }

    /// Recomputes a block and propagates the gradient of its output; returns the gradients of its two inputs, or that of a
    /// single input twice.
    pub fn backward(
        &mut self,
        block: StoredBlock,
        gradient: Tensor<5>,
        forward: impl FnOnce(&mut Pass, Vec<Tensor<5>>) -> Tensor<5>,
    ) -> [Tensor<5>; 2] {
        let inputs: Vec<Tensor<5>> = block.inputs.into_iter().map(|input| input.autodiff().require_grad()).collect();
        // Updates of running statistics are discarded: the forward pass has applied them.
        let mut pass = Pass { training: block.rng, precision: self.precision, updates: Vec::new() };
        let output = forward(&mut pass, inputs.clone());
        // The gradient of this sum of products by the output is the given gradient.
        let mut gradients = output.mul(gradient.autodiff()).sum().backward();
        self.collect(&mut gradients);
        let first = gradient_of(&inputs[0], &gradients);
        let second = inputs.get(1).map_or_else(|| first.clone(), |input| gradient_of(input, &gradients));
        [first, second]
    }

    /// Returns the gradient of each trained parameter; `None` if the loss does not depend on it.
    pub fn finish(self) -> Vec<Option<Tensor<1>>> {
        self.collected
    }

    fn collect(&mut self, gradients: &mut Gradients) {
        for (value, collected) in self.parameters.trained_values().zip(&mut self.collected) {
            if let Some(gradient) = value.grad_remove(gradients) {
                *collected = Some(gradient);
            }
        }
    }
}

fn gradient_of(input: &Tensor<5>, gradients: &Gradients) -> Tensor<5> {
    input.grad(gradients).unwrap_or_else(|| input.clone().inner().zeros_like())
}
