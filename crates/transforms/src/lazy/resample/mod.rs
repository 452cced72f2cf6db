//! The resampler: reads an incoming block at mapped points.
//!
//! [`lattice`] copies whole voxels, and [`reverse`] flips blocks in place. [`warp`] interpolates intensities and [`labels`] looks up the nearest label; both
//! work on rows along z, whose source points are on straight lines ([`affine`]) or not ([`elastic`]). Maps within slices
//! ([`slices`]) and maps that only scale the axes ([`aligned`]) read rows of the source as a whole. On processors with
//! AVX2 the inner loops compute eight voxels at a time ([`avx2`]); the results have the same bits everywhere.

mod affine;
mod aligned;
#[cfg(target_arch = "x86_64")]
mod avx2;
mod elastic;
mod lattice;
mod request;
mod reverse;
mod rows;
mod slices;
mod source;
mod votes;

use rayon::prelude::*;

use super::block::Block;
use super::index_mapping::IndexMapping;
use crate::Interpolation;
pub(super) use lattice::{lattice, lattice_labels, lattice_source};
use request::{MIN_PARALLEL_VOXELS, Request, Slice};
pub(super) use reverse::{flipped_axes, reverse};
use source::ImageSource;
pub(super) use source::LabelSource;
use volume::Label;
use volume::buffer_pool;

/// Slices per parallel task.
const SLICES_PER_TASK: usize = 8;

/// Interpolates a block of outgoing voxels, and looks up their labels if there are `labels` with the same mapping. For
/// cubic interpolation the incoming block contains spline coefficients.
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
    let sources: Vec<ImageSource> =
        (0..border_values.len()).map(|channel| ImageSource::new(incoming, channel, mapping.source_shape)).collect();
    let request = Request { mapping, interpolation, sources: &sources, border_values, labels, start, shape };
    fill(&request, &mut image, label.as_deref_mut().unwrap_or_default());
    (image, label)
}

/// Looks up the labels of a block of outgoing voxels, `[x, y, z]`: for each voxel the label at its
/// [`IndexMapping::source`].
pub(super) fn labels(source: LabelSource, mapping: &IndexMapping, start: [usize; 3], shape: [usize; 3]) -> Vec<Label> {
    let mut label = buffer_pool::acquire(shape.iter().product());
    let (sources, border_values, interpolation) = (&[], &[], Interpolation::Linear);
    let labels = Some(source);
    let request = Request { mapping, interpolation, sources, border_values, labels, start, shape };
    fill(&request, &mut [], &mut label);
    label
}

/// Computes every channel and the labels, in parallel if the block is large. The result does not depend on that.
fn fill(request: &Request, image: &mut [f32], label: &mut [Label]) {
    let (voxels, slice): (usize, usize) = (request.shape.iter().product(), request.shape[1] * request.shape[2]);
    let mut slices: Vec<Slice> =
        (0..request.shape[0]).map(|_| (Vec::with_capacity(request.border_values.len()), None)).collect();
    for channel in image.chunks_exact_mut(voxels) {
        slices.iter_mut().zip(channel.chunks_exact_mut(slice)).for_each(|((images, _), slice)| images.push(slice));
    }
    slices.iter_mut().zip(label.chunks_exact_mut(slice)).for_each(|((_, label), slice)| *label = Some(slice));
    let stays_in_slices = slices::applies(request.mapping, request.interpolation);
    let fill = |first_x: usize, slices: &mut [Slice]| match request.mapping.displacements.is_empty() {
        true if stays_in_slices => slices::fill(request, first_x, slices),
        true => affine::fill(request, first_x, slices),
        false => elastic::fill(request, first_x, slices),
    };
    if voxels >= MIN_PARALLEL_VOXELS {
        let tasks = slices.par_chunks_mut(SLICES_PER_TASK).enumerate();
        tasks.for_each(|(task, slices)| fill(task * SLICES_PER_TASK, slices));
    } else {
        fill(0, &mut slices);
    }
}

#[cfg(test)]
mod tests;
