//! The building block of a level: convolutions with normalization and activation.

use burn::tensor::Tensor;

use super::convolution::{ConvolutionShape, add_concatenation, concatenate};
use super::dropout::dropout;
use super::{Activation, Convolution, Initialization, Norm, Normalization, Pass, Unnormalized};
use crate::onnx::{GraphBuilder, Value};
use crate::parameters::{Declarations, Initializer, Parameters};

/// A convolution, its normalization and the activation.
#[derive(Clone, Debug)]
pub struct ConvolutionUnit {
    convolution: Convolution,
    norm: Normalization,
}

/// Convolutions in sequence, each followed by its normalization and the activation.
#[derive(Clone, Debug)]
pub struct ConvolutionBlock {
    units: Vec<ConvolutionUnit>,
    shortcut: Option<Shortcut>,
    activation: Activation,
    dropout: f64,
}

/// The shortcut connection of a residual block.
#[derive(Clone, Debug)]
enum Shortcut {
    Identity,
    Projection(Convolution),
}

/// The settings that all blocks of a network have in common.
#[derive(Clone, Copy, Debug)]
pub struct BlockStyle {
    /// Normalization after each convolution.
    pub norm: Norm,
    /// Activation after each normalization.
    pub activation: Activation,
    /// Probability of dropping a channel at the end of the block.
    pub dropout: f64,
    /// Initial weights of convolutions.
    pub initialization: Initialization,
}

/// The size of a block.
#[derive(Clone, Copy, Debug)]
pub struct BlockShape {
    /// Channels of the input.
    pub input: usize,
    /// Channels of the output.
    pub output: usize,
    /// The kernel of all convolutions.
    pub kernel: [usize; 3],
    /// The stride of the first convolution.
    pub stride: [usize; 3],
}

impl ConvolutionUnit {
    /// Declares the unit `index`, counted from 1, of a block. `last_scale` is the initial scale of its normalization.
    pub fn declare(
        all: &mut Declarations,
        style: BlockStyle,
        (name, index): (&str, usize),
        shape: ConvolutionShape,
        scale: Initializer,
    ) -> Self {
        let convolution = Convolution::declare(all, &format!("{name}.conv{index}"), shape, style.initialization);
        let name = format!("{name}.norm{index}");
        Self { convolution, norm: Normalization::declare(all, style.norm, &name, shape.output, scale) }
    }

    /// Applies the convolution to the concatenation of the inputs; normalization and activation are to follow.
    fn start(
        &self,
        parameters: &Parameters,
        pass: &Pass,
        inputs: Vec<Tensor<5>>,
        activation: Option<Activation>,
    ) -> Unnormalized<'_> {
        let [fused, activation] = self.fused(activation);
        let input = self.convolution.forward(parameters, pass, inputs, fused);
        Unnormalized { input, norm: &self.norm, activation }
    }

    /// Applies the convolution to the output of another unit; normalization and activation are to follow.
    fn follow(
        &self,
        parameters: &Parameters,
        pass: &mut Pass,
        input: Unnormalized,
        activation: Option<Activation>,
    ) -> Unnormalized<'_> {
        let [fused, activation] = self.fused(activation);
        let input = self.convolution.forward_normalized(parameters, pass, input, fused);
        Unnormalized { input, norm: &self.norm, activation }
    }

    /// Returns the activation that the convolution applies, because no normalization follows, and that after the
    /// normalization.
    fn fused(&self, activation: Option<Activation>) -> [Option<Activation>; 2] {
        match self.norm {
            Normalization::Absent => [activation, None],
            _ => [None, activation],
        }
    }

    /// Adds the unit to an ONNX graph.
    pub(crate) fn add_to_graph(
        &self,
        graph: &mut GraphBuilder,
        inputs: &[Value],
        activation: Option<Activation>,
    ) -> Value {
        let hidden = self.convolution.add_to_graph(graph, inputs, None);
        self.norm.add_to_graph(graph, hidden, activation)
    }
}

