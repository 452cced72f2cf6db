//! The displacement of four places at once, for processors with AVX2.
//!
//! The same operations in the same order as [`Displacement::at`](super::Displacement::at), without fused ones, so every
//! processor gives the same bits.

use std::arch::x86_64::*;

/// Places that are taken at once.
pub(super) const LANES: usize = 4;

/// Whether this processor can run the function below.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// The displacements along x, y and z of four places: `values` are the control points' `[x, y, z]` from the first tap
/// on, with these strides along x and y; `shares` say how far each place lies behind its second tap.
///
/// # Safety
/// The processor has AVX2, and `values` holds four taps along each axis.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn displacements(
    values: &[[f64; 3]],
    strides: [usize; 2],
    shares: &[[f64; LANES]; 3],
) -> [[f64; LANES]; 3] {
    let [x, y, z] = [weights(&shares[0]), weights(&shares[1]), weights(&shares[2])];
    let mut sum = [_mm256_setzero_pd(); 3];
    for (k, along_z) in z.into_iter().enumerate() {
        let mut plane = [_mm256_setzero_pd(); 3];
        for (i, along_x) in x.into_iter().enumerate() {
            let mut row = [_mm256_setzero_pd(); 3];
            for (j, along_y) in y.into_iter().enumerate() {
                let at = i * strides[0] + j * strides[1] + k;
                debug_assert!(at < values.len());
                // SAFETY: the caller's.
                let value = unsafe { values.get_unchecked(at) };
                for axis in 0..3 {
                    row[axis] = _mm256_add_pd(row[axis], _mm256_mul_pd(along_y, _mm256_set1_pd(value[axis])));
                }
            }
            for axis in 0..3 {
                plane[axis] = _mm256_add_pd(plane[axis], _mm256_mul_pd(along_x, row[axis]));
            }
        }
        for axis in 0..3 {
            sum[axis] = _mm256_add_pd(sum[axis], _mm256_mul_pd(along_z, plane[axis]));
        }
    }
    let mut out = [[0.0; LANES]; 3];
    for (out, sum) in out.iter_mut().zip(sum) {
        // SAFETY: four numbers are written.
        unsafe { _mm256_storeu_pd(out.as_mut_ptr(), sum) };
    }
    out
}

/// As [`weights`](super::weights), of four places.
#[target_feature(enable = "avx2")]
fn weights(share: &[f64; LANES]) -> [__m256d; 4] {
    // SAFETY: four numbers are read.
    let share = unsafe { _mm256_loadu_pd(share.as_ptr()) };
    let (six, two_thirds) = (_mm256_set1_pd(6.0), _mm256_set1_pd(2.0 / 3.0));
    let two = _mm256_set1_pd(2.0);
    let rest = _mm256_sub_pd(_mm256_set1_pd(1.0), share);
    let square = _mm256_mul_pd(share, share);
    let cube = _mm256_mul_pd(square, share);
    let rest_square = _mm256_mul_pd(rest, rest);
    let rest_cube = _mm256_mul_pd(rest_square, rest);
    [
        _mm256_div_pd(rest_cube, six),
        _mm256_add_pd(_mm256_sub_pd(two_thirds, square), _mm256_div_pd(cube, two)),
        _mm256_add_pd(_mm256_sub_pd(two_thirds, rest_square), _mm256_div_pd(rest_cube, two)),
        _mm256_div_pd(cube, six),
    ]
}
