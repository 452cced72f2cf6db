//! Places of eight voxels of a row, and the positions in an array that they lie in.

use std::arch::x86_64::*;
use std::cell::RefCell;

use crate::trusted::{GROUPS, LANES, Positions, load_places, load_reals, store_reals};

/// The places along one axis of eight voxels of a row: of 0, 1, 4 and 5 first, then of 2, 3, 6 and 7, so that halves
/// can be taken out in order.
#[derive(Clone, Copy)]
pub(in super::super) struct Places {
    first: __m256i,
    last: __m256i,
    step: __m256i,
}

impl Places {
    /// Of the voxels whose places begin at `base` and are `step` apart.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(base: i64, step: i64) -> Self {
        let one = _mm256_set1_epi64x(step);
        let two = _mm256_add_epi64(one, one);
        let four = _mm256_add_epi64(two, two);
        let [second_of_two, last_two] = [_mm256_set_epi64x(-1, 0, -1, 0), _mm256_set_epi64x(-1, -1, 0, 0)];
        let behind = _mm256_add_epi64(_mm256_and_si256(one, second_of_two), _mm256_and_si256(four, last_two));
        let first = _mm256_add_epi64(_mm256_set1_epi64x(base), behind);
        Self { first, last: _mm256_add_epi64(first, two), step: _mm256_add_epi64(four, four) }
    }

    /// Of eight voxels whose places are given one by one.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn of(places: &[i64; LANES], start: i64) -> Self {
        let [low, high] = load_places(places);
        let start = _mm256_set1_epi64x(start);
        Self::ordered(_mm256_sub_epi64(low, start), _mm256_sub_epi64(high, start))
    }

    /// Of the first and the last four of eight voxels.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn ordered(low: __m256i, high: __m256i) -> Self {
        let first = _mm256_permute2x128_si256::<0x20>(low, high);
        let last = _mm256_permute2x128_si256::<0x31>(low, high);
        Self { first, last, step: _mm256_setzero_si256() }
    }

    /// Of the next eight voxels.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn next(self) -> Self {
        Self {
            first: _mm256_add_epi64(self.first, self.step),
            last: _mm256_add_epi64(self.last, self.step),
            step: self.step,
        }
    }

    /// The voxels that the places lie in or behind.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn indices(self) -> __m256i {
        let (first, last) = (_mm256_castsi256_ps(self.first), _mm256_castsi256_ps(self.last));
        _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(first, last))
    }

    /// The share of the way to the next voxel: as [`split`](super::super::fixed::split).
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in super::super) fn shares(self) -> __m256 {
        let (first, last) = (_mm256_castsi256_ps(self.first), _mm256_castsi256_ps(self.last));
        let digits = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(first, last));
        let share = _mm256_cvtepi32_ps(_mm256_srli_epi32::<8>(digits));
        _mm256_mul_ps(share, _mm256_set1_ps(1.0 / (1u32 << 24) as f32))
    }
}

/// Eight voxels of a straight row at a time; the last eight may overlap those before.
#[derive(Clone, Copy)]
pub(super) struct Walk {
    /// The places of the eight voxels along x, y and z.
    pub(super) places: [Places; 3],
    base: [i64; 3],
    step: [i64; 3],
    /// Voxels of the row before these eight.
    pub(super) taken: usize,
}

impl Walk {
    /// From the voxel `taken` of a row on whose places begin at `base` and are `step` apart.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(base: [i64; 3], step: [i64; 3], taken: usize) -> Self {
        let at = taken as i64;
        let places = [
            Places::new(base[0] + at * step[0], step[0]),
            Places::new(base[1] + at * step[1], step[1]),
            Places::new(base[2] + at * step[2], step[2]),
        ];
        Self { places, base, step, taken }
    }

    /// The next eight of a row of at least eight voxels, where some are left.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn next(self, length: usize) -> Option<Self> {
        if self.taken + LANES >= length {
            return None;
        }
        let taken = (self.taken + LANES).min(length - LANES);
        if taken == self.taken + LANES {
            let [x, y, z] = self.places;
            Some(Self { places: [x.next(), y.next(), z.next()], taken, ..self })
        } else {
            Some(Self::new(self.base, self.step, taken))
        }
    }
}

/// What is found out about groups of eight voxels before the first of them is read.
pub(super) struct Found {
    pub(super) positions: Positions,
    /// Of each group the shares of the way to the next voxel along x, y and z.
    shares: [[[f32; LANES]; 3]; GROUPS],
}

thread_local! {
    // Kept, since otherwise two kilobytes would be filled with zeros for each row.
    static FOUND: RefCell<Found> = const {
        RefCell::new(Found { positions: Positions::new(), shares: [[[0.0; LANES]; 3]; GROUPS] })
    };
}

/// Lends what a thread keeps for that.
pub(super) fn with_found<T>(take: impl FnOnce(&mut Found) -> T) -> T {
    FOUND.with_borrow_mut(take)
}

impl Found {
    /// Finds the positions of a row of so many voxels, from a walk's voxels on, as many as there is room for, and the shares
    /// where they are `WANTED`. Gives the walk from which the next ones are to be found, where some are left.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn find<const WANTED: bool>(
        &mut self,
        shape: [usize; 3],
        mut walk: Walk,
        length: usize,
    ) -> Option<Walk> {
        self.positions.clear();
        loop {
            if WANTED {
                self.note_shares(walk.places);
            }
            self.positions.add(positions_of(shape, walk.places));
            let next = walk.next(length)?;
            if !self.positions.has_room() {
                return Some(next);
            }
            walk = next;
        }
    }

    /// Notes the shares of the group whose positions are added next.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn note_shares(&mut self, [x, y, z]: [Places; 3]) {
        let [along_x, along_y, along_z] = &mut self.shares[self.positions.groups().len()];
        store_reals(x.shares(), along_x);
        store_reals(y.shares(), along_y);
        store_reals(z.shares(), along_z);
    }

    /// The shares of a group.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn shares(&self, group: usize) -> [__m256; 3] {
        let [x, y, z] = &self.shares[group];
        [load_reals(x), load_reals(y), load_reals(z)]
    }
}

/// The positions of voxels in an array of this shape.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn positions_of([_, size_y, size_z]: [usize; 3], [x, y, z]: [Places; 3]) -> __m256i {
    let (size_y, size_z) = (_mm256_set1_epi32(size_y as i32), _mm256_set1_epi32(size_z as i32));
    let rows = _mm256_add_epi32(_mm256_mullo_epi32(x.indices(), size_y), y.indices());
    _mm256_add_epi32(_mm256_mullo_epi32(rows, size_z), z.indices())
}