impl ConvolutionBlock {
    /// Declares a block of `count` convolutions; if `residual` is true, its input is added to its output.
    pub fn declare(
        all: &mut Declarations,
        style: BlockStyle,
        name: &str,
        BlockShape { input, output, kernel, stride }: BlockShape,
        count: usize,
        residual: bool,
    ) -> Self {
        let unit = |index| {
            let shape = match index {
                1 => ConvolutionShape { stride, ..ConvolutionShape::new([input, output], kernel) },
                _ => ConvolutionShape::new([output, output], kernel),
            };
            ConvolutionUnit::declare(all, style, (name, index), shape, Initializer::Ones)
        };
        let units = (1..=count).map(unit).collect();
        let shortcut = residual.then(|| {
            if input == output && stride == [1; 3] {
                return Shortcut::Identity;
            }
            let shape = ConvolutionShape { stride, ..ConvolutionShape::new([input, output], [1; 3]) };
            let name = format!("{name}.shortcut");
            Shortcut::Projection(Convolution::declare(all, &name, shape, style.initialization))
        });
        Self { units, shortcut, activation: style.activation, dropout: style.dropout }
    }

    /// Applies the block to the concatenation of the inputs along the channel axis.
    ///
    /// # Shapes
    /// - inputs: `[batch, channel, x, y, z]`, with as many channels in total as the block has inputs
    /// - output: `[batch, output, x / stride, y / stride, z / stride]`
    pub fn forward(&self, parameters: &Parameters, pass: &mut Pass, inputs: Vec<Tensor<5>>) -> Tensor<5> {
        let shortcut = self.shortcut.as_ref().map(|shortcut| match shortcut {
            Shortcut::Identity => concatenate(inputs.clone()),
            Shortcut::Projection(convolution) => convolution.forward(parameters, pass, inputs.clone(), None),
        });
        let activations = [Some(self.activation), shortcut.is_none().then_some(self.activation)];
        let hidden = forward_units(&self.units, parameters, pass, inputs, activations);
        let hidden = match shortcut {
            None => hidden,
            Some(shortcut) => self.activation.of_sum(hidden, shortcut),
        };
        dropout(hidden, self.dropout, pass)
    }

    /// Adds the block of the concatenation of the inputs to an ONNX graph, for inference.
    pub(crate) fn add_to_graph(&self, graph: &mut GraphBuilder, inputs: &[Value]) -> Value {
        let input = add_concatenation(graph, inputs);
        let shortcut = self.shortcut.as_ref().map(|shortcut| match shortcut {
            Shortcut::Identity => input.clone(),
            Shortcut::Projection(convolution) => convolution.add_to_graph(graph, std::slice::from_ref(&input), None),
        });
        let (last, first) = self.units.split_last().expect("a block has at least one convolution");
        let mut hidden = input;
        for unit in first {
            hidden = unit.add_to_graph(graph, &[hidden], Some(self.activation));
        }
        match shortcut {
            None => last.add_to_graph(graph, &[hidden], Some(self.activation)),
            Some(shortcut) => {
                let hidden = last.add_to_graph(graph, &[hidden], None);
                add_sum(graph, [&hidden, &shortcut], self.activation)
            }
        }
    }
}

/// Applies units in sequence to the concatenation of the inputs; `activations` are that after each unit but the last one,
/// and that after the last one.
pub fn forward_units(
    units: &[ConvolutionUnit],
    parameters: &Parameters,
    pass: &mut Pass,
    inputs: Vec<Tensor<5>>,
    activations: [Option<Activation>; 2],
) -> Tensor<5> {
    let activation = |index: usize| activations[usize::from(index + 1 == units.len())];
    let (first, rest) = units.split_first().expect("there is at least one convolution");
    let mut hidden = first.start(parameters, pass, inputs, activation(0));
    for (index, unit) in rest.iter().enumerate() {
        hidden = unit.follow(parameters, pass, hidden, activation(index + 1));
    }
    hidden.forward(parameters, pass)
}

/// Adds the activation of the sum of two values to an ONNX graph.
pub(super) fn add_sum(graph: &mut GraphBuilder, values: [&Value; 2], activation: Activation) -> Value {
    let sum = graph.node("Add", "sum", &values.map(Some), Vec::new());
    activation.add_to_graph(graph, &sum)
}
