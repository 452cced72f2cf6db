//! The inner loops of [`gather`](super::gather) for processors with AVX2, chosen at run time.
//!
//! They do the same operations in the same order as the plain loops, without fused ones, so every processor gives
//! the same bits. Eight voxels of a row are taken at once; where one of them lies at an end of the block, the plain
//! loop takes the eight.

use std::arch::x86_64::*;

use super::gather::{Line, Source};
use crate::data::volume::Label;

/// Voxels that are taken at once.
const LANES: usize = 8;

/// Whether this processor can run the functions below.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2")
}

/// Places of eight voxels along one axis.
#[derive(Clone, Copy)]
struct Places {
    first: __m256d,
    last: __m256d,
}

impl Places {
    /// Of the row's voxels `z` to `z + 7` along an axis: the same operations as [`Line::at`].
    #[target_feature(enable = "avx2")]
    fn at(line: &Line, axis: usize, z: usize) -> Self {
        let z = z as f64;
        let first = _mm256_set_pd(z + 3.0, z + 2.0, z + 1.0, z);
        let last = _mm256_add_pd(first, _mm256_set1_pd(4.0));
        Self { first: four(line, axis, first), last: four(line, axis, last) }
    }

    #[target_feature(enable = "avx2")]
    fn plus(self, value: f64) -> Self {
        let value = _mm256_set1_pd(value);
        Self { first: _mm256_add_pd(self.first, value), last: _mm256_add_pd(self.last, value) }
    }

    /// Whether no place is below 0.
    #[target_feature(enable = "avx2")]
    fn are_positive(self) -> bool {
        let zero = _mm256_setzero_pd();
        let first = _mm256_cmp_pd::<_CMP_GE_OQ>(self.first, zero);
        let last = _mm256_cmp_pd::<_CMP_GE_OQ>(self.last, zero);
        _mm256_movemask_pd(_mm256_and_pd(first, last)) == 0b1111
    }

    /// The whole part of each place.
    #[target_feature(enable = "avx2")]
    fn indices(self) -> __m256i {
        _mm256_set_m128i(_mm256_cvttpd_epi32(self.last), _mm256_cvttpd_epi32(self.first))
    }

    /// What the whole parts leave.
    #[target_feature(enable = "avx2")]
    fn shares(self) -> __m256 {
        _mm256_set_m128(share(self.last), share(self.first))
    }
}

#[target_feature(enable = "avx2")]
fn four(line: &Line, axis: usize, z: __m256d) -> __m256d {
    let along = _mm256_mul_pd(_mm256_set1_pd(line.step[axis]), z);
    _mm256_add_pd(_mm256_add_pd(_mm256_set1_pd(line.base[axis]), along), _mm256_set1_pd(line.shift[axis]))
}

#[target_feature(enable = "avx2")]
fn share(places: __m256d) -> __m128 {
    let whole = _mm256_cvtepi32_pd(_mm256_cvttpd_epi32(places));
    _mm256_cvtpd_ps(_mm256_sub_pd(places, whole))
}

/// Whether all indices are at least 0 and below a bound.
#[target_feature(enable = "avx2")]
fn are_below(indices: __m256i, bound: i32) -> bool {
    let not_negative = _mm256_cmpgt_epi32(indices, _mm256_set1_epi32(-1));
    let below = _mm256_cmpgt_epi32(_mm256_set1_epi32(bound), indices);
    _mm256_movemask_epi8(_mm256_and_si256(not_negative, below)) == -1
}

