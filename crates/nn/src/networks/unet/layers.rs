//! The layers of a U-Net.

use burn::tensor::Tensor;

use super::{Downsample, Encoder, Unet, Upsample, gradients};
use crate::layers::max_pool::add_max_pool;
use crate::layers::upsample::{add_nearest, add_trilinear};
use crate::layers::{
    BlockShape, BlockStyle, Convolution, ConvolutionBlock, ConvolutionShape, ConvolutionUnit, Pass, ResidualStage,
    TransposedConvolution, forward_units, max_pool, upsample,
};
use crate::networks::Layers;
use crate::onnx::{GraphBuilder, Value};
use crate::parameters::{Declarations, Initializer, Parameters};

/// The layers of a U-Net; their weights are in [`Parameters`].
#[derive(Clone, Debug)]
pub(super) struct UnetLayers {
    stem: Option<ConvolutionUnit>,
    encoder: Vec<EncoderLevel>,
    decoder: Vec<DecoderLevel>,
    head: Convolution,
    style: BlockStyle,
}

/// One level of the encoder.
#[derive(Clone, Debug)]
struct EncoderLevel {
    /// The window of the pooling before the convolutions; 1 along every axis for none.
    pooling: [usize; 3],
    convolutions: Convolutions,
}

/// The convolutions of a level of the encoder.
#[derive(Clone, Debug)]
enum Convolutions {
    Plain(ConvolutionBlock),
    Residual(ResidualStage),
}

/// One level of the decoder.
#[derive(Clone, Debug)]
struct DecoderLevel {
    up: Up,
    block: ConvolutionBlock,
    /// The convolution to the classes with deep supervision; that of the last level is the network's head.
    head: Option<Convolution>,
}

/// The up-sampling of a level, with its factors or its layer.
#[derive(Clone, Debug)]
enum Up {
    Trilinear([usize; 3]),
    Nearest([usize; 3]),
    TransposedConvolution(TransposedConvolution),
}

impl UnetLayers {
    /// Declares the encoder from the full resolution down, the decoder from the deepest level up, and the head.
    pub fn declare(unet: &Unet, all: &mut Declarations, channels: usize, classes: usize) -> Self {
        let style = BlockStyle {
            norm: unet.norm,
            activation: unet.activation,
            dropout: unet.dropout.get(),
            initialization: unet.initialization,
        };
        let widths: Vec<usize> = unet.widths.iter().map(|width| width.get()).collect();
        let mut input = channels;
        let stem = (unet.encoder == Encoder::Residual).then(|| {
            let shape = ConvolutionShape::new([input, widths[0]], unet.kernel(0));
            input = widths[0];
            ConvolutionUnit::declare(all, style, ("encoder.stem", 1), shape, Initializer::Ones)
        });
        let mut encoder = Vec::new();
        for (level, &output) in widths.iter().enumerate() {
            let (pooling, stride) = match unet.downsample {
                Downsample::MaxPool => (unet.stride(level), [1; 3]),
                Downsample::StridedConv => ([1; 3], unet.stride(level)),
            };
            let shape = BlockShape { input, output, kernel: unet.kernel(level), stride };
            let (name, count) = (format!("encoder.{level}"), unet.encoder_convs(level));
            let convolutions = match unet.encoder {
                Encoder::Plain => {
                    Convolutions::Plain(ConvolutionBlock::declare(all, style, &name, shape, count, unet.residual))
                }
                Encoder::Residual => Convolutions::Residual(ResidualStage::declare(all, style, &name, shape, count)),
            };
            encoder.push(EncoderLevel { pooling, convolutions });
            input = output;
        }
        let mut decoder = Vec::new();
        for (index, (level, &output)) in widths.iter().enumerate().rev().skip(1).enumerate() {
            let (name, factors) = (format!("decoder.{index}"), unet.stride(level + 1));
            let (up, from_below) = match unet.upsample {
                Upsample::Trilinear => (Up::Trilinear(factors), input),
                Upsample::Nearest => (Up::Nearest(factors), input),
                Upsample::TransposedConv => {
                    let (name, channels) = (format!("{name}.up"), [input, output]);
                    let up = TransposedConvolution::declare(all, &name, channels, factors, style.initialization);
                    (Up::TransposedConvolution(up), output)
                }
            };
            let shape = BlockShape { input: from_below + output, output, kernel: unet.kernel(level), stride: [1; 3] };
            let count = unet.decoder_convs(level);
            let block = ConvolutionBlock::declare(all, style, &name, shape, count, unet.residual);
            let head = (unet.deep_supervision && level > 0).then(|| {
                let shape = ConvolutionShape::new([output, classes], [1; 3]);
                Convolution::declare(all, &format!("{name}.head"), shape, style.initialization)
            });
            decoder.push(DecoderLevel { up, block, head });
            input = output;
        }
        let shape = ConvolutionShape::new([input, classes], [1; 3]);
        let head = Convolution::declare(all, "head", shape, style.initialization);
        Self { stem, encoder, decoder, head, style }
    }

    /// Returns the number of levels of the encoder; the decoder has one level less.
    pub fn depth(&self) -> usize {
        self.encoder.len()
    }

