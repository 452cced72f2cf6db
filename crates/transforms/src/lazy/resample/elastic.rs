//! Resampling under mappings with elastic displacements, row by row.

use super::request::{ROWS_PER_TILE, Request, Slice};
use super::source::{ImageSource, LabelSource};
use crate::lazy::index_mapping::IndexMapping;
#[cfg(target_arch = "x86_64")]
use crate::lazy::resample::avx2;
use crate::lazy::warp::SourceRow;
use crate::{Convention, Interpolation};
use volume::Label;

/// Computes slices of a request, of which the first one is at `first_x`.
pub(super) fn fill(request: &Request, first_x: usize, slices: &mut [Slice]) {
    let [_, size_y, size_z] = request.shape;
    let mut points = SourceRow::new(size_z);
    for first_y in (0..size_y).step_by(ROWS_PER_TILE) {
        for (x, (images, label)) in (first_x..).zip(slices.iter_mut()) {
            for y in first_y..size_y.min(first_y + ROWS_PER_TILE) {
                points.compute(&request.mapping.warp, request.voxel([x, y, 0]));
                let row = y * size_z..(y + 1) * size_z;
                for ((image, source), border) in images.iter_mut().zip(request.sources).zip(request.border_values) {
                    interpolate(source, request.interpolation, *border, &points, &mut image[row.clone()]);
                }
                if let (Some(label), Some(labels)) = (label.as_mut(), request.labels) {
                    look_up(labels, request.mapping, &points, &mut label[row]);
                }
            }
        }
    }
}

fn interpolate(source: &ImageSource, interpolation: Interpolation, border: f32, row: &SourceRow, out: &mut [f32]) {
    let one_by_one = |first: usize, out: &mut [f32]| {
        for (index, value) in (first..).zip(out) {
            *value = row.source(index).map_or(border, |point| source.interpolate(interpolation, point));
        }
    };
    #[cfg(target_arch = "x86_64")]
    if interpolation == Interpolation::Linear {
        return avx2::interpolate_elastic_row(source, row, out, one_by_one);
    }
    one_by_one(0, out);
}

fn look_up(source: LabelSource, mapping: &IndexMapping, row: &SourceRow, out: &mut [Label]) {
    let shape = mapping.source_shape;
    if mapping.convention == Convention::GridSample {
        for (index, label) in out.iter_mut().enumerate() {
            *label = row.source(index).map_or(source.outside, |point| source.vote(shape, point));
        }
        return;
    }
    let one_by_one = |first: usize, out: &mut [Label]| {
        for (index, label) in (first..).zip(out) {
            *label = row.source(index).map_or(source.outside, |point| source.nearest(point));
        }
    };
    #[cfg(target_arch = "x86_64")]
    avx2::look_up_elastic_row(source, shape, row, out, one_by_one);
    #[cfg(not(target_arch = "x86_64"))]
    one_by_one(0, out);
}
