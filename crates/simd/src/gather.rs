//! Gathering of array elements by index, with one bounds check per list of indices. Elements are loaded one by one, which is
//! faster than gather instructions on many processors.

use std::arch::x86_64::*;

use crate::LANES;

/// The capacity of [`GatherIndices`] in groups.
pub const MAX_GROUPS: usize = 16;

/// Array indices in groups of eight lanes. All groups are stored before the first is used, because loading scalars right
/// after a vector store to the same address stalls the processor.
#[repr(align(64))]
pub struct GatherIndices {
    groups: [[i32; LANES]; MAX_GROUPS],
    /// The maximum of each lane, as an unsigned number.
    max: [u32; LANES],
    count: usize,
}

impl Default for GatherIndices {
    fn default() -> Self {
        Self::new()
    }
}

impl GatherIndices {
    /// Returns an empty list.
    pub const fn new() -> Self {
        Self { groups: [[0; LANES]; MAX_GROUPS], max: [0; LANES], count: 0 }
    }

    /// Removes all groups.
    #[inline(always)]
    pub fn clear(&mut self) {
        (self.count, self.max) = (0, [0; LANES]);
    }

    /// Returns whether another group can be added.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.count < MAX_GROUPS
    }

    /// Adds a group.
    ///
    /// # Panics
    /// When the list is full.
    ///
    /// # Safety
    /// The processor has AVX2, as it has in functions of [`for_avx2!`](crate::for_avx2), which call this without `unsafe`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn add(&mut self, indices: __m256i) {
        let group = &mut self.groups[self.count];
        // SAFETY: writes eight numbers of four bytes, then reads and writes eight more.
        unsafe {
            _mm256_storeu_si256(group.as_mut_ptr().cast(), indices);
            let max = self.max.as_mut_ptr().cast();
            _mm256_storeu_si256(max, _mm256_max_epu32(_mm256_loadu_si256(max), indices));
        }
        self.count += 1;
    }

    /// Returns the indices of each group.
    #[inline(always)]
    pub fn groups(&self) -> &[[i32; LANES]] {
        &self.groups[..self.count]
    }

    /// Checks that all indices are from 0 to `last`.
    ///
    /// # Panics
    /// When one is not.
    #[inline(always)]
    pub(crate) fn check_bounds(&self, last: i32) {
        // Negative indices are the largest as unsigned numbers.
        if self.max.iter().any(|max| *max > last as u32) {
            panic_out_of_bounds();
        }
    }
}

/// Gathers the 2 x 2 x 2 voxels for trilinear interpolation from a block, for eight samples at a time.
#[derive(Clone, Copy)]
pub struct CornerGather<'a> {
    values: &'a [f32],
    /// Strides of y and x.
    strides: [usize; 2],
    /// The largest index whose eight voxels are in the block.
    last: i32,
}

/// Values at eight indices, and at the next indices along z.
pub type NeighbourPair = (__m256, __m256);

impl<'a> CornerGather<'a> {
    /// Returns the gather of a block whose sizes along y and z are given; `None` for a block of fewer than 2 x 2 x 2 voxels,
    /// or with more than 32-bit indices can address.
    pub fn new(values: &'a [f32], [size_y, size_z]: [usize; 2]) -> Option<Self> {
        let strides = [size_z, size_y.checked_mul(size_z)?];
        let reach = strides[0].checked_add(strides[1])?.checked_add(1)?;
        let last = i32::try_from(values.len().checked_sub(1)?.checked_sub(reach)?).ok()?;
        Some(Self { values, strides, last })
    }

    /// Checks indices, each that of the first of eight voxels.
    ///
    /// # Panics
    /// When one of the eight voxels of an index is outside the block.
    #[inline(always)]
    pub fn at<'i>(&self, indices: &'i GatherIndices) -> CheckedCorners<'a, 'i> {
        indices.check_bounds(self.last);
        CheckedCorners { corners: *self, groups: indices.groups() }
    }
}

/// Gathers the 2 x 2 x 2 voxels at indices that are within the block.
#[derive(Clone, Copy)]
pub struct CheckedCorners<'a, 'i> {
    corners: CornerGather<'a>,
    /// Checked by [`CornerGather::at`]: no index is larger than `corners.last`.
    groups: &'i [[i32; LANES]],
}

