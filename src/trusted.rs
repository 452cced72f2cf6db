//! All that the compiler cannot prove, and so the only file with `unsafe`: functions compiled for processors with AVX2
//! and FMA or AVX-512, the loads and stores of their registers, a file as memory, and a setting of the C library.
//!
//! All of it is safe to call: bounds, once for eight values, and the processor are checked here. Only
//! [`map_unchanging`] asks for something that it cannot check: that nobody changes the file.

#![expect(unsafe_code, reason = "each block says why it is sound; tests/layers.rs lets no other file have any")]

use std::fs::File;
use std::io;

use memmap2::Mmap;

#[cfg(target_arch = "x86_64")]
pub(crate) use vector::{
    Corners, LANES, for_avx2, for_avx512, for_processor, gathers_fast, has_avx2, has_avx512, load_places, load_reals,
    look_up, store_indices, store_places, store_reals,
};

/// The bytes of a file, without reading them; they stay whatever becomes of the file's name. For files of the runner's
/// own that are fully written: renamed or removed perhaps, never changed.
///
/// # Errors
/// When the system refuses.
pub(crate) fn map_unchanging(file: &File) -> io::Result<Mmap> {
    // SAFETY: bytes that change while they are read would be unsound, and no part of the runner changes such a file. Who
    // may write into its cache folder by other means is as trusted as the runner.
    unsafe { Mmap::map(file) }
}

/// Has the C library keep freed memory for what comes next, instead of giving it back to the system. Only that of GNU is
/// asked.
pub(crate) fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: only numbers are passed; a setting that the library does not know is refused. It takes the lock of its first
    // arena; threads that allocate meanwhile see the old numbers or the new ones, and either will do.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

#[cfg(target_arch = "x86_64")]
mod vector {
    use std::arch::x86_64::*;
    use std::hint::black_box;
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    /// Numbers in a register.
    pub(crate) const LANES: usize = 8;

    /// Whether this processor runs what [`for_avx2`] compiles.
    pub(crate) fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    /// Whether this processor runs what [`for_avx512`] compiles.
    pub(crate) fn has_avx512() -> bool {
        has_avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
    }

    /// Whether it has AVX-512 and finds values that lie apart faster by gather instructions than one by one: measured once,
    /// since some processors have them and are slow.
    pub(crate) fn gathers_fast() -> bool {
        static GATHERS_FAST: OnceLock<bool> = OnceLock::new();
        *GATHERS_FAST.get_or_init(|| has_avx512() && gathers_are_faster())
    }

