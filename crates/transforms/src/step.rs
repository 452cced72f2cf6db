//! Steps: the trait through which the program uses any transform, without the type of its parameters.

use random::Rng;
use values::Spacing;
use volume::{Affine, Grid, Label};

use crate::composition::{Applied, Nested};
use crate::{
    Extension, GridMapping, Incoming, KeyProblem, Reference, Region, RoundTrip, TransformError, TransformParams,
    VolumeStatistics, WholeVolume, Window,
};

/// A step of a chain: any transform. Methods that do not apply to its kind return a neutral value: an intensity transform
/// maps no grid, a label transform leaves intensities unchanged.
///
/// [`Transform::component`](crate::Transform::component) returns it. Components implement [`Component`](crate::Component)
/// and the trait of their kind instead; the registry does the rest.
///
/// # Panics
/// Methods that receive parameters panic when those belong to another step; [`validate_params`](Step::validate_params)
/// reports it instead.
pub trait Step {
    /// Returns the problems of the keys.
    fn validate(&self) -> Vec<KeyProblem> {
        Vec::new()
    }

    /// Checks that the step can be applied to a volume.
    ///
    /// # Errors
    /// When it cannot.
    fn check_incoming(&self, _incoming: &Incoming) -> Result<(), KeyProblem> {
        Ok(())
    }

    /// Returns a warning about the step on volumes of this grid.
    fn warning(&self, _incoming: &Grid) -> Option<String> {
        None
    }

    /// Returns the keys whose values make the step random; of a step with nested steps, its own keys only.
    fn random_keys(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns the keys of which TorchIO reads a single number as a range, each with the centre of that range.
    fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
        &[]
    }

    /// Samples the parameters.
    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> TransformParams;

    /// Checks that recorded parameters are possible for the step.
    ///
    /// # Errors
    /// The expected and the actual value, if they are not.
    fn validate_params(&self, params: &TransformParams, incoming: &Incoming) -> Result<(), String>;

    /// Returns the region of the volume that the step computes with.
    fn region(&self) -> Option<&Region> {
        None
    }

    /// Returns the key `reference`, whose file must be read before the step can be applied.
    fn reference_mut(&mut self) -> Option<&mut Reference> {
        None
    }

    /// Returns the median spacing of the training subjects, if the step uses it.
    fn median_spacing_mut(&mut self) -> Option<&mut Option<Spacing>> {
        None
    }

    /// Returns the outgoing grid and the source of its voxels; `None` unless the transform is spatial.
    fn map_grid(&self, _params: &TransformParams, _incoming: &Grid) -> Option<GridMapping> {
        None
    }

    /// Returns whether outgoing volumes may have another shape.
    fn changes_shape(&self) -> bool {
        false
    }

    /// Returns the shape of the incoming volume from which an outgoing one of this shape is computed, in `patch_augment`; of
    /// a step with nested steps, that which suffices for all of them.
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
    fn resolve_from_volume(
        &self,
        params: &TransformParams,
        _whole: &WholeVolume,
    ) -> Result<TransformParams, TransformError> {
        Ok(params.clone())
    }

    /// Returns the extension mode by which padded voxels repeat the volume's content, if any; it needs the whole volume.
    fn extension(&self) -> Option<Extension> {
        None
    }

    /// Returns whether the step resamples whole volumes by a [`Zoom`](crate::Zoom).
    fn zooms(&self) -> bool {
        false
    }

    /// Returns the resampling of a whole volume and that of predictions back, if the step resamples so.
    fn zoom(&self, _incoming: &Grid) -> Option<RoundTrip> {
        None
    }

    /// Returns whether these parameters change nothing.
    fn is_identity(&self, _params: &TransformParams) -> bool {
        false
    }

    /// Returns whether the step needs statistics of the whole incoming volume.
    fn needs_statistics(&self) -> bool {
        false
    }

    /// Returns whether the step reads labels.
    fn needs_labels(&self) -> bool {
        false
    }

