//! Normalization followed by a convolution, with autodiff: the normalized values are not stored for the backward pass,
//! but computed again.

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;

use super::super::normalization::NormalizationSettings;
use super::super::stencil::Stencil;
use super::super::tensors::{contiguous, dims, into_values};
use super::convolution::{ConvolutionState, OutputGradient};
use super::normalization::NormalizationState;

/// The operands of a normalization and of the convolution of its output, apart from the bias.
#[derive(Clone, Debug)]
pub(in super::super) struct NormalizedConvolutionState {
    normalization: NormalizationState,
    weight: FlexTensor,
    stencil: Stencil,
}

impl NormalizedConvolutionState {
    /// Computes the convolution of the normalized input; returns the output and the state for the backward pass.
    pub(in super::super) fn forward(
        operands: [FlexTensor; 3],
        settings: NormalizationSettings,
        weight: FlexTensor,
        bias: FlexTensor,
        stencil: Stencil,
    ) -> (FlexTensor, Self) {
        let (normalized, normalization) = NormalizationState::forward(operands, settings);
        let state = Self { normalization, weight: contiguous(weight), stencil };
        (state.convolution(normalized).forward(bias), state)
    }

    fn convolution(&self, normalized: FlexTensor) -> ConvolutionState<1> {
        ConvolutionState::convolution([normalized], self.weight.clone(), self.stencil, 1.0)
    }
}

/// The backward pass of a normalization followed by a convolution.
#[derive(Debug)]
pub(in super::super) struct NormalizedConvolutionBackward;

impl Backward<Flex, 5> for NormalizedConvolutionBackward {
    type State = NormalizedConvolutionState;

    fn backward(self, ops: Ops<Self::State, 5>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([input, scale, shift, weight, bias], state) = (ops.parents.map(|node| Some(node?.id)), ops.state);
        let gradient = grads.consume::<Flex>(&ops.node);
        let [batch, channels, grid @ ..] = dims::<5>(&gradient);
        let output = OutputGradient { batch, channels, grid, values: into_values(gradient) };
        let convolution = state.convolution(state.normalization.output());
        convolution.register_gradients(&output, [weight, bias], grads);
        let parents = [input, scale, shift];
        if parents.iter().any(Option::is_some) {
            let gradient = convolution.into_input_gradients(&output).remove(0);
            drop(output);
            state.normalization.backward(gradient, parents, grads);
        }
    }
}
