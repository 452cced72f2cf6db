//! The operations as an extension of burn's backends.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};

use super::autodiff::{
    AveragePoolBackward, ConvolutionState, MaxPoolBackward, NormalizationBackward, NormalizationState,
    NormalizedConvolutionBackward, NormalizedConvolutionState, SumBackward, TrilinearBackward, track,
};
use super::normalization::NormalizationSettings;
use super::stencil::Stencil;
use super::tensors::{contiguous, dims, into_values, tensor, values};
use super::{average_pool, max_pool, sum, trilinear};

/// The operations; see the functions of the same names.
#[backend_extension(Flex, Autodiff)]
pub trait VolumeOps: Backend {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
        slope: f32,
    ) -> FloatTensor<Self>;

    fn convolve_joined(
        first: FloatTensor<Self>,
        second: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
        slope: f32,
    ) -> FloatTensor<Self>;

    fn convolve_transposed(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
    ) -> FloatTensor<Self>;

    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: NormalizationSettings,
    ) -> FloatTensor<Self>;

    fn normalize_convolve(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: NormalizationSettings,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
    ) -> FloatTensor<Self>;

    fn add_activate(first: FloatTensor<Self>, second: FloatTensor<Self>, slope: f32) -> FloatTensor<Self>;

    fn max_pool(input: FloatTensor<Self>) -> FloatTensor<Self>;

    fn average_pool(input: FloatTensor<Self>, window: [usize; 3]) -> FloatTensor<Self>;

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
        settings: NormalizationSettings,
    ) -> FlexTensor {
        NormalizationState::forward([input, scale, shift], settings).0
    }

    fn normalize_convolve(
        input: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        settings: NormalizationSettings,
        weight: FlexTensor,
        bias: FlexTensor,
        stencil: Stencil,
    ) -> FlexTensor {
        Self::convolve(Self::normalize(input, scale, shift, settings), weight, bias, stencil, 1.0)
    }

    fn add_activate(first: FlexTensor, second: FlexTensor, slope: f32) -> FlexTensor {
        let (shape, second) = (dims::<5>(&first), contiguous(second));
        tensor(sum::forward(into_values(first), values(&second), slope), shape)
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
        settings: NormalizationSettings,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), scale.node(), shift.node()];
        let operands = [input, scale, shift].map(|tensor| tensor.into_primitive());
        let (output, state) = NormalizationState::forward(operands, settings);
        track::<C, _, 3>(NormalizationBackward, nodes, state, output)
    }

    fn normalize_convolve(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        settings: NormalizationSettings,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        stencil: Stencil,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), scale.node(), shift.node(), weight.node(), bias.node()];
        let operands = [input, scale, shift].map(|tensor| tensor.into_primitive());
        let [weight, bias] = [weight, bias].map(|tensor| tensor.into_primitive());
        let (output, state) = NormalizedConvolutionState::forward(operands, settings, weight, bias, stencil);
        track::<C, _, 5>(NormalizedConvolutionBackward, nodes, state, output)
    }

    fn add_activate(first: FloatTensor<Self>, second: FloatTensor<Self>, slope: f32) -> FloatTensor<Self> {
        let nodes = [first.node(), second.node()];
        let output = Flex::add_activate(first.into_primitive(), second.into_primitive(), slope);
        track::<C, _, 2>(SumBackward, nodes, (output.clone(), slope), output)
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
