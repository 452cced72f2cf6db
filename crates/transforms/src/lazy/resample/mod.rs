//! Reading an incoming block at mapped places: whole voxels, or interpolated points.

mod affine;
#[cfg(target_arch = "x86_64")]
pub(in crate::lazy) mod avx2;
mod elastic;
mod lattice;
mod source;

use rayon::prelude::*;

use crate::Interpolation;
use crate::lazy::block::Block;
use crate::lazy::index_mapping::IndexMapping;
pub(in crate::lazy) use affine::{Places, Span};
pub(in crate::lazy) use lattice::lattice;
pub(in crate::lazy) use source::{LabelSource, Source};
use volume::Label;
use volume::buffer_pool;

/// Blocks of at least this many voxels are shared out among threads.
const MIN_PARALLEL_VOXELS: usize = 1 << 21;

/// Slices that a thread takes of such a block.
const SLICES_PER_TASK: usize = 8;

/// Rows along y that are filled for every x before those behind them, so that what they share stays near the processor.
const ROWS_PER_TILE: usize = 32;

/// Interpolates at the places that `mapping` gives, and looks up the labels of the same block where `labels` are given,
/// whose places must be the same. For cubic interpolation the block holds spline coefficients.
pub(super) fn warp(
    incoming: &Block,
    (mapping, interpolation): (&IndexMapping, Interpolation),
    border_values: &[f32],
    labels: Option<LabelSource>,
    start: [usize; 3],
    shape: [usize; 3],
) -> (Vec<f32>, Option<Vec<Label>>) {
    let voxels: usize = shape.iter().product();
    let mut image = buffer_pool::acquire(border_values.len() * voxels);
    let mut label = labels.map(|_| buffer_pool::acquire(voxels));
    let sources: Vec<Source> =
        (0..border_values.len()).map(|channel| Source::of(incoming, channel, mapping.source_shape)).collect();
    let wanted = Wanted { mapping, interpolation, sources: &sources, border_values, labels, start, shape };
    wanted.fill(&mut image, label.as_deref_mut().unwrap_or_default());
    (image, label)
}

/// The labels of a block of outgoing voxels: what [`IndexMapping::source`] says of each.
pub(super) fn labels(source: LabelSource, mapping: &IndexMapping, start: [usize; 3], shape: [usize; 3]) -> Vec<Label> {
    let mut label = buffer_pool::acquire(shape.iter().product());
    let (sources, border_values, interpolation) = (&[], &[], Interpolation::Linear);
    Wanted { mapping, interpolation, sources, border_values, labels: Some(source), start, shape }
        .fill(&mut [], &mut label);
    label
}

/// A block of outgoing voxels, and what it is read from.
struct Wanted<'a> {
    mapping: &'a IndexMapping,
    interpolation: Interpolation,
    /// One for each channel, and what it gets from outside.
    sources: &'a [Source<'a>],
    border_values: &'a [f32],
    labels: Option<LabelSource<'a>>,
    start: [usize; 3],
    shape: [usize; 3],
}

/// The voxels at one x: those of each channel, and their labels.
type Slice<'a> = (Vec<&'a mut [f32]>, Option<&'a mut [Label]>);

impl Wanted<'_> {
    /// BorderValues every channel and the labels, in parallel where the block is large. The result does not depend on that.
    fn fill(&self, image: &mut [f32], label: &mut [Label]) {
        let (voxels, slice): (usize, usize) = (self.shape.iter().product(), self.shape[1] * self.shape[2]);
        let mut slices: Vec<Slice> =
            (0..self.shape[0]).map(|_| (Vec::with_capacity(self.border_values.len()), None)).collect();
        for channel in image.chunks_exact_mut(voxels) {
            slices.iter_mut().zip(channel.chunks_exact_mut(slice)).for_each(|((images, _), slice)| images.push(slice));
        }
        slices.iter_mut().zip(label.chunks_exact_mut(slice)).for_each(|((_, label), slice)| *label = Some(slice));
        let fill = |first_x: usize, slices: &mut [Slice]| match self.mapping.displacements.is_empty() {
            true => affine::fill(self, first_x, slices),
            false => elastic::fill(self, first_x, slices),
        };
        if voxels >= MIN_PARALLEL_VOXELS {
            slices
                .par_chunks_mut(SLICES_PER_TASK)
                .enumerate()
                .for_each(|(share, slices)| fill(share * SLICES_PER_TASK, slices));
        } else {
            fill(0, &mut slices);
        }
    }

    /// The outgoing volume's voxel that is one of the block.
    fn voxel(&self, [x, y, z]: [usize; 3]) -> [usize; 3] {
        [self.start[0] + x, self.start[1] + y, self.start[2] + z]
    }
}