/// Interpolates the voxels of a row that lie inside; `first` is the index along z of the first one.
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn linear_row(source: &Source, shape: [usize; 3], line: &Line, first: usize, row: &mut [f32]) {
    // No closures here: one that is called from elsewhere could not be made part of this function.
    let (size_y, size_z) = (source.shape[1] as i32, source.shape[2] as i32);
    let (step_y, step_x) = (size_z, size_y * size_z);
    let mut taken = 0;
    while taken + LANES <= row.len() {
        let x = Places::at(line, 0, first + taken);
        let y = Places::at(line, 1, first + taken);
        let z = Places::at(line, 2, first + taken);
        let local_x = _mm256_sub_epi32(x.indices(), _mm256_set1_epi32(source.start[0] as i32));
        let local_y = _mm256_sub_epi32(y.indices(), _mm256_set1_epi32(source.start[1] as i32));
        let local_z = _mm256_sub_epi32(z.indices(), _mm256_set1_epi32(source.start[2] as i32));
        // Every voxel that is read below lies in the block.
        let is_within = x.are_positive()
            && y.are_positive()
            && z.are_positive()
            && are_below(local_x, source.shape[0] as i32 - 1)
            && are_below(local_y, size_y - 1)
            && are_below(local_z, size_z - 1);
        let out = &mut row[taken..taken + LANES];
        if is_within {
            let at = offsets(local_x, local_y, local_z, size_y, size_z);
            // SAFETY: the tests above keep every index inside `values`, whose length fits an i32.
            let (near, far) = unsafe {
                (
                    along_y(source.values, at, step_y, y.shares()),
                    along_y(source.values, _mm256_add_epi32(at, _mm256_set1_epi32(step_x)), step_y, y.shares()),
                )
            };
            // Along y, then x, then z, as the plain loop.
            let low = between(near.0, far.0, x.shares());
            let high = between(near.1, far.1, x.shares());
            // SAFETY: `out` holds eight values.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), between(low, high, z.shares())) };
        } else {
            for (z, value) in out.iter_mut().enumerate() {
                *value = source.interpolate(shape, line.at((first + taken + z) as f64));
            }
        }
        taken += LANES;
    }
    for (z, value) in row.iter_mut().enumerate().skip(taken) {
        *value = source.interpolate(shape, line.at((first + z) as f64));
    }
}

/// `a + (b - a) * share`, without a fused operation.
#[target_feature(enable = "avx2")]
fn between(a: __m256, b: __m256, share: __m256) -> __m256 {
    _mm256_add_ps(a, _mm256_mul_ps(_mm256_sub_ps(b, a), share))
}

/// Values interpolated along y, at these offsets and at the ones after them.
///
/// # Safety
/// The processor has AVX2, and the offsets, one more, and those of the next y lie inside `values`.
#[target_feature(enable = "avx2")]
unsafe fn along_y(values: &[f32], at: __m256i, step_y: i32, share: __m256) -> (__m256, __m256) {
    let next = _mm256_add_epi32(at, _mm256_set1_epi32(step_y));
    let one = _mm256_set1_epi32(1);
    // SAFETY: the caller's.
    unsafe {
        let here = _mm256_i32gather_ps::<4>(values.as_ptr(), at);
        let there = _mm256_i32gather_ps::<4>(values.as_ptr(), next);
        let here_above = _mm256_i32gather_ps::<4>(values.as_ptr(), _mm256_add_epi32(at, one));
        let there_above = _mm256_i32gather_ps::<4>(values.as_ptr(), _mm256_add_epi32(next, one));
        (between(here, there, share), between(here_above, there_above, share))
    }
}

#[target_feature(enable = "avx2")]
fn offsets(x: __m256i, y: __m256i, z: __m256i, size_y: i32, size_z: i32) -> __m256i {
    let rows = _mm256_add_epi32(_mm256_mullo_epi32(x, _mm256_set1_epi32(size_y)), y);
    _mm256_add_epi32(_mm256_mullo_epi32(rows, _mm256_set1_epi32(size_z)), z)
}

