//! Prefetching of source voxels.

use simd::LANES;

/// Steps along x by which voxels are prefetched.
const AHEAD: usize = 4;

/// Prefetches the source voxels that later rows will read: those some steps along x past the `lanes` of a group.
#[inline(always)]
pub(super) fn prefetch<T, const N: usize>(
    values: &[T],
    [_, size_y, size_z]: [usize; 3],
    positions: &[i32; LANES],
    lanes: [usize; N],
) {
    for lane in lanes {
        simd::prefetch(values, AHEAD * size_y * size_z + positions[lane] as usize, 1);
    }
}

/// Lanes prefetched for intensities: under rotations the voxels of a group come from several rows of the source.
pub(super) const IMAGE_LANES: [usize; 4] = [0, 2, 5, 7];

/// Lanes prefetched for labels, of which a cache line holds more.
pub(super) const LABEL_LANES: [usize; 2] = [0, 7];
