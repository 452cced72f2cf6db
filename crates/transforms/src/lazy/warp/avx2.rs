//! Eight voxels of a row at once along a segment, for processors with AVX2 and FMA.
//!
//! The same operations in the same order as one by one, so every processor gives the same bits. The product that is
//! fused with a sum in [`fixed`] is exact.

use std::arch::x86_64::*;

use super::{End, GROUP, Row, Segment, Turn};
use crate::lazy::fixed_point::{Line, MAX_COORDINATE, ONE, ROUNDING_SHIFT, bounds};
use crate::lazy::resample::avx2::Places;
use crate::{EIGHTS, ElasticDisplacement};
use simd::{for_avx2, load_f32x8, store_f32x8, store_i64x8};

/// Eight places along an axis, in order.
#[derive(Clone, Copy)]
struct Eight {
    low: __m256i,
    high: __m256i,
}

impl Eight {
    /// Those that begin at `base` and are `step` apart.
    #[target_feature(enable = "avx2")]
    fn new(base: i64, step: i64) -> Self {
        let low = _mm256_set_epi64x(base + 3 * step, base + 2 * step, base + step, base);
        Self { low, high: _mm256_add_epi64(low, _mm256_set1_epi64x(4 * step)) }
    }

    /// The same one eight times.
    #[target_feature(enable = "avx2")]
    fn all(place: i64) -> Self {
        Self { low: _mm256_set1_epi64x(place), high: _mm256_set1_epi64x(place) }
    }

    #[target_feature(enable = "avx2")]
    fn add(self, other: Self) -> Self {
        Self { low: _mm256_add_epi64(self.low, other.low), high: _mm256_add_epi64(self.high, other.high) }
    }

    /// A bit for each of those that lie inside an axis of so many voxels.
    #[target_feature(enable = "avx2")]
    fn are_inside(self, size: usize) -> i32 {
        let (first, last) = bounds(size);
        let (before, behind) = (_mm256_set1_epi64x(first - 1), _mm256_set1_epi64x(last + 1));
        let low = _mm256_and_si256(_mm256_cmpgt_epi64(self.low, before), _mm256_cmpgt_epi64(behind, self.low));
        let high = _mm256_and_si256(_mm256_cmpgt_epi64(self.high, before), _mm256_cmpgt_epi64(behind, self.high));
        _mm256_movemask_pd(_mm256_castsi256_pd(low)) | _mm256_movemask_pd(_mm256_castsi256_pd(high)) << 4
    }
}

for_avx2! {
    /// Takes a row along a segment; its places lie on `line` where nothing displacements, and `first` is the index along z of its
    /// first voxel.
    pub(super) fn follow(segment: &Segment, line: &Line, first: usize, row: &mut Row) {
        let (base, step) = (line.at(first), line.step);
        let mut straight = [Eight::new(base[0], step[0]), Eight::new(base[1], step[1]), Eight::new(base[2], step[2])];
        let length = GROUP as i64;
        let ahead = [Eight::all(length * step[0]), Eight::all(length * step[1]), Eight::all(length * step[2])];
        for group in (0..row.is_inside.len()).step_by(EIGHTS) {
            let mut places = [straight; EIGHTS];
            for places in &mut places {
                *places = straight;
                for axis in 0..3 {
                    straight[axis] = straight[axis].add(ahead[axis]);
                }
            }
            match &segment.end {
                End::Grid(shape) => stay_inside(*shape, segment.turn, places, group, row),
                // Of voxels outside nothing is asked.
                End::Field(field) if row.is_inside[group..group + EIGHTS] != [0; EIGHTS] => {
                    bend(field, segment.turn, places, group, row);
                }
                End::Field(_) => {}
            }
        }
    }
}

/// Finds the sources of groups in a grid, and who lies inside.
#[target_feature(enable = "avx2,fma")]
fn stay_inside(shape: [usize; 3], turn: Turn, places: [[Eight; 3]; EIGHTS], group: usize, row: &mut Row) {
    for (group, places) in (group..).zip(places) {
        let places = moved(places, turn, turned(turn, offsets(row, group)));
        for axis in 0..3 {
            row.is_inside[group] &= places[axis].are_inside(shape[axis]) as u8;
            store_i64x8([places[axis].low, places[axis].high], &mut row.sources[axis][group]);
        }
    }
}

