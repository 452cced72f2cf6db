//! Reading an incoming block at mapped places: whole voxels, or interpolated points.

mod bent;
mod lattice;
mod source;
mod straight;

use rayon::prelude::*;

use super::block::Block;
use super::origin::IndexMapping;
use crate::Interpolation;
pub(super) use lattice::lattice;
pub(super) use source::{LabelSource, Source};
pub(super) use straight::{Places, Span};
use volume::Label;
use volume::buffers;

/// Blocks of at least this many voxels are shared out among threads.
const PARALLEL_FROM: usize = 1 << 21;

/// Slices that a thread takes of such a block.
const SHARE: usize = 8;

/// Rows along y that are filled for every x before those behind them, so that what they share stays near the processor.
const ROWS_TOGETHER: usize = 32;

/// Interpolates at the places that `origin` gives, and looks up the labels of the same block where `labels` are given,
/// whose places must be the same. For cubic interpolation the block holds spline coefficients.
pub(super) fn warp(
    incoming: &Block,
    (origin, interpolation): (&IndexMapping, Interpolation),
    fills: &[f32],
    labels: Option<LabelSource>,
    start: [usize; 3],
    shape: [usize; 3],
) -> (Vec<f32>, Option<Vec<Label>>) {
    let voxels: usize = shape.iter().product();
    let mut image = buffers::take(fills.len() * voxels);
    let mut label = labels.map(|_| buffers::take(voxels));
    let sources: Vec<Source> =
        (0..fills.len()).map(|channel| Source::of(incoming, channel, origin.source_shape)).collect();
    let wanted = Wanted { origin, interpolation, sources: &sources, fills, labels, start, shape };
    wanted.fill(&mut image, label.as_deref_mut().unwrap_or_default());
    (image, label)
}

/// The labels of a block of outgoing voxels: what [`IndexMapping::source`] says of each.
pub(super) fn labels(source: LabelSource, origin: &IndexMapping, start: [usize; 3], shape: [usize; 3]) -> Vec<Label> {
    let mut label = buffers::take(shape.iter().product());
    let (sources, fills, interpolation) = (&[], &[], Interpolation::Linear);
    Wanted { origin, interpolation, sources, fills, labels: Some(source), start, shape }.fill(&mut [], &mut label);
    label
}

/// A block of outgoing voxels, and what it is read from.
struct Wanted<'a> {
    origin: &'a IndexMapping,
    interpolation: Interpolation,
    /// One for each channel, and what it gets from outside.
    sources: &'a [Source<'a>],
    fills: &'a [f32],
    labels: Option<LabelSource<'a>>,
    start: [usize; 3],
    shape: [usize; 3],
}

/// The voxels at one x: those of each channel, and their labels.
type Slice<'a> = (Vec<&'a mut [f32]>, Option<&'a mut [Label]>);

impl Wanted<'_> {
    /// Fills every channel and the labels, in parallel where the block is large. The result does not depend on that.
    fn fill(&self, image: &mut [f32], label: &mut [Label]) {
        let (voxels, slice): (usize, usize) = (self.shape.iter().product(), self.shape[1] * self.shape[2]);
        let mut slices: Vec<Slice> = (0..self.shape[0]).map(|_| (Vec::with_capacity(self.fills.len()), None)).collect();
        for channel in image.chunks_exact_mut(voxels) {
            slices.iter_mut().zip(channel.chunks_exact_mut(slice)).for_each(|((images, _), slice)| images.push(slice));
        }
        slices.iter_mut().zip(label.chunks_exact_mut(slice)).for_each(|((_, label), slice)| *label = Some(slice));
        let fill = |first_x: usize, slices: &mut [Slice]| match self.origin.bends.is_empty() {
            true => straight::fill(self, first_x, slices),
            false => bent::fill(self, first_x, slices),
        };
        if voxels >= PARALLEL_FROM {
            slices.par_chunks_mut(SHARE).enumerate().for_each(|(share, slices)| fill(share * SHARE, slices));
        } else {
            fill(0, &mut slices);
        }
    }

    /// The outgoing volume's voxel that is one of the block.
    fn voxel(&self, [x, y, z]: [usize; 3]) -> [usize; 3] {
        [self.start[0] + x, self.start[1] + y, self.start[2] + z]
    }
}
