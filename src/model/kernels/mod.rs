//! What `flex` computes in loops of our own, where burn's take several times as long.
//!
//! Each is an operation of burn's, with its gradients: where a network runs on another device, it is made of burn's
//! operations instead. Results are those of the definitions up to rounding, and the same for any number of threads.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, NodeGuard, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

mod convolution;
mod norm;
mod pool;
mod slab;
#[cfg(test)]
mod tests;
mod upsample;
mod weight_gradient;

use super::device;
use convolution::{Convolution, Kernels};
use norm::{Moments, Normalization};
use slab::Maps;

/// Whether the operations here are for the device of a tensor.
pub fn serve(input: &Tensor<5>) -> bool {
    device::is_flex(&input.device())
}

/// Convolution with kernels of 3x3x3 at every voxel, zeros around, of one or two inputs whose channels are joined;
/// numbers of the result below 0 are multiplied by `slope`.
///
/// # Shapes
/// - inputs: `[batch, channel, x, y, z]` of one grid
/// - weight: `[output, channels of all inputs, 3, 3, 3]`
/// - bias: `[output]`
/// - output: `[batch, output, x, y, z]`
pub fn convolve(inputs: Vec<Tensor<5>>, weight: Tensor<5>, bias: Tensor<1>, slope: f64) -> Tensor<5> {
    let (weight, bias, slope) = (weight.into_dispatch(), bias.into_dispatch(), slope as f32);
    let mut inputs = inputs.into_iter().map(Tensor::into_dispatch);
    Tensor::from_dispatch(match (inputs.next(), inputs.next()) {
        (Some(first), Some(second)) => Dispatch::convolve_joined(first, second, weight, bias, slope),
        (Some(input), None) => Dispatch::convolve(input, weight, bias, slope),
        (None, _) => unreachable!("a convolution has an input"),
    })
}

/// Normalisation of each of `groups` groups of channels of each patch, with a scale and a shift of each channel; numbers
/// of the result below 0 are multiplied by `slope`.
///
/// # Shapes
/// - input, output: `[batch, channel, x, y, z]`
/// - scale, shift: `[channel]`
pub fn normalize(input: Tensor<5>, [scale, shift]: [Tensor<1>; 2], groups: usize, slope: f64) -> Tensor<5> {
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(Dispatch::normalize(input.into_dispatch(), scale, shift, groups, slope as f32))
}

/// The largest of each 2x2x2 voxels; gradients go to the first of equal ones in order of x, y, z.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`, each axis even
/// - output: `[batch, channel, x / 2, y / 2, z / 2]`
pub fn max_pool(input: Tensor<5>) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::max_pool(input.into_dispatch()))
}

/// Trilinear interpolation to twice the size with aligned corners.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`
/// - output: `[batch, channel, 2x, 2y, 2z]`
pub fn trilinear(input: Tensor<5>) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::trilinear(input.into_dispatch()))
}

