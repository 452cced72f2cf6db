//! Filling rows whose places are found one by one, since a field displacements them.

use super::{LabelSource, ROWS_PER_TILE, Slice, Source, Wanted};
use crate::Interpolation;
#[cfg(target_arch = "x86_64")]
use crate::lazy::resample::avx2;
use crate::lazy::warp::Row;
use volume::Label;

/// BorderValues slices, of which the first one lies at `first_x`.
pub(super) fn fill(wanted: &Wanted, first_x: usize, slices: &mut [Slice]) {
    let [_, size_y, size_z] = wanted.shape;
    let mut places = Row::new(size_z);
    for first_y in (0..size_y).step_by(ROWS_PER_TILE) {
        for (x, (images, label)) in (first_x..).zip(slices.iter_mut()) {
            for y in first_y..size_y.min(first_y + ROWS_PER_TILE) {
                places.follow(&wanted.mapping.path, wanted.voxel([x, y, 0]));
                let row = y * size_z..(y + 1) * size_z;
                for ((image, source), fill) in images.iter_mut().zip(wanted.sources).zip(wanted.border_values) {
                    interpolate(source, wanted.interpolation, *fill, &places, &mut image[row.clone()]);
                }
                if let (Some(label), Some(labels)) = (label.as_mut(), wanted.labels) {
                    look_up(labels, wanted.mapping.source_shape, &places, &mut label[row]);
                }
            }
        }
    }
}

fn interpolate(source: &Source, interpolation: Interpolation, fill: f32, row: &Row, out: &mut [f32]) {
    let one_by_one = |first: usize, out: &mut [f32]| {
        for (index, value) in (first..).zip(out) {
            *value = row.source(index).map_or(fill, |place| source.at(interpolation, place));
        }
    };
    #[cfg(target_arch = "x86_64")]
    if interpolation == Interpolation::Linear {
        return avx2::bent_row(source, row, out, one_by_one);
    }
    one_by_one(0, out);
}

fn look_up(source: LabelSource, shape: [usize; 3], row: &Row, out: &mut [Label]) {
    let one_by_one = |first: usize, out: &mut [Label]| {
        for (index, label) in (first..).zip(out) {
            *label = row.source(index).map_or(0, |place| source.nearest(shape, place));
        }
    };
    #[cfg(target_arch = "x86_64")]
    avx2::bent_labels(source, shape, row, out, one_by_one);
    #[cfg(not(target_arch = "x86_64"))]
    one_by_one(0, out);
}
