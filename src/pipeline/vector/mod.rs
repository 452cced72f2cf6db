//! The inner loops of [`gather`](super::gather) for processors with AVX2, chosen at run time.
//!
//! They do the same operations in the same order as the plain loops, without fused ones, so every processor gives
//! the same bits. Eight voxels of a row are taken at once; the last eight of a row may overlap those before.
//!
//! No closures are passed to functions compiled without AVX2: they could not be made part of the loop. Voxels are read
//! one by one and not with gather instructions, which are slower on many processors.

mod labels;

use std::arch::x86_64::*;

use super::fixed::Line;
use super::gather::Source;
use super::path::{GROUP, Row};
pub(super) use labels::{bent_labels, label_row};

/// Voxels that are taken at once.
pub(super) const LANES: usize = GROUP;

/// Whether this processor can run the functions below.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

/// The places along one axis of eight voxels of a row: of 0, 1, 4 and 5 first, then of 2, 3, 6 and 7, so that halves
/// can be taken out in order.
#[derive(Clone, Copy)]
pub(super) struct Places {
    first: __m256i,
    last: __m256i,
    step: __m256i,
}

impl Places {
    /// Of the voxels whose places begin at `base` and are `step` apart.
    #[target_feature(enable = "avx2")]
    fn new(base: i64, step: i64) -> Self {
        let first = _mm256_set_epi64x(base + 5 * step, base + 4 * step, base + step, base);
        let last = _mm256_set_epi64x(base + 7 * step, base + 6 * step, base + 3 * step, base + 2 * step);
        Self { first, last, step: _mm256_set1_epi64x(LANES as i64 * step) }
    }

    /// Of eight voxels whose places are given one by one.
    #[target_feature(enable = "avx2")]
    fn of(places: &[i64; LANES], start: i64) -> Self {
        // SAFETY: four and four numbers are read.
        let (low, high) =
            unsafe { (_mm256_loadu_si256(places.as_ptr().cast()), _mm256_loadu_si256(places.as_ptr().add(4).cast())) };
        let start = _mm256_set1_epi64x(start);
        Self::ordered(_mm256_sub_epi64(low, start), _mm256_sub_epi64(high, start))
    }

    /// Of the first and the last four of eight voxels.
    #[target_feature(enable = "avx2")]
    pub(super) fn ordered(low: __m256i, high: __m256i) -> Self {
        let first = _mm256_permute2x128_si256::<0x20>(low, high);
        let last = _mm256_permute2x128_si256::<0x31>(low, high);
        Self { first, last, step: _mm256_setzero_si256() }
    }

    /// Of the next eight voxels.
    #[target_feature(enable = "avx2")]
    fn next(self) -> Self {
        Self {
            first: _mm256_add_epi64(self.first, self.step),
            last: _mm256_add_epi64(self.last, self.step),
            step: self.step,
        }
    }

    /// The voxels that the places lie in or behind.
    #[target_feature(enable = "avx2")]
    pub(super) fn indices(self) -> __m256i {
        let (first, last) = (_mm256_castsi256_ps(self.first), _mm256_castsi256_ps(self.last));
        _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(first, last))
    }

    /// The share of the way to the next voxel: as [`split`](super::fixed::split).
    #[target_feature(enable = "avx2")]
    pub(super) fn shares(self) -> __m256 {
        let (first, last) = (_mm256_castsi256_ps(self.first), _mm256_castsi256_ps(self.last));
        let digits = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(first, last));
        let share = _mm256_cvtepi32_ps(_mm256_srli_epi32::<8>(digits));
        _mm256_mul_ps(share, _mm256_set1_ps(1.0 / (1u32 << 24) as f32))
    }
}

/// Eight voxels of a row at a time; the last eight may overlap those before.
#[derive(Clone, Copy)]
struct Walk {
    x: Places,
    y: Places,
    z: Places,
    base: [i64; 3],
    step: [i64; 3],
    /// Voxels of the row before these eight.
    taken: usize,
}

impl Walk {
    /// From the voxel `taken` of a row on whose places begin at `base` and are `step` apart.
    #[target_feature(enable = "avx2")]
    fn new(base: [i64; 3], step: [i64; 3], taken: usize) -> Self {
        let at = taken as i64;
        Self {
            x: Places::new(base[0] + at * step[0], step[0]),
            y: Places::new(base[1] + at * step[1], step[1]),
            z: Places::new(base[2] + at * step[2], step[2]),
            base,
            step,
            taken,
        }
    }

