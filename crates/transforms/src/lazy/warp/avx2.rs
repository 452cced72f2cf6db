//! A segment of a warp applied to eight voxels of a row at a time, with AVX2 and FMA.
//!
//! The operations and their order are those of the scalar code, so every processor computes the same bits. The product
//! that [`fixed`] fuses with a sum is exact.

use std::arch::x86_64::*;

use super::{OffsetMap, Segment, SourceRow, Target};
use crate::lazy::fixed_point::{MAX_COORDINATE, ONE, ROUNDING_SHIFT, bounds};
use crate::lazy::lanes::{Coordinates, GROUP};
use crate::lazy::line::Line;
use crate::{ElasticDisplacement, VECTORS};
use simd::{for_avx2, load_f32x8, store_f32x8, store_i64x8};

/// The coordinates of eight voxels along an axis, in order.
#[derive(Clone, Copy)]
struct Ordered {
    low: __m256i,
    high: __m256i,
}

impl Ordered {
    /// Returns `base`, `base + step`, ….
    #[target_feature(enable = "avx2")]
    fn new(base: i64, step: i64) -> Self {
        let low = _mm256_set_epi64x(base + 3 * step, base + 2 * step, base + step, base);
        Self { low, high: _mm256_add_epi64(low, _mm256_set1_epi64x(4 * step)) }
    }

    /// Returns eight times the same coordinate.
    #[target_feature(enable = "avx2")]
    fn splat(coordinate: i64) -> Self {
        Self { low: _mm256_set1_epi64x(coordinate), high: _mm256_set1_epi64x(coordinate) }
    }

    #[target_feature(enable = "avx2")]
    fn add(self, other: Self) -> Self {
        Self { low: _mm256_add_epi64(self.low, other.low), high: _mm256_add_epi64(self.high, other.high) }
    }

    /// Returns a bit per coordinate: whether it is inside an axis of `size` voxels.
    #[target_feature(enable = "avx2")]
    fn are_inside(self, size: usize) -> i32 {
        let (first, last) = bounds(size);
        let (below, above) = (_mm256_set1_epi64x(first - 1), _mm256_set1_epi64x(last + 1));
        let low = _mm256_and_si256(_mm256_cmpgt_epi64(self.low, below), _mm256_cmpgt_epi64(above, self.low));
        let high = _mm256_and_si256(_mm256_cmpgt_epi64(self.high, below), _mm256_cmpgt_epi64(above, self.high));
        _mm256_movemask_pd(_mm256_castsi256_pd(low)) | _mm256_movemask_pd(_mm256_castsi256_pd(high)) << 4
    }
}

for_avx2! {
    /// Applies a segment to a row whose points without displacement are on `line`; `first` is the index along z of its
    /// first voxel.
    pub(super) fn apply(segment: &Segment, line: &Line, first: usize, row: &mut SourceRow) {
        let (base, step) = (line.at(first), line.step);
        let mut next = [Ordered::new(base[0], step[0]), Ordered::new(base[1], step[1]), Ordered::new(base[2], step[2])];
        let length = GROUP as i64;
        let advance = [Ordered::splat(length * step[0]), Ordered::splat(length * step[1]), Ordered::splat(length * step[2])];
        for group in (0..row.is_inside.len()).step_by(VECTORS) {
            let mut points = [next; VECTORS];
            for points in &mut points {
                *points = next;
                for axis in 0..3 {
                    next[axis] = next[axis].add(advance[axis]);
                }
            }
            match &segment.target {
                Target::Grid(shape) => clip_to_grid(*shape, segment.offset_map, points, group, row),
                // Voxels outside need no displacement.
                Target::Field(field) if row.is_inside[group..group + VECTORS] != [0; VECTORS] => {
                    displace(field, segment.offset_map, points, group, row);
                }
                Target::Field(_) => {}
            }
        }
    }
}

