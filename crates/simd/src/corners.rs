//! Comparison of the 2 x 2 x 2 values around indices of an array of 16-bit values, such as a label map.

use std::arch::x86_64::*;

use crate::{GatherIndices, LANES};

/// Reads the 2 x 2 x 2 values around eight indices at a time from a block.
#[derive(Clone, Copy)]
pub struct CornerComparison<'a> {
    values: &'a [u16],
    /// Strides of y and x.
    strides: [usize; 2],
    /// The largest index whose eight values are in the block.
    last: i32,
}

/// The values around eight indices: pairs along z, the first of each in the lower bits, at `[x, y]` (0, 0), (0, 1), (1, 0) and
/// (1, 1).
pub type CornerPairs = [[u32; LANES]; 4];

impl<'a> CornerComparison<'a> {
    /// Returns the comparison in a block whose sizes along y and z are given; `None` for a block of fewer than 2 x 2 x 2 values,
    /// or with more than 32-bit indices can address.
    pub fn new(values: &'a [u16], [size_y, size_z]: [usize; 2]) -> Option<Self> {
        let strides = [size_z, size_y.checked_mul(size_z)?];
        let reach = strides[0].checked_add(strides[1])?.checked_add(1)?;
        let last = i32::try_from(values.len().checked_sub(1)?.checked_sub(reach)?).ok()?;
        Some(Self { values, strides, last })
    }

    /// Checks indices, each that of the first of eight values.
    ///
    /// # Panics
    /// When one of the eight values of an index is outside the block.
    #[inline(always)]
    pub fn at<'i>(&self, indices: &'i GatherIndices) -> CheckedComparison<'a, 'i> {
        indices.check_bounds(self.last);
        CheckedComparison { corners: *self, groups: indices.groups() }
    }
}

/// Reads the values around indices that are within the block.
#[derive(Clone, Copy)]
pub struct CheckedComparison<'a, 'i> {
    corners: CornerComparison<'a>,
    /// Checked by [`CornerComparison::at`]: no index is larger than `corners.last`.
    groups: &'i [[i32; LANES]],
}

impl CheckedComparison<'_, '_> {
    /// Writes the values at the indices of a group. Returns a bit per index, the first one lowest: whether the eight values around
    /// it differ; if any do, all values are written to `corners`.
    ///
    /// # Panics
    /// When there is no such group.
    ///
    /// # Safety
    /// The processor has AVX2, as it has in functions of [`for_avx2!`](crate::for_avx2), which call this without `unsafe`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub fn group(&self, index: usize, values: &mut [u16; LANES], corners: &mut CornerPairs) -> u32 {
        let (indices, [next_y, next_x]) = (&self.groups[index], self.corners.strides);
        let near = self.corners.values.as_ptr();
        // SAFETY: no index is larger than `last`, and last + next_y + next_x + 1 is the index of the last value;
        // `CornerComparison` is only constructed by `new`.
        let [a, b, c, d] = unsafe {
            let far = near.add(next_x);
            [
                pairs(near, indices),
                pairs(near.add(next_y), indices),
                pairs(far, indices),
                pairs(far.add(next_y), indices),
            ]
        };
        let swapped = _mm256_or_si256(_mm256_slli_epi32::<16>(a), _mm256_srli_epi32::<16>(a));
        let along_z = _mm256_xor_si256(a, swapped);
        let along_y = _mm256_or_si256(_mm256_xor_si256(a, b), _mm256_xor_si256(a, c));
        let differences = _mm256_or_si256(_mm256_or_si256(along_y, _mm256_xor_si256(a, d)), along_z);
        let are_equal = _mm256_cmpeq_epi32(differences, _mm256_setzero_si256());
        let different = !_mm256_movemask_ps(_mm256_castsi256_ps(are_equal)) as u32 & 0xff;
        let first = _mm256_and_si256(a, _mm256_set1_epi32(0xffff));
        let packed = _mm256_permute4x64_epi64::<0b10_00>(_mm256_packus_epi32(first, first));
        // SAFETY: writes eight numbers of two bytes.
        unsafe { _mm_storeu_si128(values.as_mut_ptr().cast(), _mm256_castsi256_si128(packed)) };
        if different != 0 {
            for (register, out) in [a, b, c, d].into_iter().zip(corners) {
                // SAFETY: writes eight numbers of four bytes.
                unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), register) };
            }
        }
        different
    }
}

