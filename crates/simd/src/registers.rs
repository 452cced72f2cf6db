//! Loads and stores of vector registers.

use std::arch::x86_64::*;

/// Lanes of 32 bits in a register.
pub const LANES: usize = 8;

/// Loads eight `f32`.
///
/// # Safety
/// The processor has AVX2, as it has in functions of [`for_avx2!`](crate::for_avx2), which call this without `unsafe`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_f32x8(values: &[f32; LANES]) -> __m256 {
    // SAFETY: reads eight numbers of four bytes.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

/// Loads eight `i64` into two registers.
///
/// # Safety
/// The processor has AVX2, as it has in functions of [`for_avx2!`](crate::for_avx2), which call this without `unsafe`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn load_i64x8(values: &[i64; LANES]) -> [__m256i; 2] {
    // SAFETY: reads two times four numbers of eight bytes.
    unsafe { [_mm256_loadu_si256(values.as_ptr().cast()), _mm256_loadu_si256(values.as_ptr().add(4).cast())] }
}

/// Stores eight `f32`.
///
/// # Safety
/// The processor has AVX2, as it has in functions of [`for_avx2!`](crate::for_avx2), which call this without `unsafe`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store_f32x8(register: __m256, out: &mut [f32; LANES]) {
    // SAFETY: writes eight numbers of four bytes.
    unsafe { _mm256_storeu_ps(out.as_mut_ptr(), register) };
}

/// Stores eight `i64` from two registers.
///
/// # Safety
/// The processor has AVX2, as it has in functions of [`for_avx2!`](crate::for_avx2), which call this without `unsafe`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store_i64x8([low, high]: [__m256i; 2], out: &mut [i64; LANES]) {
    let [first, last] = out.as_chunks_mut().0 else { unreachable!("eight numbers are two times four") };
    store_i64x4(low, first);
    store_i64x4(high, last);
}

/// Stores four `i64`.
///
/// # Safety
/// The processor has AVX2, as it has in functions of [`for_avx2!`](crate::for_avx2), which call this without `unsafe`.
#[inline]
#[target_feature(enable = "avx2")]
pub fn store_i64x4(register: __m256i, out: &mut [i64; 4]) {
    // SAFETY: writes four numbers of eight bytes.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), register) };
}
