//! Cache prefetching.

/// Prefetches `count` values from index `first` on into the cache; they may be outside the slice.
#[inline(always)]
pub fn prefetch<T>(values: &[T], first: usize, count: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const CACHE_LINE: usize = 64;
        let start = values.as_ptr().wrapping_add(first).cast::<i8>();
        for byte in (0..count * size_of::<T>()).step_by(CACHE_LINE) {
            // SAFETY: every x86-64 processor has the instruction, and a prefetch is no memory access by the rules of the
            // language.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(byte)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, first, count);
}