/// Returns the values at eight indices, each with the next one in the upper bits.
///
/// # Safety
/// Each index and the next one are within the array.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn pairs(values: *const u16, indices: &[i32; LANES]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = *indices;
    // SAFETY: the caller's obligation; two values of two bytes are loaded as one of four.
    unsafe {
        _mm256_setr_epi32(
            values.offset(a as isize).cast::<i32>().read_unaligned(),
            values.offset(b as isize).cast::<i32>().read_unaligned(),
            values.offset(c as isize).cast::<i32>().read_unaligned(),
            values.offset(d as isize).cast::<i32>().read_unaligned(),
            values.offset(e as isize).cast::<i32>().read_unaligned(),
            values.offset(f as isize).cast::<i32>().read_unaligned(),
            values.offset(g as isize).cast::<i32>().read_unaligned(),
            values.offset(h as isize).cast::<i32>().read_unaligned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{for_avx2, has_avx2};

    for_avx2! {
        fn compare(corners: &CornerComparison, at: &[i32; LANES], pairs: &mut CornerPairs) -> ([u16; LANES], u32) {
            let mut indices = GatherIndices::new();
            let [a, b, c, d, e, f, g, h] = *at;
            indices.add(_mm256_setzero_si256());
            indices.add(_mm256_set_epi32(h, g, f, e, d, c, b, a));
            let mut values = [0; LANES];
            let different = corners.at(&indices).group(1, &mut values, pairs);
            (values, different)
        }
    }

    #[test]
    fn corners_are_compared_as_by_reads_with_bounds_checks() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let [size_y, size_z] = [9, 11];
        let mut counts = [0; 2];
        for modulus in [1, 40, 65_521] {
            let values: Vec<u16> = (0..7 * 9 * 11).map(|index| (index / 37 * 30_011 % modulus) as u16).collect();
            let corners = CornerComparison::new(&values, [size_y, size_z]).unwrap();
            for round in 0..300 {
                let at: [i32; LANES] =
                    std::array::from_fn(|lane| (round * 467 + lane as i32 * 131) % (corners.last + 1));
                let mut pairs = [[0; LANES]; 4];
                let (firsts, different) = compare(&corners, &at, &mut pairs).unwrap();
                for (lane, at) in at.into_iter().enumerate() {
                    let value = |x: usize, y: usize, z: usize| values[at as usize + (x * size_y + y) * size_z + z];
                    let expected = [(0, 0), (0, 1), (1, 0), (1, 1)]
                        .map(|(x, y)| u32::from(value(x, y, 0)) | u32::from(value(x, y, 1)) << 16);
                    let all = expected.map(|pair| [pair & 0xffff, pair >> 16]).concat();
                    let is_different = all.iter().any(|value| *value != all[0]);
                    assert_eq!((firsts[lane], different >> lane & 1 == 1), (all[0] as u16, is_different));
                    assert!(different == 0 || pairs.map(|pair| pair[lane]) == expected);
                    counts[usize::from(is_different)] += 1;
                }
            }
        }
        assert!(counts.iter().all(|count| *count > 1000), "{counts:?}");
    }

    #[test]
    fn an_index_whose_corners_are_outside_the_block_panics() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let values = [0; 7 * 9 * 11];
        let corners = CornerComparison::new(&values, [9, 11]).unwrap();
        assert_eq!(corners.last as usize, values.len() - 1 - (11 + 99 + 1));
        for index in [-1, i32::MIN, corners.last + 1, i32::MAX] {
            let mut at = [corners.last; LANES];
            at[5] = index;
            assert!(std::panic::catch_unwind(|| compare(&corners, &at, &mut [[0; LANES]; 4])).is_err(), "{index}");
        }
        assert!(CornerComparison::new(&[0; 7], [2, 2]).is_none());
    }
}
