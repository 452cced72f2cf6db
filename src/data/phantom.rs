//! Synthetic CT-like abdomens with a liver and tumours.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{NonNegative, Shape, Spacing};

/// A dataset of synthetic abdomens in Hounsfield units, made by the runner itself.
///
/// ```yaml
/// phantom: { subjects: 24, shape: [64, 64, 48], spacing_mm: [3, 3, 4] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhantomSource {
    /// How many subjects there are.
    #[serde(default = "default_subjects")]
    pub subjects: usize,
    /// Voxels along x, y and z.
    #[serde(default = "default_shape")]
    pub shape: Shape,
    /// Millimetres per voxel along x, y and z.
    #[serde(default = "default_spacing")]
    pub spacing_mm: Spacing,
    /// The largest number of tumours in a liver; each subject has between 0 and this many.
    #[serde(default = "default_tumours")]
    pub tumours: usize,
    /// Standard deviation of the noise, in Hounsfield units.
    #[serde(default = "default_noise")]
    pub noise_hu: NonNegative,
    /// The seed of the dataset; apart from the experiment's, so that seeds can be compared on the same data.
    #[serde(default)]
    pub seed: u64,
}

fn default_subjects() -> usize {
    24
}

fn default_shape() -> Shape {
    Shape([64, 64, 48])
}

fn default_spacing() -> Spacing {
    Spacing([5.0, 5.0, 6.0])
}

fn default_tumours() -> usize {
    3
}

fn default_noise() -> NonNegative {
    NonNegative::new(15.0).expect("15 is not negative")
}
