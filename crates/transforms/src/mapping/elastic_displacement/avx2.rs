//! Displacements of sixteen points together, for processors with AVX2 and FMA.
//!
//! The operations and their order are those for single points, so all processors compute the same bits: sums are fused
//! everywhere, on processors without FMA in software. Each coefficient is read once for sixteen points.

use std::arch::x86_64::*;

use super::{ElasticDisplacement, Surface, TAPS, VECTORS};

/// Eight values for each axis.
type Three = [__m256; 3];

/// The surroundings of eight points: the column and its first surface as one integer, the positions in the cell along x and
/// y, and the weights of `N` surfaces along z.
#[derive(Clone, Copy)]
struct Taps<const N: usize> {
    firsts: __m256i,
    x: __m256,
    y: __m256,
    z: [__m256; N],
}

impl ElasticDisplacement {
    /// As [`ElasticDisplacement::interpolate`] for sixteen points.
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn displacements_of_group(
        &self,
        cells: [[__m256i; 3]; VECTORS],
        positions: [Three; VECTORS],
    ) -> [Three; VECTORS] {
        let taps = [self.taps_of_eight(cells[0], positions[0]), self.taps_of_eight(cells[1], positions[1])];
        // The points of a row are mostly in one cell, or in two neighbours along z.
        let low = _mm256_cvtsi256_si32(taps[0].firsts).min(_mm256_extract_epi32::<7>(taps[1].firsts));
        let (first_cell, next_cell) = (_mm256_set1_epi32(low), _mm256_set1_epi32(low + 1));
        let mut in_next = [_mm256_setzero_si256(); VECTORS];
        let (mut one, mut two) = (-1, -1);
        for (in_next, taps) in in_next.iter_mut().zip(&taps) {
            let in_first = _mm256_cmpeq_epi32(taps.firsts, first_cell);
            *in_next = _mm256_cmpeq_epi32(taps.firsts, next_cell);
            one &= _mm256_movemask_epi8(in_first);
            two &= _mm256_movemask_epi8(_mm256_or_si256(in_first, *in_next));
        }
        match (one, two) {
            (-1, _) => self.sums(low as usize, &taps),
            (_, -1) => self.sums(low as usize, &[taps[0].shifted(in_next[0]), taps[1].shifted(in_next[1])]),
            _ => [self.cell_by_cell(&taps[0]), self.cell_by_cell(&taps[1])],
        }
    }

    /// Returns the displacements of eight points in any cells, one cell at a time.
    #[target_feature(enable = "avx2,fma")]
    fn cell_by_cell(&self, taps: &Taps<TAPS>) -> Three {
        let mut out = [_mm256_setzero_ps(); 3];
        let mut remaining = 0xff;
        while remaining != 0 {
            let lane = _mm256_set1_epi32(i32::trailing_zeros(remaining) as i32);
            let first = _mm256_permutevar8x32_epi32(taps.firsts, lane);
            let in_first = _mm256_castsi256_ps(_mm256_cmpeq_epi32(taps.firsts, first));
            let [sums] = self.sums(_mm256_cvtsi256_si32(first) as usize, &[*taps]);
            for axis in 0..3 {
                out[axis] = _mm256_blendv_ps(out[axis], sums[axis], in_first);
            }
            remaining &= !_mm256_movemask_ps(in_first);
        }
        out
    }

    /// Returns the displacements of points with the same first surface.
    #[target_feature(enable = "avx2,fma")]
    fn sums<const N: usize, const M: usize>(&self, first: usize, taps: &[Taps<N>; M]) -> [Three; M] {
        let mut out = [[_mm256_setzero_ps(); 3]; M];
        let column = self.column(first >> self.shift());
        let first = first & ((1 << self.shift()) - 1);
        for (axis, surfaces) in column.iter().enumerate() {
            // One bounds check for all: one for each took a tenth longer.
            let around: &[Surface; N] = surfaces[first..].first_chunk().expect("a cell has its control points");
            for (k, surface) in around.iter().enumerate() {
                let mut plane = [_mm256_setzero_ps(); M];
                for (power, row) in surface.iter().enumerate().rev() {
                    let mut along_y = [_mm256_set1_ps(row[TAPS - 1]); M];
                    for coefficient in row[..TAPS - 1].iter().rev() {
                        let coefficient = _mm256_set1_ps(*coefficient);
                        for m in 0..M {
                            along_y[m] = _mm256_fmadd_ps(along_y[m], taps[m].y, coefficient);
                        }
                    }
                    for m in 0..M {
                        let higher = _mm256_fmadd_ps(plane[m], taps[m].x, along_y[m]);
                        plane[m] = if power == TAPS - 1 { along_y[m] } else { higher };
                    }
                }
                for m in 0..M {
                    out[m][axis] = _mm256_fmadd_ps(taps[m].z[k], plane[m], out[m][axis]);
                }
            }
        }
        out
    }