    /// Computes a level of the encoder, counted from the full resolution down, from the output of the level above.
    pub fn encode(&self, level: usize, parameters: &Parameters, pass: &mut Pass, above: Tensor<5>) -> Tensor<5> {
        let EncoderLevel { pooling, convolutions } = &self.encoder[level];
        let input = if *pooling == [1; 3] { above } else { max_pool(above, *pooling) };
        let input = match &self.stem {
            Some(stem) if level == 0 => {
                let activation = Some(self.style.activation);
                forward_units(std::slice::from_ref(stem), parameters, pass, vec![input], [activation; 2])
            }
            _ => input,
        };
        match convolutions {
            Convolutions::Plain(block) => block.forward(parameters, pass, vec![input]),
            Convolutions::Residual(stage) => stage.forward(parameters, pass, input),
        }
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
        let DecoderLevel { up, block, .. } = &self.decoder[level];
        let up = match up {
            Up::Trilinear(factors) => upsample::trilinear(below, *factors),
            Up::Nearest(factors) => upsample::nearest(below, *factors),
            Up::TransposedConvolution(up) => up.forward(parameters, pass, below),
        };
        block.forward(parameters, pass, vec![up, skip])
    }

    /// Computes logits from the output of the last level of the decoder.
    pub fn classify(&self, parameters: &Parameters, pass: &Pass, hidden: Tensor<5>) -> Tensor<5> {
        self.head.forward(parameters, pass, vec![hidden], None)
    }

    /// Returns whether a level of the decoder, counted from the deepest up, has a head of its own.
    pub fn has_head(&self, level: usize) -> bool {
        self.decoder[level].head.is_some()
    }

    /// Computes all logits that are supervised, from the full resolution down; `hidden` are the outputs of the last level
    /// of the decoder and of those with a head, from the deepest up.
    pub fn classify_all(&self, parameters: &Parameters, pass: &Pass, mut hidden: Vec<Tensor<5>>) -> Vec<Tensor<5>> {
        let last = hidden.pop().expect("the last level is always supervised");
        let heads = self.decoder.iter().filter_map(|level| level.head.as_ref());
        let lower = heads.zip(hidden).map(|(head, hidden)| head.forward(parameters, pass, vec![hidden], None));
        let lower: Vec<Tensor<5>> = lower.collect();
        std::iter::once(self.classify(parameters, pass, last)).chain(lower.into_iter().rev()).collect()
    }

    /// Computes the outputs of the levels of the decoder that have a head of their own, from the deepest up, and of the last.
    fn hidden(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>, supervised: bool) -> Vec<Tensor<5>> {
        let mut skips = Vec::with_capacity(self.encoder.len());
        let mut hidden = input;
        for level in 0..self.encoder.len() {
            if level > 0 {
                skips.push(hidden.clone());
            }
            hidden = self.encode(level, parameters, pass, hidden);
        }
        let mut outputs = Vec::new();
        for (level, skip) in skips.into_iter().rev().enumerate() {
            hidden = self.decode(level, parameters, pass, [hidden, skip]);
            if supervised && self.has_head(level) {
                outputs.push(hidden.clone());
            }
        }
        outputs.push(hidden);
        outputs
    }
}

impl Layers for UnetLayers {
    fn forward(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        let hidden = self.hidden(parameters, pass, input, false).remove(0);
        self.classify(parameters, pass, hidden)
    }

    fn forward_supervised(&self, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Vec<Tensor<5>> {
        let hidden = self.hidden(parameters, pass, input, true);
        self.classify_all(parameters, pass, hidden)
    }

    fn add_to_graph(&self, graph: &mut GraphBuilder, input: Value) -> Value {
        let mut skips = Vec::with_capacity(self.encoder.len());
        let mut hidden = input;
        for (level, EncoderLevel { pooling, convolutions }) in self.encoder.iter().enumerate() {
            if level > 0 {
                skips.push(hidden.clone());
            }
            if *pooling != [1; 3] {
                hidden = add_max_pool(graph, &hidden, *pooling);
            }
            if let Some(stem) = self.stem.as_ref().filter(|_| level == 0) {
                hidden = stem.add_to_graph(graph, &[hidden], Some(self.style.activation));
            }
            hidden = match convolutions {
                Convolutions::Plain(block) => block.add_to_graph(graph, &[hidden]),
                Convolutions::Residual(stage) => stage.add_to_graph(graph, hidden),
            };
        }
        for (DecoderLevel { up, block, .. }, skip) in self.decoder.iter().zip(skips.into_iter().rev()) {
            let up = match up {
                Up::Trilinear(factors) => add_trilinear(graph, &hidden, *factors),
                Up::Nearest(factors) => add_nearest(graph, &hidden, *factors),
                Up::TransposedConvolution(up) => up.add_to_graph(graph, &hidden),
            };
            hidden = block.add_to_graph(graph, &[up, skip]);
        }
        self.head.add_to_graph(graph, &[hidden], None)
    }

    fn gradients_block_by_block(
        &self,
        parameters: &Parameters,
        pass: &mut Pass,
        input: Tensor<5>,
        loss: Box<dyn FnOnce(Vec<Tensor<5>>) -> Tensor<1> + '_>,
    ) -> (Tensor<1>, Vec<Option<Tensor<1>>>) {
        gradients::gradients(self, parameters, pass, input, loss)
    }
}
