//! The traits of the kinds of transforms.

use crate::{
    Component, Extension, GridMapping, Region, RoundTrip, TransformError, VolumeStatistics, WholeVolume, Window,
};
use volume::{Grid, Label};

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

    /// Returns whether the transform resamples whole volumes by a [`Zoom`](crate::Zoom).
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

    /// Returns whether the background must be marked in the labels that the transform reads, by [`BACKGROUND`](crate::lazy::BACKGROUND).
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
