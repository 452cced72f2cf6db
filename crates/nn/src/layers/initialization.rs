//! Initial weights of convolutions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::parameters::Initializer;

/// The initial weights of convolutions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Initialization {
    /// PyTorch's default: weights and biases uniform in ±1/√fan_in.
    #[default]
    Pytorch,
    /// He et al. 2015 for leaky ReLU with slope 0.01, as nnU-Net's `InitWeights_He(1e-2)`: normal weights with variance
    /// 2/(1.0001 fan_in), biases 0, and in residual blocks a last normalization whose scale and shift are 0.
    He,
}

/// The slope that `He` assumes below 0.
const NEGATIVE_SLOPE: f64 = 0.01;

impl Initialization {
    /// Returns the initializers of a convolution's weight and bias; `fan_in` is the number of products per sum.
    pub fn of_convolution(self, fan_in: usize) -> [Initializer; 2] {
        let fan_in = fan_in as f64;
        match self {
            // Kaiming uniform with a = √5.
            Self::Pytorch => [Initializer::Uniform { bound: 1.0 / fan_in.sqrt() }; 2],
            Self::He => {
                let deviation = (2.0 / (1.0 + NEGATIVE_SLOPE * NEGATIVE_SLOPE) / fan_in).sqrt();
                [Initializer::Normal { deviation }, Initializer::Zeros]
            }
        }
    }

    /// Returns the initial scale of the last normalization of a residual block.
    pub fn of_last_norm(self) -> Initializer {
        match self {
            Self::Pytorch => Initializer::Ones,
            Self::He => Initializer::Zeros,
        }
    }
}