    /// Returns the number of bits of the index of a surface in its column.
    fn shift(&self) -> u32 {
        usize::BITS - self.points[2].leading_zeros()
    }

    /// Clamps the cells and positions of eight points to the field, as [`ElasticDisplacement::cell`] along each axis.
    #[target_feature(enable = "avx2,fma")]
    fn taps_of_eight(&self, cells: [__m256i; 3], positions: Three) -> Taps<TAPS> {
        let (mut firsts, mut inside) = ([_mm256_setzero_si256(); 3], positions);
        for axis in 0..3 {
            let (zero, last) = (_mm256_setzero_si256(), _mm256_set1_epi32(super::cells(self.points[axis]) as i32 - 1));
            let before = _mm256_castsi256_ps(_mm256_cmpgt_epi32(zero, cells[axis]));
            let after = _mm256_castsi256_ps(_mm256_cmpgt_epi32(cells[axis], last));
            let position = _mm256_andnot_ps(before, positions[axis]);
            inside[axis] = _mm256_blendv_ps(position, _mm256_set1_ps(1.0), after);
            firsts[axis] = _mm256_min_epi32(_mm256_max_epi32(cells[axis], zero), last);
        }
        let columns = _mm256_mullo_epi32(firsts[0], _mm256_set1_epi32(super::cells(self.points[1]) as i32));
        let columns = _mm256_add_epi32(columns, firsts[1]);
        let shifted = _mm256_sll_epi32(columns, _mm_cvtsi32_si128(self.shift() as i32));
        let firsts = _mm256_add_epi32(shifted, firsts[2]);
        let [x, y, z] = inside;
        Taps { firsts, x, y, z: weights(z) }
    }
}

impl Taps<TAPS> {
    /// Adds a surface along z: its weight is 0, or that of the first surface is 0 for points in the next cell.
    #[target_feature(enable = "avx2")]
    fn shifted(&self, in_next: __m256i) -> Taps<{ TAPS + 1 }> {
        let (in_next, nothing) = (_mm256_castsi256_ps(in_next), _mm256_setzero_ps());
        let mut z = [nothing; TAPS + 1];
        for (k, weight) in z.iter_mut().enumerate() {
            let first_cell = if k < TAPS { self.z[k] } else { nothing };
            let next_cell = if k > 0 { self.z[k - 1] } else { nothing };
            *weight = _mm256_blendv_ps(first_cell, next_cell, in_next);
        }
        Taps { firsts: self.firsts, x: self.x, y: self.y, z }
    }
}

/// As [`weights_single`](super::weights_single) for eight points.
#[target_feature(enable = "avx2,fma")]
fn weights(position: __m256) -> [__m256; TAPS] {
    let (sixth, two_thirds, half) = (_mm256_set1_ps(1.0 / 6.0), _mm256_set1_ps(2.0 / 3.0), _mm256_set1_ps(0.5));
    let rest = _mm256_sub_ps(_mm256_set1_ps(1.0), position);
    let (square, rest_square) = (_mm256_mul_ps(position, position), _mm256_mul_ps(rest, rest));
    let (cube, rest_cube) = (_mm256_mul_ps(square, position), _mm256_mul_ps(rest_square, rest));
    [
        _mm256_mul_ps(rest_cube, sixth),
        _mm256_add_ps(_mm256_sub_ps(two_thirds, square), _mm256_mul_ps(cube, half)),
        _mm256_add_ps(_mm256_sub_ps(two_thirds, rest_square), _mm256_mul_ps(rest_cube, half)),
        _mm256_mul_ps(cube, sixth),
    ]
}
