//! The displacement of four places at once, for processors with AVX2 and FMA.
//!
//! The same operations in the same order as [`Displacement::at`](super::Displacement::at), so every processor gives the
//! same bits: sums are fused everywhere, on processors without FMA in software.

use std::arch::x86_64::*;

/// Places that are taken at once.
pub(super) const LANES: usize = 4;

/// Whether this processor can run the function below.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// The displacements along x, y and z of four places: `values` are the control points' `[x, y, z]` from the first tap
/// on, with these strides along x and y; `shares` say how far each place lies behind its second tap.
///
/// # Safety
/// The processor has AVX2 and FMA, and `values` holds four taps along each axis.
#[target_feature(enable = "avx2,fma")]
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
                    row[axis] = _mm256_fmadd_pd(along_y, _mm256_set1_pd(value[axis]), row[axis]);
                }
            }
            for axis in 0..3 {
                plane[axis] = _mm256_fmadd_pd(along_x, row[axis], plane[axis]);
            }
        }
        for axis in 0..3 {
            sum[axis] = _mm256_fmadd_pd(along_z, plane[axis], sum[axis]);
        }
    }
    let mut out = [[0.0; LANES]; 3];
    for (out, sum) in out.iter_mut().zip(sum) {
        // SAFETY: four numbers are written.
        unsafe { _mm256_storeu_pd(out.as_mut_ptr(), sum) };
    }
    out
}

/// The first control points around four places, `None` beyond the field, and how far behind the second ones they lie:
/// as [`Displacement::tap`](super::Displacement).
///
/// # Safety
/// The processor has AVX2 and FMA, and each array holds four places.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn taps(
    places: &[&mut [f64]; 3],
    margin: f64,
    ends: [f64; 3],
    density: [f64; 3],
    most: [i32; 3],
) -> ([Option<[i32; 3]>; LANES], [[f64; LANES]; 3]) {
    let mut firsts = [[0i32; LANES]; 3];
    let mut shares = [[0.0; LANES]; 3];
    let mut within = 0b1111;
    let margin = _mm256_set1_pd(margin);
    for axis in 0..3 {
        // SAFETY: four numbers are read.
        let place = unsafe { _mm256_loadu_pd(places[axis].as_ptr()) };
        let reaches = _mm256_cmp_pd::<_CMP_GE_OQ>(_mm256_add_pd(place, margin), _mm256_setzero_pd());
        let ends = _mm256_cmp_pd::<_CMP_LE_OQ>(place, _mm256_set1_pd(ends[axis]));
        within &= _mm256_movemask_pd(_mm256_and_pd(reaches, ends));
        let knot = _mm256_mul_pd(_mm256_add_pd(place, margin), _mm256_set1_pd(density[axis]));
        let first = _mm_min_epi32(_mm256_cvttpd_epi32(knot), _mm_set1_epi32(most[axis]));
        let share = _mm256_sub_pd(knot, _mm256_cvtepi32_pd(first));
        // SAFETY: four numbers are written to each.
        unsafe {
            _mm_storeu_si128(firsts[axis].as_mut_ptr().cast(), first);
            _mm256_storeu_pd(shares[axis].as_mut_ptr(), share);
        }
    }
    let mut cells = [None; LANES];
    for (lane, cell) in cells.iter_mut().enumerate() {
        if within >> lane & 1 == 1 {
            *cell = Some([firsts[0][lane], firsts[1][lane], firsts[2][lane]]);
        }
    }
    (cells, shares)
}

/// As [`weights`](super::weights), of four places.
#[target_feature(enable = "avx2,fma")]
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
