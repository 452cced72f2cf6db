//! Trilinear interpolation of eight voxels.

use std::arch::x86_64::*;

use crate::lazy::resample::source::ImageSource;
use simd::{CheckedCorners, CornerGather};

/// Returns access to the eight corners around each position of a block; `None` if it is too small or too large.
pub(super) fn corners<'a>(source: &ImageSource<'a>) -> Option<CornerGather<'a>> {
    CornerGather::new(source.values, [source.shape[1], source.shape[2]])
}

/// Interpolates the voxels of a group between their corners, with weights along x, y and z.
///
/// `ELASTIC` only separates the instances for elastic and affine rows: a function of this length is inlined into a loop
/// if it has no other caller, and a call for each group took a sixth of the time of affine patches.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn linear<const ELASTIC: bool>(
    corners: CheckedCorners,
    group: usize,
    [weight_x, weight_y, weight_z]: [__m256; 3],
) -> __m256 {
    let [near, far] = corners.group(group);
    // Along y, then x, then z, as the scalar code.
    let (low_near, high_near) = (lerp(near[0].0, near[1].0, weight_y), lerp(near[0].1, near[1].1, weight_y));
    let (low_far, high_far) = (lerp(far[0].0, far[1].0, weight_y), lerp(far[0].1, far[1].1, weight_y));
    let (low, high) = (lerp(low_near, low_far, weight_x), lerp(high_near, high_far, weight_x));
    lerp(low, high, weight_z)
}

/// Returns `a + (b - a) * weight`, without fused operations.
#[inline]
#[target_feature(enable = "avx2")]
fn lerp(a: __m256, b: __m256, weight: __m256) -> __m256 {
    _mm256_add_ps(a, _mm256_mul_ps(_mm256_sub_ps(b, a), weight))
}
