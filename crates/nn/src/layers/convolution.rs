//! Convolutions and transposed convolutions.

use burn::tensor::Tensor;
use burn::tensor::module::{conv_transpose3d, conv3d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};

use super::activation::{activate, add_activation};
use super::{Activation, Initialization, Pass, Unnormalized};
#[cfg(feature = "flex")]
use crate::kernels;
use crate::onnx::{GraphBuilder, Value, builder};
use crate::parameters::{Declarations, ParameterId, Parameters};

/// A 3-D convolution with zero padding that preserves the grid, apart from the stride.
#[derive(Clone, Debug)]
pub struct Convolution {
    weight: ParameterId,
    bias: Option<ParameterId>,
    kernel: [usize; 3],
    stride: [usize; 3],
}

/// The settings of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionShape {
    /// Channels of the input.
    pub input: usize,
    /// Channels of the output.
    pub output: usize,
    /// The kernel's size along each axis, odd.
    pub kernel: [usize; 3],
    /// Input voxels per output voxel along each axis.
    pub stride: [usize; 3],
    /// Whether a bias is added.
    pub has_bias: bool,
}

impl ConvolutionShape {
    /// A convolution with bias and without stride.
    pub fn new([input, output]: [usize; 2], kernel: [usize; 3]) -> Self {
        Self { input, output, kernel, stride: [1; 3], has_bias: true }
    }
}

impl Convolution {
    /// Declares a convolution.
    pub fn declare(
        all: &mut Declarations,
        name: &str,
        ConvolutionShape { input, output, kernel, stride, has_bias }: ConvolutionShape,
        initialization: Initialization,
    ) -> Self {
        let [x, y, z] = kernel;
        let [weights, biases] = initialization.of_convolution(input * x * y * z);
        let weight = all.trained(format!("{name}.weight"), &[output, input, x, y, z], weights);
        let bias = has_bias.then(|| all.trained(format!("{name}.bias"), &[output], biases));
        Self { weight, bias, kernel, stride }
    }

    /// Convolves the concatenation of the inputs along the channel axis, then applies the activation.
    ///
    /// # Shapes
    /// - inputs: `[batch, channel, x, y, z]`, with as many channels in total as the convolution has inputs, and axes that
    ///   are multiples of the stride
    /// - output: `[batch, output, x / stride, y / stride, z / stride]`
    pub fn forward(
        &self,
        parameters: &Parameters,
        pass: &Pass,
        inputs: Vec<Tensor<5>>,
        activation: Option<Activation>,
    ) -> Tensor<5> {
        #[cfg(feature = "flex")]
        if kernels::support(&inputs[0]) {
            let (weight, bias, stencil) = self.kernel(parameters, &inputs[0]);
            let slope = activation.map_or(1.0, Activation::negative_slope);
            return kernels::convolve(inputs, weight, bias, stencil, slope);
        }
        let weight = parameters.get::<5>(self.weight);
        let bias = self.bias.map(|bias| parameters.get::<1>(bias));
        let (input, stride) = match self.kernel {
            // burn's CubeCL backends compute wrong gradients of strided 1x1x1 convolutions (0.22.1).
            [1, 1, 1] => (subsample(concatenate(inputs), self.stride), [1; 3]),
            _ => (concatenate(inputs), self.stride),
        };
        let options = ConvOptions::new(stride, self.kernel.map(|size| size / 2), [1; 3], 1);
        let precision = pass.precision;
        let [input, weight] = [input, weight].map(|tensor| precision.lower(tensor));
        let bias = bias.map(|bias| precision.lower(bias));
        activate(precision.raise(conv3d(input, weight, bias, options)), activation)
    }

    /// Normalizes the input, convolves the result, then applies the activation; see [`forward`](Self::forward).
    pub fn forward_normalized(
        &self,
        parameters: &Parameters,
        pass: &mut Pass,
        input: Unnormalized,
        activation: Option<Activation>,
    ) -> Tensor<5> {
        #[cfg(feature = "flex")]
        if activation.is_none()
            && let Some((affine, settings)) = input.kernel(parameters)
        {
            let (weight, bias, stencil) = self.kernel(parameters, &input.input);
            return kernels::normalize_convolve(input.input, affine, settings, weight, bias, stencil);
        }
        let input = input.forward(parameters, pass);
        self.forward(parameters, pass, vec![input], activation)
    }

    /// Returns weight, bias and stencil for the kernel of `flex`.
    #[cfg(feature = "flex")]
    fn kernel(&self, parameters: &Parameters, input: &Tensor<5>) -> (Tensor<5>, Tensor<1>, kernels::Stencil) {
        let weight = parameters.get::<5>(self.weight);
        let bias = self.bias.map(|bias| parameters.get::<1>(bias));
        let bias = bias.unwrap_or_else(|| Tensor::zeros([weight.dims()[0]], &input.device().inner()));
        (weight, bias, kernels::Stencil::centred(self.kernel, self.stride))
    }