impl CheckedCorners<'_, '_> {
    /// Returns the values of a group, indexed by the offset along x and along y.
    ///
    /// # Panics
    /// When there is no such group.
    ///
    /// # Safety
    /// The processor has AVX2, as it has in functions of [`for_avx2!`](crate::for_avx2), which call this without `unsafe`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn group(&self, index: usize) -> [[NeighbourPair; 2]; 2] {
        let (indices, [next_y, next_x]) = (&self.groups[index], self.corners.strides);
        let near = self.corners.values.as_ptr();
        // SAFETY: no index is larger than `last`, and last + next_y + next_x + 1 is the index of the last value;
        // `CornerGather` is only constructed by `new`.
        unsafe {
            let far = near.add(next_x);
            [
                [pairs(near, indices), pairs(near.add(next_y), indices)],
                [pairs(far, indices), pairs(far.add(next_y), indices)],
            ]
        }
    }
}

/// Gathers single values of an array of any type.
#[derive(Clone, Copy)]
pub struct Gather<'a, 'i, T> {
    values: &'a [T],
    /// Checked by [`Gather::new`]: all are indices of the array.
    groups: &'i [[i32; LANES]],
}

impl<'a, 'i, T: Copy> Gather<'a, 'i, T> {
    /// Checks the indices.
    ///
    /// # Panics
    /// When an index is outside the array, or the array is longer than 32-bit indices can address.
    #[inline(always)]
    pub fn new(values: &'a [T], indices: &'i GatherIndices) -> Self {
        if values.is_empty() || values.len() > i32::MAX as usize {
            panic_out_of_bounds();
        }
        indices.check_bounds((values.len() - 1) as i32);
        Self { values, groups: indices.groups() }
    }

    /// Returns the values of a group.
    ///
    /// # Panics
    /// When there is no such group.
    #[inline(always)]
    pub fn group(&self, index: usize) -> [T; LANES] {
        let mut gathered = [self.values[0]; LANES];
        for (value, at) in gathered.iter_mut().zip(&self.groups[index]) {
            // SAFETY: `new` has checked the index.
            *value = unsafe { *self.values.get_unchecked(*at as usize) };
        }
        gathered
    }
}

#[cold]
#[inline(never)]
fn panic_out_of_bounds() -> ! {
    panic!("gather indices are within the array")
}

/// Returns the values at eight indices and at the next ones.
///
/// # Safety
/// Each index and the next one are within the array.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pairs(values: *const f32, &[a, b, c, d, e, f, g, h]: &[i32; LANES]) -> NeighbourPair {
    // SAFETY: the caller's obligation.
    let (first, last) = unsafe {
        (_mm256_set_m128(two(values, e, f), two(values, a, b)), _mm256_set_m128(two(values, g, h), two(values, c, d)))
    };
    (_mm256_shuffle_ps::<0b10_00_10_00>(first, last), _mm256_shuffle_ps::<0b11_01_11_01>(first, last))
}

