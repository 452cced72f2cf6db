//! The layers of a network: convolution, normalisation, activation, dropout.

use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::module::{conv_transpose3d, conv3d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Tensor, TensorData};

use super::float_format::FloatFormat;
use super::norm::Normalization;
use super::parameters::{Declarations, ParameterId, Parameters, Start};
use super::unet::{Activation, Norm};
use random::Rng;

/// One pass through a network: what differs between training and inference.
#[derive(Debug, Default)]
pub struct Pass {
    /// The stream that dropout draws from; `None` at inference.
    pub(super) training: Option<Rng>,
    /// What convolutions are computed with.
    pub(super) precision: FloatFormat,
    /// Running statistics as they are after this pass.
    pub(super) updates: Vec<(ParameterId, Tensor<1>)>,
}

impl Pass {
    /// A pass that trains; dropout draws from `rng`.
    pub fn training(rng: Rng, precision: FloatFormat) -> Self {
        Self { training: Some(rng), precision, updates: Vec::new() }
    }

    /// A pass that changes nothing.
    pub fn inference() -> Self {
        Self::default()
    }

    /// Stores the running statistics that the pass has moved.
    pub fn finish(self, parameters: &mut Parameters) {
        for (id, value) in self.updates {
            parameters.set_buffer(id, value);
        }
    }
}

/// A 3-D convolution with bias.
#[derive(Clone, Debug)]
pub struct Convolution {
    weight: ParameterId,
    bias: ParameterId,
    stride: usize,
    padding: usize,
}

impl Convolution {
    /// A cubic kernel that keeps the grid, or halves it with a stride of 2.
    pub fn declare(
        all: &mut Declarations,
        name: &str,
        [input, output]: [usize; 2],
        kernel: usize,
        stride: usize,
    ) -> Self {
        // PyTorch's default, Kaiming uniform with a = √5, is uniform in ±1/√fan_in.
        let start = Start::Uniform { bound: 1.0 / ((input * kernel.pow(3)) as f64).sqrt() };
        let weight = all.trained(format!("{name}.weight"), &[output, input, kernel, kernel, kernel], start);
        let bias = all.trained(format!("{name}.bias"), &[output], start);
        Self { weight, bias, stride, padding: kernel / 2 }
    }

    /// The convolution of inputs whose channels are joined, and what follows it.
    ///
    /// # Shapes
    /// - inputs: `[batch, channel, x, y, z]`, together as many channels as the convolution takes
    /// - output: `[batch, output, x / stride, y / stride, z / stride]`
    pub fn forward(
        &self,
        parameters: &Parameters,
        pass: &Pass,
        inputs: Vec<Tensor<5>>,
        then: Option<Activation>,
    ) -> Tensor<5> {
        let (weight, bias) = (parameters.get(self.weight), parameters.get(self.bias));
        #[cfg(feature = "flex")]
        if self.padding == 1 && self.stride == 1 && super::kernels::serve(&inputs[0]) {
            return super::kernels::convolve(inputs, weight, bias, then.map_or(1.0, Activation::slope));
        }
        let (input, stride) = match self.padding {
            // Of a kernel of one voxel burn's CubeCL backends give wrong gradients where there is a stride (0.22.1).
            0 => (every_other(joined(inputs), self.stride), 1),
            _ => (joined(inputs), self.stride),
        };
        let options = ConvOptions::new([stride; 3], [self.padding; 3], [1; 3], 1);
        let precision = pass.precision;
        let [input, weight] = [input, weight].map(|tensor| precision.lower(tensor));
        after(precision.raise(conv3d(input, weight, Some(precision.lower(bias)), options)), then)
    }
}

/// A transposed convolution of 2x2x2 with stride 2, which doubles the grid.
#[derive(Clone, Debug)]
pub struct TransposedConvolution {
    weight: ParameterId,
    bias: ParameterId,
}

impl TransposedConvolution {
    /// From `input` to `output` channels.
    pub fn declare(all: &mut Declarations, name: &str, [input, output]: [usize; 2]) -> Self {
        // PyTorch takes the second axis of the weight for the fan-in, transposed or not.
        let start = Start::Uniform { bound: 1.0 / ((output * 8) as f64).sqrt() };
        let weight = all.trained(format!("{name}.weight"), &[input, output, 2, 2, 2], start);
        let bias = all.trained(format!("{name}.bias"), &[output], start);
        Self { weight, bias }
    }

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

/// A layer's output, with what follows it.
pub fn after(output: Tensor<5>, then: Option<Activation>) -> Tensor<5> {
    match then {
        Some(activation) => activation.forward(output),
        None => output,
    }
}

/// Inputs side by side, as one.
fn joined(mut inputs: Vec<Tensor<5>>) -> Tensor<5> {
    if inputs.len() == 1 { inputs.remove(0) } else { Tensor::cat(inputs, 1) }
}

/// The first of each `stride` voxels along each axis.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`, each axis a multiple of the stride
/// - output: `[batch, channel, x / stride, y / stride, z / stride]`
fn every_other(input: Tensor<5>, stride: usize) -> Tensor<5> {
    if stride == 1 {
        return input;
    }
    let [batch, channel, x, y, z] = input.dims();
    let [x, y, z] = [x, y, z].map(|size| size / stride);
    let blocks = input.reshape([batch * channel, x, stride, y, stride, z, stride]);
    let first = blocks.slice([0..batch * channel, 0..x, 0..1, 0..y, 0..1, 0..z, 0..1]);
    first.reshape([batch, channel, x, y, z])
}

/// What numbers below 0 are multiplied by in a leaky ReLU.
const LEAK: f64 = 0.01;

impl Activation {
    /// What numbers below 0 are multiplied by.
    pub fn slope(self) -> f64 {
        match self {
            Activation::Relu => 0.0,
            Activation::LeakyRelu => LEAK,
        }
    }

