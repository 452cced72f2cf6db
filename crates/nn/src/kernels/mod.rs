//! Kernels of the CPU backend `flex` for operations in which burn's own kernels are several times slower.
//!
//! Each extends burn's backend by an operation with autodiff ([`VolumeOps`]). On other devices the layers compute the same
//! from burn's operations. Results are exact up to rounding and do not depend on the number of threads.
//!
//! | file | kernel |
//! |---|---|
//! | `convolution` | convolution and transposed convolution of any `stencil` |
//! | `direct` | those of few channels, on the padded layout of `slab` |
//! | `blocked` | those of many channels: Winograd's algorithm, and products of gathered rows |
//! | `weight_gradient` | gradients of a convolution's weight and bias |
//! | `normalization` | instance and group normalization, fused with the activation |
//! | `max_pool`, `average_pool`, `trilinear` | pooling and trilinear up-sampling |
//! | `autodiff` | states and backward passes, as burn's autodiff calls them |

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;

mod autodiff;
mod average_pool;
mod blocked;
mod convolution;
mod direct;
mod max_pool;
mod normalization;
mod slab;
mod stencil;
mod tensors;
#[cfg(test)]
mod tests;
mod trilinear;
mod weight_gradient;

use crate::devices::flex;
use autodiff::{
    AveragePoolBackward, ConvolutionState, MaxPoolBackward, NormalizationBackward, NormalizationState,
    TrilinearBackward, track,
};
pub use stencil::Stencil;
use tensors::{contiguous, dims, tensor, values};

/// Returns whether the kernels support the device of a tensor.
pub fn support(input: &Tensor<5>) -> bool {
    flex::is_flex(&input.device())
}

/// Convolution of one or two inputs, concatenated along the channel axis, followed by a leaky ReLU with slope `slope` below 0
/// (1 for none).
///
/// # Shapes
/// - inputs: `[batch, channel, x, y, z]`, all with the same grid, whose axes are multiples of the stride
/// - weight: `[output, channels of all inputs, kernel x, kernel y, kernel z]`
/// - bias: `[output]`
/// - output: `[batch, output, x / stride, y / stride, z / stride]`
pub fn convolve(inputs: Vec<Tensor<5>>, weight: Tensor<5>, bias: Tensor<1>, stencil: Stencil, slope: f64) -> Tensor<5> {
    let (weight, bias, slope) = (weight.into_dispatch(), bias.into_dispatch(), slope as f32);
    let mut inputs = inputs.into_iter().map(Tensor::into_dispatch);
    Tensor::from_dispatch(match (inputs.next(), inputs.next()) {
        (Some(first), Some(second)) => Dispatch::convolve_joined(first, second, weight, bias, stencil, slope),
        (Some(input), None) => Dispatch::convolve(input, weight, bias, stencil, slope),
        (None, _) => unreachable!("a convolution has at least one input"),
    })
}

/// Transposed convolution whose kernel covers each output voxel once: its kernel is its stride.
///
/// # Shapes
/// - input: `[batch, input, x, y, z]`
/// - weight: `[input, output, stride x, stride y, stride z]`
/// - bias: `[output]`
/// - output: `[batch, output, x * stride, y * stride, z * stride]`
pub fn convolve_transposed(input: Tensor<5>, weight: Tensor<5>, bias: Tensor<1>) -> Tensor<5> {
    let [.., x, y, z] = weight.dims();
    let (input, weight, bias) = (input.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::convolve_transposed(input, weight, bias, Stencil::tiling([x, y, z])))
}

/// Group normalization with a scale and a shift per channel, followed by a leaky ReLU with slope `slope` below 0 (1 for
/// none).
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

/// Max pooling with a 2x2x2 window and stride 2; the gradient goes to the first of equal maxima in the order x, y, z.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`, each axis even
/// - output: `[batch, channel, x / 2, y / 2, z / 2]`
pub fn max_pool(input: Tensor<5>) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::max_pool(input.into_dispatch()))
}

/// Average pooling with a window that is its stride.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`, each axis a multiple of the window
/// - output: `[batch, channel, x / window, y / window, z / window]`
pub fn average_pool(input: Tensor<5>, window: [usize; 3]) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::average_pool(input.into_dispatch(), window))
}

/// Trilinear up-sampling to twice the size with aligned corners.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`
/// - output: `[batch, channel, 2x, 2y, 2z]`
pub fn trilinear(input: Tensor<5>) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::trilinear(input.into_dispatch()))
}

