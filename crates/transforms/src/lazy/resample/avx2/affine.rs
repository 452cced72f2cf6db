//! Straight rows that follow one another along y.

use std::arch::x86_64::*;

use super::coordinates::{Found, Places, Strides, with_found};
use super::labels::{self, fits_32_bits};
use super::linear::{self, linear};
use super::{eight_of, fetch_rows_ahead};
use crate::lazy::fixed_point::{HALF, MAX_COORDINATE, ONE, ROUNDING_SHIFT, fixed};
use crate::lazy::resample::{self, LabelSource, Source, Span};
use simd::{CornerGather, Gather, LANES, for_avx2, has_avx2, store_f32x8, store_i64x4};
use volume::{Affine, Label};

/// Whether [`interpolate_rows`] works for a source on this processor.
pub(in crate::lazy) fn can_interpolate(source: &Source) -> bool {
    has_avx2() && source.corners().is_some()
}

/// Whether [`look_up_rows`] works for a label map on this processor.
pub(in crate::lazy) fn can_look_up(source: LabelSource) -> bool {
    has_avx2() && fits_32_bits(source.labels)
}

/// Interpolates a span of each row whose places all lie in the interior of the block; those of fewer than eight voxels are
/// left as they are.
///
/// # Panics
/// Where [`can_interpolate`] says that it does not work.
pub(in crate::lazy) fn interpolate_rows(source: &Source, places: &resample::Places, spans: &[Span], image: &mut [f32]) {
    let corners = source.corners().expect("the block is neither too small nor too large");
    let done = with_found(|found| interpolate_rows_at_once(&corners, source, places, spans, image, found));
    done.expect("the processor has AVX2");
}

/// Looks up the labels of a span of each row whose places all lie inside; those of fewer than eight voxels are left as they
/// are.
///
/// # Panics
/// Where [`can_look_up`] says that it does not work.
pub(in crate::lazy) fn look_up_rows(
    source: &[Label],
    shape: [usize; 3],
    places: &resample::Places,
    spans: &[Span],
    label: &mut [Label],
) {
    let done = with_found(|found| look_up_rows_at_once(source, shape, places, spans, label, found));
    done.expect("the processor has AVX2");
}

for_avx2! {
    fn interpolate_rows_at_once(
        corners: &CornerGather,
        source: &Source,
        places: &resample::Places,
        spans: &[Span],
        image: &mut [f32],
        found: &mut Found,
    ) {
        let strides = Strides::new(places.step, source.start.map(|index| -(index as i64 * ONE)));
        for ((base, span), row) in places.bases.iter().zip(spans).zip(image.chunks_exact_mut(places.length)) {
            let mut walk = Walk::new(&strides, base, *span);
            let row = &mut row[span[0]..span[1]];
            while let Some(from) = walk {
                walk = find::<true>(source.shape, &strides, from, row.len(), found);
                let corners = corners.of(&found.positions);
                for (group, at) in found.positions.groups().iter().enumerate() {
                    fetch_rows_ahead(source.values, source.shape, at, linear::FETCHED);
                    let values = linear::<false>(corners, group, found.shares(group));
                    store_f32x8(values, eight_of(row, from.taken, group));
                }
            }
        }
    }
}

for_avx2! {
    fn look_up_rows_at_once(
        source: &[Label],
        shape: [usize; 3],
        places: &resample::Places,
        spans: &[Span],
        label: &mut [Label],
        found: &mut Found,
    ) {
        let strides = Strides::new(places.step, [HALF; 3]);
        for ((base, span), row) in places.bases.iter().zip(spans).zip(label.chunks_exact_mut(places.length)) {
            let mut walk = Walk::new(&strides, base, *span);
            let row = &mut row[span[0]..span[1]];
            while let Some(from) = walk {
                walk = find::<false>(shape, &strides, from, row.len(), found);
                let labels = Gather::new(source, &found.positions);
                for (group, at) in found.positions.groups().iter().enumerate() {
                    fetch_rows_ahead(source, shape, at, labels::FETCHED);
                    *eight_of(row, from.taken, group) = labels.group(group);
                }
            }
        }
    }
}

/// Eight voxels of a span at a time; the last eight may overlap those before.
#[derive(Clone, Copy)]
struct Walk {
    places: [Places; 3],
    /// Voxels of the span before these eight.
    taken: usize,
}

