//! Rows of voxels under affine mappings.

use std::arch::x86_64::*;

use super::interpolation::{corners, linear};
use super::prefetch::{IMAGE_LANES, LABEL_LANES, prefetch};
use super::scratch::{Scratch, fits_32_bits, with_scratch};
use super::strides::Strides;
use crate::lazy::fixed_point::{HALF, MAX_COORDINATE, ONE, ROUNDING_SHIFT, fixed};
use crate::lazy::lanes::Coordinates;
use crate::lazy::resample::rows::{Rows, Span};
use crate::lazy::resample::source::{ImageSource, LabelSource};
use simd::{CornerGather, Gather, LANES, for_avx2, has_avx2, store_f32x8, store_i64x4};
use volume::{Affine, Label};

/// Returns whether [`interpolate_rows`] supports a source on this processor.
pub(in crate::lazy::resample) fn can_interpolate(source: &ImageSource) -> bool {
    has_avx2() && corners(source).is_some()
}

/// Returns whether [`look_up_rows`] supports a label map on this processor.
pub(in crate::lazy::resample) fn can_look_up(source: LabelSource) -> bool {
    has_avx2() && fits_32_bits(source.labels)
}

/// Interpolates a span of each row, whose points are all in the interior of the block. Spans of fewer than eight voxels
/// are left unchanged.
///
/// # Panics
/// Unless [`can_interpolate`].
pub(in crate::lazy::resample) fn interpolate_rows(
    source: &ImageSource,
    rows: &Rows,
    spans: &[Span],
    image: &mut [f32],
) {
    let corners = corners(source).expect("the block is neither too small nor too large");
    let done = with_scratch(|scratch| interpolate_in_groups(&corners, source, rows, spans, image, scratch));
    done.expect("the processor has AVX2");
}

/// Looks up the labels of a span of each row, whose points are all inside. Spans of fewer than eight voxels are left
/// unchanged.
///
/// # Panics
/// Unless [`can_look_up`].
pub(in crate::lazy::resample) fn look_up_rows(source: LabelSource, rows: &Rows, spans: &[Span], label: &mut [Label]) {
    let done = with_scratch(|scratch| look_up_in_groups(&source, rows, spans, label, scratch));
    done.expect("the processor has AVX2");
}

for_avx2! {
    fn interpolate_in_groups(
        corners: &CornerGather,
        source: &ImageSource,
        rows: &Rows,
        spans: &[Span],
        image: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let strides = Strides::new(rows.step, source.start.map(|index| -(index as i64 * ONE)));
        for ((base, span), row) in rows.bases.iter().zip(spans).zip(image.chunks_exact_mut(rows.length)) {
            let mut cursor = Cursor::new(&strides, base, *span);
            let row = &mut row[span[0]..span[1]];
            while let Some(from) = cursor {
                cursor = locate_groups::<true>(source.shape, &strides, from, row.len(), scratch);
                let corners = corners.at(&scratch.positions);
                for (group, positions) in scratch.positions.groups().iter().enumerate() {
                    prefetch(source.values, source.shape, positions, IMAGE_LANES);
                    let values = linear::<false>(corners, group, scratch.weights(group));
                    store_f32x8(values, group_mut(row, from.done, group));
                }
            }
        }
    }
}

for_avx2! {
    fn look_up_in_groups(
        source: &LabelSource,
        rows: &Rows,
        spans: &[Span],
        label: &mut [Label],
        scratch: &mut Scratch,
    ) {
        let (shape, source_labels) = (source.shape, source.labels);
        let strides = Strides::new(rows.step, source.start.map(|index| HALF - index as i64 * ONE));
        for ((base, span), row) in rows.bases.iter().zip(spans).zip(label.chunks_exact_mut(rows.length)) {
            let mut cursor = Cursor::new(&strides, base, *span);
            let row = &mut row[span[0]..span[1]];
            while let Some(from) = cursor {
                cursor = locate_groups::<false>(shape, &strides, from, row.len(), scratch);
                let labels = Gather::new(source_labels, &scratch.positions);
                for (group, positions) in scratch.positions.groups().iter().enumerate() {
                    prefetch(source_labels, shape, positions, LABEL_LANES);
                    *group_mut(row, from.done, group) = labels.group(group);
                }
            }
        }
    }
}

/// Returns the voxels of a group of a span, counting groups from the voxel `done` on; the last group may overlap the one
/// before.
#[inline(always)]
pub(super) fn group_mut<T>(row: &mut [T], done: usize, group: usize) -> &mut [T; LANES] {
    let first = (done + group * LANES).min(row.len() - LANES);
    row[first..].first_chunk_mut().expect("a span has at least eight voxels")
}

