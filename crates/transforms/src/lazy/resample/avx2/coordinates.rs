//! Places of eight voxels of a row, and the positions in an array that they lie in.

use std::arch::x86_64::*;
use std::cell::RefCell;

use simd::{GatherIndices, LANES, MAX_GROUPS, load_f32x8, load_i64x8, store_f32x8};

/// The places along one axis of eight voxels of a row: of 0, 1, 4 and 5 first, then of 2, 3, 6 and 7, so that halves
/// can be taken out in order.
#[derive(Clone, Copy)]
pub(in crate::lazy) struct Places {
    first: __m256i,
    last: __m256i,
}

impl Places {
    /// Of eight voxels whose places are given one by one.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn of(places: &[i64; LANES], start: i64) -> Self {
        let [low, high] = load_i64x8(places);
        let start = _mm256_set1_epi64x(start);
        Self::ordered(_mm256_sub_epi64(low, start), _mm256_sub_epi64(high, start))
    }

    /// Of the first and the last four of eight voxels.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::lazy) fn ordered(low: __m256i, high: __m256i) -> Self {
        let first = _mm256_permute2x128_si256::<0x20>(low, high);
        let last = _mm256_permute2x128_si256::<0x31>(low, high);
        Self { first, last }
    }

    /// The same ones, moved.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn moved(self, by: __m256i) -> Self {
        Self { first: _mm256_add_epi64(self.first, by), last: _mm256_add_epi64(self.last, by) }
    }

    /// The voxels that the places lie in or behind.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::lazy) fn indices(self) -> __m256i {
        let (first, last) = (_mm256_castsi256_ps(self.first), _mm256_castsi256_ps(self.last));
        _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(first, last))
    }

    /// The share of the way to the next voxel: as [`split`](crate::lazy::fixed_point::split).
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(in crate::lazy) fn shares(self) -> __m256 {
        let (first, last) = (_mm256_castsi256_ps(self.first), _mm256_castsi256_ps(self.last));
        let digits = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(first, last));
        let share = _mm256_cvtepi32_ps(_mm256_srli_epi32::<8>(digits));
        _mm256_mul_ps(share, _mm256_set1_ps(1.0 / (1u32 << 24) as f32))
    }
}

/// How the places of voxels lie apart along one axis, for all rows of one direction.
#[derive(Clone, Copy)]
struct Apart {
    /// From a voxel's place to those of eight voxels of which it is the first.
    eight: Places,
    /// From a voxel's place to that of the next one, and of the one eight farther.
    one: i64,
    next: __m256i,
}

impl Apart {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(one: i64, shift: i64) -> Self {
        let behind = |voxels: i64| shift.wrapping_add(one.wrapping_mul(voxels));
        let first = _mm256_set_epi64x(behind(5), behind(4), behind(1), behind(0));
        let last = _mm256_set_epi64x(behind(7), behind(6), behind(3), behind(2));
        Self { eight: Places { first, last }, one, next: _mm256_set1_epi64x(one.wrapping_mul(LANES as i64)) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn behind(&self, voxels: usize) -> __m256i {
        _mm256_set1_epi64x(self.one.wrapping_mul(voxels as i64))
    }
}

/// The same along x, y and z.
#[derive(Clone, Copy)]
pub(super) struct Strides([Apart; 3]);

impl Strides {
    /// Of rows whose voxels are `step` apart, all of whose places are to be moved by `shift`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(step: [i64; 3], shift: [i64; 3]) -> Self {
        Self([Apart::new(step[0], shift[0]), Apart::new(step[1], shift[1]), Apart::new(step[2], shift[2])])
    }

    /// The places of eight voxels of a row whose first voxel lies at `base`, from the voxel `first` on.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn places(&self, base: &[i64; 4], first: usize) -> [Places; 3] {
        let [x, y, z] = &self.0;
        let place = |axis: usize| {
            let behind = self.0[axis].one.wrapping_mul(first as i64);
            _mm256_set1_epi64x(base[axis].wrapping_add(behind))
        };
        [x.eight.moved(place(0)), y.eight.moved(place(1)), z.eight.moved(place(2))]
    }

    /// The places of the next eight voxels of a row.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn next(&self, places: [Places; 3]) -> [Places; 3] {
        let [x, y, z] = &self.0;
        [places[0].moved(x.next), places[1].moved(y.next), places[2].moved(z.next)]
    }

    /// The places of eight voxels that lie so many farther along a row.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn farther(&self, places: [Places; 3], voxels: usize) -> [Places; 3] {
        let [x, y, z] = &self.0;
        [places[0].moved(x.behind(voxels)), places[1].moved(y.behind(voxels)), places[2].moved(z.behind(voxels))]
    }
}

/// What is found out about groups of eight voxels before the first of them is read.
pub(super) struct Found {
    pub(super) positions: GatherIndices,
    /// Of each group the shares of the way to the next voxel along x, y and z.
    shares: [[[f32; LANES]; 3]; MAX_GROUPS],
}

thread_local! {
    // Kept, since otherwise two kilobytes would be filled with zeros for each row.
    static FOUND: RefCell<Found> = const {
        RefCell::new(Found { positions: GatherIndices::new(), shares: [[[0.0; LANES]; 3]; MAX_GROUPS] })
    };
}

/// Lends what a thread keeps for that.
pub(super) fn with_found<T>(take: impl FnOnce(&mut Found) -> T) -> T {
    FOUND.with_borrow_mut(take)
}

impl Found {
    /// Notes the positions of a group in an array of this shape, and its shares where they are `WANTED`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn note<const WANTED: bool>(&mut self, shape: [usize; 3], places: [Places; 3]) {
        if WANTED {
            self.note_shares(places);
        }
        self.positions.add(positions_of(shape, places));
    }

    /// Notes the shares of the group whose positions are added next.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn note_shares(&mut self, [x, y, z]: [Places; 3]) {
        let [along_x, along_y, along_z] = &mut self.shares[self.positions.groups().len()];
        store_f32x8(x.shares(), along_x);
        store_f32x8(y.shares(), along_y);
        store_f32x8(z.shares(), along_z);
    }

    /// The shares of a group.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn shares(&self, group: usize) -> [__m256; 3] {
        let [x, y, z] = &self.shares[group];
        [load_f32x8(x), load_f32x8(y), load_f32x8(z)]
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
