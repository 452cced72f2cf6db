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
    /// Whose rules place the windows and shape the Gaussian: `monai` (default) or `nnunet`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub convention: WindowConvention,
    /// What is averaged over the runs of an ensemble and interpolated back to the grid of the image file: `probabilities` (default), or `logits` as in nnU-Net. Logits are averaged on the grid after preprocessing, so the runs of an ensemble need the same preprocessing and windows.
    #[serde(default, skip_serializing_if = "is_default")]
    pub average: Average,
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
    /// Gaussian weights: the centre of a window counts more than its border. MONAI's or nnU-Net's Gaussian (`convention`), with a standard deviation of an eighth of the window.
    #[default]
    Gaussian,
    /// No averaging: each window loses half of the overlap on every side that has a neighbour (TorchIO's `crop`).
    Crop,
    /// Weights that fall to almost zero at the border: a product of Hann windows (TorchIO's `hann`).
    Hann,
}

/// Whose rules place the windows and shape the Gaussian.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WindowConvention {
    /// MONAI's: neighbouring windows have a fixed distance, and the last one ends with the volume. The Gaussian is centred between the voxels in the middle.
    #[default]
    Monai,
    /// nnU-Net's: windows are spread evenly, at most `1 - overlap` of a window apart, and their starts are rounded. The Gaussian is centred on voxel `size // 2`, and weights and sums are in half precision.
    Nnunet,
}

/// What is averaged over the runs of an ensemble and interpolated back to the grid of the image file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Average {
    /// The probabilities of each run.
    #[default]
    Probabilities,
    /// The logits, on the grid after preprocessing; the activation function follows after interpolation.
    Logits,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// An axis of the preprocessed volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// The first axis: left-right, unless `data.orientation` is `stored`.
    X,
    /// The second axis: posterior-anterior, unless `data.orientation` is `stored`.
    Y,
    /// The third axis: inferior-superior, unless `data.orientation` is `stored`.
    Z,
}

impl Default for Inference {
    fn default() -> Self {
        Self {
            window: None,
            overlap: default_overlap(),
            blend: Blend::default(),
            mirror: Vec::new(),
            convention: WindowConvention::default(),
            average: Average::default(),
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
        self.tiling(volume, window).starts.len() << self.mirror.len()
    }

    /// Returns the windows of a shape that cover a volume.
    pub fn tiling(&self, volume: [usize; 3], window: [usize; 3]) -> Tiling {
        match self.convention {
            WindowConvention::Monai => Tiling::new(volume, window, self.overlap.get()),
            WindowConvention::Nnunet => Tiling::evenly_spread(volume, window, self.overlap.get()),
        }
    }
}