    /// The next eight of a row of at least eight voxels, where some are left.
    #[target_feature(enable = "avx2")]
    fn next(self, length: usize) -> Option<Self> {
        let taken = self.taken + LANES;
        if taken + LANES <= length {
            Some(Self { x: self.x.next(), y: self.y.next(), z: self.z.next(), taken, ..self })
        } else if taken < length {
            Some(Self::new(self.base, self.step, length - LANES))
        } else {
            None
        }
    }
}

/// The positions of voxels in an array.
#[target_feature(enable = "avx2")]
fn offsets(x: Places, y: Places, z: Places, size_y: __m256i, size_z: __m256i) -> [i32; LANES] {
    let rows = _mm256_add_epi32(_mm256_mullo_epi32(x.indices(), size_y), y.indices());
    let at = _mm256_add_epi32(_mm256_mullo_epi32(rows, size_z), z.indices());
    let mut out = [0; LANES];
    // SAFETY: `out` holds eight numbers of four bytes.
    unsafe { _mm256_storeu_si256(out.as_mut_ptr().cast(), at) };
    // By way of memory: taking the numbers out of the register one by one is slower.
    std::hint::black_box(out)
}

/// Interpolates the voxels of a row; `first` is the index along z of the first one.
///
/// # Safety
/// The processor has AVX2, there are at least eight voxels, and the eight voxels around each of their places lie in the
/// block, whose length fits an i32.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn linear_row(source: &Source, line: &Line, first: usize, row: &mut [f32]) {
    let start = source.start.map(|index| (index as i64) << 32);
    let base = line.at(first);
    let base = [base[0] - start[0], base[1] - start[1], base[2] - start[2]];
    let lanes = (_mm256_set1_epi32(source.shape[1] as i32), _mm256_set1_epi32(source.shape[2] as i32));
    let mut walk = Walk::new(base, line.step, 0);
    loop {
        // SAFETY: the caller keeps the eight voxels around each place inside `values`, and `taken + LANES` is at most
        // the row's length.
        unsafe { eight(source.values.as_ptr(), (walk.x, walk.y, walk.z), lanes, row.as_mut_ptr().add(walk.taken)) };
        let Some(next) = walk.next(row.len()) else { return };
        walk = next;
    }
}

/// Interpolates a row whose places were found one by one. What cannot be taken eight at a time is left to `one_by_one`,
/// which is given the first index and the values to fill.
///
/// # Safety
/// The processor has AVX2, and the length of the block fits an i32.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn bent_row(source: &Source, row: &Row, out: &mut [f32], one_by_one: impl Fn(usize, &mut [f32])) {
    for (group, out) in out.chunks_mut(GROUP).enumerate() {
        let is_done = match (row.group(group), <&mut [f32; GROUP]>::try_from(&mut *out)) {
            // SAFETY: the caller's.
            ((u8::MAX, places), Ok(eight)) => unsafe { linear_eight(source, places, eight) },
            _ => false,
        };
        if !is_done {
            one_by_one(group * GROUP, out);
        }
    }
}

/// Interpolates eight voxels whose places are given; `false`, and nothing is written, where one of them is not in the
/// interior of the block.
///
/// # Safety
/// The processor has AVX2, and the length of the block fits an i32.
#[target_feature(enable = "avx2")]
unsafe fn linear_eight(source: &Source, places: [&[i64; LANES]; 3], out: &mut [f32; LANES]) -> bool {
    let start = source.start.map(|index| (index as i64) << 32);
    let (x, y, z) = (Places::of(places[0], start[0]), Places::of(places[1], start[1]), Places::of(places[2], start[2]));
    let shape = source.shape.map(|size| size as i32 - 1);
    let is_within =
        are_below(x.indices(), shape[0]) && are_below(y.indices(), shape[1]) && are_below(z.indices(), shape[2]);
    if is_within {
        let lanes = (_mm256_set1_epi32(shape[1] + 1), _mm256_set1_epi32(shape[2] + 1));
        // SAFETY: every index and the one after it lie in the block.
        unsafe { eight(source.values.as_ptr(), (x, y, z), lanes, out.as_mut_ptr()) };
    }
    is_within
}

