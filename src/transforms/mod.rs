//! Transforms of an image and its label map: the traits, and the closed list of what there is.
//!
//! A transform is one struct in one file: its fields are the keys of its written form. A [`Spatial`]
//! transform says where each outgoing voxel comes from; an [`Intensity`] transform maps the values of
//! a window. Neither computes a volume: `pipeline.rs` does, for the window that somebody asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod affine;
mod clamp;
mod crop_or_pad;
mod flip;
mod gamma;
mod noise;
mod resample;
mod rescale_intensity;
mod resize;
mod to_canonical;
mod z_normalize;

pub use affine::Affine;
pub use clamp::Clamp;
pub use crop_or_pad::CropOrPad;
pub use flip::Flip;
pub use gamma::Gamma;
pub use noise::Noise;
pub use resample::Resample;
pub use rescale_intensity::RescaleIntensity;
pub use resize::Resize;
pub use to_canonical::ToCanonical;
pub use z_normalize::ZNormalize;

/// One step of a chain of transforms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Transform {
    /// Turns axes until the volume is in RAS orientation.
    ToCanonical(ToCanonical),
    /// Changes the spacing.
    Resample(Resample),
    /// Changes the number of voxels, keeping the field of view.
    Resize(Resize),
    /// Crops or pads to a shape, around the centre.
    CropOrPad(CropOrPad),
    /// Limits intensities to a range.
    Clamp(Clamp),
    /// Maps intensities linearly to a range.
    RescaleIntensity(RescaleIntensity),
    /// Subtracts the mean and divides by the standard deviation.
    ZNormalize(ZNormalize),
    /// Scales, rotates and shifts at random.
    Affine(Affine),
    /// Mirrors at random.
    Flip(Flip),
    /// Adds Gaussian noise.
    Noise(Noise),
    /// Changes contrast by a random power.
    Gamma(Gamma),
    /// Applies steps with a probability, all or none.
    Maybe(Maybe),
    /// Applies one of several steps, each equally likely.
    OneOf(Vec<Transform>),
}

/// Applies steps with a probability, all or none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Maybe {
    /// How often the steps are applied.
    pub probability: crate::value::Probability,
    /// What is applied, in order.
    pub steps: Vec<Transform>,
}
