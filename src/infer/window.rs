//! Tiling a volume into windows and blending what the network says about them.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{Shape, Share};

/// How a volume larger than a patch goes through the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// The window's shape in voxels; `null` takes the sampler's patch.
    #[serde(default)]
    pub window: Option<Shape>,
    /// How much of a window its neighbour covers again.
    #[serde(default = "default_overlap")]
    pub overlap: Share,
    /// How overlapping windows are weighed.
    #[serde(default)]
    pub blend: Blend,
    /// Windows that go through the network together.
    #[serde(default = "default_batch_size")]
    pub batch_size: NonZeroUsize,
}

/// How overlapping windows are weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blend {
    /// All voxels of a window alike.
    Constant,
    /// The middle of a window more than its border: MONAI's Gaussian, with a standard deviation of an eighth of the window.
    #[default]
    Gaussian,
}

impl Default for Inference {
    fn default() -> Self {
        Self { window: None, overlap: default_overlap(), blend: Blend::default(), batch_size: default_batch_size() }
    }
}

fn default_overlap() -> Share {
    Share::new(0.25).expect("0.25 is a share")
}

fn default_batch_size() -> NonZeroUsize {
    NonZeroUsize::MIN
}
