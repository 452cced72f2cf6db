//! A network with its weights.

use std::sync::Arc;

use burn::tensor::Tensor;

use super::Layers;
use crate::layers::Pass;
use crate::parameters::Parameters;

/// A network with its weights.
#[derive(Clone, Debug)]
pub struct Network {
    pub(crate) layers: Arc<dyn Layers>,
    /// Weights and running statistics.
    pub parameters: Parameters,
}

impl Network {
    /// Computes the logits of a batch.
    ///
    /// # Shapes
    /// - input: `[batch, channel, x, y, z]`
    /// - output: `[batch, class, x, y, z]`
    pub fn forward(&self, pass: &mut Pass, input: Tensor<5>) -> Tensor<5> {
        self.layers.forward(&self.parameters, pass, input)
    }

    /// Computes the logits of a batch from which the loss is computed: those of [`forward`](Self::forward), and with deep
    /// supervision those of the decoder's lower levels.
    ///
    /// # Shapes
    /// - input: `[batch, channel, x, y, z]`
    /// - outputs: `[batch, class, x / n, y / n, z / n]`, from the full resolution down, with a factor `n` for each axis
    pub fn forward_supervised(&self, pass: &mut Pass, input: Tensor<5>) -> Vec<Tensor<5>> {
        self.layers.forward_supervised(&self.parameters, pass, input)
    }

    /// Computes the loss of a batch and the gradient of each trained parameter with gradient checkpointing: the activations
    /// of only one block at a time are stored, and are recomputed in the backward pass.
    ///
    /// The loss is a function of the outputs of [`forward_supervised`](Self::forward_supervised). The gradient of a parameter
    /// on which it does not depend is `None`.
    ///
    /// # Shapes
    /// - input: `[batch, channel, x, y, z]`, without autodiff
    pub fn gradients_block_by_block(
        &self,
        pass: &mut Pass,
        input: Tensor<5>,
        loss: impl FnOnce(Vec<Tensor<5>>) -> Tensor<1>,
    ) -> (Tensor<1>, Vec<Option<Tensor<1>>>) {
        self.layers.gradients_block_by_block(&self.parameters, pass, input, Box::new(loss))
    }

    /// Returns the same network, in which the parameters that `is_frozen` selects by name have no gradient; both share the
    /// weights.
    pub fn frozen(&self, is_frozen: impl Fn(&str) -> bool) -> Self {
        Self { layers: Arc::clone(&self.layers), parameters: self.parameters.frozen(is_frozen) }
    }

    /// Returns the same network without gradients; both share the weights.
    pub fn without_gradients(&self) -> Self {
        Self { layers: Arc::clone(&self.layers), parameters: self.parameters.without_gradients() }
    }

    /// Returns the same network, detached from autodiff, with other values of the trained parameters, in order.
    pub fn with_trained(&self, values: &[Tensor<1>]) -> Self {
        Self { layers: Arc::clone(&self.layers), parameters: self.parameters.with_trained(values) }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::parameters::to_host;
    use crate::{FloatFormat, Model};
    use random::{Purpose, Seed};

    /// Returns the gradient of each trained parameter, with or without gradient checkpointing.
    fn gradients(network: &Network, is_checkpointed: bool) -> Vec<Option<Vec<f32>>> {
        let values = (0..1024).map(|index| (index as f32 * 0.37).sin()).collect::<Vec<_>>();
        let input = Tensor::<5>::from_data(TensorData::new(values, [2, 1, 8, 8, 8]), &Device::flex());
        let mut pass = Pass::training(Seed(1).stream(Purpose::Dropout, 0, "", 0), FloatFormat::default());
        let loss = |logits: Vec<Tensor<5>>| logits[0].clone().square().mean();
        let gradients = if is_checkpointed {
            network.gradients_block_by_block(&mut pass, input, loss).1
        } else {
            let mut tape = loss(network.forward_supervised(&mut pass, input.autodiff())).backward();
            network.parameters.trained_values().map(|value| value.grad_remove(&mut tape)).collect()
        };
        gradients.into_iter().map(|gradient| Some(to_host(&gradient?))).collect()
    }

    #[test]
    fn frozen_layers_have_no_gradient_and_the_others_the_same_bits() {
        let unet = "{ \"unet\": { \"widths\": [2, 3, 4], \"norm\": \"instance\", \"downsample\": \"strided_conv\" } }";
        let model: Model = serde_json::from_str(unet).unwrap();
        let network = model.build(1, 2, Seed(1), &Device::flex().autodiff());
        let names: Vec<String> = network.parameters.trained_names().map(str::to_owned).collect();
        for is_checkpointed in [false, true] {
            let all = gradients(&network, is_checkpointed);
            assert!(all.iter().all(Option::is_some));
            for layer in ["encoder", "encoder.1", "decoder", "head"] {
                let frozen = network.frozen(|name| model.is_in_layer(name, layer));
                for ((name, frozen), all) in names.iter().zip(gradients(&frozen, is_checkpointed)).zip(&all) {
                    let expected = if name.starts_with(layer) { &None } else { all };
                    assert_eq!(frozen, *expected, "{name} with {layer} frozen");
                }
            }
        }
    }
}