    /// Returns whether the background must be marked in the labels that the step reads.
    fn needs_background(&self) -> bool {
        false
    }

    /// Returns whether every window needs the whole incoming volume.
    fn needs_whole_volume(&self) -> bool {
        false
    }

    /// Returns whether incoming values may be NaN or infinite.
    fn accepts_not_finite(&self) -> bool {
        false
    }

    /// Returns whether the step limits intensities, so that outliers do not affect the next steps.
    fn limits_intensities(&self) -> bool {
        false
    }

    /// Returns whether single outliers change all outgoing intensities.
    fn is_sensitive_to_outliers(&self) -> bool {
        false
    }

    /// Returns whether the step brings the intensities of all images to a common scale.
    fn normalizes(&self) -> bool {
        false
    }

    /// Computes the statistics of the whole incoming volume.
    ///
    /// # Errors
    /// When the volume has no such statistics.
    fn statistics(&self, _params: &TransformParams, _whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        Ok(VolumeStatistics::default())
    }

    /// Returns the number of voxels around a window that determine its intensities; `usize::MAX` is the whole axis.
    fn halo(&self, _params: &TransformParams, _grid: &Grid) -> [usize; 3] {
        [0; 3]
    }

    /// Returns the maps of the moved copies of the volume that the step mixes, from outgoing to incoming voxels.
    fn copies(&self, _params: &TransformParams, _grid: &Grid) -> Vec<Affine> {
        Vec::new()
    }

    /// Maps the intensities of a window.
    fn apply(&self, _params: &TransformParams, _statistics: &VolumeStatistics, _window: &mut Window) {}

    /// Returns whether the step must be fitted to the training subjects.
    fn needs_fit(&self) -> bool {
        false
    }

    /// Returns whether parameters contain fitted statistics; their number of channels is checked against the volume later.
    fn is_fitted(&self, _params: &TransformParams) -> bool {
        false
    }

    /// Returns the observations that one training subject contributes to the fit, channel by channel.
    ///
    /// # Errors
    /// When the subject has none.
    fn observe(&self, _whole: &WholeVolume) -> Result<Vec<Vec<f32>>, TransformError> {
        Ok(Vec::new())
    }

    /// Fits the step: returns its parameters from the observations of all training subjects.
    ///
    /// # Errors
    /// When the observations do not suffice.
    fn fit(&self, _observations: &[Vec<Vec<f32>>]) -> Result<TransformParams, TransformError> {
        Ok(TransformParams::Nothing)
    }

    /// Returns whether the step changes label maps as a whole.
    fn relabels(&self) -> bool {
        false
    }

    /// Changes the labels of a whole volume `[x, y, z]`.
    fn relabel(&self, _params: &TransformParams, _labels: &mut [Label], _shape: [usize; 3]) {}

    /// Returns the channels `[class, x, y, z]` as which a label map `[x, y, z]` is written to files; `None` for the label
    /// map itself.
    fn label_channels(&self, _labels: &[Label]) -> Option<Vec<Label>> {
        None
    }

    /// Returns the nested steps.
    fn nested(&self) -> Option<Nested<'_>> {
        None
    }

    /// Returns the nested steps as a mutable slice.
    fn nested_mut(&mut self) -> &mut [crate::Transform] {
        &mut []
    }

    /// Returns the nested steps that are applied under these parameters, with their own; `None` without nested steps.
    ///
    /// # Errors
    /// When the parameters are not possible for the step.
    fn applied<'a>(&'a self, _params: &'a TransformParams) -> Result<Option<Applied<'a>>, String> {
        Ok(None)
    }

    /// Returns the parameters with those of the applied nested steps replaced by `nested`.
    fn with_nested_params(&self, params: &TransformParams, _nested: Vec<TransformParams>) -> TransformParams {
        params.clone()
    }
}

/// The error message for the parameters of another step.
pub(crate) const OTHER_STEP: &str = "these are the parameters of another step";