impl Walk {
    /// From the first eight voxels of a span on, where there are so many; the row's first voxel lies at `base`.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(strides: &Strides, base: &[i64; 4], [first, end]: Span) -> Option<Self> {
        if end - first < LANES {
            return None;
        }
        Some(Self { places: strides.places(base, first), taken: 0 })
    }

    /// The next eight of a span of so many voxels, where some are left.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn next(self, strides: &Strides, length: usize) -> Option<Self> {
        match length - LANES - self.taken {
            0 => None,
            left if left < LANES => Some(Self { places: strides.farther(self.places, left), taken: self.taken + left }),
            _ => Some(Self { places: strides.next(self.places), taken: self.taken + LANES }),
        }
    }
}

/// Finds the positions of a span of so many voxels, from a walk's voxels on, as many as there is room for, and the shares
/// where they are `WANTED`. Gives the walk from which the next ones are to be found, where some are left.
#[inline]
#[target_feature(enable = "avx2")]
fn find<const WANTED: bool>(
    shape: [usize; 3],
    strides: &Strides,
    mut walk: Walk,
    length: usize,
    found: &mut Found,
) -> Option<Walk> {
    found.positions.clear();
    loop {
        found.note::<WANTED>(shape, walk.places);
        let next = walk.next(strides, length)?;
        if !found.positions.has_room() {
            return Some(next);
        }
        walk = next;
    }
}

for_avx2! {
    /// Finds the place of each row's first voxel, as [`Line::new`](crate::lazy::fixed_point::Line::new) and
    /// [`Line::at`](crate::lazy::fixed_point::Line::at), but for steep ones; `first` is the first row's. A bit for each row, the
    /// first one's the lowest, tells whether the places of all its voxels, so many, lie between two places.
    pub(in crate::lazy) fn find_rows(
        map: &Affine,
        first: [usize; 3],
        length: usize,
        between: ([i64; 3], [i64; 3]),
        bases: &mut [[i64; 4]],
    ) -> u32 {
        let column = |column: usize| {
            let [x, y, z] = map.0.map(|row| row[column]);
            _mm256_set_pd(0.0, z, y, x)
        };
        let four = |[x, y, z]: [i64; 3], last: i64| _mm256_set_epi64x(last, z, y, x);
        let step = map.0.map(|row| fixed(row[2]));
        let behind = |voxels: usize| four(step.map(|step| step * voxels as i64), 0);

        let [x, y, z] = first;
        let by_x = _mm256_mul_pd(column(0), _mm256_set1_pd(x as f64));
        let (per_y, shift) = (column(1), column(3));
        let (to_first, to_last) = (behind(z), behind(length - 1));
        let (low, high) = (four(between.0, i64::MIN), four(between.1, i64::MAX));
        let (farthest, shifted) = (_mm256_set1_pd(MAX_COORDINATE), _mm256_set1_pd(ROUNDING_SHIFT));
        let mut within = 0;
        for (row, base) in bases.iter_mut().enumerate() {
            let by_y = _mm256_mul_pd(per_y, _mm256_set1_pd((y + row) as f64));
            let place = _mm256_add_pd(_mm256_add_pd(by_x, by_y), shift);
            let place = _mm256_max_pd(_mm256_set1_pd(-MAX_COORDINATE), _mm256_min_pd(farthest, place));
            let scaled = _mm256_add_pd(_mm256_mul_pd(place, _mm256_set1_pd(ONE as f64)), shifted);
            let fixed = _mm256_sub_epi64(_mm256_castpd_si256(scaled), _mm256_castpd_si256(shifted));
            let start = _mm256_add_epi64(fixed, to_first);
            let end = _mm256_add_epi64(start, to_last);
            let below = _mm256_or_si256(_mm256_cmpgt_epi64(low, start), _mm256_cmpgt_epi64(low, end));
            let above = _mm256_or_si256(_mm256_cmpgt_epi64(start, high), _mm256_cmpgt_epi64(end, high));
            let outside = _mm256_or_si256(below, above);
            within |= (_mm256_testz_si256(outside, outside) as u32) << row;
            store_i64x4(start, base);
        }
        within
    }
}
