//! The building block of a level: two 3x3x3 convolutions.

use burn::tensor::Tensor;

use super::convolution::concatenate;
use super::dropout::dropout;
use super::{Activation, Convolution, Norm, Normalization, Pass};
use crate::parameters::{Declarations, Parameters};

/// Two 3x3x3 convolutions, each followed by its normalization and the activation.
#[derive(Clone, Debug)]
pub struct ConvolutionBlock {
    convolutions: [Convolution; 2],
    norms: [Normalization; 2],
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
    /// Whether the input is added to the output.
    pub residual: bool,
}

impl ConvolutionBlock {
    /// Declares a block from `input` to `output` channels; the stride is that of its first convolution.
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
        let activation = Some(self.activation);
        let hidden = self.convolve(0, parameters, pass, inputs, activation);
        let hidden = match shortcut {
            None => self.convolve(1, parameters, pass, vec![hidden], activation),
            Some(shortcut) => {
                let hidden = self.convolve(1, parameters, pass, vec![hidden], None);
                self.activation.forward(hidden.add(shortcut))
            }
        };
        dropout(hidden, self.dropout, pass)
    }

    /// Applies a convolution, its normalization and the activation.
    fn convolve(
        &self,
        index: usize,
        parameters: &Parameters,
        pass: &mut Pass,
        inputs: Vec<Tensor<5>>,
        activation: Option<Activation>,
    ) -> Tensor<5> {
        let (convolution, norm) = (&self.convolutions[index], &self.norms[index]);
        if let Normalization::Absent = norm {
            return convolution.forward(parameters, pass, inputs, activation);
        }
        let hidden = convolution.forward(parameters, pass, inputs, None);
        norm.forward(parameters, pass, hidden, activation)
    }
}
