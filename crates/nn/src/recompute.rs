//! Gradients with the activations of one block at a time: those of the others are computed again on the way back.
//!
//! Only the outputs of blocks are kept. The bits are those of the plain way: each block is computed from the same
//! numbers, dropout draws the same mask, and an output that two layers use has the sum of their two gradients. Where
//! three use it (a skip connection, a strided convolution and its shortcut) the sum has another order, and other last
//! digits.

use burn::tensor::{Gradients, Tensor};

use super::Pass;
use super::float_format::FloatFormat;
use super::parameters::Parameters;
use super::unet::Unet;
use random::Rng;

/// What the way back needs of a stage: its inputs, and the stream that dropout drew from.
struct Stage {
    inputs: Vec<Tensor<5>>,
    rng: Option<Rng>,
}

/// The loss of a batch, and its gradient by each trained parameter; `None` for one that has no effect.
pub(super) fn gradients(
    unet: &Unet,
    parameters: &Parameters,
    pass: &mut Pass,
    input: Tensor<5>,
    loss: impl FnOnce(Tensor<5>) -> Tensor<1>,
) -> (Tensor<1>, Vec<Option<Tensor<1>>>) {
    let (encoder, decoder, last) = forward(unet, parameters, pass, input);
    let mut way =
        WayBack { parameters, precision: pass.precision, found: parameters.trained_values().map(|_| None).collect() };

    let hidden = last.autodiff().require_grad();
    let loss = loss(unet.classify(parameters, pass, hidden.clone()));
    let mut tape = loss.backward();
    way.collect(&mut tape);
    let mut gradient = gradient_of(&hidden, &tape);

    // The gradients of what the encoder gives at each level, from its skip connection.
    let mut of_skips = Vec::with_capacity(decoder.len());
    for (level, stage) in decoder.into_iter().enumerate().rev() {
        let [below, skip] = way.undo(stage, gradient, |pass, inputs| {
            let inputs = <[Tensor<5>; 2]>::try_from(inputs).expect("a level has two inputs");
            unet.decode(level, parameters, pass, inputs)
        });
        of_skips.push(skip);
        gradient = below;
    }
    // The skip connection of the full resolution was undone first, so the deepest one comes off the end.
    for (level, stage) in encoder.into_iter().enumerate().rev() {
        let [above, _] = way
            .undo(stage, gradient.clone(), |pass, mut inputs| unet.encode(level, parameters, pass, inputs.remove(0)));
        gradient = match of_skips.pop() {
            Some(skip) => skip.add(above),
            None => above,
        };
    }
    (loss.inner(), way.found)
}

/// The way there, without gradients: each stage with its inputs, and the output of the last.
fn forward(
    unet: &Unet,
    parameters: &Parameters,
    pass: &mut Pass,
    input: Tensor<5>,
) -> (Vec<Stage>, Vec<Stage>, Tensor<5>) {
    let parameters = &parameters.without_gradients();
    let (mut encoder, mut decoder) = (Vec::new(), Vec::new());
    let mut hidden = input;
    for level in 0..unet.depth() {
        encoder.push(Stage { inputs: vec![hidden.clone()], rng: pass.training.clone() });
        hidden = unet.encode(level, parameters, pass, hidden);
    }
    for level in 0..unet.depth() - 1 {
        // What a level of the encoder gives is the input of the next.
        let skip = encoder[unet.depth() - 1 - level].inputs[0].clone();
        decoder.push(Stage { inputs: vec![hidden.clone(), skip.clone()], rng: pass.training.clone() });
        hidden = unet.decode(level, parameters, pass, [hidden, skip]);
    }
    (encoder, decoder, hidden)
}

/// Gradients of parameters, as they are found.
struct WayBack<'a> {
    parameters: &'a Parameters,
    precision: FloatFormat,
    found: Vec<Option<Tensor<1>>>,
}

impl WayBack<'_> {
    /// Computes a stage again and takes the gradient of its output through it; gives those of its inputs, of which
    /// there are one or two.
    fn undo(
        &mut self,
        stage: Stage,
        gradient: Tensor<5>,
        forward: impl FnOnce(&mut Pass, Vec<Tensor<5>>) -> Tensor<5>,
    ) -> [Tensor<5>; 2] {
        let inputs: Vec<Tensor<5>> = stage.inputs.into_iter().map(|input| input.autodiff().require_grad()).collect();
        // What the pass moves was moved on the way there.
        let mut pass = Pass { training: stage.rng, precision: self.precision, updates: Vec::new() };
        let output = forward(&mut pass, inputs.clone());
        // The sum of the products has the gradient as the gradient of the output.
        let mut tape = output.mul(gradient.autodiff()).sum().backward();
        self.collect(&mut tape);
        let first = gradient_of(&inputs[0], &tape);
        let second = inputs.get(1).map_or_else(|| first.clone(), |input| gradient_of(input, &tape));
        [first, second]
    }

    fn collect(&mut self, tape: &mut Gradients) {
        for (value, found) in self.parameters.trained_values().zip(&mut self.found) {
            if let Some(gradient) = value.grad_remove(tape) {
                *found = Some(gradient);
            }
        }
    }
}

fn gradient_of(input: &Tensor<5>, tape: &Gradients) -> Tensor<5> {
    input.grad(tape).unwrap_or_else(|| input.clone().inner().zeros_like())
}
