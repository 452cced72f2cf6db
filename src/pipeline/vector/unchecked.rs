//! Numbers between memory and registers: eight at a time from and to arrays of eight, and the innermost of all loops,
//! which reads the neighbours of eight places without a look at the bounds.

#![expect(
    unsafe_code,
    reason = "bounds are looked at for a whole row or for eight places at once, which is what makes it fast"
)]

use std::arch::x86_64::*;

use super::{AHEAD, LANES, Places, between, fetch, offsets};

/// Interpolates eight voxels.
///
/// # Safety
/// The eight voxels around each place, at `(x * size_y + y) * size_z + z`, lie in `values`.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn eight(
    values: &[f32],
    (x, y, z): (Places, Places, Places),
    (size_y, size_z): (__m256i, __m256i),
) -> __m256 {
    let near = values.as_ptr();
    let at = offsets(x, y, z, size_y, size_z);
    let (size_y, size_z) = (_mm256_cvtsi256_si32(size_y) as usize, _mm256_cvtsi256_si32(size_z) as usize);
    debug_assert!(at.iter().all(|at| *at >= 0 && *at as usize + (size_y + 1) * size_z + 1 < values.len()));
    // What the rows to come touch first lies at the next x.
    let ahead = near.wrapping_add(AHEAD * size_y * size_z);
    fetch(ahead.wrapping_offset(at[0] as isize));
    fetch(ahead.wrapping_offset(at[LANES - 1] as isize));
    let share_y = y.shares();
    // SAFETY: the caller's.
    let ((low_near, high_near), (low_far, high_far)) =
        unsafe { (along_y(near, &at, size_z, share_y), along_y(near.add(size_y * size_z), &at, size_z, share_y)) };
    // Along y, then x, then z, as the plain loop.
    let share_x = x.shares();
    let (low, high) = (between(low_near, low_far, share_x), between(high_near, high_far, share_x));
    between(low, high, z.shares())
}

/// Eight numbers in a register.
#[inline]
#[target_feature(enable = "avx2")]
pub(in super::super) fn load_reals(values: &[f32; LANES]) -> __m256 {
    // SAFETY: eight numbers of four bytes are read.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

/// The first four of eight numbers in a register, and the last four in another.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_places(places: &[i64; LANES]) -> [__m256i; 2] {
    // SAFETY: four and four numbers of eight bytes are read.
    unsafe { [_mm256_loadu_si256(places.as_ptr().cast()), _mm256_loadu_si256(places.as_ptr().add(4).cast())] }
}

/// Writes the numbers of a register.
#[inline]
#[target_feature(enable = "avx2")]
pub(in super::super) fn store_reals(register: __m256, out: &mut [f32; LANES]) {
    // SAFETY: eight numbers of four bytes are written.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), register) };
}

/// The numbers of a register.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store_indices(register: __m256i) -> [i32; LANES] {
    let mut out = [0; LANES];
    // SAFETY: eight numbers of four bytes are written.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), register) };
    out
}

/// Writes the numbers of two registers.
#[inline]
#[target_feature(enable = "avx2")]
pub(in super::super) fn store_places([low, high]: [__m256i; 2], out: &mut [i64; LANES]) {
    let start = out.as_mut_ptr().cast::<__m256i>();
    // SAFETY: eight numbers of eight bytes are two times four.
    unsafe {
        _mm256_storeu_si256(start, low);
        _mm256_storeu_si256(start.add(1), high);
    }
}

/// Values interpolated along y, at these offsets and at the ones after them.
///
/// # Safety
/// The offsets, one more, and those of the next y may be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn along_y(values: *const f32, at: &[i32; LANES], size_z: usize, share: __m256) -> (__m256, __m256) {
    // SAFETY: the caller's.
    unsafe {
        let (here, here_above) = pairs(values, at);
        let (there, there_above) = pairs(values.add(size_z), at);
        (between(here, there, share), between(here_above, there_above, share))
    }
}

/// The values at these offsets, and the ones after them.
///
/// # Safety
/// The offsets and one more may be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pairs(values: *const f32, at: &[i32; LANES]) -> (__m256, __m256) {
    // SAFETY: the caller's.
    let (first, last) = unsafe {
        (
            _mm256_set_m128(two(values, at[4], at[5]), two(values, at[0], at[1])),
            _mm256_set_m128(two(values, at[6], at[7]), two(values, at[2], at[3])),
        )
    };
    (_mm256_shuffle_ps::<0b10_00_10_00>(first, last), _mm256_shuffle_ps::<0b11_01_11_01>(first, last))
}

/// Two neighbours at one offset, then two at another.
///
/// # Safety
/// The offsets and one more may be read.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn two(values: *const f32, a: i32, b: i32) -> __m128 {
    // SAFETY: the caller's; the two values are read as one number without alignment.
    unsafe {
        let low = _mm_load_sd(values.offset(a as isize).cast());
        _mm_castpd_ps(_mm_loadh_pd(low, values.offset(b as isize).cast()))
    }
}
