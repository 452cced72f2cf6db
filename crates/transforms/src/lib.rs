//! Transforms of an image and its label map: the traits, and the closed list of what there is.
//!
//! A transform is one struct in one file: its fields are the keys of its written form. A [`SpatialTransform`]
//! transform says where each outgoing voxel comes from; an [`IntensityTransform`] transform maps the values of
//! a window. Neither computes a volume: `pipeline.rs` does, for the window that somebody asks for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use random::Rng;
use values::Probability;
use volume::{Grid, Label};

mod filters;
mod intensity;
mod label;
mod mapping;
mod params;
mod spatial;
mod step;
mod validation;
mod whole_volume;
mod window;

pub mod lazy;

pub use filters::separable::{Mirror, smooth_recursively, spline_coefficients, spline_reach};
pub use intensity::anisotropy::{Anisotropy, AnisotropyParams};
pub use intensity::bias_field::{BiasField, BiasFieldParams};
pub use intensity::blur::{Blur, BlurParams};
pub use intensity::clamp::Clamp;
pub use intensity::foreground_normalize::{Foreground, ForegroundNormalize, Statistics};
pub use intensity::gamma::Gamma;
pub use intensity::ghosting::{Ghosting, GhostingParams};
pub use intensity::histogram_standardization::{HistogramStandardization, Landmarks};
pub use intensity::hu_window::HuWindow;
pub use intensity::mask::Mask;
pub use intensity::motion::{Motion, MotionParams};
pub use intensity::noise::{Noise, NoiseParams};
pub use intensity::rescale_intensity::RescaleIntensity;
pub use intensity::spike::{Spike, SpikeParams};
pub use intensity::swap::{Swap, SwapParams};
pub use intensity::z_normalize::ZNormalize;
pub use label::keep_largest::KeepLargest;
pub use label::one_hot::OneHot;
pub use label::remap_labels::RemapLabels;
pub use label::sequential_labels::SequentialLabels;
pub(crate) use mapping::elastic_displacement::EIGHTS;
pub use mapping::elastic_displacement::{ElasticDisplacement, weights as spline_weights};
pub use mapping::grid_mapping::{Fill, GridMapping, Lattice, LatticeAxis, Map};
pub use mapping::interpolation::Interpolation;
pub use mapping::padding::{Extension, Padding};
pub use params::{NoParams, TransformParams};
pub use spatial::affine::{Affine, AffineParams};
pub use spatial::crop::Crop;
pub use spatial::crop_or_pad::{CropOrPad, CropOrPadParams, Location};
pub use spatial::elastic_deformation::{ElasticDeformation, ElasticParams};
pub use spatial::ensure_shape_multiple::{EnsureShapeMultiple, Method};
pub use spatial::flip::Flip;
pub use spatial::pad::Pad;
pub use spatial::resample::{Reference, Resample};
pub use spatial::resize::Resize;
pub use spatial::to_canonical::ToCanonical;
pub use spatial::to_orientation::{Axes, ToOrientation};
pub use step::sample_params;
pub use validation::{InvalidParams, validate_params};
pub(crate) use whole_volume::border::border_means;
pub use whole_volume::region::{Half, Region};
pub(crate) use whole_volume::statistics::{mean, median};
pub use whole_volume::whole::{VolumeStatistics, WholeVolume};
pub use window::Window;

/// One step of a chain of transforms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Transform {
    /// Turns axes until the volume is in RAS orientation.
    ToCanonical(ToCanonical),
    /// Turns axes until the volume is in a given orientation.
    ToOrientation(ToOrientation),
    /// Changes the spacing.
    Resample(Resample),
    /// Changes the number of voxels, keeping the field of view.
    Resize(Resize),
    /// Cuts voxels from the ends of each axis.
    Crop(Crop),
    /// Adds voxels to the ends of each axis.
    Pad(Pad),
    /// Crops or pads to a shape, around the centre.
    CropOrPad(CropOrPad),
    /// Pads or crops to multiples of a number of voxels, around the centre.
    EnsureShapeMultiple(EnsureShapeMultiple),
    /// Cuts Hounsfield units at the ends of a window and maps it to a range.
    HuWindow(HuWindow),
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
    /// Blurs with a Gaussian.
    Blur(Blur),
    /// Multiplies by a smooth field.
    BiasField(BiasField),
    /// Maps the foreground of a dataset to zero mean and unit variance, as nnU-Net does for CT.
    ForegroundNormalize(ForegroundNormalize),
    /// Maps intensities so that the histograms of a dataset agree.
    HistogramStandardization(HistogramStandardization),
    /// Sets voxels outside a mask to one intensity.
    Mask(Mask),
    /// Moves every point by a smooth random field.
    ElasticDeformation(ElasticDeformation),
    /// Takes away resolution along one axis.
    Anisotropy(Anisotropy),
    /// Swaps random blocks.
    Swap(Swap),
    /// Adds ghosts, as periodic motion makes them in MR.
    Ghosting(Ghosting),
    /// Adds stripes, as spikes in k-space make them in MR.
    Spike(Spike),
    /// Mixes moved copies in k-space, as a moving patient does in MR.
    Motion(Motion),
    /// Gives labels other values.
    RemapLabels(RemapLabels),
    /// Gives labels the values 0, 1, 2, ….
    SequentialLabels(SequentialLabels),
    /// Keeps the largest connected component of labels.
    KeepLargest(KeepLargest),
    /// Writes label maps with a channel for each class.
    OneHot(OneHot),
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
    pub probability: Probability,
    /// What is applied, in order.
    pub steps: Vec<Transform>,
}

