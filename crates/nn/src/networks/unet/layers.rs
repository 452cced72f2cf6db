//! The layers of a U-Net.

use burn::tensor::Tensor;

use super::{Downsample, Unet, Upsample, gradients};
use crate::layers::{BlockStyle, Convolution, ConvolutionBlock, Pass, TransposedConvolution, max_pool, upsample};
use crate::networks::Layers;
use crate::parameters::{Declarations, Parameters};

/// The layers of a U-Net; their weights are in [`Parameters`].
#[derive(Clone, Debug)]
pub(super) struct UnetLayers {
    encoder: Vec<ConvolutionBlock>,
    decoder: Vec<DecoderLevel>,
    head: Convolution,
    downsample: Downsample,
}

/// One level of the decoder.
#[derive(Clone, Debug)]
struct DecoderLevel {
    up: Up,
    block: ConvolutionBlock,
}

/// The up-sampling of a level, with its layer.
#[derive(Clone, Debug)]
enum Up {
    Trilinear,
    Nearest,
    TransposedConvolution(TransposedConvolution),
}

impl UnetLayers {
    /// Declares the encoder from the full resolution down, the decoder from the deepest level up, and the head.
    pub fn declare(unet: &Unet, all: &mut Declarations, channels: usize, classes: usize) -> Self {
        let style = BlockStyle {
            norm: unet.norm,
            activation: unet.activation,
            dropout: unet.dropout.get(),
            residual: unet.residual,
        };
        let widths: Vec<usize> = unet.widths.iter().map(|width| width.get()).collect();
        let mut encoder = Vec::new();
        let mut input = channels;
        for (level, &width) in widths.iter().enumerate() {
            let stride = if level > 0 && unet.downsample == Downsample::StridedConv { 2 } else { 1 };
            encoder.push(ConvolutionBlock::declare(all, style, &format!("encoder.{level}"), [input, width], stride));
            input = width;
        }
        let mut decoder = Vec::new();
        for (level, &width) in widths.iter().rev().skip(1).enumerate() {
            let name = format!("decoder.{level}");
            let (up, from_below) = match unet.upsample {
                Upsample::Trilinear => (Up::Trilinear, input),
                Upsample::Nearest => (Up::Nearest, input),
                Upsample::TransposedConv => {
                    let up = TransposedConvolution::declare(all, &format!("{name}.up"), [input, width]);
                    (Up::TransposedConvolution(up), width)
                }
            };
            let block = ConvolutionBlock::declare(all, style, &name, [from_below + width, width], 1);
            decoder.push(DecoderLevel { up, block });
            input = width;
        }
        let head = Convolution::declare(all, "head", [input, classes], 1, 1);
        Self { encoder, decoder, head, downsample: unet.downsample }
    }

    /// Returns the number of levels of the encoder; the decoder has one level less.
    pub fn depth(&self) -> usize {
        self.encoder.len()
    }

    /// Computes a level of the encoder, counted from the full resolution down, from the output of the level above.
    pub fn encode(&self, level: usize, parameters: &Parameters, pass: &mut Pass, above: Tensor<5>) -> Tensor<5> {
        let is_pooled = level > 0 && self.downsample == Downsample::MaxPool;
        let input = if is_pooled { max_pool(above) } else { above };
        self.encoder[level].forward(parameters, pass, vec![input])
    }

    /// Computes a level of the decoder, counted from the deepest up, from the output of the level below and the encoder's
    /// output of the same resolution.
    pub fn decode(
        &self,
        level: usize,
        parameters: &Parameters,
        pass: &mut Pass,
        [below, skip]: [Tensor<5>; 2],
    ) -> Tensor<5> {
        let DecoderLevel { up, block } = &self.decoder[level];
        let up = match up {
            Up::Trilinear => upsample::trilinear(below),
            Up::Nearest => upsample::nearest(below),
            Up::TransposedConvolution(up) => up.forward(parameters, pass, below),
        };
        block.forward(parameters, pass, vec![up, skip])
    }

    /// Computes logits from the output of the last level of the decoder.
    pub fn classify(&self, parameters: &Parameters, pass: &Pass, hidden: Tensor<5>) -> Tensor<5> {
        self.head.forward(parameters, pass, vec![hidden], None)
    }
}

impl Layers for UnetLayers {
    fn forward(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        let mut skips = Vec::with_capacity(self.encoder.len());
        let mut hidden = input;
        for level in 0..self.encoder.len() {
            if level > 0 {
                skips.push(hidden.clone());
            }
            hidden = self.encode(level, parameters, pass, hidden);
        }
        for (level, skip) in skips.into_iter().rev().enumerate() {
            hidden = self.decode(level, parameters, pass, [hidden, skip]);
        }
        self.classify(parameters, pass, hidden)
    }

    fn gradients_block_by_block(
        &self,
        parameters: &Parameters,
        pass: &mut Pass,
        input: Tensor<5>,
        loss: Box<dyn FnOnce(Tensor<5>) -> Tensor<1> + '_>,
    ) -> (Tensor<1>, Vec<Option<Tensor<1>>>) {
        gradients::gradients(self, parameters, pass, input, loss)
    }
}
