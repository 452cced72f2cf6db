//! Spatial, intensity and label transforms, and chains of them evaluated lazily.
//!
//! A transform is one struct in one file of `spatial/`, `intensity/` or `label/`: its fields are the keys of its YAML,
//! and it implements [`Component`] and the trait of its kind. `registry.rs` lists it in one line; the enum [`Transform`],
//! its [`TransformParams`] and [`Step`] follow.
//!
//! All randomness is in sampling the parameters ([`sample_params`]). Applying them is a pure function: a
//! [`SpatialTransform`] maps grids, an [`IntensityTransform`] maps the values of a window, a [`LabelTransform`] maps
//! labels. None of them loops over a volume: [`lazy`] does, for the requested window.

use random::Rng;
use values::Spacing;
use volume::{Grid, Label};

mod channels;
mod composition;
mod erasure;
mod filters;
mod intensity;
mod label;
mod mapping;
mod masks;
mod params;
mod registry;
mod spatial;
mod statistics;
mod step;
mod validation;
mod window;
mod zoom;

pub mod lazy;

pub use composition::{Applied, Maybe, Nested};
pub use filters::separable::{Mirror, smooth_recursively, spline_coefficients, spline_reach};
pub use intensity::foreground_normalize::ForegroundStatistics;
pub use intensity::replace_non_finite::Replacement;
pub(crate) use mapping::elastic_displacement::VECTORS;
pub use mapping::elastic_displacement::{ElasticDisplacement, weights as spline_weights};
pub use mapping::grid_mapping::{Convention, Fill, GridMapping, Lattice, LatticeAxis, Map};
pub use mapping::interpolation::Interpolation;
pub use mapping::padding::{Extension, Padding};
pub use mapping::separate_axis::SeparateAxis;
pub use mapping::target_spacing::TargetSpacing;
pub use masks::{
    MaskParams, MaskStep, MaskTransform, Masks, Morphology, Operation, RandomMorphology, Removal, RemoveComponent,
};
pub use params::{InvalidParams, NoParams, sample_params, validate_params};
pub use registry::*;
pub use spatial::crop_or_pad::{Location, Only};
pub use spatial::ensure_shape_multiple::Method;
pub use spatial::resample::{Reference, ResampleConvention};
pub use spatial::to_orientation::Axes;
pub(crate) use statistics::border::border_means;
pub(crate) use statistics::descriptive::{mean, median};
pub use statistics::region::{Half, Region};
pub use statistics::whole_volume::{VolumeStatistics, WholeVolume};
pub use step::Step;
pub use validation::{ITSELF, KeyProblem};
pub use window::Window;
pub use zoom::{LinearSample, RoundTrip, Zoom};

/// The volume that enters a step, before any voxel is computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incoming {
    /// Its grid.
    pub grid: Grid,
    /// Number of image channels.
    pub channels: usize,
}

/// A transform of any kind: its parameters, keys and checks.
pub trait Component {
    /// The sampled parameters; [`NoParams`] if there are none.
    type Params: Clone;

    /// Samples the parameters.
    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> Self::Params;

    /// Returns the names of the transform in TorchIO, MONAI and nnU-Net, which an unknown name is compared with.
    fn aliases() -> &'static [&'static str]
    where
        Self: Sized,
    {
        &[]
    }

    /// Returns the keys whose values make the transform random.
    fn random_keys(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns the keys of which TorchIO reads a single number as a range, each with the centre of that range: `degrees=10`
    /// as -10 to 10 around 0. Here a single number is a constant, which in `augment` is probably not meant.
    fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
        &[]
    }

    /// Returns the problems of the keys: values that are valid for their types, but not for this transform.
    fn validate(&self) -> Vec<KeyProblem> {
        Vec::new()
    }

    /// Checks that recorded parameters, which a user may have edited, are possible for a volume.
    ///
    /// # Errors
    /// The expected and the actual value, if they are not.
    fn validate_params(&self, _params: &Self::Params, _incoming: &Incoming) -> Result<(), String> {
        Ok(())
    }

    /// Checks that the transform can be applied to a volume.
    ///
    /// # Errors
    /// When it cannot.
    fn check_incoming(&self, _incoming: &Incoming) -> Result<(), KeyProblem> {
        Ok(())
    }

    /// Returns a warning about the transform on volumes of this grid.
    fn warning(&self, _incoming: &Grid) -> Option<String> {
        None
    }

    /// Returns the region of the volume that the transform computes with.
    fn region(&self) -> Option<&Region> {
        None
    }

    /// Returns the key `reference`, whose file must be read before the transform can be applied.
    fn reference_mut(&mut self) -> Option<&mut Reference> {
        None
    }

    /// Returns the median spacing of the training subjects, which must be computed before the transform can be applied, if
    /// the transform uses it.
    fn median_spacing_mut(&mut self) -> Option<&mut Option<Spacing>> {
        None
    }
}

/// A transform of the grid: it maps each outgoing voxel to a point of the incoming volume.
pub trait SpatialTransform: Component {
    /// Returns the outgoing grid and the source of its voxels; a pure function. The shape does not depend on sampled
    /// parameters, but may on those that are resolved from the volume.
    fn map_grid(&self, params: &Self::Params, incoming: &Grid) -> GridMapping;

    /// Returns whether outgoing volumes may have another shape.
    fn changes_shape(&self) -> bool {
        true
    }

