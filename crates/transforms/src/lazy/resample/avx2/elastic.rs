//! Rows of voxels under mappings with elastic displacements.

use std::arch::x86_64::*;

use super::interpolation::{corners, linear};
use super::prefetch::{IMAGE_LANES, LABEL_LANES, prefetch};
use super::scratch::{Scratch, fits_32_bits, positions, with_scratch};
use crate::lazy::empty_space::MARGIN;
use crate::lazy::fixed_point::{HALF, ONE, nearest_index};
use crate::lazy::lanes::{Coordinates, GROUP};
use crate::lazy::resample::source::{ImageSource, LabelSource};
use crate::lazy::warp::SourceRow;
use simd::{CornerGather, Gather, LANES, MAX_GROUPS, for_avx2, store_f32x8};
use volume::Label;

/// Interpolates a row. Voxels that cannot be computed in groups are left to `one_by_one`, which gets the index of the
/// first one and the values to set.
pub(in crate::lazy::resample) fn interpolate_elastic_row(
    source: &ImageSource,
    row: &SourceRow,
    out: &mut [f32],
    one_by_one: impl Fn(usize, &mut [f32]),
) {
    let in_groups = |corners: CornerGather| {
        with_scratch(|scratch| interpolate_in_groups(&corners, source, row, out, &one_by_one, scratch))
    };
    if corners(source).and_then(in_groups).is_none() {
        one_by_one(0, out);
    }
}

for_avx2! {
    fn interpolate_in_groups(
        corners: &CornerGather,
        source: &ImageSource,
        row: &SourceRow,
        out: &mut [f32],
        one_by_one: &impl Fn(usize, &mut [f32]),
        scratch: &mut Scratch,
    ) {
        for (chunk, out) in out.chunks_mut(MAX_GROUPS * GROUP).enumerate() {
            let first = chunk * MAX_GROUPS;
            let (groups, rest) = out.as_chunks_mut::<GROUP>();
            let in_interior = locate_groups(scratch, source, row, first, groups.len());
            let corners = corners.at(&scratch.positions);
            for (index, (out, positions)) in groups.iter_mut().zip(scratch.positions.groups()).enumerate() {
                if in_interior >> index & 1 == 1 {
                    prefetch(source.values, source.shape, positions, IMAGE_LANES);
                    store_f32x8(linear::<true>(corners, index, scratch.weights(index)), out);
                } else {
                    one_by_one((first + index) * GROUP, out);
                }
            }
            one_by_one((first + groups.len()) * GROUP, rest);
        }
    }
}

/// Computes the positions of groups in a block. Returns a bit per group, the first one lowest: whether all its points are
/// in the interior.
#[target_feature(enable = "avx2")]
fn locate_groups(scratch: &mut Scratch, source: &ImageSource, row: &SourceRow, first: usize, count: usize) -> u16 {
    let [start_x, start_y, start_z] = source.start.map(|index| index as i64 * ONE);
    let shape = source.shape.map(|size| size as i32 - 1);
    let mut in_interior = 0;
    scratch.positions.clear();
    for index in 0..count {
        let (inside, [x, y, z]) = row.group(first + index);
        let points = [Coordinates::load(x, start_x), Coordinates::load(y, start_y), Coordinates::load(z, start_z)];
        let is_interior = inside == u8::MAX
            && are_below(points[0].indices(), shape[0])
            && are_below(points[1].indices(), shape[1])
            && are_below(points[2].indices(), shape[2]);
        in_interior |= u16::from(is_interior) << index;
        scratch.set_weights(points);
        scratch.positions.add(if is_interior { positions(source.shape, points) } else { _mm256_setzero_si256() });
    }
    in_interior
}

/// Returns whether all indices are at least 0 and below a bound.
#[inline]
#[target_feature(enable = "avx2")]
fn are_below(indices: __m256i, bound: i32) -> bool {
    let not_negative = _mm256_cmpgt_epi32(indices, _mm256_set1_epi32(-1));
    let below = _mm256_cmpgt_epi32(_mm256_set1_epi32(bound), indices);
    _mm256_movemask_epi8(_mm256_and_si256(not_negative, below)) == -1
}