/// The operations as an extension of burn's backends.
#[backend_extension(Flex, Autodiff)]
pub trait VolumeOps: Backend {
    /// See [`convolve`](fn@convolve).
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
        slope: f32,
    ) -> FloatTensor<Self>;

    /// See [`convolve`](fn@convolve).
    fn convolve_joined(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
        slope: f32,
    ) -> FloatTensor<Self>;

    /// See [`convolve_transposed`](fn@convolve_transposed).
    fn convolve_transposed(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
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

    /// See [`average_pool`](fn@average_pool).
    fn average_pool(input: FloatTensor<Self>, window: [usize; 3]) -> FloatTensor<Self>;

    /// See [`trilinear`](fn@trilinear).
    fn trilinear(input: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl VolumeOps for Flex {
    fn convolve(input: FlexTensor, weight: FlexTensor, bias: FlexTensor, stencil: Stencil, slope: f32) -> FlexTensor {
        ConvolutionState::convolution([input], weight, stencil, slope).forward(bias)
    }

    fn convolve_joined(
        first: FlexTensor,
        second: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        stencil: Stencil,
        slope: f32,
    ) -> FlexTensor {
        ConvolutionState::convolution([first, second], weight, stencil, slope).forward(bias)
    }

    fn convolve_transposed(input: FlexTensor, weight: FlexTensor, bias: FlexTensor, stencil: Stencil) -> FlexTensor {
        ConvolutionState::transposed(input, weight, stencil).forward(bias)
    }

    fn normalize(
        input: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        groups: usize,
        epsilon: f64,
        slope: f32,
    ) -> FlexTensor {
        NormalizationState::forward([input, scale, shift], groups, epsilon, slope).0
    }

    fn max_pool(input: FlexTensor) -> FlexTensor {
        let ([batch, channels, x, y, z], input) = (dims(&input), contiguous(input));
        tensor(max_pool::forward(values(&input), [y, z]), [batch, channels, x / 2, y / 2, z / 2])
    }

    fn average_pool(input: FlexTensor, window: [usize; 3]) -> FlexTensor {
        let ([batch, channels, grid @ ..], input) = (dims::<5>(&input), contiguous(input));
        let [x, y, z] = std::array::from_fn(|axis| grid[axis] / window[axis]);
        tensor(average_pool::forward(values(&input), grid, window), [batch, channels, x, y, z])
    }

    fn trilinear(input: FlexTensor) -> FlexTensor {
        let ([batch, channels, x, y, z], input) = (dims(&input), contiguous(input));
        tensor(trilinear::forward(values(&input), [x, y, z]), [batch, channels, 2 * x, 2 * y, 2 * z])
    }
}

impl<C: CheckpointStrategy> VolumeOps for Autodiff<Flex, C> {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
        slope: f32,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node(), bias.node()];
        let [input, weight, bias] = [input, weight, bias].map(|tensor| tensor.into_primitive());
        ConvolutionState::convolution([input], weight, stencil, slope).track::<C, 3>(bias, nodes)
    }

    fn convolve_joined(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
        slope: f32,
    ) -> FloatTensor<Self> {
        let nodes = [first.node(), second.node(), weight.node(), bias.node()];
        let [first, second, weight, bias] = [first, second, weight, bias].map(|tensor| tensor.into_primitive());
        ConvolutionState::convolution([first, second], weight, stencil, slope).track::<C, 4>(bias, nodes)
    }

    fn convolve_transposed(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node(), bias.node()];
        let [input, weight, bias] = [input, weight, bias].map(|tensor| tensor.into_primitive());
        ConvolutionState::transposed(input, weight, stencil).track::<C, 3>(bias, nodes)
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
        let operands = [input, scale, shift].map(|tensor| tensor.into_primitive());
        let (output, state) = NormalizationState::forward(operands, groups, epsilon, slope);
        track::<C, _, 3>(NormalizationBackward, nodes, state, output)
    }

    fn max_pool(input: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = [input.node()];
        let input = contiguous(input.into_primitive());
        let output = Flex::max_pool(input.clone());
        track::<C, _, 1>(MaxPoolBackward, node, input, output)
    }

    fn average_pool(input: FloatTensor<Self>, window: [usize; 3]) -> FloatTensor<Self> {
        let node = [input.node()];
        let input = input.into_primitive();
        let state = (dims(&input), window);
        track::<C, _, 1>(AveragePoolBackward, node, state, Flex::average_pool(input, window))
    }

    fn trilinear(input: FloatTensor<Self>) -> FloatTensor<Self> {
        let node = [input.node()];
        let input = input.into_primitive();
        let shape = dims(&input);
        track::<C, _, 1>(TrilinearBackward, node, shape, Flex::trilinear(input))
    }
}
