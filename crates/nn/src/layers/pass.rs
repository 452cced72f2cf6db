//! The state of one forward pass.

use burn::tensor::Tensor;

use crate::FloatFormat;
use crate::parameters::{ParameterId, Parameters};
use random::Rng;

/// One forward pass through a network: what differs between training and inference.
#[derive(Debug, Default)]
pub struct Pass {
    /// The random stream of dropout; `None` at inference.
    pub(crate) training: Option<Rng>,
    /// The number format of convolutions.
    pub(crate) precision: FloatFormat,
    /// Running statistics as they are after this pass.
    pub(crate) updates: Vec<(ParameterId, Tensor<1>)>,
}

impl Pass {
    /// A training pass, with dropout masks sampled from `rng`.
    pub fn training(rng: Rng, precision: FloatFormat) -> Self {
        Self { training: Some(rng), precision, updates: Vec::new() }
    }

    /// An inference pass: no dropout, and running statistics are used, not updated.
    pub fn inference() -> Self {
        Self::default()
    }

    /// Stores the running statistics that the pass has updated.
    pub fn finish(self, parameters: &mut Parameters) {
        for (id, value) in self.updates {
            parameters.set_buffer(id, value);
        }
    }
}