    /// Defines a function whose body is compiled for processors with these features, so that it may call others that are.
    /// It answers `None`, and does nothing, on other processors. Only for the two macros below: it believes that `has` asks
    /// for all the features.
    macro_rules! for_processor {
        (@result) => { () };
        (@result $result:ty) => { $result };
        (
            $features:literal, $has:path;
            $(#[$documentation:meta])*
            $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
        ) => {
            $(#[$documentation])*
            $visibility fn $name($($argument: $type),*) -> Option<$crate::trusted::for_processor!(@result $($result)?)> {
                #[target_feature(enable = $features)]
                fn at_once($($argument: $type),*) $(-> $result)? $body

                if !$has() {
                    return None;
                }
                #[expect(unsafe_code, reason = "what is compiled for a processor may only run where it is")]
                // SAFETY: nothing else is unsafe about a function that needs no unsafe block itself, and the processor
                // has what it is compiled for.
                Some(unsafe { at_once($($argument),*) })
            }
        };
    }
    pub(crate) use for_processor;

    /// [`for_processor`] with AVX2 and FMA.
    macro_rules! for_avx2 {
        ($($function:tt)*) => {
            $crate::trusted::for_processor! { "avx2,fma", $crate::trusted::has_avx2; $($function)* }
        };
    }
    pub(crate) use for_avx2;

    /// [`for_processor`] with AVX-512 too.
    macro_rules! for_avx512 {
        ($($function:tt)*) => {
            $crate::trusted::for_processor! {
                "avx2,fma,avx512f,avx512dq", $crate::trusted::has_avx512; $($function)*
            }
        };
    }
    pub(crate) use for_avx512;

    /// Whether gather instructions read the corners of voxels faster than reads one by one do.
    fn gathers_are_faster() -> bool {
        const ROUNDS: usize = 8;
        let values = [0.0; 1024];
        let corners = Corners::new(&values, [16, 16]).expect("the block is large enough");
        let least = |time: fn(&Corners) -> Option<Duration>| (0..ROUNDS).filter_map(|_| time(&corners)).min();
        least(time_gathered) < least(time_one_by_one)
    }

    /// Reads that are timed together.
    const READS: i32 = 256;

    for_avx2! {
        fn time_one_by_one(corners: &Corners) -> Duration {
            let start = Instant::now();
            for at in 0..READS {
                black_box(corners.at(_mm256_set1_epi32(at)));
            }
            start.elapsed()
        }
    }

    for_avx512! {
        fn time_gathered(corners: &Corners) -> Duration {
            let start = Instant::now();
            for at in 0..READS {
                black_box(corners.gathered(_mm512_set1_epi64(i64::from(at))));
            }
            start.elapsed()
        }
    }

    /// A block of voxels whose rows are read at eight places at once.
    #[derive(Clone, Copy)]
    pub(crate) struct Corners<'a> {
        values: &'a [f32],
        /// How far the next y and the next x lie behind a voxel.
        steps: [usize; 2],
        /// The largest offset whose eight voxels lie in the block.
        pub(super) last: i32,
    }

    /// Values at eight places, and the ones after them along z.
    pub(crate) type Pair = (__m256, __m256);

    impl<'a> Corners<'a> {
        /// `None` where the block is too small or too large for one place.
        pub(crate) fn new(values: &'a [f32], [size_y, size_z]: [usize; 2]) -> Option<Self> {
            let steps = [size_z, size_y.checked_mul(size_z)?];
            let reach = steps[0].checked_add(steps[1])?.checked_add(1)?;
            let last = values.len().checked_sub(1)?.checked_sub(reach)?;
            Some(Self { values, steps, last: i32::try_from(last).ok()? })
        }

        /// The values at eight offsets, at those of the next y, of the next x, and of both.
        ///
        /// # Panics
        /// When one of the eight voxels around an offset does not lie in the block.
        #[inline]
        #[target_feature(enable = "avx2")]
        pub(crate) fn at(&self, offsets: __m256i) -> [[Pair; 2]; 2] {
            let at = within(offsets, self.last);
            let near = self.values.as_ptr();
            // SAFETY: no offset is larger than the last one, and last + steps[0] + steps[1] + 1 is the index of the last
            // value. `new` is the only way to make `Corners`.
            unsafe {
                let far = near.add(self.steps[1]);
                [
                    [pairs(near, &at), pairs(near.add(self.steps[0]), &at)],
                    [pairs(far, &at), pairs(far.add(self.steps[0]), &at)],
                ]
            }
        }

        /// As [`at`](Corners::at); each value stands before the one after it along z.
        ///
        /// # Panics
        /// When one of the eight voxels around an offset does not lie in the block.
        #[inline]
        #[target_feature(enable = "avx512f")]
        pub(crate) fn gathered(&self, offsets: __m512i) -> [[__m512; 2]; 2] {
            // As numbers without a sign, of which those below 0 are the largest.
            if _mm512_cmpgt_epu64_mask(offsets, _mm512_set1_epi64(i64::from(self.last))) != 0 {
                outside();
            }
            let near = self.values.as_ptr();
            // SAFETY: as in `at`; two values of four bytes are one of eight.
            unsafe {
                let far = near.add(self.steps[1]);
                let from = |start: *const f32| _mm512_castpd_ps(_mm512_i64gather_pd::<4>(offsets, start.cast()));
                [[from(near), from(near.add(self.steps[0]))], [from(far), from(far.add(self.steps[0]))]]
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn outside() -> ! {
        panic!("places lie in the array")
    }

    /// The values at these offsets, and the ones after them.
    ///
    /// # Safety
    /// The offsets and the ones after them may be read.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn pairs(values: *const f32, &[a, b, c, d, e, f, g, h]: &[i32; LANES]) -> Pair {
        // SAFETY: the caller's.
        let (first, last) = unsafe {
            (
                _mm256_set_m128(two(values, e, f), two(values, a, b)),
                _mm256_set_m128(two(values, g, h), two(values, c, d)),
            )
        };
        (_mm256_shuffle_ps::<0b10_00_10_00>(first, last), _mm256_shuffle_ps::<0b11_01_11_01>(first, last))
    }

    /// The values at eight offsets.
    ///
    /// # Panics
    /// When one of them does not lie in the array, or there are more values than 32 bits count.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn look_up<T: Copy>(values: &[T], offsets: __m256i) -> [T; LANES] {
        if values.is_empty() || values.len() > i32::MAX as usize {
            outside();
        }
        let at = within(offsets, (values.len() - 1) as i32);
        let mut found = [values[0]; LANES];
        for (found, at) in found.iter_mut().zip(at) {
            // SAFETY: no offset is larger than that of the last value.
            *found = unsafe { *values.get_unchecked(at as usize) };
        }
        found
    }

    /// Offsets that are at least 0 and at most `last`.
    ///
    /// # Panics
    /// When one is not.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn within(offsets: __m256i, last: i32) -> [i32; LANES] {
        // As numbers without a sign, of which those below 0 are the largest.
        let last = _mm256_set1_epi32(last);
        let beyond = _mm256_xor_si256(_mm256_max_epu32(offsets, last), last);
        if _mm256_testz_si256(beyond, beyond) == 0 {
            outside();
        }
        store_indices(offsets)
    }

    /// Two neighbours at one offset, then two at another.
    ///
    /// # Safety
    /// The offsets and the ones after them may be read.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn two(values: *const f32, a: i32, b: i32) -> __m128 {
        // SAFETY: the caller's; two values of four bytes are one of eight.
        let [a, b] = unsafe {
            [
                values.offset(a as isize).cast::<f64>().read_unaligned(),
                values.offset(b as isize).cast::<f64>().read_unaligned(),
            ]
        };
        _mm_castpd_ps(_mm_set_pd(b, a))
    }