/// Loads the values at `a`, `a + 1`, `b` and `b + 1`.
///
/// # Safety
/// These indices are within the array.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn two(values: *const f32, a: i32, b: i32) -> __m128 {
    // SAFETY: the caller's obligation; two values of four bytes are loaded as one of eight.
    let [a, b] = unsafe {
        [
            values.offset(a as isize).cast::<f64>().read_unaligned(),
            values.offset(b as isize).cast::<f64>().read_unaligned(),
        ]
    };
    _mm_castpd_ps(_mm_set_pd(b, a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{for_avx2, has_avx2, store_f32x8};

    /// For each of eight indices the values at both x, both y and both z.
    type CornerValues = [[[[f32; LANES]; 2]; 2]; 2];

    for_avx2! {
        fn add(indices: &mut GatherIndices, at: &[i32; LANES]) {
            let [a, b, c, d, e, f, g, h] = *at;
            indices.add(_mm256_set_epi32(h, g, f, e, d, c, b, a));
        }
    }

    /// Returns a group of zeros, and a group of the given indices.
    fn indices(at: &[i32; LANES]) -> GatherIndices {
        let mut indices = GatherIndices::new();
        add(&mut indices, &[0; LANES]).unwrap();
        add(&mut indices, at).unwrap();
        indices
    }

    for_avx2! {
        fn read(corners: &CornerGather, at: &[i32; LANES]) -> CornerValues {
            let indices = indices(at);
            let read = corners.at(&indices).group(1);
            let mut out = [[[[0.0; LANES]; 2]; 2]; 2];
            for (x, y) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let [low, high] = &mut out[x][y];
                store_f32x8(read[x][y].0, low);
                store_f32x8(read[x][y].1, high);
            }
            out
        }
    }

    /// Reads the same voxels with bounds checks.
    fn read_safely(values: &[f32], [size_y, size_z]: [usize; 2], at: [i32; LANES]) -> CornerValues {
        let voxel = |at: i32, [x, y, z]: [usize; 3]| values[at as usize + (x * size_y + y) * size_z + z];
        std::array::from_fn(|x| std::array::from_fn(|y| std::array::from_fn(|z| at.map(|at| voxel(at, [x, y, z])))))
    }

    #[test]
    fn gathered_corners_equal_reads_with_bounds_checks() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let values: Vec<f32> = (0..7 * 9 * 11).map(|index| (index * 7919 % 1009) as f32).collect();
        for sizes in [[9, 11], [11, 9], [1, 1], [3, 7]] {
            let corners = CornerGather::new(&values, sizes).unwrap();
            let last = corners.last;
            for round in 0..500 {
                let at: [i32; LANES] = std::array::from_fn(|lane| (round * 467 + lane as i32 * 131) % (last + 1));
                assert_eq!(read(&corners, &at), Some(read_safely(&values, sizes, at)));
            }
            let ends = [0, last, 0, last, 0, 0, 0, last];
            assert_eq!(read(&corners, &ends), Some(read_safely(&values, sizes, ends)));
        }
    }

    #[test]
    fn the_last_index_is_the_largest_that_bounds_checks_allow() {
        for (count, sizes) in [(7 * 9 * 11, [9, 11]), (12, [2, 3]), (8, [2, 2])] {
            let values = vec![0.0; count];
            let last = CornerGather::new(&values, sizes).unwrap().last;
            let read = |at| std::panic::catch_unwind(|| read_safely(&vec![0.0; count], sizes, [at; LANES]));
            assert!(read(last).is_ok());
            assert!(read(last + 1).is_err());
        }
        assert!(CornerGather::new(&[0.0; 7], [2, 2]).is_none());
        assert!(CornerGather::new(&[0.0; 7], [usize::MAX, 2]).is_none());
    }

    fn gather(values: &[u16], at: &[i32; LANES]) -> [u16; LANES] {
        Gather::new(values, &indices(at)).group(1)
    }

    #[test]
    fn clearing_removes_all_groups() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let mut indices = indices(&[i32::MAX; LANES]);
        assert_eq!(indices.groups(), [[0; LANES], [i32::MAX; LANES]]);
        indices.clear();
        let groups: Vec<[i32; LANES]> =
            (0..MAX_GROUPS as i32).map(|group| std::array::from_fn(|at| group + at as i32)).collect();
        for group in &groups {
            assert!(indices.has_room());
            add(&mut indices, group).unwrap();
        }
        assert!(!indices.has_room());
        assert_eq!(indices.groups(), groups);
        // Cleared indices do not count towards the maximum.
        assert_eq!(Gather::new(&[7u16; 30], &indices).group(MAX_GROUPS - 1), [7; LANES]);
        assert!(std::panic::catch_unwind(move || add(&mut indices, &[0; LANES])).is_err());
    }

    #[test]
    fn an_index_outside_the_array_panics() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let values: Vec<u16> = (0..500).map(|index| index * 3).collect();
        let at = [0, 499, 7, 7, 250, 3, 498, 1];
        assert_eq!(gather(&values, &at), at.map(|at| at as u16 * 3));
        for (lane, offset) in (0..LANES).flat_map(|lane| [-1, 500, i32::MIN, i32::MAX].map(|offset| (lane, offset))) {
            let mut at = at;
            at[lane] = offset;
            assert!(std::panic::catch_unwind(|| gather(&values, &at)).is_err(), "{at:?}");
        }
        assert!(std::panic::catch_unwind(|| gather(&[], &[0; LANES])).is_err());
    }

    #[test]
    fn an_index_whose_corners_are_outside_the_block_panics() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let values = [0.0; 7 * 9 * 11];
        let corners = CornerGather::new(&values, [9, 11]).unwrap();
        assert!(read(&corners, &[corners.last; LANES]).is_some());
        for lane in 0..LANES {
            for index in [-1, i32::MIN, corners.last + 1, i32::MAX] {
                let mut at = [corners.last; LANES];
                at[lane] = index;
                assert!(std::panic::catch_unwind(|| read(&corners, &at)).is_err(), "{at:?}");
            }
        }
    }
}
