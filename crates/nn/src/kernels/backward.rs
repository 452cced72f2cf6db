//! What each operation keeps, and its way back: from the gradient by its output to those by what went in.

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

use super::convolution::{Convolution, Kernels};
use super::norm::{Moments, Normalization};
use super::slab::Maps;
use super::tensors::{dims, in_order, owned, tensor, values};
use super::{pool, upsample, weight_gradient};

/// The result of an operation with its way back.
pub(super) fn finish<C: CheckpointStrategy, O: Backward<Flex, N>, const N: usize>(
    gradient: O,
    nodes: [NodeGuard; N],
    state: O::State,
    output: FlexTensor,
) -> FloatTensor<Autodiff<Flex, C>> {
    match gradient.prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(step) => step.finish(state, output),
        OpsKind::UnTracked(step) => step.finish(output),
    }
}

/// What a convolution is made of, but for its bias.
#[derive(Clone, Debug)]
pub(super) struct Convolved<const N: usize> {
    inputs: [FlexTensor; N],
    weight: FlexTensor,
    slope: f32,
}

impl<const N: usize> Convolved<N> {
    pub(super) fn new(inputs: [FlexTensor; N], weight: FlexTensor, slope: f32) -> Self {
        Self { inputs: inputs.map(in_order), weight: in_order(weight), slope }
    }

    pub(super) fn forward(&self, bias: FlexTensor) -> FlexTensor {
        let ([batch, _, grid @ ..], bias) = (dims::<5>(&self.inputs[0]), in_order(bias));
        let (inputs, kernels) = (&self.maps(), self.kernels());
        let convolution = Convolution { batch, grid, inputs, kernels, bias: values(&bias), slope: self.slope };
        let output = convolution.compute(&[kernels.outputs]).remove(0);
        tensor(output, [batch, kernels.outputs, grid[0], grid[1], grid[2]])
    }

    /// The result, with its way back: `M` is `N` and the weight and bias.
    pub(super) fn track<C: CheckpointStrategy, const M: usize>(
        self,
        bias: FlexTensor,
        nodes: [NodeGuard; M],
    ) -> FloatTensor<Autodiff<Flex, C>>
    where
        ConvolutionGradient: Backward<Flex, M, State = (Self, FlexTensor)>,
    {
        let output = self.forward(bias);
        finish::<C, _, M>(ConvolutionGradient, nodes, (self, output.clone()), output)
    }

    /// Takes the gradient by the output to those by the inputs, the weight and the bias.
    fn back(self, output: FlexTensor, gradient: FlexTensor, parents: Parents<N>, grads: &mut Gradients) {
        let [batch, _, grid @ ..] = dims::<5>(&self.inputs[0]);
        let mut gradient = owned(gradient);
        if self.slope != 1.0 {
            through(&mut gradient, values(&output), self.slope);
        }
        // What is not needed any more makes room for what comes.
        drop(output);
        let kernels = self.kernels();
        let gradient = Maps { values: &gradient, channels: kernels.outputs };
        if let Some(bias) = parents.bias {
            let found = weight_gradient::by_bias(batch, grid.iter().product(), gradient);
            grads.register::<Flex>(bias, tensor(found, [kernels.outputs]));
        }
        if let Some(weight) = parents.weight {
            let found = weight_gradient::by_kernels(batch, grid, &self.maps(), gradient);
            grads.register::<Flex>(weight, tensor(found, dims::<5>(&self.weight)));
        }
        if parents.inputs.iter().any(Option::is_some) {
            let turned = kernels.turned();
            let kernels = Kernels { weights: &turned, outputs: kernels.inputs, inputs: kernels.outputs };
            let shapes = self.inputs.map(|input| dims::<5>(&input));
            let convolution = Convolution { batch, grid, inputs: &[gradient], kernels, bias: &[], slope: 1.0 };
            let found = convolution.compute(&shapes.map(|[_, channels, ..]| channels));
            for ((parent, shape), found) in parents.inputs.into_iter().zip(shapes).zip(found) {
                if let Some(parent) = parent {
                    grads.register::<Flex>(parent, tensor(found, shape));
                }
            }
        }
    }

    fn maps(&self) -> [Maps<'_>; N] {
        self.inputs.each_ref().map(|input| Maps { values: values(input), channels: dims::<5>(input)[1] })
    }