/// Looks up the labels of the voxels of a row that lie inside; gives how many it took, a multiple of eight.
///
/// # Safety
/// The processor has AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn label_row(
    source: &[Label],
    shape: [usize; 3],
    line: &Line,
    first: usize,
    row: &mut [Label],
) -> usize {
    let (size_y, size_z) = (shape[1] as i32, shape[2] as i32);
    // Four bytes are read for each label of two, so the last one is left to the plain loop.
    let last = source.len() as i32 - 1;
    let mut taken = 0;
    while taken + LANES <= row.len() {
        let x = Places::at(line, 0, first + taken).plus(0.5).indices();
        let y = Places::at(line, 1, first + taken).plus(0.5).indices();
        let z = Places::at(line, 2, first + taken).plus(0.5).indices();
        let at = offsets(x, y, z, size_y, size_z);
        let is_within =
            are_below(x, shape[0] as i32) && are_below(y, size_y) && are_below(z, size_z) && are_below(at, last);
        if !is_within {
            return taken;
        }
        // SAFETY: each offset is below that of the last label, so four bytes from there on lie in `source`.
        let pairs = unsafe { _mm256_i32gather_epi32::<2>(source.as_ptr().cast(), at) };
        let labels = _mm256_and_si256(pairs, _mm256_set1_epi32(0xFFFF));
        let packed = _mm_packus_epi32(_mm256_castsi256_si128(labels), _mm256_extracti128_si256::<1>(labels));
        let out = &mut row[taken..taken + LANES];
        // SAFETY: `out` holds eight labels of two bytes.
        unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), packed) };
        taken += LANES;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::{Affine, offset};
    use crate::seed::{Purpose, Rng, Seed};

    const SHAPE: [usize; 3] = [13, 17, 40];

    fn line(rng: &mut Rng) -> Line {
        let mut near = |middle: f64, room: f64| middle + room * (rng.unit() - 0.5);
        let map = Affine([
            [near(1.0, 0.4), near(0.0, 0.4), near(0.0, 0.2), near(0.0, 1.0)],
            [near(0.0, 0.4), near(1.0, 0.4), near(0.0, 0.2), near(0.0, 1.0)],
            [near(0.0, 0.4), near(0.0, 0.4), near(1.0, 0.4), near(0.0, 1.0)],
        ]);
        Line::new(&map, near(6.0, 8.0), near(8.0, 10.0))
    }

    #[test]
    fn eight_at_once_are_the_bits_of_one_by_one() {
        if !is_available() {
            return eprintln!("skipped: needs AVX2");
        }
        let mut rng = Seed(5).stream(Purpose::Phantom, 0, "vector", 0);
        let values: Vec<f32> = (0..SHAPE.iter().product()).map(|_| rng.normal() as f32).collect();
        let labels: Vec<Label> = values.iter().map(|value| (value.abs() * 3e4) as Label).collect();
        let source = Source { values: &values, start: [0; 3], shape: SHAPE };
        let mut compared = 0;
        for _ in 0..500 {
            let line = line(&mut rng);
            let inside = |z: &usize| {
                let point = line.at(*z as f64);
                (0..3).all(|axis| point[axis] >= -0.5 && point[axis] + 0.5 < SHAPE[axis] as f64)
            };
            let Some(first) = (0..60).find(inside) else { continue };
            let length = (first..60).take_while(inside).count();
            let mut row = vec![0.0; length];
            // SAFETY: AVX2 is there.
            unsafe { linear_row(&source, SHAPE, &line, first, &mut row) };
            let mut label_row_out = vec![0; length];
            // SAFETY: AVX2 is there.
            let taken = unsafe { label_row(&labels, SHAPE, &line, first, &mut label_row_out) };
            for z in 0..length {
                let point = line.at((first + z) as f64);
                assert_eq!(row[z].to_bits(), source.interpolate(SHAPE, point).to_bits(), "{point:?}");
                if z < taken {
                    let nearest = point.map(|place| (place + 0.5).floor() as usize);
                    assert_eq!(label_row_out[z], labels[offset(SHAPE, nearest)], "{point:?}");
                    compared += 1;
                }
            }
        }
        assert!(compared > 5000, "{compared}");
    }
}
