//! Where patches lie: the trait, and the closed list of patch samplers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod label;
mod uniform;

pub use label::LabelSampler;
pub use uniform::UniformSampler;

/// How training patches are chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Sampler {
    /// Chooses a label by its probability, then a voxel of that label as the patch's centre.
    Label(LabelSampler),
    /// Every place where the patch fits is equally likely.
    Uniform(UniformSampler),
}

impl Sampler {
    /// The patch's shape in voxels.
    pub fn patch(&self) -> [usize; 3] {
        match self {
            Sampler::Label(sampler) => sampler.patch.0,
            Sampler::Uniform(sampler) => sampler.patch.0,
        }
    }
}
