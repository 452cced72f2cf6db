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
//! | `sum` | the activation of a sum |
//! | `ops` | the operations as an extension of burn's backends |
//! | `autodiff` | states and backward passes, as burn's autodiff calls them |

use burn::backend::Dispatch;
use burn::tensor::Tensor;

mod autodiff;
mod average_pool;
mod blocked;
mod convolution;
mod direct;
mod max_pool;
mod normalization;
mod ops;
mod slab;
mod stencil;
mod sum;
mod tensors;
#[cfg(test)]
mod tests;
mod trilinear;
mod weight_gradient;

use crate::devices::flex;
pub use normalization::NormalizationSettings;
use ops::VolumeOps;
pub use stencil::Stencil;

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

/// Group normalization with a scale and a shift per channel, followed by a leaky ReLU.
///
/// # Shapes
/// - input, output: `[batch, channel, x, y, z]`
/// - scale, shift: `[channel]`
pub fn normalize(input: Tensor<5>, [scale, shift]: [Tensor<1>; 2], settings: NormalizationSettings) -> Tensor<5> {
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(Dispatch::normalize(input.into_dispatch(), scale, shift, settings))
}

/// [Normalization](normalize) followed by a [convolution](convolve) without activation. The normalized values are not
/// stored for the backward pass, but computed again.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`, whose axes are multiples of the stride
/// - scale, shift: `[channel]`
/// - weight: `[output, channel, kernel x, kernel y, kernel z]`
/// - bias: `[output]`
/// - output: `[batch, output, x / stride, y / stride, z / stride]`
pub fn normalize_convolve(
    input: Tensor<5>,
    [scale, shift]: [Tensor<1>; 2],
    settings: NormalizationSettings,
    weight: Tensor<5>,
    bias: Tensor<1>,
    stencil: Stencil,
) -> Tensor<5> {
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    let (input, weight, bias) = (input.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    Tensor::from_dispatch(Dispatch::normalize_convolve(input, scale, shift, settings, weight, bias, stencil))
}

/// The sum of two tensors, followed by a leaky ReLU with slope `slope` below 0.
///
/// # Shapes
/// - inputs, output: `[batch, channel, x, y, z]`
pub fn add_activate(first: Tensor<5>, second: Tensor<5>, slope: f64) -> Tensor<5> {
    Tensor::from_dispatch(Dispatch::add_activate(first.into_dispatch(), second.into_dispatch(), slope as f32))
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
