//! Normalization with autodiff.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::backend::flex::FlexTensor;
use burn::backend::{Flex, TensorMetadata};
use burn::tensor::TensorData;

use super::super::normalization::{GroupNormalization, Moments, NormalizationSettings};
use super::super::tensors::{contiguous, dims, into_values, tensor, values};

/// The operands and moments of a normalization.
#[derive(Clone, Debug)]
pub(in super::super) struct NormalizationState {
    /// Input, scale and shift.
    operands: [FlexTensor; 3],
    settings: NormalizationSettings,
    moments: Vec<Moments>,
}

impl NormalizationState {
    /// Computes the normalization; returns the output and the state for the backward pass.
    pub(in super::super) fn forward(operands: [FlexTensor; 3], settings: NormalizationSettings) -> (FlexTensor, Self) {
        let mut state = Self { operands: operands.map(contiguous), settings, moments: Vec::new() };
        let (output, moments) = state.normalization().forward(values(&state.operands[0]));
        state.moments = moments;
        (tensor(output, dims::<5>(&state.operands[0])), state)
    }

    /// Computes the output again.
    pub(super) fn output(&self) -> FlexTensor {
        let input = &self.operands[0];
        tensor(self.normalization().apply(values(input), &self.moments), dims::<5>(input))
    }

    /// Computes the gradients of the operands that have a node, and registers them.
    pub(super) fn backward(&self, gradient: Vec<f32>, parents: [Option<NodeId>; 3], grads: &mut Gradients) {
        let gradients = self.normalization().backward(values(&self.operands[0]), &self.moments, gradient);
        let gradients = [gradients.input, gradients.scale, gradients.shift];
        for ((parent, gradient), operand) in parents.into_iter().zip(gradients).zip(&self.operands) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent, FlexTensor::from_data(TensorData::new(gradient, operand.shape())));
            }
        }
    }

    fn normalization(&self) -> GroupNormalization<'_> {
        let [input, scale, shift] = &self.operands;
        let voxels = dims::<5>(input)[2..].iter().product();
        GroupNormalization { voxels, scale: values(scale), shift: values(shift), settings: self.settings }
    }
}

/// The backward pass of a normalization.
#[derive(Debug)]
pub(in super::super) struct NormalizationBackward;

impl Backward<Flex, 3> for NormalizationBackward {
    type State = NormalizationState;

    fn backward(self, ops: Ops<NormalizationState, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = into_values(grads.consume::<Flex>(&ops.node));
        ops.state.backward(gradient, ops.parents.map(|node| Some(node?.id)), grads);
    }
}