/// Looks up the labels of a row, as [`interpolate_elastic_row`].
pub(in crate::lazy::resample) fn look_up_elastic_row(
    source: LabelSource,
    shape: [usize; 3],
    row: &SourceRow,
    out: &mut [Label],
    one_by_one: impl Fn(usize, &mut [Label]),
) {
    if !fits_32_bits(source.labels)
        || with_scratch(|scratch| look_up_in_groups(source, shape, row, out, &one_by_one, scratch)).is_none()
    {
        one_by_one(0, out);
    }
}

/// How the labels of a group are computed.
#[derive(Clone, Copy, PartialEq)]
enum Method {
    /// They are all 0.
    Zero,
    /// All points are outside.
    Outside,
    /// All points are inside.
    Gather,
    /// Some points are outside.
    OneByOne,
}

for_avx2! {
    fn look_up_in_groups(
        source: LabelSource,
        shape: [usize; 3],
        row: &SourceRow,
        out: &mut [Label],
        one_by_one: &impl Fn(usize, &mut [Label]),
        scratch: &mut Scratch,
    ) {
        let all_positions = &mut scratch.positions;
        let mut methods = [Method::Zero; MAX_GROUPS];
        for (chunk, out) in out.chunks_mut(MAX_GROUPS * GROUP).enumerate() {
            let first = chunk * MAX_GROUPS;
            let (groups, rest) = out.as_chunks_mut::<GROUP>();
            all_positions.clear();
            for (index, method) in methods.iter_mut().take(groups.len()).enumerate() {
                let (inside, [x, y, z]) = row.group(first + index);
                let points = [Coordinates::load(x, -HALF), Coordinates::load(y, -HALF), Coordinates::load(z, -HALF)];
                *method = method_for(source, inside, points, [x[LANES / 2], y[LANES / 2], z[LANES / 2]]);
                let is_looked_up = *method == Method::Gather;
                all_positions.add(if is_looked_up { positions(shape, points) } else { _mm256_setzero_si256() });
            }
            let labels = Gather::new(source.labels, all_positions);
            for (index, (out, positions)) in groups.iter_mut().zip(all_positions.groups()).enumerate() {
                match methods[index] {
                    Method::Zero => out.fill(0),
                    Method::Outside => out.fill(source.outside),
                    Method::Gather => {
                        prefetch(source.labels, shape, positions, LABEL_LANES);
                        *out = labels.group(index);
                    }
                    Method::OneByOne => one_by_one((first + index) * GROUP, out),
                }
            }
            one_by_one((first + groups.len()) * GROUP, rest);
        }
    }
}

#[target_feature(enable = "avx2")]
fn method_for(source: LabelSource, inside: u8, points: [Coordinates; 3], middle: [i64; 3]) -> Method {
    let is_empty = || source.empty.is_some_and(|empty| empty.is_empty_around(middle));
    match inside {
        0 => Method::Outside,
        u8::MAX
            if is_empty()
                && are_near(points[0], middle[0])
                && are_near(points[1], middle[1])
                && are_near(points[2], middle[2]) =>
        {
            Method::Zero
        }
        u8::MAX => Method::Gather,
        _ => Method::OneByOne,
    }
}

/// Returns whether the voxels nearest to eight coordinates, which are shifted by half a voxel, are within the margin
/// around the voxel nearest to `middle`.
#[target_feature(enable = "avx2")]
fn are_near(shifted: Coordinates, middle: i64) -> bool {
    let distance = _mm256_sub_epi32(shifted.indices(), _mm256_set1_epi32(nearest_index(middle) as i32));
    _mm256_movemask_epi8(_mm256_cmpgt_epi32(_mm256_abs_epi32(distance), _mm256_set1_epi32(MARGIN as i32))) == 0
}
