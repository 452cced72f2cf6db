//! Convolutions and transposed convolutions.

use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose3d, conv3d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

use super::activation::activate;
use super::{Activation, Pass};
#[cfg(feature = "flex")]
use crate::kernels;
use crate::parameters::{Declarations, Initializer, ParameterId, Parameters};

/// A 3-D convolution with bias.
#[derive(Clone, Debug)]
pub struct Convolution {
    weight: ParameterId,
    bias: ParameterId,
    stride: usize,
    padding: usize,
}

impl Convolution {
    /// Declares a convolution with a cubic kernel and zero padding that preserves the grid, apart from the stride.
    pub fn declare(
        all: &mut Declarations,
        name: &str,
        [input, output]: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> Self {
        // PyTorch's default, Kaiming uniform with a = √5, is uniform in ±1/√fan_in.
        let initializer = Initializer::Uniform { bound: 1.0 / ((input * kernel.pow(3)) as f64).sqrt() };
        let weight = all.trained(format!("{name}.weight"), &[output, input, kernel, kernel, kernel], initializer);
        let bias = all.trained(format!("{name}.bias"), &[output], initializer);
        Self { weight, bias, stride, padding: kernel / 2 }
    }

    /// Convolves the concatenation of the inputs along the channel axis, then applies the activation.
    ///
    /// # Shapes
    /// - inputs: `[batch, channel, x, y, z]`, with as many channels in total as the convolution has inputs
    /// - output: `[batch, output, x / stride, y / stride, z / stride]`
    pub fn forward(
        &self,
        parameters: &Parameters,
        pass: &Pass,
        inputs: Vec<Tensor<5>>,
        activation: Option<Activation>,
    ) -> Tensor<5> {
        let (weight, bias) = (parameters.get(self.weight), parameters.get(self.bias));
        #[cfg(feature = "flex")]
        if self.padding == 1 && self.stride == 1 && kernels::support(&inputs[0]) {
            return kernels::convolve(inputs, weight, bias, activation.map_or(1.0, Activation::negative_slope));
        }
        let (input, stride) = match self.padding {
            // burn's CubeCL backends compute wrong gradients of strided 1x1x1 convolutions (0.22.1).
            0 => (subsample(concatenate(inputs), self.stride), 1),
            _ => (concatenate(inputs), self.stride),
        };
        let options = ConvOptions::new([stride; 3], [self.padding; 3], [1; 3], 1);
        let precision = pass.precision;
        let [input, weight] = [input, weight].map(|tensor| precision.lower(tensor));
        activate(precision.raise(conv3d(input, weight, Some(precision.lower(bias)), options)), activation)
    }
}

/// A transposed convolution with a 2x2x2 kernel and stride 2, which doubles the grid.
#[derive(Clone, Debug)]
pub struct TransposedConvolution {
    weight: ParameterId,
    bias: ParameterId,
}

impl TransposedConvolution {
    /// Declares a transposed convolution from `input` to `output` channels.
    pub fn declare(all: &mut Declarations, name: &str, [input, output]: [usize; 2]) -> Self {
        // PyTorch computes the fan-in from the second axis of the weight, transposed or not.
        let initializer = Initializer::Uniform { bound: 1.0 / ((output * 8) as f64).sqrt() };
        let weight = all.trained(format!("{name}.weight"), &[input, output, 2, 2, 2], initializer);
        let bias = all.trained(format!("{name}.bias"), &[output], initializer);
        Self { weight, bias }
    }

    /// Applies the transposed convolution.
    ///
    /// # Shapes
    /// - input: `[batch, input, x, y, z]`
    /// - output: `[batch, output, 2x, 2y, 2z]`
    pub fn forward(&self, parameters: &Parameters, pass: &Pass, input: Tensor<5>) -> Tensor<5> {
        let options = ConvTransposeOptions::new([2; 3], [0; 3], [0; 3], [1; 3], 1);
        let precision = pass.precision;
        let [input, weight] = [input, parameters.get(self.weight)].map(|tensor| precision.lower(tensor));
        let bias = precision.lower(parameters.get(self.bias));
        precision.raise(conv_transpose3d(input, weight, Some(bias), options))
    }
}

/// Concatenates tensors along the channel axis.
pub(super) fn concatenate(mut inputs: Vec<Tensor<5>>) -> Tensor<5> {
    if inputs.len() == 1 { inputs.remove(0) } else { Tensor::cat(inputs, 1) }
}

/// Returns every `stride`-th voxel along each axis, starting with the first.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`, each axis a multiple of the stride
/// - output: `[batch, channel, x / stride, y / stride, z / stride]`
fn subsample(input: Tensor<5>, stride: usize) -> Tensor<5> {
    if stride == 1 {
        return input;
    }
    let [batch, channel, x, y, z] = input.dims();
    let [x, y, z] = [x, y, z].map(|size| size / stride);
    let blocks = input.reshape([batch * channel, x, stride, y, stride, z, stride]);
    let first = blocks.slice([0..batch * channel, 0..x, 0..1, 0..y, 0..1, 0..z, 0..1]);
    first.reshape([batch, channel, x, y, z])
}