/// A position in a span: the next eight voxels. The last eight may overlap the ones before.
#[derive(Clone, Copy)]
pub(super) struct Cursor {
    points: [Coordinates; 3],
    /// Voxels of the span before these eight.
    pub(super) done: usize,
}

impl Cursor {
    /// Returns the first eight voxels of a span, if it has as many, of a row whose first voxel has the point `base`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(strides: &Strides, base: &[i64; 4], [first, end]: Span) -> Option<Self> {
        if end - first < LANES {
            return None;
        }
        Some(Self { points: strides.group(base, first), done: 0 })
    }

    /// Returns the next eight voxels of a span of `length` voxels, if any are left.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn next(self, strides: &Strides, length: usize) -> Option<Self> {
        match length - LANES - self.done {
            0 => None,
            left if left < LANES => Some(Self { points: strides.advance(self.points, left), done: self.done + left }),
            _ => Some(Self { points: strides.next(self.points), done: self.done + LANES }),
        }
    }
}

/// Computes the positions of groups from a cursor on, as many as fit, and their weights if `WEIGHTS`. Returns the cursor
/// after them, if any voxels are left.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn locate_groups<const WEIGHTS: bool>(
    shape: [usize; 3],
    strides: &Strides,
    mut cursor: Cursor,
    length: usize,
    scratch: &mut Scratch,
) -> Option<Cursor> {
    scratch.positions.clear();
    loop {
        scratch.add::<WEIGHTS>(shape, cursor.points);
        let next = cursor.next(strides, length)?;
        if !scratch.positions.has_room() {
            return Some(next);
        }
        cursor = next;
    }
}

for_avx2! {
    /// Computes the point of each row's first voxel, as [`Line::new`](crate::lazy::line::Line::new) and
    /// [`Line::at`](crate::lazy::line::Line::at) if they cannot overflow; `first` is the first row's first voxel. Returns a
    /// bit per row, the first one lowest: whether the points of all its `length` voxels are in a box.
    pub(in crate::lazy::resample) fn locate_rows(
        map: &Affine,
        first: [usize; 3],
        length: usize,
        inside: ([i64; 3], [i64; 3]),
        bases: &mut [[i64; 4]],
    ) -> u32 {
        let column = |column: usize| {
            let [x, y, z] = map.0.map(|row| row[column]);
            _mm256_set_pd(0.0, z, y, x)
        };
        let four = |[x, y, z]: [i64; 3], last: i64| _mm256_set_epi64x(last, z, y, x);
        let step = map.0.map(|row| fixed(row[2]));
        let distance = |voxels: usize| four(step.map(|step| step * voxels as i64), 0);

        let [x, y, z] = first;
        let term_x = _mm256_mul_pd(column(0), _mm256_set1_pd(x as f64));
        let (per_y, shift) = (column(1), column(3));
        let (to_first, to_last) = (distance(z), distance(length - 1));
        let (low, high) = (four(inside.0, i64::MIN), four(inside.1, i64::MAX));
        let (max, rounding) = (_mm256_set1_pd(MAX_COORDINATE), _mm256_set1_pd(ROUNDING_SHIFT));
        let mut rows_inside = 0;
        for (row, base) in bases.iter_mut().enumerate() {
            let term_y = _mm256_mul_pd(per_y, _mm256_set1_pd((y + row) as f64));
            let point = _mm256_add_pd(_mm256_add_pd(term_x, term_y), shift);
            let point = _mm256_max_pd(_mm256_set1_pd(-MAX_COORDINATE), _mm256_min_pd(max, point));
            let scaled = _mm256_add_pd(_mm256_mul_pd(point, _mm256_set1_pd(ONE as f64)), rounding);
            let fixed = _mm256_sub_epi64(_mm256_castpd_si256(scaled), _mm256_castpd_si256(rounding));
            let start = _mm256_add_epi64(fixed, to_first);
            let end = _mm256_add_epi64(start, to_last);
            let below = _mm256_or_si256(_mm256_cmpgt_epi64(low, start), _mm256_cmpgt_epi64(low, end));
            let above = _mm256_or_si256(_mm256_cmpgt_epi64(start, high), _mm256_cmpgt_epi64(end, high));
            let outside = _mm256_or_si256(below, above);
            rows_inside |= (_mm256_testz_si256(outside, outside) as u32) << row;
            store_i64x4(start, base);
        }
        rows_inside
    }
}