/// Adds to the offsets of groups what a field makes of their places.
#[target_feature(enable = "avx2,fma")]
fn bend(field: &ElasticDisplacement, turn: Turn, knots: [[Eight; 3]; EIGHTS], group: usize, row: &mut Row) {
    let density = field.density();
    let mut before = [[_mm256_setzero_ps(); 3]; EIGHTS];
    let (mut cells, mut shares) = ([[_mm256_setzero_si256(); 3]; EIGHTS], before);
    for eight in 0..EIGHTS {
        let offset = turned(turn, offsets(row, group + eight));
        let mut far = offset;
        for axis in 0..3 {
            far[axis] = _mm256_mul_ps(_mm256_set1_ps(density[axis]), offset[axis]);
        }
        let knots = moved(knots[eight], turn, far);
        for axis in 0..3 {
            let knots = Places::ordered(knots[axis].low, knots[axis].high);
            (cells[eight][axis], shares[eight][axis]) = (knots.indices(), knots.shares());
        }
        before[eight] = offset;
    }
    let by = field.between_points_of_many(cells, shares);
    for eight in 0..EIGHTS {
        for axis in 0..3 {
            let offset = _mm256_add_ps(before[eight][axis], by[eight][axis]);
            store_f32x8(offset, &mut row.offsets[axis][group + eight]);
        }
    }
}

/// The offsets of a group.
#[target_feature(enable = "avx2")]
fn offsets(row: &Row, group: usize) -> [__m256; 3] {
    let [x, y, z] = &row.offsets;
    [load_f32x8(&x[group]), load_f32x8(&y[group]), load_f32x8(&z[group])]
}

/// As [`Turn::apply`].
#[target_feature(enable = "avx2")]
fn turned(turn: Turn, offset: [__m256; 3]) -> [__m256; 3] {
    match turn {
        Turn::Nothing => [_mm256_setzero_ps(); 3],
        Turn::Kept => offset,
        Turn::Matrix(rows) => {
            let mut out = offset;
            for (out, [a, b, c]) in out.iter_mut().zip(rows) {
                let x = _mm256_mul_ps(_mm256_set1_ps(a), offset[0]);
                let y = _mm256_mul_ps(_mm256_set1_ps(b), offset[1]);
                let z = _mm256_mul_ps(_mm256_set1_ps(c), offset[2]);
                *out = _mm256_add_ps(_mm256_add_ps(x, y), z);
            }
            out
        }
    }
}

/// Places with their offsets.
#[target_feature(enable = "avx2,fma")]
fn moved(mut places: [Eight; 3], turn: Turn, offsets: [__m256; 3]) -> [Eight; 3] {
    if turn != Turn::Nothing {
        for axis in 0..3 {
            places[axis] = places[axis].add(fixed(offsets[axis]));
        }
    }
    places
}

/// As [`fixed`](crate::lazy::fixed_point::fixed).
#[target_feature(enable = "avx2,fma")]
fn fixed(numbers: __m256) -> Eight {
    let farthest = _mm256_set1_ps(MAX_COORDINATE as f32);
    let near = _mm256_max_ps(_mm256_min_ps(numbers, farthest), _mm256_sub_ps(_mm256_setzero_ps(), farthest));
    Eight { low: fixed_four(_mm256_castps256_ps128(near)), high: fixed_four(_mm256_extractf128_ps::<1>(near)) }
}

#[target_feature(enable = "avx2,fma")]
fn fixed_four(numbers: __m128) -> __m256i {
    let shift = _mm256_set1_pd(ROUNDING_SHIFT);
    let shifted = _mm256_fmadd_pd(_mm256_cvtps_pd(numbers), _mm256_set1_pd(ONE as f64), shift);
    _mm256_sub_epi64(_mm256_castpd_si256(shifted), _mm256_castpd_si256(shift))
}