    /// # Shapes
    /// - input, output: `[batch, channel, x, y, z]`
    pub fn forward(self, input: Tensor<5>) -> Tensor<5> {
        match self {
            Activation::Relu => relu(input),
            Activation::LeakyRelu => leaky_relu(input, LEAK),
        }
    }
}

/// Sets whole channels to zero in training, and enlarges the others so that the mean stays.
///
/// The mask is drawn on the host, so that every backend drops the same channels.
///
/// # Shapes
/// - input, output: `[batch, channel, x, y, z]`
pub fn dropout(input: Tensor<5>, share: f64, pass: &mut Pass) -> Tensor<5> {
    match &mut pass.training {
        Some(rng) if share > 0.0 => {
            let [batch, channels, ..] = input.dims();
            let kept = (1.0 / (1.0 - share)) as f32;
            let mask =
                (0..batch * channels).map(|_| if rng.bernoulli(share) { 0.0 } else { kept }).collect::<Vec<f32>>();
            let mask = TensorData::new(mask, [batch, channels, 1, 1, 1]);
            let device = input.device().inner();
            input.mul(Tensor::from_data(mask, &device))
        }
        _ => input,
    }
}

/// Two 3x3x3 convolutions, each followed by its normalisation and the activation.
#[derive(Clone, Debug)]
pub struct Block {
    convolutions: [Convolution; 2],
    norms: [Normalization; 2],
    shortcut: Option<Shortcut>,
    activation: Activation,
    dropout: f64,
}

/// How a block's input reaches its sum.
#[derive(Clone, Debug)]
enum Shortcut {
    Identity,
    Projection(Convolution),
}

/// What the blocks of a network have in common.
#[derive(Clone, Copy, Debug)]
pub struct BlockStyle {
    /// After each convolution.
    pub norm: Norm,
    /// After each normalisation.
    pub activation: Activation,
    /// Share of channels dropped at the end of the block.
    pub dropout: f64,
    /// Whether the input is added to the output.
    pub residual: bool,
}

impl Block {
    /// A block from `input` to `output` channels; its first convolution has the given stride.
    pub fn declare(
        all: &mut Declarations,
        style: BlockStyle,
        name: &str,
        [input, output]: [usize; 2],
        stride: usize,
    ) -> Self {
        let conv1 = Convolution::declare(all, &format!("{name}.conv1"), [input, output], 3, stride);
        let norm1 = Normalization::declare(all, style.norm, &format!("{name}.norm1"), output);
        let conv2 = Convolution::declare(all, &format!("{name}.conv2"), [output, output], 3, 1);
        let norm2 = Normalization::declare(all, style.norm, &format!("{name}.norm2"), output);
        let shortcut = style.residual.then(|| {
            if input == output && stride == 1 {
                Shortcut::Identity
            } else {
                let name = format!("{name}.shortcut");
                Shortcut::Projection(Convolution::declare(all, &name, [input, output], 1, stride))
            }
        });
        let (activation, dropout) = (style.activation, style.dropout);
        Self { convolutions: [conv1, conv2], norms: [norm1, norm2], shortcut, activation, dropout }
    }

    /// The block's output, of inputs whose channels are joined.
    ///
    /// # Shapes
    /// - inputs: `[batch, channel, x, y, z]`, together as many channels as the block takes
    /// - output: `[batch, output, x / stride, y / stride, z / stride]`
    pub fn forward(&self, parameters: &Parameters, pass: &mut Pass, inputs: Vec<Tensor<5>>) -> Tensor<5> {
        let shortcut = self.shortcut.as_ref().map(|shortcut| match shortcut {
            Shortcut::Identity => joined(inputs.clone()),
            Shortcut::Projection(convolution) => convolution.forward(parameters, pass, inputs.clone(), None),
        });
        let activation = Some(self.activation);
        let hidden = self.layer(0, parameters, pass, inputs, activation);
        let hidden = match shortcut {
            None => self.layer(1, parameters, pass, vec![hidden], activation),
            Some(shortcut) => {
                let hidden = self.layer(1, parameters, pass, vec![hidden], None);
                self.activation.forward(hidden.add(shortcut))
            }
        };
        dropout(hidden, self.dropout, pass)
    }

    /// A convolution, its normalisation, and the activation after them.
    fn layer(
        &self,
        number: usize,
        parameters: &Parameters,
        pass: &mut Pass,
        inputs: Vec<Tensor<5>>,
        then: Option<Activation>,
    ) -> Tensor<5> {
        let (convolution, norm) = (&self.convolutions[number], &self.norms[number]);
        if let Normalization::Absent = norm {
            return convolution.forward(parameters, pass, inputs, then);
        }
        let hidden = convolution.forward(parameters, pass, inputs, None);
        norm.forward(parameters, pass, hidden, then)
    }
}