    /// Returns the shape of the incoming volume from which an outgoing one of this shape is computed, in `patch_augment`: a
    /// larger one for a step that needs voxels around the patch, such as a rotation.
    fn input_shape(&self, output: [usize; 3]) -> [usize; 3] {
        output
    }

    /// Returns whether sampled parameters move points, so that statistics of whole volumes differ from patch to patch.
    fn is_random_warp(&self) -> bool {
        false
    }

    /// Returns whether the content of a volume determines parameters.
    fn resolves_from_volume(&self) -> bool {
        false
    }

    /// Returns whether the content of a volume determines the shape of the outgoing one.
    fn resolves_shape(&self) -> bool {
        false
    }

    /// Returns the parameters, completed from the content of the incoming volume.
    ///
    /// # Errors
    /// When the volume does not determine them.
    fn resolve_from_volume(&self, params: &Self::Params, _whole: &WholeVolume) -> Result<Self::Params, TransformError> {
        Ok(params.clone())
    }

    /// Returns the extension mode by which padded voxels repeat the volume's content, if any; it needs the whole volume.
    fn extension(&self) -> Option<Extension> {
        None
    }

    /// Returns whether the transform resamples whole volumes by a [`Zoom`].
    fn zooms(&self) -> bool {
        false
    }

    /// Returns the resampling of a whole volume and that of predictions back, if the transform resamples so.
    fn zoom(&self, _incoming: &Grid) -> Option<RoundTrip> {
        None
    }
}

/// A transform of intensities: it maps the values of a window. Incoming values are finite; outgoing ones are checked.
pub trait IntensityTransform: Component {
    /// Maps the values of a window; a pure function. Values closer than the halo to an end of the window that is not an end
    /// of the volume are unspecified.
    fn apply(&self, params: &Self::Params, statistics: &VolumeStatistics, window: &mut Window);

    /// Returns whether these parameters change nothing, so that the step can be skipped.
    fn is_identity(&self, _params: &Self::Params) -> bool {
        false
    }

    /// Returns whether the transform needs statistics of the whole incoming volume.
    fn needs_statistics(&self) -> bool {
        false
    }

    /// Computes the statistics of the whole incoming volume.
    ///
    /// # Errors
    /// When the volume has no such statistics.
    fn statistics(&self, _params: &Self::Params, _whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        Ok(VolumeStatistics::default())
    }

    /// Returns whether the transform reads labels, of the whole volume or of the window.
    fn needs_labels(&self) -> bool {
        self.region().is_some_and(Region::needs_labels)
    }

    /// Returns whether the background must be marked in the labels that the transform reads, by [`lazy::BACKGROUND`].
    fn needs_background(&self) -> bool {
        false
    }

    /// Returns the number of voxels around a window that determine its values; `usize::MAX` is the whole axis.
    fn halo(&self, _params: &Self::Params, _grid: &Grid) -> [usize; 3] {
        [0; 3]
    }

    /// Returns whether every window needs the whole incoming volume.
    fn needs_whole_volume(&self) -> bool {
        false
    }

    /// Returns the maps of the moved copies of the volume that the transform mixes, from outgoing to incoming voxels;
    /// its halo must be the whole volume.
    fn copies(&self, _params: &Self::Params, _grid: &Grid) -> Vec<volume::Affine> {
        Vec::new()
    }

    /// Returns whether incoming values may be NaN or infinite; everywhere else, such values are an error.
    fn accepts_not_finite(&self) -> bool {
        false
    }

    /// Returns whether the transform limits intensities, so that outliers do not affect the next steps.
    fn limits_intensities(&self) -> bool {
        false
    }

    /// Returns whether single outliers change all outgoing intensities.
    fn is_sensitive_to_outliers(&self) -> bool {
        false
    }

    /// Returns whether the transform brings the intensities of all images to a common scale.
    fn normalizes(&self) -> bool {
        false
    }

    /// Returns the transform as a [`FittedTransform`], if it is one.
    fn fitted(&self) -> Option<&dyn FittedTransform<Params = Self::Params>> {
        None
    }
}

/// A transform of intensities that is fitted to all training subjects together.
pub trait FittedTransform: Component {
    /// Returns whether the statistics must be fitted, because the experiment does not give them.
    fn needs_fit(&self) -> bool;

    /// Returns whether parameters contain the statistics.
    fn is_fitted(&self, params: &Self::Params) -> bool;

    /// Returns the observations that one training subject contributes, channel by channel.
    ///
    /// # Errors
    /// When the subject has none.
    fn observe(&self, whole: &WholeVolume) -> Result<Vec<Vec<f32>>, TransformError>;

    /// Returns the parameters that fit the observations of all training subjects.
    ///
    /// # Errors
    /// When the observations do not suffice.
    fn fit(&self, observations: &[Vec<Vec<f32>>]) -> Result<Self::Params, TransformError>;
}

/// A transform of whole label maps.
pub trait LabelTransform: Component {
    /// Changes the labels of a whole volume `[x, y, z]`.
    fn relabel(&self, params: &Self::Params, labels: &mut [Label], shape: [usize; 3]);

    /// Returns whether the transform changes label maps; if false, it changes only how they are written to files.
    fn relabels(&self) -> bool {
        true
    }

    /// Returns the channels `[class, x, y, z]` as which a label map `[x, y, z]` is written to files; `None` for the label
    /// map itself.
    fn channels(&self, _labels: &[Label]) -> Option<Vec<Label>> {
        None
    }
}

/// A volume to which a transform cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct TransformError {
    /// The name of the transform.
    pub name: &'static str,
    /// Why it cannot be applied.
    pub reason: String,
}
