//! The operations with autodiff: the state that each stores for its backward pass, and that backward pass.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use burn::tensor::TensorData;
use rayon::prelude::*;

use super::convolution::{Direction, Kernels, VolumeConvolution};
use super::normalization::{GroupNormalization, Moments};
use super::slab::Maps;
use super::stencil::Stencil;
use super::tensors::{contiguous, dims, into_values, tensor, values};
use super::{average_pool, max_pool, trilinear, weight_gradient};

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

/// The operands of a convolution or transposed convolution, apart from its bias.
#[derive(Clone, Debug)]
pub(super) struct ConvolutionState<const N: usize> {
    inputs: [FlexTensor; N],
    weight: FlexTensor,
    stencil: Stencil,
    /// From the inputs to the output.
    direction: Direction,
    slope: f32,
}

impl<const N: usize> ConvolutionState<N> {
    pub(super) fn convolution(inputs: [FlexTensor; N], weight: FlexTensor, stencil: Stencil, slope: f32) -> Self {
        let (inputs, weight) = (inputs.map(contiguous), contiguous(weight));
        Self { inputs, weight, stencil, direction: Direction::Gather, slope }
    }

    pub(super) fn forward(&self, bias: FlexTensor) -> FlexTensor {
        let ([batch, _, grid @ ..], bias) = (dims::<5>(&self.inputs[0]), contiguous(bias));
        let (inputs, kernels) = (&self.maps(), self.kernels());
        let (coarse, [x, y, z], outputs) = match self.direction {
            Direction::Gather => (self.stencil.coarse(grid), self.stencil.coarse(grid), kernels.coarse),
            Direction::Scatter => (grid, self.stencil.fine(grid), kernels.fine),
        };
        let convolution = VolumeConvolution {
            batch,
            coarse,
            stencil: self.stencil,
            direction: self.direction,
            inputs,
            kernels,
            bias: values(&bias),
            slope: self.slope,
        };
        tensor(convolution.compute(&[outputs]).remove(0), [batch, outputs, x, y, z])
    }

    /// Computes the result and registers its backward pass; `M` is `N` plus weight and bias.
    pub(super) fn track<C: CheckpointStrategy, const M: usize>(
        self,
        bias: FlexTensor,
        nodes: [NodeGuard; M],
    ) -> FloatTensor<Autodiff<Flex, C>>
    where
        ConvolutionBackward: Backward<Flex, M, State = (Self, FlexTensor)>,
    {
        let output = self.forward(bias);
        track::<C, _, M>(ConvolutionBackward, nodes, (self, output.clone()), output)
    }

    /// Computes the gradients of inputs, weight and bias from the gradient of the output.
    fn backward(self, output: FlexTensor, gradient: FlexTensor, parents: Parents<N>, grads: &mut Gradients) {
        let [batch, outputs, grid @ ..] = dims::<5>(&output);
        let mut gradient = into_values(gradient);
        if self.slope != 1.0 {
            activation_backward(&mut gradient, values(&output), self.slope);
        }
        // Frees memory for the gradients.
        drop(output);
        let (stencil, maps, kernels) = (self.stencil, self.maps(), self.kernels());
        let gradient = Maps { values: &gradient, channels: outputs };
        if let Some(bias) = parents.bias {
            let bias_gradient = weight_gradient::bias(batch, grid.iter().product(), gradient);
            grads.register::<Flex>(bias, tensor(bias_gradient, [outputs]));
        }
        let (coarse, direction) = match self.direction {
            Direction::Gather => (grid, Direction::Scatter),
            Direction::Scatter => (stencil.coarse(grid), Direction::Gather),
        };
        if let Some(weight) = parents.weight {
            let gradient = match self.direction {
                Direction::Gather => weight_gradient::weight(batch, coarse, stencil, &maps, gradient),
                Direction::Scatter => weight_gradient::weight(batch, coarse, stencil, &[gradient], maps[0]),
            };
            grads.register::<Flex>(weight, tensor(gradient, dims::<5>(&self.weight)));
        }
        if parents.inputs.iter().any(Option::is_some) {
            let shapes = self.inputs.each_ref().map(dims::<5>);
            let inputs = &[gradient];
            let convolution =
                VolumeConvolution { batch, coarse, stencil, direction, inputs, kernels, bias: &[], slope: 1.0 };
            let gradients = convolution.compute(&shapes.map(|[_, channels, ..]| channels));
            for ((parent, shape), gradient) in parents.inputs.into_iter().zip(shapes).zip(gradients) {
                if let Some(parent) = parent {
                    grads.register::<Flex>(parent, tensor(gradient, shape));
                }
            }
        }
    }

