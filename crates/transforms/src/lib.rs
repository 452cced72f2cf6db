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
use volume::Grid;

mod channels;
mod composition;
mod erasure;
mod filters;
mod intensity;
mod kinds;
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
pub use kinds::{FittedTransform, IntensityTransform, LabelTransform, SpatialTransform};
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

/// A volume to which a transform cannot be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {reason}")]
pub struct TransformError {
    /// The name of the transform.
    pub name: &'static str,
    /// Why it cannot be applied.
    pub reason: String,
}
