//! Requests to the resampler: blocks of outgoing voxels.

use super::source::{ImageSource, LabelSource};
use super::uniform_cells::UniformCells;
use super::{aligned, slices};
use crate::lazy::index_mapping::IndexMapping;
use crate::lazy::line::Line;
use crate::{Convention, Interpolation};
use volume::Label;

/// Rows along y that are computed for every x before the next ones, so that the source voxels they have in common stay
/// in the processor's cache.
pub(super) const ROWS_PER_TILE: usize = 32;

/// Blocks of at least this many voxels are computed in parallel.
pub(super) const MIN_PARALLEL_VOXELS: usize = 1 << 21;

/// For smaller blocks it takes longer to find uniform cells than to read labels.
const MIN_VOXELS_FOR_CELLS: usize = 1 << 12;

/// Returns the uniform cells of the labels that a block of outgoing voxels reads, if labels are interpolated.
pub(super) fn uniform_cells(
    (mapping, interpolation): (&IndexMapping, Interpolation),
    labels: Option<LabelSource>,
    start: [usize; 3],
    shape: [usize; 3],
) -> Option<UniformCells> {
    let is_large = shape.iter().product::<usize>() >= MIN_VOXELS_FOR_CELLS;
    let interpolates = mapping.convention == Convention::GridSample && mapping.displacements.is_empty();
    let has_source_rows = slices::applies(mapping, interpolation) || aligned::applies(mapping, interpolation);
    let source = labels.filter(|_| is_large && interpolates && !has_source_rows)?;
    let (first, size) = mapping.source_region(start, shape);
    let first: [usize; 3] = std::array::from_fn(|axis| first[axis].max(source.start[axis]));
    let end: [usize; 3] =
        std::array::from_fn(|axis| (first[axis] + size[axis]).min(source.start[axis] + source.shape[axis]));
    let step = Line::new(&mapping.map, 0.0, 0.0).step;
    (0..3).all(|axis| first[axis] < end[axis]).then(|| UniformCells::new(source, first, end, step))
}

/// A block of outgoing voxels and the arrays that it is computed from.
pub(super) struct Request<'a> {
    pub(super) mapping: &'a IndexMapping,
    pub(super) interpolation: Interpolation,
    /// One per channel.
    pub(super) sources: &'a [ImageSource<'a>],
    /// One per channel.
    pub(super) border_values: &'a [f32],
    pub(super) labels: Option<LabelSource<'a>>,
    /// Where interpolated labels are known.
    pub(super) uniform: Option<&'a UniformCells>,
    pub(super) start: [usize; 3],
    pub(super) shape: [usize; 3],
}

/// The outgoing voxels at one x: those of each channel, and their labels.
pub(super) type Slice<'a> = (Vec<&'a mut [f32]>, Option<&'a mut [Label]>);

impl Request<'_> {
    /// Returns the index in the outgoing volume of a voxel of the block.
    pub(super) fn voxel(&self, [x, y, z]: [usize; 3]) -> [usize; 3] {
        [self.start[0] + x, self.start[1] + y, self.start[2] + z]
    }
}