/// The operations, as burn asks for them.
#[backend_extension(Flex, Autodiff)]
pub trait VolumeOps: Backend {
    /// See [`convolve`](fn@convolve).
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        slope: f32,
    ) -> FloatTensor<Self>;

    /// See [`convolve`](fn@convolve).
    fn convolve_joined(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        slope: f32,
    ) -> FloatTensor<Self>;

    /// See [`normalize`](fn@normalize).
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        slope: f32,
    ) -> FloatTensor<Self>;

    /// See [`max_pool`](fn@max_pool).
    fn max_pool(input: FloatTensor<Self>) -> FloatTensor<Self>;

    /// See [`trilinear`](fn@trilinear).
    fn trilinear(input: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl VolumeOps for Flex {
    fn convolve(input: FlexTensor, weight: FlexTensor, bias: FlexTensor, slope: f32) -> FlexTensor {
        Convolved::new([input], weight, slope).forward(bias)
    }

    fn convolve_joined(
        first: FlexTensor,
        second: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        slope: f32,
    ) -> FlexTensor {
        Convolved::new([first, second], weight, slope).forward(bias)
    }

    fn normalize(input: FlexTensor, scale: FlexTensor, shift: FlexTensor, groups: usize, slope: f32) -> FlexTensor {
        Normalized::new([input, scale, shift], groups, slope).0
    }

    fn max_pool(input: FlexTensor) -> FlexTensor {
        let ([batch, channels, x, y, z], input) = (dims(&input), in_order(input));
        tensor(pool::forward(values(&input), [y, z]), [batch, channels, x / 2, y / 2, z / 2])
    }

    fn trilinear(input: FlexTensor) -> FlexTensor {
        let ([batch, channels, x, y, z], input) = (dims(&input), in_order(input));
        tensor(upsample::forward(values(&input), [x, y, z]), [batch, channels, 2 * x, 2 * y, 2 * z])
    }
}

impl<C: CheckpointStrategy> VolumeOps for Autodiff<Flex, C> {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        slope: f32,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node(), bias.node()];
        let [input, weight, bias] = [input, weight, bias].map(|tensor| tensor.into_primitive());
        Convolved::new([input], weight, slope).track::<C, 3>(bias, nodes)
    }

    fn convolve_joined(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        slope: f32,
    ) -> FloatTensor<Self> {
        let nodes = [first.node(), second.node(), weight.node(), bias.node()];
        let [first, second, weight, bias] = [first, second, weight, bias].map(|tensor| tensor.into_primitive());
        Convolved::new([first, second], weight, slope).track::<C, 4>(bias, nodes)
    }

    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        slope: f32,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), scale.node(), shift.node()];
        let (output, normalized) =
            Normalized::new([input, scale, shift].map(|tensor| tensor.into_primitive()), groups, slope);
        finish::<C, _, 3>(NormalizationGradient, nodes, normalized, output)
    }

    fn max_pool(input: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = [input.node()];
        let input = in_order(input.into_primitive());
        let output = Flex::max_pool(input.clone());
        finish::<C, _, 1>(PoolGradient, node, input, output)
    }

    fn trilinear(input: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = [input.node()];
        let input = input.into_primitive();
        let shape = dims(&input);
        finish::<C, _, 1>(UpsampleGradient, node, shape, Flex::trilinear(input))
    }
}

/// The result of an operation with its way back.
fn finish<C: CheckpointStrategy, O: Backward<Flex, N>, const N: usize>(
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
struct Convolved<const N: usize> {
    inputs: [FlexTensor; N],
    weight: FlexTensor,
    slope: f32,
}

impl<const N: usize> Convolved<N> {
    fn new(inputs: [FlexTensor; N], weight: FlexTensor, slope: f32) -> Self {
        Self { inputs: inputs.map(in_order), weight: in_order(weight), slope }
    }

    fn forward(&self, bias: FlexTensor) -> FlexTensor {
        let ([batch, _, grid @ ..], bias) = (dims::<5>(&self.inputs[0]), in_order(bias));
        let (inputs, kernels) = (&self.maps(), self.kernels());
        let convolution = Convolution { batch, grid, inputs, kernels, bias: values(&bias), slope: self.slope };
        let output = convolution.compute(&[kernels.outputs]).remove(0);
        tensor(output, [batch, kernels.outputs, grid[0], grid[1], grid[2]])
    }

    /// The result, with its way back: `M` is `N` and the weight and bias.
    fn track<C: CheckpointStrategy, const M: usize>(
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
struct ConvolutionGradient;

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
struct Normalized {
    /// Input, scale and shift.
    given: [FlexTensor; 3],
    groups: usize,
    slope: f32,
    moments: Vec<Moments>,
}

impl Normalized {
    fn new(given: [FlexTensor; 3], groups: usize, slope: f32) -> (FlexTensor, Self) {
        let mut made = Self { given: given.map(in_order), groups, slope, moments: Vec::new() };
        let (output, moments) = made.normalization().forward(values(&made.given[0]));
        made.moments = moments;
        (tensor(output, dims::<5>(&made.given[0])), made)
    }

    fn normalization(&self) -> Normalization<'_> {
        let [input, scale, shift] = &self.given;
        let voxels = dims::<5>(input)[2..].iter().product();
        let (scale, shift) = (values(scale), values(shift));
        Normalization { groups: self.groups, voxels, scale, shift, slope: self.slope }
    }
}

/// The way back of a normalisation.
#[derive(Debug)]
struct NormalizationGradient;

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
struct PoolGradient;

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
struct UpsampleGradient;

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

/// A tensor whose numbers lie in the order of its axes.
fn in_order(tensor: FlexTensor) -> FlexTensor {
    tensor.to_contiguous()
}

/// The numbers of a tensor in order, without a copy where nobody else has them.
fn owned(tensor: FlexTensor) -> Vec<f32> {
    in_order(tensor).into_data().try_into_vec().expect("32-bit floats")
}

/// The numbers of a tensor in order.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice().expect("32-bit floats in order")
}

fn dims<const D: usize>(tensor: &FlexTensor) -> [usize; D] {
    tensor.shape().dims()
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}
