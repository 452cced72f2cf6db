//! All that the compiler cannot prove, and so the only file with `unsafe`: functions compiled for processors with AVX2
//! and FMA or AVX-512, the loads and stores of their registers, fetching ahead, a file as memory, and a setting of the C
//! library.
//!
//! All of it is safe to call: bounds, once for eight values, and the processor are checked here. Only
//! [`map_immutable_file`] asks for something that it cannot check: that nobody changes the file.

#![expect(unsafe_code, reason = "each block says why it is sound; tests/layers.rs lets no other file have any")]

pub mod math;

use std::fs::File;
use std::io;

use memmap2::Mmap;

#[cfg(target_arch = "x86_64")]
pub use vector::{
    CheckedCorners, CornerGather, Gather, GatherIndices, LANES, MAX_GROUPS, has_avx2, has_avx512, load_f32x8,
    load_i64x8, store_f32x8, store_i64x4, store_i64x8,
};

/// The bytes of a file, without reading them; they stay whatever becomes of the file's name. For files of the runner's
/// own that are fully written: renamed or removed perhaps, never changed.
///
/// # Errors
/// When the system refuses.
pub fn map_immutable_file(file: &File) -> io::Result<Mmap> {
    // SAFETY: bytes that change while they are read would be unsound, and no part of the runner changes such a file. Who
    // may write into its cache folder by other means is as trusted as the runner.
    unsafe { Mmap::map(file) }
}