/// Whether all indices are at least 0 and below a bound.
#[target_feature(enable = "avx2")]
fn are_below(indices: __m256i, bound: i32) -> bool {
    let not_negative = _mm256_cmpgt_epi32(indices, _mm256_set1_epi32(-1));
    let below = _mm256_cmpgt_epi32(_mm256_set1_epi32(bound), indices);
    _mm256_movemask_epi8(_mm256_and_si256(not_negative, below)) == -1
}

/// Interpolates eight voxels.
///
/// # Safety
/// The processor has AVX2, the eight voxels around each place may be read, and eight values written.
#[target_feature(enable = "avx2")]
unsafe fn eight(
    near: *const f32,
    (x, y, z): (Places, Places, Places),
    (size_y, size_z): (__m256i, __m256i),
    out: *mut f32,
) {
    let at = offsets(x, y, z, size_y, size_z);
    let (size_y, size_z) = (_mm256_cvtsi256_si32(size_y) as usize, _mm256_cvtsi256_si32(size_z) as usize);
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
    // SAFETY: the caller's.
    unsafe { _mm256_storeu_ps(out, between(low, high, z.shares())) };
}

/// Steps along x by which voxels are fetched ahead of need.
const AHEAD: usize = 3;

/// Lets the processor fetch what lies at an address, which may be any.
#[target_feature(enable = "avx2")]
fn fetch<T>(address: *const T) {
    // It touches nothing, wherever the address points.
    _mm_prefetch::<_MM_HINT_T0>(address.cast());
}

/// `a + (b - a) * share`, without a fused operation.
#[target_feature(enable = "avx2")]
fn between(a: __m256, b: __m256, share: __m256) -> __m256 {
    _mm256_add_ps(a, _mm256_mul_ps(_mm256_sub_ps(b, a), share))
}

/// Values interpolated along y, at these offsets and at the ones after them.
///
/// # Safety
/// The processor has AVX2, and the offsets, one more, and those of the next y may be read.
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
/// The processor has AVX2, and the offsets and one more may be read.
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
/// The processor has AVX2, and the offsets and one more may be read.
#[target_feature(enable = "avx2")]
unsafe fn two(values: *const f32, a: i32, b: i32) -> __m128 {
    // SAFETY: the caller's; the two values are read as one number without alignment.
    unsafe {
        let low = _mm_load_sd(values.offset(a as isize).cast());
        _mm_castpd_ps(_mm_loadh_pd(low, values.offset(b as isize).cast()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixed::ends;
    use super::super::gather::nearest_label;
    use super::*;
    use crate::data::volume::{Affine, Label};
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
        let source = Source { values: &values, start: [0; 3], shape: SHAPE, volume: SHAPE };
        let (mut compared, mut compared_labels) = (0, 0);
        for _ in 0..500 {
            let line = line(&mut rng);
            let (low, high) = source.interior();
            let inside = line.between(low, high, 0, 60);
            let mut row = vec![0.0; inside.len()];
            if row.len() >= LANES {
                // SAFETY: AVX2 is there, and the row lies in the interior.
                unsafe { linear_row(&source, &line, inside.start, &mut row) };
                for (value, z) in row.iter().zip(inside.clone()) {
                    assert_eq!(value.to_bits(), source.linear(line.at(z)).to_bits(), "{line:?} {z}");
                    compared += 1;
                }
                let places: [[i64; LANES]; 3] =
                    std::array::from_fn(|axis| std::array::from_fn(|lane| line.at(inside.start + lane)[axis]));
                let mut eight = [0.0; LANES];
                // SAFETY: AVX2 is there.
                assert!(unsafe { linear_eight(&source, places.each_ref(), &mut eight) });
                assert_eq!(eight, row[..LANES]);
            }
            let (low, high) = (SHAPE.map(|size| ends(size).0), SHAPE.map(|size| ends(size).1));
            let inside = line.between(low, high, 0, 60);
            let mut row = vec![0; inside.len()];
            if row.len() >= LANES {
                // SAFETY: AVX2 is there.
                unsafe { label_row(&labels, SHAPE, &line, inside.start, &mut row) };
                for (label, z) in row.iter().zip(inside) {
                    assert_eq!(*label, nearest_label(&labels, SHAPE, line.at(z)), "{line:?} {z}");
                    compared_labels += 1;
                }
            }
        }
        assert!(compared > 5000 && compared_labels > 5000, "{compared} {compared_labels}");
    }
}
