//! Interpolation of eight voxels at once with AVX-512, where its gather instructions are fast. The same bits again.

use std::arch::x86_64::*;

use super::super::fixed::Line;
use super::super::gather::Source;
use super::{eight_of, fetch_ahead, next_eight};
use crate::trusted::{Corners, LANES, for_avx512, store_reals};

/// The places of eight voxels along x, y and z, counted from a block's first voxel.
#[derive(Clone, Copy)]
struct Places([__m512i; 3]);

impl Places {
    /// Of the voxels whose places begin at `base` and are `step` apart.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn new(base: [i64; 3], step: [i64; 3]) -> Self {
        let lanes = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
        let mut places = [_mm512_setzero_si512(); 3];
        for axis in 0..3 {
            let along = _mm512_mullo_epi64(lanes, _mm512_set1_epi64(step[axis]));
            places[axis] = _mm512_add_epi64(_mm512_set1_epi64(base[axis]), along);
        }
        Self(places)
    }

    /// Of the next eight voxels.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn moved(self, step: [i64; 3]) -> Self {
        let mut places = self.0;
        for axis in 0..3 {
            places[axis] = _mm512_add_epi64(places[axis], _mm512_set1_epi64(LANES as i64 * step[axis]));
        }
        Self(places)
    }

    /// The positions of the voxels that the places lie in or behind, in an array of this shape.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn offsets(self, [_, size_y, size_z]: [usize; 3]) -> __m512i {
        let [x, y, z] = self.indices();
        let rows = _mm512_add_epi64(_mm512_mul_epu32(x, _mm512_set1_epi64(size_y as i64)), y);
        _mm512_add_epi64(_mm512_mul_epu32(rows, _mm512_set1_epi64(size_z as i64)), z)
    }

    /// The voxels that the places lie in or behind.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn indices(self) -> [__m512i; 3] {
        let [x, y, z] = self.0;
        [_mm512_srli_epi64::<32>(x), _mm512_srli_epi64::<32>(y), _mm512_srli_epi64::<32>(z)]
    }
}

/// The share of the way to the next voxel, twice in a row: as [`split`](super::super::fixed::split).
#[inline]
#[target_feature(enable = "avx512f")]
fn shares(places: __m512i) -> __m512 {
    let digits = _mm512_shuffle_epi32::<0b10_10_00_00>(places);
    let share = _mm512_cvtepi32_ps(_mm512_srli_epi32::<8>(digits));
    _mm512_mul_ps(share, _mm512_set1_ps(1.0 / (1u32 << 24) as f32))
}

/// `a + (b - a) * share`, without a fused operation.
#[inline]
#[target_feature(enable = "avx512f")]
fn between(a: __m512, b: __m512, share: __m512) -> __m512 {
    _mm512_add_ps(a, _mm512_mul_ps(_mm512_sub_ps(b, a), share))
}

/// The first numbers of eight pairs.
#[inline]
#[target_feature(enable = "avx512f")]
fn firsts(pairs: __m512i) -> __m256 {
    _mm256_castsi256_ps(_mm512_cvtepi64_epi32(pairs))
}

/// Interpolates the voxels at places in the interior of a block, whose corners are these.
#[inline]
#[target_feature(enable = "avx2,avx512f")]
fn linear(corners: &Corners, source: &Source, places: Places) -> __m256 {
    let at = places.offsets(source.shape);
    fetch_ahead(source.values, source.shape, _mm_cvtsi128_si64(_mm512_castsi512_si128(at)) as isize);
    fetch_ahead(source.values, source.shape, _mm_cvtsi128_si64(_mm512_extracti32x4_epi32::<3>(at)) as isize);
    let [near, far] = corners.gathered(at);
    let [x, y, z] = places.0;
    // Along y, then x, then z, as the plain loop.
    let share_y = shares(y);
    let (near, far) = (between(near[0], near[1], share_y), between(far[0], far[1], share_y));
    let pairs = _mm512_castps_si512(between(near, far, shares(x)));
    let (low, high) = (firsts(pairs), firsts(_mm512_srli_epi64::<32>(pairs)));
    super::between(low, high, firsts(_mm512_castps_si512(shares(z))))
}

/// Eight voxels of a row at a time; the last eight may overlap those before.
#[derive(Clone, Copy)]
struct Walk {
    places: Places,
    base: [i64; 3],
    step: [i64; 3],
    /// Voxels of the row before these eight.
    taken: usize,
}

impl Walk {
    /// From the voxel `taken` of a row on whose places begin at `base` and are `step` apart.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn new(base: [i64; 3], step: [i64; 3], taken: usize) -> Self {
        let start = std::array::from_fn(|axis| base[axis] + taken as i64 * step[axis]);
        Self { places: Places::new(start, step), base, step, taken }
    }

    /// The next eight of a row of at least eight voxels, where some are left.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq")]
    fn next(self, length: usize) -> Option<Self> {
        let taken = next_eight(self.taken, length)?;
        if taken == self.taken + LANES {
            Some(Self { places: self.places.moved(self.step), taken, ..self })
        } else {
            Some(Self::new(self.base, self.step, taken))
        }
    }
}

for_avx512! {
    /// Interpolates a row of at least eight voxels whose places all lie in the interior of the block.
    pub(super) fn linear_row_of_interior(
        corners: &Corners,
        source: &Source,
        line: &Line,
        first: usize,
        row: &mut [f32],
    ) {
        let mut walk = Walk::new(source.place_within(line.at(first)), line.step, 0);
        loop {
            store_reals(linear(corners, source, walk.places), eight_of(row, walk.taken));
            let Some(next) = walk.next(row.len()) else { return };
            walk = next;
        }
    }
}