    /// Eight numbers in a register.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn load_reals(values: &[f32; LANES]) -> __m256 {
        // SAFETY: eight numbers of four bytes are read.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    /// The first four of eight numbers in a register, and the last four in another.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn load_places(places: &[i64; LANES]) -> [__m256i; 2] {
        // SAFETY: four and four numbers of eight bytes are read.
        unsafe { [_mm256_loadu_si256(places.as_ptr().cast()), _mm256_loadu_si256(places.as_ptr().add(4).cast())] }
    }

    /// Writes the numbers of a register.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn store_reals(register: __m256, out: &mut [f32; LANES]) {
        // SAFETY: eight numbers of four bytes are written.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), register) };
    }

    /// The numbers of a register, by way of memory: taking them out one by one is slower.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn store_indices(register: __m256i) -> [i32; LANES] {
        let mut out = [0; LANES];
        // SAFETY: eight numbers of four bytes are written.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), register) };
        black_box(out)
    }

    /// Writes the numbers of two registers.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(crate) fn store_places([low, high]: [__m256i; 2], out: &mut [i64; LANES]) {
        let start = out.as_mut_ptr().cast::<__m256i>();
        // SAFETY: eight numbers of eight bytes are two times four.
        unsafe {
            _mm256_storeu_si256(start, low);
            _mm256_storeu_si256(start.add(1), high);
        }
    }
}

#[cfg(test)]
mod tests;