    fn kernels(&self) -> Kernels<'_> {
        let [outputs, inputs, ..] = dims::<5>(&self.weight);
        Kernels { weights: values(&self.weight), outputs, inputs }
    }
}

/// The way back of a convolution.
#[derive(Debug)]
pub(super) struct ConvolutionGradient;

/// What a convolution's gradients go to; `None` where nobody asks.
struct Parents<const N: usize> {
    inputs: [Option<NodeId>; N],
    weight: Option<NodeId>,
    bias: Option<NodeId>,
}

impl Backward<Flex, 3> for ConvolutionGradient {
    type State = (Convolved<1>, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let ([input, weight, bias], (convolved, output)) = (ops.parents.map(|node| Some(node?.id)), ops.state);
        convolved.back(output, gradient, Parents { inputs: [input], weight, bias }, grads);
    }
}

impl Backward<Flex, 4> for ConvolutionGradient {
    type State = (Convolved<2>, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<Flex>(&ops.node);
        let ([first, second, weight, bias], (convolved, output)) = (ops.parents.map(|node| Some(node?.id)), ops.state);
        convolved.back(output, gradient, Parents { inputs: [first, second], weight, bias }, grads);
    }
}

/// Makes of the gradient after an activation the one before it, from the activation's output.
fn through(gradient: &mut [f32], output: &[f32], slope: f32) {
    gradient.par_iter_mut().zip(output).for_each(|(gradient, output)| {
        *gradient = if *output > 0.0 { *gradient } else { *gradient * slope };
    });
}

/// What a normalisation was made of.
#[derive(Clone, Debug)]
pub(super) struct Normalized {
    /// Input, scale and shift.
    given: [FlexTensor; 3],
    groups: usize,
    epsilon: f64,
    slope: f32,
    moments: Vec<Moments>,
}

impl Normalized {
    pub(super) fn new(given: [FlexTensor; 3], groups: usize, epsilon: f64, slope: f32) -> (FlexTensor, Self) {
        let mut made = Self { given: given.map(in_order), groups, epsilon, slope, moments: Vec::new() };
        let (output, moments) = made.normalization().forward(values(&made.given[0]));
        made.moments = moments;
        (tensor(output, dims::<5>(&made.given[0])), made)
    }

    fn normalization(&self) -> Normalization<'_> {
        let [input, scale, shift] = &self.given;
        let voxels = dims::<5>(input)[2..].iter().product();
        let (scale, shift) = (values(scale), values(shift));
        Normalization { groups: self.groups, voxels, scale, shift, epsilon: self.epsilon, slope: self.slope }
    }
}

/// The way back of a normalisation.
#[derive(Debug)]
pub(super) struct NormalizationGradient;

impl Backward<Flex, 3> for NormalizationGradient {
    type State = Normalized;

    fn backward(self, ops: Ops<Normalized, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (gradient, made) = (owned(grads.consume::<Flex>(&ops.node)), ops.state);
        let found = made.normalization().back(values(&made.given[0]), &made.moments, gradient);
        let found = [found.input, found.scale, found.shift];
        for ((parent, found), given) in ops.parents.into_iter().zip(found).zip(&made.given) {
            if let Some(parent) = parent {
                grads.register::<Flex>(parent.id, FlexTensor::from_data(TensorData::new(found, given.shape())));
            }
        }
    }
}

/// The way back of max pooling.
#[derive(Debug)]
pub(super) struct PoolGradient;

impl Backward<Flex, 1> for PoolGradient {
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([parent], input) = (ops.parents, ops.state);
        let gradient = in_order(grads.consume::<Flex>(&ops.node));
        if let Some(parent) = parent {
            let shape @ [.., y, z] = dims::<5>(&input);
            let found = pool::back(values(&input), [y, z], values(&gradient));
            grads.register::<Flex>(parent.id, tensor(found, shape));
        }
    }
}

/// The way back of up-sampling.
#[derive(Debug)]
pub(super) struct UpsampleGradient;

impl Backward<Flex, 1> for UpsampleGradient {
    /// The input's shape.
    type State = [usize; 5];

    fn backward(self, ops: Ops<[usize; 5], 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let ([parent], shape @ [_, _, grid @ ..]) = (ops.parents, ops.state);
        let gradient = in_order(grads.consume::<Flex>(&ops.node));
        if let Some(parent) = parent {
            grads.register::<Flex>(parent.id, tensor(upsample::back(values(&gradient), grid), shape));
        }
    }
}