    fn maps(&self) -> [Maps<'_>; N] {
        self.inputs.each_ref().map(|input| Maps { values: values(input), channels: dims::<5>(input)[1] })
    }

    fn kernels(&self) -> Kernels<'_> {
        let [coarse, fine, ..] = dims::<5>(&self.weight);
        Kernels { weights: values(&self.weight), coarse, fine }
    }
}

impl ConvolutionState<1> {
    pub(super) fn transposed(input: FlexTensor, weight: FlexTensor, stencil: Stencil) -> Self {
        let (inputs, weight) = ([contiguous(input)], contiguous(weight));
        Self { inputs, weight, stencil, direction: Direction::Scatter, slope: 1.0 }
    }
}

/// The backward pass of a convolution.
#[derive(Debug)]
pub(super) struct ConvolutionBackward;

/// The nodes of a convolution's operands; `None` for those that need no gradient.
struct Parents<const N: usize> {
    inputs: [Option<NodeId>; N],
    weight: Option<NodeId>,
    bias: Option<NodeId>,
}

impl Backward<Flex, 3> for ConvolutionBackward {
    type State = (ConvolutionState<1>, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let ([input, weight, bias], (state, output)) = (ops.parents.map(|node| Some(node?.id)), ops.state);
        state.backward(output, gradient, Parents { inputs: [input], weight, bias }, grads);
    }
}

impl Backward<Flex, 4> for ConvolutionBackward {
    type State = (ConvolutionState<2>, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let ([first, second, weight, bias], (state, output)) = (ops.parents.map(|node| Some(node?.id)), ops.state);
        state.backward(output, gradient, Parents { inputs: [first, second], weight, bias }, grads);
    }
}

/// Multiplies the gradient by the slope of the activation, whose output has the sign of its input.
fn activation_backward(gradient: &mut [f32], output: &[f32], slope: f32) {
    gradient.par_iter_mut().zip(output).for_each(|(gradient, output)| {
        *gradient = if *output > 0.0 { *gradient } else { *gradient * slope };
    });
}

/// The operands and moments of a normalization.
#[derive(Clone, Debug)]
pub(super) struct NormalizationState {
    /// Input, scale and shift.
    operands: [FlexTensor; 3],
    groups: usize,
    epsilon: f64,
    slope: f32,
    moments: Vec<Moments>,
}

impl NormalizationState {
    /// Computes the normalization; returns the output and the state for the backward pass.
    pub(super) fn forward(operands: [FlexTensor; 3], groups: usize, epsilon: f64, slope: f32) -> (FlexTensor, Self) {
        let mut state = Self { operands: operands.map(contiguous), groups, epsilon, slope, moments: Vec::new() };
        let (output, moments) = state.normalization().forward(values(&state.operands[0]));
        state.moments = moments;
        (tensor(output, dims::<5>(&state.operands[0])), state)
    }

    fn normalization(&self) -> GroupNormalization<'_> {
        let [input, scale, shift] = &self.operands;
        let voxels = dims::<5>(input)[2..].iter().product();
        let (scale, shift) = (values(scale), values(shift));
        GroupNormalization { groups: self.groups, voxels, scale, shift, epsilon: self.epsilon, slope: self.slope }
    }
}

/// The backward pass of a normalization.
#[derive(Debug)]
pub(super) struct NormalizationBackward;

impl Backward<Flex, 3> for NormalizationBackward {
    type State = NormalizationState;

    fn backward(self, ops: Ops<NormalizationState, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (gradient, state) = (into_values(grads.consume::<Flex>(&ops.node)), ops.state);
        let gradients = state.normalization().backward(values(&state.operands[0]), &state.moments, gradient);
        let gradients = [gradients.input, gradients.scale, gradients.shift];
        for ((parent, gradient), operand) in ops.parents.into_iter().zip(gradients).zip(&state.operands) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, FlexTensor::from_data(TensorData::new(gradient, operand.shape())));
            }
        }
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
