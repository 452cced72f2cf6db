//! The operations with autodiff: the state that each stores for its backward pass, and that backward pass.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex};

use super::tensors::{contiguous, dims, into_values, tensor, values};
use super::{average_pool, max_pool, sum, trilinear};

mod convolution;
mod normalization;
mod normalized_convolution;

pub(super) use convolution::ConvolutionState;
pub(super) use normalization::{NormalizationBackward, NormalizationState};
pub(super) use normalized_convolution::{NormalizedConvolutionBackward, NormalizedConvolutionState};

/// Registers the result of an operation with its backward pass.
pub(super) fn track<C: CheckpointStrategy, O: Backward<Flex, N>, const N: usize>(
    backward: O,
    nodes: [NodeGuard; N],
    state: O::State,
    output: FlexTensor,
) -> FloatTensor<Autodiff<Flex, C>> {
    match backward.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(state, output),
        OpsKind::UnTracked(step) => step.finish(output),
    }
}

/// The backward pass of max pooling; the state is its input.
#[derive(Debug)]
pub(super) struct MaxPoolBackward;

impl Backward<Flex, 1> for MaxPoolBackward {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([parent], input) = (ops.parents, ops.state);
        let gradient = contiguous(grads.consume::<Flex>(&ops.node));
        if let Some(parent) = parent {
            let shape @ [.., y, z] = dims::<5>(&input);
            let input_gradient = max_pool::backward(values(&input), [y, z], values(&gradient));
            grads.register::<Flex>(parent.id, tensor(input_gradient, shape));
        }
    }
}

/// The backward pass of trilinear up-sampling; the state is the shape of its input.
#[derive(Debug)]
pub(super) struct TrilinearBackward;

impl Backward<Flex, 1> for TrilinearBackward {
    type State = [usize; 5];

    fn backward(self, ops: Ops<[usize; 5], 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([parent], shape @ [_, _, grid @ ..]) = (ops.parents, ops.state);
        let gradient = contiguous(grads.consume::<Flex>(&ops.node));
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, tensor(trilinear::backward(values(&gradient), grid), shape));
        }
    }
}

/// The backward pass of average pooling; the state is the shape of its input and the window.
#[derive(Debug)]
pub(super) struct AveragePoolBackward;

impl Backward<Flex, 1> for AveragePoolBackward {
    type State = ([usize; 5], [usize; 3]);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([parent], (shape, window)) = (ops.parents, ops.state);
        let gradient = contiguous(grads.consume::<Flex>(&ops.node));
        if let Some(parent) = parent {
            let [_, _, grid @ ..] = shape;
            let input_gradient = average_pool::backward(values(&gradient), grid, window);
            grads.register::<Flex>(parent.id, tensor(input_gradient, shape));
        }
    }
}

/// The backward pass of the activation of a sum; the state is its output and the slope below 0.
#[derive(Debug)]
pub(super) struct SumBackward;

impl Backward<Flex, 2> for SumBackward {
    type State = (FlexTensor, f32);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (parents, (output, slope)) = (ops.parents, ops.state);
        let shape = dims::<5>(&output);
        let mut gradient = into_values(grads.consume::<Flex>(&ops.node));
        if slope != 1.0 {
            sum::backward(&mut gradient, values(&output), slope);
        }
        let gradient = tensor(gradient, shape);
        for parent in parents.into_iter().flatten() {
            grads.register::<Flex>(parent.id, gradient.clone());
        }
    }
}
