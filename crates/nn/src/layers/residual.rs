//! Residual stages, as in nnU-Net's residual encoder.

use burn::tensor::Tensor;

use super::average_pool::add_average_pool;
use super::block::{BlockShape, BlockStyle, ConvolutionUnit, add_sum, forward_units};
use super::convolution::ConvolutionShape;
use super::dropout::dropout;
use super::{Activation, Convolution, Normalization, Pass, average_pool};
use crate::onnx::{GraphBuilder, Value};
use crate::parameters::{Declarations, Initializer, Parameters};

/// Residual blocks in sequence, of which the first may have a stride.
#[derive(Clone, Debug)]
pub struct ResidualStage {
    blocks: Vec<ResidualBlock>,
    dropout: f64,
}

/// Two convolutions with normalization, whose output is added to the input before the last activation.
///
/// With a stride, the input is average-pooled; where the widths differ, a 1x1x1 convolution without bias and a
/// normalization follow.
#[derive(Clone, Debug)]
struct ResidualBlock {
    units: [ConvolutionUnit; 2],
    stride: [usize; 3],
    projection: Option<(Convolution, Normalization)>,
    activation: Activation,
}

impl ResidualStage {
    /// Declares a stage of `count` blocks; the first has the stride.
    pub fn declare(all: &mut Declarations, style: BlockStyle, name: &str, shape: BlockShape, count: usize) -> Self {
        let block = |index: usize| {
            let shape = match index {
                0 => shape,
                _ => BlockShape { input: shape.output, stride: [1; 3], ..shape },
            };
            ResidualBlock::declare(all, style, &format!("{name}.blocks.{index}"), shape)
        };
        Self { blocks: (0..count).map(block).collect(), dropout: style.dropout }
    }

    /// Applies the stage.
    ///
    /// # Shapes
    /// - input: `[batch, input, x, y, z]`
    /// - output: `[batch, output, x / stride, y / stride, z / stride]`
    pub fn forward(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        let mut hidden = input;
        for block in &self.blocks {
            hidden = block.forward(parameters, pass, hidden);
        }
        dropout(hidden, self.dropout, pass)
    }

    /// Adds the stage to an ONNX graph, for inference.
    pub(crate) fn add_to_graph(&self, graph: &mut GraphBuilder, input: Value) -> Value {
        self.blocks.iter().fold(input, |hidden, block| block.add_to_graph(graph, hidden))
    }
}

impl ResidualBlock {
    fn declare(
        all: &mut Declarations,
        style: BlockStyle,
        name: &str,
        BlockShape { input, output, kernel, stride }: BlockShape,
    ) -> Self {
        let first = ConvolutionShape { stride, ..ConvolutionShape::new([input, output], kernel) };
        let first = ConvolutionUnit::declare(all, style, (name, 1), first, Initializer::Ones);
        let last = ConvolutionShape::new([output, output], kernel);
        let last = ConvolutionUnit::declare(all, style, (name, 2), last, style.initialization.of_last_norm());
        let projection = (input != output).then(|| {
            let shape = ConvolutionShape { has_bias: false, ..ConvolutionShape::new([input, output], [1; 3]) };
            let convolution = Convolution::declare(all, &format!("{name}.shortcut"), shape, style.initialization);
            let name = format!("{name}.shortcut_norm");
            (convolution, Normalization::declare(all, style.norm, &name, output, Initializer::Ones))
        });
        Self { units: [first, last], stride, projection, activation: style.activation }
    }

    fn forward(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        let activations = [Some(self.activation), None];
        let hidden = forward_units(&self.units, parameters, pass, vec![input.clone()], activations);
        let pooled = average_pool(input, self.stride);
        let shortcut = match &self.projection {
            None => pooled,
            Some((convolution, norm)) => {
                let projected = convolution.forward(parameters, pass, vec![pooled], None);
                norm.forward(parameters, pass, projected, None)
            }
        };
        self.activation.of_sum(hidden, shortcut)
    }

    fn add_to_graph(&self, graph: &mut GraphBuilder, input: Value) -> Value {
        let [first, last] = &self.units;
        let hidden = first.add_to_graph(graph, std::slice::from_ref(&input), Some(self.activation));
        let hidden = last.add_to_graph(graph, &[hidden], None);
        let pooled = add_average_pool(graph, &input, self.stride);
        let shortcut = match &self.projection {
            None => pooled,
            Some((convolution, norm)) => {
                let projected = convolution.add_to_graph(graph, &[pooled], None);
                norm.add_to_graph(graph, projected, None)
            }
        };
        add_sum(graph, [&hidden, &shortcut], self.activation)
    }
}