/// Stores the points of groups in a grid as their sources, and which of them are inside.
#[target_feature(enable = "avx2,fma")]
fn clip_to_grid(
    shape: [usize; 3],
    offset_map: OffsetMap,
    points: [[Ordered; 3]; VECTORS],
    group: usize,
    row: &mut SourceRow,
) {
    for (group, points) in (group..).zip(points) {
        let points = displaced(points, offset_map, mapped(offset_map, offsets(row, group)));
        for axis in 0..3 {
            row.is_inside[group] &= points[axis].are_inside(shape[axis]) as u8;
            store_i64x8([points[axis].low, points[axis].high], &mut row.sources[axis][group]);
        }
    }
}

/// Adds the displacement by a field to the offsets of groups.
#[target_feature(enable = "avx2,fma")]
fn displace(
    field: &ElasticDisplacement,
    offset_map: OffsetMap,
    knots: [[Ordered; 3]; VECTORS],
    group: usize,
    row: &mut SourceRow,
) {
    let density = field.density();
    let mut before = [[_mm256_setzero_ps(); 3]; VECTORS];
    let (mut cells, mut weights) = ([[_mm256_setzero_si256(); 3]; VECTORS], before);
    for eight in 0..VECTORS {
        let offset = mapped(offset_map, offsets(row, group + eight));
        let mut in_knots = offset;
        for axis in 0..3 {
            in_knots[axis] = _mm256_mul_ps(_mm256_set1_ps(density[axis]), offset[axis]);
        }
        let knots = displaced(knots[eight], offset_map, in_knots);
        for axis in 0..3 {
            let knots = Coordinates::from_ordered(knots[axis].low, knots[axis].high);
            (cells[eight][axis], weights[eight][axis]) = (knots.indices(), knots.weights());
        }
        before[eight] = offset;
    }
    let displacements = field.displacements_of_group(cells, weights);
    for eight in 0..VECTORS {
        for axis in 0..3 {
            let offset = _mm256_add_ps(before[eight][axis], displacements[eight][axis]);
            store_f32x8(offset, &mut row.offsets[axis][group + eight]);
        }
    }
}

/// Loads the offsets of a group.
#[target_feature(enable = "avx2")]
fn offsets(row: &SourceRow, group: usize) -> [__m256; 3] {
    let [x, y, z] = &row.offsets;
    [load_f32x8(&x[group]), load_f32x8(&y[group]), load_f32x8(&z[group])]
}

/// As [`OffsetMap::apply`].
#[target_feature(enable = "avx2")]
fn mapped(offset_map: OffsetMap, offset: [__m256; 3]) -> [__m256; 3] {
    match offset_map {
        OffsetMap::Zero => [_mm256_setzero_ps(); 3],
        OffsetMap::Identity => offset,
        OffsetMap::Matrix(rows) => {
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

/// As [`displaced`](super::displaced).
#[target_feature(enable = "avx2,fma")]
fn displaced(mut points: [Ordered; 3], offset_map: OffsetMap, offsets: [__m256; 3]) -> [Ordered; 3] {
    if offset_map != OffsetMap::Zero {
        for axis in 0..3 {
            points[axis] = points[axis].add(fixed(offsets[axis]));
        }
    }
    points
}

/// As [`fixed`](crate::lazy::fixed_point::fixed).
#[target_feature(enable = "avx2,fma")]
fn fixed(voxels: __m256) -> Ordered {
    let max = _mm256_set1_ps(MAX_COORDINATE as f32);
    let clamped = _mm256_max_ps(_mm256_min_ps(voxels, max), _mm256_sub_ps(_mm256_setzero_ps(), max));
    Ordered { low: fixed_four(_mm256_castps256_ps128(clamped)), high: fixed_four(_mm256_extractf128_ps::<1>(clamped)) }
}

#[target_feature(enable = "avx2,fma")]
fn fixed_four(voxels: __m128) -> __m256i {
    let shift = _mm256_set1_pd(ROUNDING_SHIFT);
    let shifted = _mm256_fmadd_pd(_mm256_cvtps_pd(voxels), _mm256_set1_pd(ONE as f64), shift);
    _mm256_sub_epi64(_mm256_castpd_si256(shifted), _mm256_castpd_si256(shift))
}
