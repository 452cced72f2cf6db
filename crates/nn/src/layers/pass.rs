//! The state of one forward pass.

use burn::tensor::Tensor;

use crate::FloatFormat;
use crate::parameters::{ParameterId, Parameters};
use random::Rng;

/// The state of one forward pass through a network, which differs between training and inference.
#[derive(Debug, Default)]
pub struct Pass {
    /// The random stream of dropout; `None` at inference.
    pub(crate) training: Option<Rng>,
    /// The number format of convolutions.
    pub(crate) precision: FloatFormat,
    /// The running statistics after this pass.
    pub(crate) updates: Vec<(ParameterId, Tensor<1>)>,
}

impl Pass {
    /// Returns a training pass, with dropout masks sampled from `rng`.
    pub fn training(rng: Rng, precision: FloatFormat) -> Self {
        Self { training: Some(rng), precision, updates: Vec::new() }
    }

    /// Returns an inference pass: without dropout, and with running statistics that are used, not updated.
    pub fn inference() -> Self {
        Self::default()
    }

    /// Discards the updates of the running statistics that `is_frozen` selects by name.
    pub fn discard_updates(&mut self, parameters: &Parameters, is_frozen: impl Fn(&str) -> bool) {
        self.updates.retain(|(id, _)| !is_frozen(parameters.name(*id)));
    }

    /// Stores the running statistics that the pass has updated.
    pub fn finish(self, parameters: &mut Parameters) {
        for (id, value) in self.updates {
            parameters.set_buffer(id, value);
        }
    }
}