/// Lets the processor fetch values that are read soon; they need not lie in the array.
#[inline(always)]
pub fn prefetch<T>(values: &[T], first: usize, count: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        let start = values.as_ptr().wrapping_add(first).cast::<i8>();
        for byte in (0..count * size_of::<T>()).step_by(LINE) {
            // SAFETY: every processor of this architecture has the instruction, which reads nothing.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(byte)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, first, count);
}

/// Has the C library keep freed memory for what comes next, instead of giving it back to the system. Only that of GNU is
/// asked.
pub fn retain_freed_memory() {
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

    /// Numbers in a register.
    pub const LANES: usize = 8;

    /// Whether this processor runs what [`for_avx2`] compiles.
    pub fn has_avx2() -> bool {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
    }

    /// Whether this processor runs what [`for_avx512`] compiles.
    pub fn has_avx512() -> bool {
        has_avx2() && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq")
    }

    /// Defines a function whose body is compiled for processors with these features, so that it may call others that are.
    /// It answers `None`, and does nothing, on other processors. Only for the two macros below: it believes that `has` asks
    /// for all the features.
    #[macro_export]
    macro_rules! for_processor {
        (@result) => { () };
        (@result $result:ty) => { $result };
        (
            $features:literal, $has:path;
            $(#[$documentation:meta])*
            $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block
        ) => {
            $(#[$documentation])*
            $visibility fn $name($($argument: $type),*) -> Option<$crate::for_processor!(@result $($result)?)> {
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

    /// [`for_processor`] with AVX2 and FMA.
    #[macro_export]
    macro_rules! for_avx2 {
        ($($function:tt)*) => {
            $crate::for_processor! { "avx2,fma", $crate::has_avx2; $($function)* }
        };
    }

    /// [`for_processor`] with AVX-512 too.
    #[macro_export]
    macro_rules! for_avx512 {
        ($($function:tt)*) => {
            $crate::for_processor! {
                "avx2,fma,avx512f,avx512dq", $crate::has_avx512; $($function)*
            }
        };
    }

    /// Groups of eight voxels whose positions are found at once.
    pub const MAX_GROUPS: usize = 16;

    /// The positions in an array of groups of eight voxels, all written before the first is read: numbers that are read
    /// right after they were written in a register keep the processor waiting.
    #[repr(align(64))]
    pub struct GatherIndices {
        of_groups: [[i32; LANES]; MAX_GROUPS],
        /// In each lane no position is larger, as a number without a sign.
        largest: [u32; LANES],
        count: usize,
    }

    impl GatherIndices {
        /// No groups.
        pub const fn new() -> Self {
            Self { of_groups: [[0; LANES]; MAX_GROUPS], largest: [0; LANES], count: 0 }
        }

        /// Forgets all groups.
        #[inline(always)]
        pub fn clear(&mut self) {
            (self.count, self.largest) = (0, [0; LANES]);
        }

        /// Whether there is room for another group.
        #[inline(always)]
        pub fn has_room(&self) -> bool {
            self.count < MAX_GROUPS
        }

        /// Adds a group.
        ///
        /// # Panics
        /// When there is no room.
        #[inline]
        #[target_feature(enable = "avx2")]
        pub fn add(&mut self, positions: __m256i) {
            let group = &mut self.of_groups[self.count];
            // SAFETY: eight numbers of four bytes are written, and read and written.
            unsafe {
                _mm256_storeu_si256(group.as_mut_ptr().cast(), positions);
                let largest = self.largest.as_mut_ptr().cast();
                _mm256_storeu_si256(largest, _mm256_max_epu32(_mm256_loadu_si256(largest), positions));
            }
            self.count += 1;
        }

        /// Those of each group.
        #[inline(always)]
        pub fn groups(&self) -> &[[i32; LANES]] {
            &self.of_groups[..self.count]
        }

        /// # Panics
        /// When one is below 0 or larger than `last`.
        #[inline(always)]
        fn check_bounds(&self, last: i32) {
            // Those below 0 are the largest as numbers without a sign.
            if self.largest.iter().any(|largest| *largest > last as u32) {
                outside();
            }
        }
    }

    /// The eight voxels around places in a block, for eight places at once.
    #[derive(Clone, Copy)]
    pub struct CornerGather<'a> {
        values: &'a [f32],
        /// How far the next y and the next x lie behind a voxel.
        steps: [usize; 2],
        /// The largest position whose eight voxels lie in the block.
        pub(super) last: i32,
    }

    /// Values at eight places, and the ones after them along z.
    pub type Pair = (__m256, __m256);

    impl<'a> CornerGather<'a> {
        /// `None` where the block is too small or too large for one place.
        pub fn new(values: &'a [f32], [size_y, size_z]: [usize; 2]) -> Option<Self> {
            let steps = [size_z, size_y.checked_mul(size_z)?];
            let reach = steps[0].checked_add(steps[1])?.checked_add(1)?;
            let last = i32::try_from(values.len().checked_sub(1)?.checked_sub(reach)?).ok()?;
            Some(Self { values, steps, last })
        }

        /// Those of all these positions.
        ///
        /// # Panics
        /// When one of the eight voxels around a position does not lie in the block.
        #[inline(always)]
        pub fn of<'p>(&self, positions: &'p GatherIndices) -> CheckedCorners<'a, 'p> {
            positions.check_bounds(self.last);
            CheckedCorners { corners: *self, groups: positions.groups() }
        }
    }

    /// The eight voxels around known positions of a block.
    #[derive(Clone, Copy)]
    pub struct CheckedCorners<'a, 'p> {
        corners: CornerGather<'a>,
        /// None of them is larger than the block's last one: [`CornerGather::of`] has looked.
        groups: &'p [[i32; LANES]],
    }

    impl CheckedCorners<'_, '_> {
        /// The values at the eight positions of a group, at those of the next y, of the next x, and of both.
        ///
        /// # Panics
        /// When there is no such group.
        #[inline]
        #[target_feature(enable = "avx2")]
        pub fn group(&self, index: usize) -> [[Pair; 2]; 2] {
            let (positions, [next_y, next_x]) = (&self.groups[index], self.corners.steps);
            let near = self.corners.values.as_ptr();
            // SAFETY: no position is larger than the last one, and last + next_y + next_x + 1 is the index of the last
            // value. `new` is the only way to make `CornerGather`.
            unsafe {
                let far = near.add(next_x);
                [
                    [pairs(near, positions), pairs(near.add(next_y), positions)],
                    [pairs(far, positions), pairs(far.add(next_y), positions)],
                ]
            }
        }
    }

    /// Values at known positions of an array.
    #[derive(Clone, Copy)]
    pub struct Gather<'a, 'p, T> {
        values: &'a [T],
        /// All of them are positions in the array: [`Gather::new`] has looked.
        groups: &'p [[i32; LANES]],
    }

    impl<'a, 'p, T: Copy> Gather<'a, 'p, T> {
        /// # Panics
        /// When a position does not lie in the array, or there are more values than 32 bits count.
        #[inline(always)]
        pub fn new(values: &'a [T], positions: &'p GatherIndices) -> Self {
            if values.is_empty() || values.len() > i32::MAX as usize {
                outside();
            }
            positions.check_bounds((values.len() - 1) as i32);
            Self { values, groups: positions.groups() }
        }

        /// The values at the eight positions of a group.
        ///
        /// # Panics
        /// When there is no such group.
        #[inline(always)]
        pub fn group(&self, index: usize) -> [T; LANES] {
            let mut found = [self.values[0]; LANES];
            for (found, at) in found.iter_mut().zip(&self.groups[index]) {
                // SAFETY: `new` has looked that it is a position in the array.
                *found = unsafe { *self.values.get_unchecked(*at as usize) };
            }
            found
        }
    }

    #[cold]
    #[inline(never)]
    fn outside() -> ! {
        panic!("places lie in the array")
    }

    /// The values at these positions, and the ones after them.
    ///
    /// # Safety
    /// The positions and the ones after them may be read.
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

    /// Two neighbours at one position, then two at another.
    ///
    /// # Safety
    /// The positions and the ones after them may be read.
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
    pub fn load_f32x8(values: &[f32; LANES]) -> __m256 {
        // SAFETY: eight numbers of four bytes are read.
        unsafe { _mm256_loadu_ps(values.as_ptr()) }
    }

    /// The first four of eight numbers in a register, and the last four in another.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn load_i64x8(places: &[i64; LANES]) -> [__m256i; 2] {
        // SAFETY: four and four numbers of eight bytes are read.
        unsafe { [_mm256_loadu_si256(places.as_ptr().cast()), _mm256_loadu_si256(places.as_ptr().add(4).cast())] }
    }

    /// Writes the numbers of a register.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn store_f32x8(register: __m256, out: &mut [f32; LANES]) {
        // SAFETY: eight numbers of four bytes are written.
        unsafe { _mm256_storeu_ps(out.as_mut_ptr(), register) };
    }

    /// Writes the numbers of two registers.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn store_i64x8([low, high]: [__m256i; 2], out: &mut [i64; LANES]) {
        let [first, last] = out.as_chunks_mut().0 else { unreachable!("eight numbers are two times four") };
        store_i64x4(low, first);
        store_i64x4(high, last);
    }

    /// Writes the numbers of a register.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn store_i64x4(register: __m256i, out: &mut [i64; 4]) {
        // SAFETY: four numbers of eight bytes are written.
        unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), register) };
    }
}

#[cfg(test)]
mod tests;