/// What comes into a step, before any voxel is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incoming {
    /// Where the voxels lie.
    pub grid: Grid,
    /// Image channels.
    pub channels: usize,
}

/// A transform of the grid: it says where each outgoing voxel comes from.
pub trait SpatialTransform {
    /// What chance decides.
    type Params;

    /// All the chance of the transform.
    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> Self::Params;

    /// The outgoing grid and the source of its voxels; a pure function. The shape never depends on the draw.
    fn map_grid(&self, draw: &Self::Params, incoming: &Grid) -> GridMapping;

    /// Whether the content of the volume decides what chance leaves open.
    fn resolves_from_volume(&self) -> bool {
        false
    }

    /// The draw with what the content of the incoming volume decides.
    ///
    /// # Errors
    /// When the volume lacks what decides it.
    fn resolve_from_volume(&self, draw: &Self::Params, _whole: &WholeVolume) -> Result<Self::Params, TransformError>
    where
        Self::Params: Clone,
    {
        Ok(draw.clone())
    }
}

/// A transform of intensities: it maps the values of a window.
pub trait IntensityTransform {
    /// What chance decides.
    type Params;

    /// All the chance of the transform.
    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> Self::Params;

    /// Whether it needs numbers about the whole incoming volume.
    fn needs_statistics(&self) -> bool {
        false
    }

    /// Whether it looks at labels, of the whole volume or of the window.
    fn needs_labels(&self) -> bool {
        false
    }

    /// The numbers that it needs about the whole incoming volume.
    ///
    /// # Errors
    /// When the volume has no such numbers.
    fn statistics(&self, _draw: &Self::Params, _whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        Ok(VolumeStatistics::Nothing)
    }

    /// How many voxels around a window decide its values; `usize::MAX` is the whole axis.
    fn halo(&self, _draw: &Self::Params, _grid: &Grid) -> [usize; 3] {
        [0; 3]
    }

    /// Maps, from outgoing to incoming voxels, by which the transform wants the volume moved; with a halo of the
    /// whole volume.
    fn copies(&self, _draw: &Self::Params, _grid: &Grid) -> Vec<volume::Affine> {
        Vec::new()
    }

    /// Maps the values of a window; a pure function. Within the halo of an end that is not the volume's they may be
    /// anything.
    fn apply(&self, draw: &Self::Params, measured: &VolumeStatistics, window: &mut Window);
}

/// A transform of intensities whose numbers come from all training subjects together.
pub trait FittedTransform: IntensityTransform {
    /// Whether the written form leaves its numbers to be learnt.
    fn needs_fit(&self) -> bool;

    /// What one training subject contributes.
    ///
    /// # Errors
    /// When it has nothing to contribute to.
    fn observe(&self, whole: &WholeVolume) -> Result<Vec<Vec<f32>>, TransformError>;

    /// The draw that stands for the numbers learnt from the samples of all training subjects.
    ///
    /// # Errors
    /// When the samples are too few.
    fn fit(&self, samples: &[Vec<Vec<f32>>]) -> Result<Self::Params, TransformError>;
}

/// A transform of label maps: it needs the whole map.
pub trait LabelTransform {
    /// Changes the labels of a whole volume `[x, y, z]`.
    fn relabel(&self, labels: &mut [Label], shape: [usize; 3]);
}

/// A volume to which a transform cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct TransformError {
    /// The transform.
    pub name: &'static str,
    /// Why it cannot be applied.
    pub reason: String,
}
