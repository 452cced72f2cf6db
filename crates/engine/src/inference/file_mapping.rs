//! Where the voxels of a preprocessed volume are in the image file.

use super::blend::Planes;
use super::inverse_resample::InverseResampler;
use super::inverse_zoom::InverseZoom;
use transforms::lazy::{self, IndexMapping, ZoomBack};
use transforms::{Lattice, LatticeAxis, Map, Transform, TransformParams, Zoom};
use volume::{Grid, Label};

/// The mapping from a preprocessed volume to the grid of the image file, by which predictions are resampled back.
#[derive(Clone, Debug)]
pub struct FileMapping {
    mapping: IndexMapping,
    zoom: Option<ZoomBack>,
}

impl FileMapping {
    /// Returns the mapping of a preprocess chain with its parameters on a file.
    pub fn new(chain: &[Transform], params: &[TransformParams], file: &Grid) -> Self {
        let (mapping, zoom) = (lazy::index_mapping(chain, params, file), lazy::zoom_back(chain, params, file));
        Self { mapping, zoom }
    }

    /// Returns the mapping of a volume that was not preprocessed.
    pub fn identity(shape: [usize; 3]) -> Self {
        Self { mapping: IndexMapping::identity(shape), zoom: None }
    }

    /// Returns the mapping of the volume with the axes z, y and x instead of x, y and z.
    pub(super) fn with_reversed_axes(&self) -> Self {
        let reverse = |[x, y, z]: [usize; 3]| [z, y, x];
        let axis = |source| LatticeAxis { source, flipped: false, offset: 0 };
        let reversal = Lattice { axes: [axis(2), axis(1), axis(0)] };
        let mut mapping = self.mapping.clone();
        mapping.append(&Map::Lattice(reversal), reverse(self.mapping.shape));
        let zoom = self.zoom.map(|ZoomBack { zoom, lattice }| {
            let separate_axis = zoom.separate_axis.map(|axis| 2 - axis);
            let [x, y, z] = lattice.axes;
            ZoomBack {
                zoom: Zoom { from: reverse(zoom.from), to: reverse(zoom.to), separate_axis, ..zoom },
                lattice: Lattice { axes: [z, y, x] },
            }
        });
        Self { mapping, zoom }
    }

    /// Writes the label of each voxel of the file that the planes complete; `map` is `[x, y, z]`. `decide` receives values
    /// `[class, voxel]` and writes labels.
    pub(super) fn write_labels(
        &self,
        planes: &Planes,
        map: &mut [Label],
        decide: impl Fn(&mut [f32], &mut [Label]) + Sync,
    ) {
        match self.inverse_zoom() {
            Some(zoom) => zoom.write_labels(planes, map, decide),
            None => InverseResampler::new(&self.mapping).write_labels(planes, map, decide),
        }
    }

    /// Adds `factor` times the probabilities of each voxel of the file that the planes complete; `sums` is
    /// `[class, x, y, z]`. `activate` converts values `[class, voxel]` to probabilities.
    pub(super) fn add_probabilities(
        &self,
        planes: &Planes,
        factor: f32,
        sums: &mut [f32],
        activate: impl Fn(&mut [f32]) + Sync,
    ) {
        match self.inverse_zoom() {
            Some(zoom) => zoom.add_probabilities(planes, factor, sums, activate),
            None => InverseResampler::new(&self.mapping).add_probabilities(planes, factor, sums, activate),
        }
    }

    /// Adds `factor` to the background probability of each voxel of the file outside the preprocessed grid, whose shape this
    /// is; `background` is `[x, y, z]`.
    pub(super) fn add_background_outside(&self, shape: [usize; 3], factor: f32, background: &mut [f32]) {
        match self.inverse_zoom() {
            Some(zoom) => zoom.add_background_outside(factor, background),
            None => InverseResampler::new(&self.mapping).add_background_outside(shape, factor, background),
        }
    }

    fn inverse_zoom(&self) -> Option<InverseZoom<'_>> {
        self.zoom.as_ref().map(|zoom| InverseZoom::new(zoom, self.mapping.source_shape))
    }
}
