//! The `inference` section of an experiment: how the sliding window is moved and its predictions are blended.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tiling::Tiling;
use values::{Shape, UnitFraction};

/// Sliding-window inference: volumes are predicted window by window, and overlapping predictions are blended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    /// Window shape in voxels, such as `[128, 128, 64]`. By default (`null`) the sampler's patch shape.
    #[serde(default)]
    pub window: Option<Shape>,
    /// Fraction of a window by which neighbouring windows overlap along each axis, at least 0 and below 1. More overlap takes longer and gives smoother predictions. Default: 0.25.
    #[serde(default = "default_overlap")]
    pub overlap: UnitFraction,
    /// Weights of a window's voxels where windows overlap. Default: `gaussian`.
    #[serde(default)]
    pub blend: Blend,
    /// Test-time augmentation: each window is also predicted mirrored along these axes, and the logits of all combinations are averaged, such as `[x, y]`. Each axis doubles the time. Default: none.
    #[serde(default)]
    pub mirror: Vec<Axis>,
    /// Number of windows that go through the network together. LibTorch uses its fast CPU convolutions only from 2 on. Default: 2.
    #[serde(default = "default_batch_size")]
    pub batch_size: NonZeroUsize,
}

/// Weights of a window's voxels where windows overlap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blend {
    /// Equal weights: the mean.
    Constant,
    /// Gaussian weights: the centre of a window counts more than its border. MONAI's Gaussian, with a standard deviation of an eighth of the window.
    #[default]
    Gaussian,
    /// No averaging: each window loses half of the overlap on every side that has a neighbour (TorchIO's `crop`).
    Crop,
    /// Weights that fall to almost zero at the border: a product of Hann windows (TorchIO's `hann`).
    Hann,
}

/// An axis of the preprocessed volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Left-right.
    X,
    /// Posterior-anterior.
    Y,
    /// Inferior-superior.
    Z,
}

impl Default for Inference {
    fn default() -> Self {
        Self {
            window: None,
            overlap: default_overlap(),
            blend: Blend::default(),
            mirror: Vec::new(),
            batch_size: default_batch_size(),
        }
    }
}

fn default_overlap() -> UnitFraction {
    UnitFraction::new(0.25).expect("0.25 is a fraction")
}

fn default_batch_size() -> NonZeroUsize {
    NonZeroUsize::new(2).expect("2 is not 0")
}

impl Inference {
    /// Returns the number of windows of a shape that a volume is predicted by, mirrored ones included.
    pub fn num_windows(&self, volume: [usize; 3], window: [usize; 3]) -> usize {
        Tiling::new(volume, window, self.overlap.get()).starts.len() << self.mirror.len()
    }
}
