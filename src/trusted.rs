//! All that the compiler cannot prove, and so the only file with `unsafe`: functions compiled for processors with AVX2
//! and FMA, the loads and stores of their registers, a file as memory, and a setting of the C library.
//!
//! All of it is safe to call: bounds, once for eight values, and the processor are checked here. Only
//! [`map_unchanging`] asks for something that it cannot check: that nobody changes the file.

#![expect(unsafe_code, reason = "each block says why it is sound; tests/layers.rs lets no other file have any")]

use std::fs::File;
use std::io;

use memmap2::Mmap;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::{
    Corners, LANES, for_avx2, has_avx2, load_places, load_reals, look_up, store_indices, store_places, store_reals,
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
mod avx2 {
    use std::arch::x86_64::*;

    /// Numbers in a register.
    pub(crate) const LANES: usize = 8;

    /// Whether this processor runs what [`for_avx2`] compiles.
    pub(crate) fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    /// Defines a function whose body is compiled for AVX2 and FMA, so that it may call others that are. It answers
    /// `None`, and does nothing, where the processor has not both.
    macro_rules! for_avx2 {
        (@result) => { () };
        (@result $result:ty) => { $result };
        (
            $(#[$documentation:meta])*
            $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
        ) => {
            $(#[$documentation])*
            $visibility fn $name($($argument: $type),*) -> Option<$crate::trusted::for_avx2!(@result $($result)?)> {
                #[target_feature(enable = "avx2,fma")]
                fn at_once($($argument: $type),*) $(-> $result)? $body

                if !$crate::trusted::has_avx2() {
                    return None;
                }
                #[expect(unsafe_code, reason = "what is compiled for AVX2 may only run where it is")]
                // SAFETY: nothing else is unsafe about a function that needs no unsafe block itself, and the processor
                // has what it is compiled for.
                Some(unsafe { at_once($($argument),*) })
            }
        };
    }
    pub(crate) use for_avx2;

    /// A block of voxels whose rows are read at eight places at once.
    #[derive(Clone, Copy)]
    pub(crate) struct Corners<'a> {
        values: &'a [f32],
        /// How far the next y and the next x lie behind a voxel.
        steps: [usize; 2],
        /// The largest offset whose eight voxels lie in the block.
        last: i32,
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
        std::hint::black_box(out)
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

    #[cfg(test)]
    mod tests {
        use super::*;

        for_avx2! {
            fn read(corners: &Corners, at: [i32; LANES]) -> [[[[f32; LANES]; 2]; 2]; 2] {
                let [a, b, c, d, e, f, g, h] = at;
                let read = corners.at(_mm256_set_epi32(h, g, f, e, d, c, b, a));
                let mut out = [[[[0.0; LANES]; 2]; 2]; 2];
                for (x, y) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                    let [low, high] = &mut out[x][y];
                    store_reals(read[x][y].0, low);
                    store_reals(read[x][y].1, high);
                }
                out
            }
        }

        /// The same with a look at each bound.
        fn read_safely(values: &[f32], [size_y, size_z]: [usize; 2], at: [i32; LANES]) -> [[[[f32; LANES]; 2]; 2]; 2] {
            let voxel = |at: i32, [x, y, z]: [usize; 3]| values[at as usize + (x * size_y + y) * size_z + z];
            std::array::from_fn(|x| std::array::from_fn(|y| std::array::from_fn(|z| at.map(|at| voxel(at, [x, y, z])))))
        }

        #[test]
        fn corners_are_those_of_reads_that_look_at_each_bound() {
            if !has_avx2() {
                return eprintln!("skipped: needs AVX2");
            }
            let values: Vec<f32> = (0..7 * 9 * 11).map(|index| (index * 7919 % 1009) as f32).collect();
            for sizes in [[9, 11], [11, 9], [1, 1], [3, 7]] {
                let corners = Corners::new(&values, sizes).unwrap();
                for round in 0..500 {
                    let at: [i32; LANES] =
                        std::array::from_fn(|lane| (round * 467 + lane as i32 * 131) % (corners.last + 1));
                    assert_eq!(read(&corners, at), Some(read_safely(&values, sizes, at)));
                }
                let ends = [0, corners.last, 0, corners.last, 0, 0, 0, corners.last];
                assert_eq!(read(&corners, ends), Some(read_safely(&values, sizes, ends)));
            }
        }

        #[test]
        fn the_last_offset_is_the_largest_that_reads_with_bounds_allow() {
            for (count, sizes) in [(7 * 9 * 11, [9, 11]), (12, [2, 3]), (8, [2, 2])] {
                let values = vec![0.0; count];
                let last = Corners::new(&values, sizes).unwrap().last;
                let read = |at| std::panic::catch_unwind(|| read_safely(&vec![0.0; count], sizes, [at; LANES]));
                assert!(read(last).is_ok());
                assert!(read(last + 1).is_err());
            }
            assert!(Corners::new(&[0.0; 7], [2, 2]).is_none());
            assert!(Corners::new(&[0.0; 7], [usize::MAX, 2]).is_none());
        }

        for_avx2! {
            fn looked_up(values: &[u16], at: [i32; LANES]) -> [u16; LANES] {
                let [a, b, c, d, e, f, g, h] = at;
                look_up(values, _mm256_set_epi32(h, g, f, e, d, c, b, a))
            }
        }

        #[test]
        fn values_are_looked_up_within_the_array_alone() {
            if !has_avx2() {
                return eprintln!("skipped: needs AVX2");
            }
            let values: Vec<u16> = (0..500).map(|index| index * 3).collect();
            let at = [0, 499, 7, 7, 250, 3, 498, 1];
            assert_eq!(looked_up(&values, at), Some(at.map(|at| at as u16 * 3)));
            for (lane, offset) in (0..LANES).flat_map(|lane| [-1, 500, i32::MIN, i32::MAX].map(|offset| (lane, offset)))
            {
                let mut at = at;
                at[lane] = offset;
                assert!(std::panic::catch_unwind(|| looked_up(&values, at)).is_err(), "{at:?}");
            }
            assert!(std::panic::catch_unwind(|| looked_up(&[], [0; LANES])).is_err());
        }

        #[test]
        fn an_offset_outside_of_the_block_is_not_read() {
            if !has_avx2() {
                return eprintln!("skipped: needs AVX2");
            }
            let values = [0.0; 7 * 9 * 11];
            let corners = Corners::new(&values, [9, 11]).unwrap();
            for (lane, offset) in
                (0..LANES).flat_map(|lane| [-1, i32::MIN, corners.last + 1, i32::MAX].map(|offset| (lane, offset)))
            {
                let mut at = [corners.last; LANES];
                at[lane] = offset;
                assert!(std::panic::catch_unwind(|| read(&corners, at)).is_err(), "{at:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_mapped_file_outlives_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "bytes").unwrap();
        let map = super::map_unchanging(&std::fs::File::open(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&map[..], b"bytes");
    }
}
