//! Gradient checkpointing of the U-Net.
//!
//! Only the inputs of blocks are stored. Results are bit for bit those of a plain backward pass: each block is recomputed
//! from the same numbers, dropout samples the same mask, and the gradients of an output that two layers use are added in
//! the same order. Where three layers use it (a skip connection, a strided convolution and its shortcut), the order of the
//! sum and with it the last digits differ.

use burn::tensor::Tensor;

use super::layers::UnetLayers;
use crate::layers::Pass;
use crate::networks::block_gradients::{BlockGradients, StoredBlock};
use crate::parameters::Parameters;

/// Computes the loss of a batch and the gradient of each trained parameter.
pub(super) fn gradients(
    unet: &UnetLayers,
    parameters: &Parameters,
    pass: &mut Pass,
    input: Tensor<5>,
    loss: impl FnOnce(Vec<Tensor<5>>) -> Tensor<1>,
) -> (Tensor<1>, Vec<Option<Tensor<1>>>) {
    let Forward { encoder, decoder, supervised } = forward(unet, parameters, pass, input);
    let mut blocks = BlockGradients::new(parameters, pass.precision);
    let (loss, mut supervised) = blocks.loss(supervised, |hidden| loss(unet.classify_all(parameters, pass, hidden)));
    let mut gradient = supervised.pop().expect("the last level is always supervised");

    // Gradients of the encoder's outputs that arrive through skip connections, the full resolution first.
    let mut skip_gradients = Vec::with_capacity(decoder.len());
    for (level, block) in decoder.into_iter().enumerate().rev() {
        let [below, skip] = blocks.backward(block, gradient, |pass, inputs| {
            let inputs = <[Tensor<5>; 2]>::try_from(inputs).expect("a level of the decoder has two inputs");
            unet.decode(level, parameters, pass, inputs)
        });
        skip_gradients.push(skip);
        gradient = match level.checked_sub(1).filter(|below| unet.has_head(*below)) {
            Some(_) => below.add(supervised.pop().expect("a level with a head is supervised")),
            None => below,
        };
    }
    for (level, block) in encoder.into_iter().enumerate().rev() {
        let [above, _] = blocks.backward(block, gradient.clone(), |pass, mut inputs| {
            unet.encode(level, parameters, pass, inputs.remove(0))
        });
        gradient = match skip_gradients.pop() {
            Some(skip) => skip.add(above),
            None => above,
        };
    }
    (loss.inner(), blocks.finish())
}

/// What a forward pass without gradients stores.
struct Forward {
    /// The blocks of the encoder with their inputs.
    encoder: Vec<StoredBlock>,
    /// The blocks of the decoder with their inputs.
    decoder: Vec<StoredBlock>,
    /// The outputs of the decoder's levels that have a head, from the deepest up, and of the last.
    supervised: Vec<Tensor<5>>,
}

/// Computes the forward pass without gradients.
fn forward(unet: &UnetLayers, parameters: &Parameters, pass: &mut Pass, input: Tensor<5>) -> Forward {
    let parameters = &parameters.without_gradients();
    let (mut encoder, mut decoder, mut supervised) = (Vec::new(), Vec::new(), Vec::new());
    let mut hidden = input;
    for level in 0..unet.depth() {
        encoder.push(StoredBlock { inputs: vec![hidden.clone()], rng: pass.training.clone() });
        hidden = unet.encode(level, parameters, pass, hidden);
    }
    for level in 0..unet.depth() - 1 {
        // The output of a level of the encoder is the input of the next one.
        let skip = encoder[unet.depth() - 1 - level].inputs[0].clone();
        decoder.push(StoredBlock { inputs: vec![hidden.clone(), skip.clone()], rng: pass.training.clone() });
        hidden = unet.decode(level, parameters, pass, [hidden, skip]);
        if unet.has_head(level) {
            supervised.push(hidden.clone());
        }
    }
    supervised.push(hidden);
    Forward { encoder, decoder, supervised }
}
