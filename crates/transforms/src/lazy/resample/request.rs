//! Requests to the resampler: blocks of outgoing voxels.

use super::source::{ImageSource, LabelSource};
use crate::Interpolation;
use crate::lazy::index_mapping::IndexMapping;
use volume::Label;

/// Rows along y that are computed for every x before the next ones, so that the source voxels they have in common stay
/// in the processor's cache.
pub(super) const ROWS_PER_TILE: usize = 32;

/// Blocks of at least this many voxels are computed in parallel. Most patches are smaller: these are made by several threads
/// already.
pub(super) const MIN_PARALLEL_VOXELS: usize = (1 << 21) + 1;

/// A block of outgoing voxels and the arrays that it is computed from.
pub(super) struct Request<'a> {
    pub(super) mapping: &'a IndexMapping,
    pub(super) interpolation: Interpolation,
    /// One per channel.
    pub(super) sources: &'a [ImageSource<'a>],
    /// One per channel.
    pub(super) border_values: &'a [f32],
    pub(super) labels: Option<LabelSource<'a>>,
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