    /// Adds the convolution of the concatenation of the inputs to an ONNX graph.
    pub(crate) fn add_to_graph(
        &self,
        graph: &mut GraphBuilder,
        inputs: &[Value],
        activation: Option<Activation>,
    ) -> Value {
        let input = add_concatenation(graph, inputs);
        let name = graph.layer(self.weight);
        let weight = graph.parameter(self.weight);
        let bias = self.bias.map(|bias| graph.parameter(bias));
        let half = self.kernel.map(|size| size / 2);
        let attributes = vec![
            builder::ints("kernel_shape", self.kernel),
            builder::ints("pads", half.into_iter().chain(half)),
            builder::ints("strides", self.stride),
        ];
        let inputs: Vec<Option<&Value>> =
            [Some(&input), Some(&weight)].into_iter().chain(bias.iter().map(Some)).collect();
        let output = graph.node("Conv", &name, &inputs, attributes);
        add_activation(graph, output, activation)
    }
}

/// A transposed convolution whose kernel is its stride, which enlarges the grid.
#[derive(Clone, Debug)]
pub struct TransposedConvolution {
    weight: ParameterId,
    bias: ParameterId,
    stride: [usize; 3],
}

impl TransposedConvolution {
    /// Declares a transposed convolution from `input` to `output` channels.
    pub fn declare(
        all: &mut Declarations,
        name: &str,
        [input, output]: [usize; 2],
        stride: [usize; 3],
        initialization: Initialization,
    ) -> Self {
        let [x, y, z] = stride;
        // PyTorch computes the fan-in from the second axis of the weight, transposed or not.
        let [weights, biases] = initialization.of_convolution(output * x * y * z);
        let weight = all.trained(format!("{name}.weight"), &[input, output, x, y, z], weights);
        let bias = all.trained(format!("{name}.bias"), &[output], biases);
        Self { weight, bias, stride }
    }

    /// Applies the transposed convolution.
    ///
    /// # Shapes
    /// - input: `[batch, input, x, y, z]`
    /// - output: `[batch, output, x * stride, y * stride, z * stride]`
    pub fn forward(&self, parameters: &Parameters, pass: &Pass, input: Tensor<5>) -> Tensor<5> {
        let (weight, bias) = (parameters.get::<5>(self.weight), parameters.get::<1>(self.bias));
        #[cfg(feature = "flex")]
        if kernels::support(&input) {
            return kernels::convolve_transposed(input, weight, bias);
        }
        let options = ConvTransposeOptions::new(self.stride, [0; 3], [0; 3], [1; 3], 1);
        let precision = pass.precision;
        let [input, weight] = [input, weight].map(|tensor| precision.lower(tensor));
        precision.raise(conv_transpose3d(input, weight, Some(precision.lower(bias)), options))
    }

    /// Adds the transposed convolution to an ONNX graph.
    pub(crate) fn add_to_graph(&self, graph: &mut GraphBuilder, input: &Value) -> Value {
        let name = graph.layer(self.weight);
        let (weight, bias) = (graph.parameter(self.weight), graph.parameter(self.bias));
        let attributes = vec![builder::ints("kernel_shape", self.stride), builder::ints("strides", self.stride)];
        graph.node("ConvTranspose", &name, &[Some(input), Some(&weight), Some(&bias)], attributes)
    }
}

/// Concatenates tensors along the channel axis.
pub(super) fn concatenate(mut inputs: Vec<Tensor<5>>) -> Tensor<5> {
    if inputs.len() == 1 { inputs.remove(0) } else { Tensor::cat(inputs, 1) }
}

/// Adds the concatenation of values along the channel axis to an ONNX graph.
pub(super) fn add_concatenation(graph: &mut GraphBuilder, inputs: &[Value]) -> Value {
    match inputs {
        [only] => only.clone(),
        _ => {
            let inputs: Vec<Option<&Value>> = inputs.iter().map(Some).collect();
            graph.node("Concat", "concatenation", &inputs, vec![builder::int("axis", 1)])
        }
    }
}

/// Returns every `stride`-th voxel along each axis, starting with the first.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`, each axis a multiple of the stride
/// - output: `[batch, channel, x / stride, y / stride, z / stride]`
fn subsample(input: Tensor<5>, stride: [usize; 3]) -> Tensor<5> {
    if stride == [1; 3] {
        return input;
    }
    let [batch, channel, x, y, z] = input.dims();
    let [x, y, z] = [x / stride[0], y / stride[1], z / stride[2]];
    let blocks = input.reshape([batch * channel, x, stride[0], y, stride[1], z, stride[2]]);
    let first = blocks.slice([0..batch * channel, 0..x, 0..1, 0..y, 0..1, 0..z, 0..1]);
    first.reshape([batch, channel, x, y, z])
}
