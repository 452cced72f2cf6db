//! Looking up labels.

use std::arch::x86_64::*;

use super::super::empty::MARGIN;
use super::super::fixed::{HALF, Line};
use super::super::gather::LabelSource;
use super::super::path::{GROUP, Row};
use super::{Places, Walk, eight_of, fetch_ahead, offsets};
use crate::data::volume::Label;
use crate::trusted::{LANES, for_avx2, look_up, store_indices};

/// Looks up the labels of a row's voxels, which all lie inside; `first` is the index along z of the first one. Where
/// there are fewer than eight, or the processor cannot, nothing is written and `false` comes back.
pub(in super::super) fn label_row(
    source: &[Label],
    shape: [usize; 3],
    line: &Line,
    first: usize,
    row: &mut [Label],
) -> bool {
    row.len() >= LANES && fits_32_bits(source) && label_row_at_once(source, shape, line, first, row).is_some()
}

for_avx2! {
    fn label_row_at_once(source: &[Label], shape: [usize; 3], line: &Line, first: usize, row: &mut [Label]) {
        let base = line.at(first);
        let base = [base[0] + HALF, base[1] + HALF, base[2] + HALF];
        let mut walk = Walk::new(base, line.step, 0);
        loop {
            let at = offsets(shape, walk.x, walk.y, walk.z);
            fetch_ahead(source, shape, _mm256_cvtsi256_si32(at) as isize);
            *eight_of(row, walk.taken) = look_up(source, at);
            let Some(next) = walk.next(row.len()) else { return };
            walk = next;
        }
    }
}

/// Looks up the labels of eight voxels whose places are given, 0 for those that do not lie inside, which the bits of a
/// number tell.
#[target_feature(enable = "avx2")]
fn label_eight(
    source: LabelSource,
    shape: [usize; 3],
    (inside, places): (u8, [&[i64; LANES]; 3]),
    out: &mut [Label; LANES],
) {
    let [x, y, z] = [Places::of(places[0], -HALF), Places::of(places[1], -HALF), Places::of(places[2], -HALF)];
    let middle = [places[0][LANES / 2], places[1][LANES / 2], places[2][LANES / 2]];
    let is_empty = inside == u8::MAX
        && source.empty.is_some_and(|empty| empty.is_empty_around(middle))
        && are_near(x, middle[0])
        && are_near(y, middle[1])
        && are_near(z, middle[2]);
    if inside == 0 || is_empty {
        return out.fill(0);
    }
    let at = offsets(shape, x, y, z);
    fetch_ahead(source.labels, shape, _mm256_extract_epi32::<4>(at) as isize);
    if inside == u8::MAX {
        return *out = look_up(source.labels, at);
    }
    let at = store_indices(at);
    for (lane, (label, at)) in out.iter_mut().zip(at).enumerate() {
        *label = if inside >> lane & 1 == 1 { source.labels[at as usize] } else { 0 };
    }
}

/// Whether the voxels nearest to places, which are half a voxel farther, lie within the margin around the one nearest
/// to a place.
#[target_feature(enable = "avx2")]
fn are_near(places: Places, middle: i64) -> bool {
    let apart = _mm256_sub_epi32(places.indices(), _mm256_set1_epi32(((middle + HALF) >> 32) as i32));
    _mm256_movemask_epi8(_mm256_cmpgt_epi32(_mm256_abs_epi32(apart), _mm256_set1_epi32(MARGIN as i32))) == 0
}

/// Looks up the labels of a row, as [`bent_row`](super::bent_row).
pub(in super::super) fn bent_labels(
    source: LabelSource,
    shape: [usize; 3],
    row: &Row,
    out: &mut [Label],
    one_by_one: impl Fn(usize, &mut [Label]),
) {
    if !fits_32_bits(source.labels) || bent_labels_at_once(source, shape, row, out, &one_by_one).is_none() {
        one_by_one(0, out);
    }
}

/// Whether positions in an array fit a signed number of 32 bits.
fn fits_32_bits(labels: &[Label]) -> bool {
    labels.len() < i32::MAX as usize
}

for_avx2! {
    fn bent_labels_at_once(
        source: LabelSource,
        shape: [usize; 3],
        row: &Row,
        out: &mut [Label],
        one_by_one: &impl Fn(usize, &mut [Label]),
    ) {
        for (group, out) in out.chunks_mut(GROUP).enumerate() {
            match <&mut [Label; GROUP]>::try_from(&mut *out) {
                Ok(eight) => label_eight(source, shape, row.group(group), eight),
                Err(_) => one_by_one(group * GROUP, out),
            }
        }
    }
}
