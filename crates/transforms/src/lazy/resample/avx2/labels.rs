//! Looking up labels.

use std::arch::x86_64::*;

use super::coordinates::{Found, Places, positions_of, with_found};
use super::fetch_rows_ahead;
use crate::lazy::empty_space::MARGIN;
use crate::lazy::fixed_point::HALF;
use crate::lazy::resample::LabelSource;
use crate::lazy::warp::{GROUP, Row};
use simd::{Gather, LANES, MAX_GROUPS, for_avx2};
use volume::Label;

/// Voxels of a group for which something is fetched ahead; labels of more lie side by side than intensities.
pub(super) const FETCHED: [usize; 2] = [0, 7];

/// What is to be done for the labels of eight voxels.
#[derive(Clone, Copy, PartialEq)]
enum Task {
    /// They are all 0.
    Fill,
    /// They all lie inside.
    Gather,
    /// Some lie outside.
    OneByOne,
}

/// What is to be done for a group.
#[target_feature(enable = "avx2")]
fn task_of(source: LabelSource, inside: u8, places: [Places; 3], middle: [i64; 3]) -> Task {
    let is_empty = || source.empty.is_some_and(|empty| empty.is_empty_around(middle));
    match inside {
        0 => Task::Fill,
        u8::MAX
            if is_empty()
                && are_near(places[0], middle[0])
                && are_near(places[1], middle[1])
                && are_near(places[2], middle[2]) =>
        {
            Task::Fill
        }
        u8::MAX => Task::Gather,
        _ => Task::OneByOne,
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
pub(in crate::lazy) fn bent_labels(
    source: LabelSource,
    shape: [usize; 3],
    row: &Row,
    out: &mut [Label],
    one_by_one: impl Fn(usize, &mut [Label]),
) {
    if !fits_32_bits(source.labels)
        || with_found(|found| bent_labels_at_once(source, shape, row, out, &one_by_one, found)).is_none()
    {
        one_by_one(0, out);
    }
}

/// Whether positions in an array fit a signed number of 32 bits.
pub(super) fn fits_32_bits(labels: &[Label]) -> bool {
    labels.len() < i32::MAX as usize
}

for_avx2! {
    fn bent_labels_at_once(
        source: LabelSource,
        shape: [usize; 3],
        row: &Row,
        out: &mut [Label],
        one_by_one: &impl Fn(usize, &mut [Label]),
        found: &mut Found,
    ) {
        let positions = &mut found.positions;
        let mut tasks = [Task::Fill; MAX_GROUPS];
        for (chunk, out) in out.chunks_mut(MAX_GROUPS * GROUP).enumerate() {
            let first = chunk * MAX_GROUPS;
            let (groups, rest) = out.as_chunks_mut::<GROUP>();
            positions.clear();
            for (index, task) in tasks.iter_mut().take(groups.len()).enumerate() {
                let (inside, [x, y, z]) = row.group(first + index);
                let places = [Places::of(x, -HALF), Places::of(y, -HALF), Places::of(z, -HALF)];
                *task = task_of(source, inside, places, [x[LANES / 2], y[LANES / 2], z[LANES / 2]]);
                let is_looked_up = *task == Task::Gather;
                positions.add(if is_looked_up { positions_of(shape, places) } else { _mm256_setzero_si256() });
            }
            let labels = Gather::new(source.labels, positions);
            for (index, (out, at)) in groups.iter_mut().zip(positions.groups()).enumerate() {
                match tasks[index] {
                    Task::Fill => out.fill(0),
                    Task::Gather => {
                        fetch_rows_ahead(source.labels, shape, at, FETCHED);
                        *out = labels.group(index);
                    }
                    Task::OneByOne => one_by_one((first + index) * GROUP, out),
                }
            }
            one_by_one((first + groups.len()) * GROUP, rest);
        }
    }
}
