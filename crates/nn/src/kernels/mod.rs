//! What `flex` computes in loops of our own, where burn's take several times as long.
//!
//! Each is an operation of burn's, with its gradients: where a network runs on another device, it is made of burn's
//! operations instead. Results are those of the definitions up to rounding, and the same for any number of threads.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

mod backward;
mod convolution;
mod norm;
mod pool;
mod slab;
mod tensors;
#[cfg(test)]
mod tests;
mod upsample;
mod weight_gradient;

use crate::devices::flex;
use backward::{Convolved, NormalizationGradient, Normalized, PoolGradient, UpsampleGradient, finish};
use tensors::{dims, in_order, tensor, values};

/// Whether the operations here are for the device of a tensor.
pub fn support(input: &Tensor<5>) -> bool {
    flex::is_flex(&input.device())
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
pub fn normalize(
    input: Tensor<5>,
    [scale, shift]: [Tensor<1>; 2],
    groups: usize,
    epsilon: f64,
    slope: f64,
) -> Tensor<5> {
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(Dispatch::normalize(input.into_dispatch(), scale, shift, groups, epsilon, slope as f32))
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
        epsilon: f64,
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

    fn normalize(
        input: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        groups: usize,
        epsilon: f64,
        slope: f32,
    ) -> FlexTensor {
        Normalized::new([input, scale, shift], groups, epsilon, slope).0
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
        epsilon: f64,
        slope: f32,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), scale.node(), shift.node()];
        let given = [input, scale, shift].map(|tensor| tensor.into_primitive());
        let (output, normalized) = Normalized::new(given, groups, epsilon, slope);
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
