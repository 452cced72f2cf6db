//! Points of eight voxels of a row with equidistant points.

use std::arch::x86_64::*;

use crate::lazy::lanes::Coordinates;
use simd::LANES;

/// The distances between voxels along one axis, for all rows of one direction.
#[derive(Clone, Copy)]
struct AxisStride {
    /// From a voxel to the eight voxels that start with it.
    group: Coordinates,
    /// From a voxel to the next one.
    voxel: i64,
    /// From a group to the next one.
    next_group: __m256i,
}

impl AxisStride {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(voxel: i64, shift: i64) -> Self {
        let distance = |voxels: i64| shift.wrapping_add(voxel.wrapping_mul(voxels));
        let first = _mm256_set_epi64x(distance(5), distance(4), distance(1), distance(0));
        let last = _mm256_set_epi64x(distance(7), distance(6), distance(3), distance(2));
        let next_group = _mm256_set1_epi64x(voxel.wrapping_mul(LANES as i64));
        Self { group: Coordinates { first, last }, voxel, next_group }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn distance(&self, voxels: usize) -> __m256i {
        _mm256_set1_epi64x(self.voxel.wrapping_mul(voxels as i64))
    }
}

/// The distances along x, y and z.
#[derive(Clone, Copy)]
pub(super) struct Strides([AxisStride; 3]);

impl Strides {
    /// Returns the strides of rows with a `step` per voxel, whose points are all shifted by `shift`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(step: [i64; 3], shift: [i64; 3]) -> Self {
        Self([
            AxisStride::new(step[0], shift[0]),
            AxisStride::new(step[1], shift[1]),
            AxisStride::new(step[2], shift[2]),
        ])
    }

    /// Returns the points of the eight voxels from `first` on, of the row whose first voxel has the point `base`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn group(&self, base: &[i64; 4], first: usize) -> [Coordinates; 3] {
        let [x, y, z] = &self.0;
        let start = |axis: usize| {
            let distance = self.0[axis].voxel.wrapping_mul(first as i64);
            _mm256_set1_epi64x(base[axis].wrapping_add(distance))
        };
        [x.group.shifted(start(0)), y.group.shifted(start(1)), z.group.shifted(start(2))]
    }

    /// Returns the points of the next eight voxels of a row.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn next(&self, points: [Coordinates; 3]) -> [Coordinates; 3] {
        let [x, y, z] = &self.0;
        [points[0].shifted(x.next_group), points[1].shifted(y.next_group), points[2].shifted(z.next_group)]
    }

    /// Returns the points of the eight voxels a number of voxels further along a row.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn advance(&self, points: [Coordinates; 3], voxels: usize) -> [Coordinates; 3] {
        let [x, y, z] = &self.0;
        [
            points[0].shifted(x.distance(voxels)),
            points[1].shifted(y.distance(voxels)),
            points[2].shifted(z.distance(voxels)),
        ]
    }
}
