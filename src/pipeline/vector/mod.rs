//! The inner loops of [`gather`](super::gather) for processors with AVX2 and FMA, chosen at run time.
//!
//! They do the same operations in the same order as the plain loops, without fused ones, so every processor gives
//! the same bits. Eight voxels of a row are taken at once; the last eight of a row may overlap those before.
//!
//! No closures are passed to functions compiled without AVX2: they could not be made part of the loop. Voxels are read
//! one by one and not with gather instructions, which are slower on many processors.
//!
//! The functions for others look whether the processor can run these, and [`trusted`](crate::trusted) reads voxels after
//! one look at the bounds of eight.

mod labels;
mod wide;

use std::arch::x86_64::*;
use std::ops::Range;

use super::fixed::{Line, ONE};
use super::gather::Source;
use super::path::{GROUP, Row};
use crate::trusted::{Corners, LANES, for_avx2, gathers_fast, load_places, store_reals};
pub(super) use labels::{bent_labels, label_row};

const _: () = assert!(LANES == GROUP, "voxels that are taken at once are a group of a row");

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
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(base: i64, step: i64) -> Self {
        let first = _mm256_set_epi64x(base + 5 * step, base + 4 * step, base + step, base);
        let last = _mm256_set_epi64x(base + 7 * step, base + 6 * step, base + 3 * step, base + 2 * step);
        Self { first, last, step: _mm256_set1_epi64x(LANES as i64 * step) }
    }

    /// Of eight voxels whose places are given one by one.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn of(places: &[i64; LANES], start: i64) -> Self {
        let [low, high] = load_places(places);
        let start = _mm256_set1_epi64x(start);
        Self::ordered(_mm256_sub_epi64(low, start), _mm256_sub_epi64(high, start))
    }

    /// Of the first and the last four of eight voxels.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn ordered(low: __m256i, high: __m256i) -> Self {
        let first = _mm256_permute2x128_si256::<0x20>(low, high);
        let last = _mm256_permute2x128_si256::<0x31>(low, high);
        Self { first, last, step: _mm256_setzero_si256() }
    }

    /// Of the next eight voxels.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn next(self) -> Self {
        Self {
            first: _mm256_add_epi64(self.first, self.step),
            last: _mm256_add_epi64(self.last, self.step),
            step: self.step,
        }
    }

    /// The voxels that the places lie in or behind.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn indices(self) -> __m256i {
        let (first, last) = (_mm256_castsi256_ps(self.first), _mm256_castsi256_ps(self.last));
        _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(first, last))
    }

    /// The share of the way to the next voxel: as [`split`](super::fixed::split).
    #[inline]
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
    #[inline]
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
    #[inline]
    #[target_feature(enable = "avx2")]
    fn next(self, length: usize) -> Option<Self> {
        let taken = next_eight(self.taken, length)?;
        if taken == self.taken + LANES {
            Some(Self { x: self.x.next(), y: self.y.next(), z: self.z.next(), taken, ..self })
        } else {
            Some(Self::new(self.base, self.step, taken))
        }
    }
}

/// Voxels of a row of at least eight before the next eight of them, where some are left: the last eight may overlap those
/// before, of which `taken` says where they begin.
#[inline(always)]
fn next_eight(taken: usize, length: usize) -> Option<usize> {
    (taken + LANES < length).then(|| (taken + LANES).min(length - LANES))
}

/// Eight voxels of a row.
#[inline(always)]
fn eight_of<T>(row: &mut [T], taken: usize) -> &mut [T; LANES] {
    row[taken..].first_chunk_mut().expect("a walk takes eight voxels that are left")
}

/// The positions of voxels in an array of this shape.
#[inline]
#[target_feature(enable = "avx2")]
fn offsets([_, size_y, size_z]: [usize; 3], x: Places, y: Places, z: Places) -> __m256i {
    let (size_y, size_z) = (_mm256_set1_epi32(size_y as i32), _mm256_set1_epi32(size_z as i32));
    let rows = _mm256_add_epi32(_mm256_mullo_epi32(x.indices(), size_y), y.indices());
    _mm256_add_epi32(_mm256_mullo_epi32(rows, size_z), z.indices())
}

/// Interpolates the voxels at places in the interior of a block, whose corners are these.
///
/// `BENT` only makes one copy for bent rows and one for straight ones: a function of this length becomes part of a loop
/// where that loop alone calls it. A call for each eight voxels took a sixth of the time for patches of straight rows.
#[inline]
#[target_feature(enable = "avx2")]
fn linear<const BENT: bool>(corners: &Corners, source: &Source, x: Places, y: Places, z: Places) -> __m256 {
    let at = offsets(source.shape, x, y, z);
    fetch_ahead(source.values, source.shape, _mm256_cvtsi256_si32(at) as isize);
    fetch_ahead(source.values, source.shape, _mm256_extract_epi32::<7>(at) as isize);
    let [near, far] = corners.at(at);
    // Along y, then x, then z, as the plain loop.
    let share_y = y.shares();
    let (low_near, high_near) = (between(near[0].0, near[1].0, share_y), between(near[0].1, near[1].1, share_y));
    let (low_far, high_far) = (between(far[0].0, far[1].0, share_y), between(far[0].1, far[1].1, share_y));
    let share_x = x.shares();
    let (low, high) = (between(low_near, low_far, share_x), between(high_near, high_far, share_x));
    between(low, high, z.shares())
}

/// Interpolates the voxels of a row whose places lie in the interior of the block, among those that lie inside of the
/// volume; `first` is the index along z of the row's first one. Says which voxels it took, if any: at least eight.
pub(super) fn linear_row(
    source: &Source,
    line: &Line,
    first: usize,
    inside: &Range<usize>,
    row: &mut [f32],
) -> Option<Range<usize>> {
    let corners = source.corners()?;
    let (low, high) = source.interior();
    let within = line.between(low, high, first, row.len());
    let within = within.start.max(inside.start)..within.end.min(inside.end);
    if within.len() < LANES {
        return None;
    }
    let (first, row) = (first + within.start, &mut row[within.clone()]);
    let take = if gathers_fast() { wide::linear_row_of_interior } else { linear_row_of_interior };
    take(&corners, source, line, first, row).map(|()| within)
}

impl<'a> Source<'a> {
    /// What eight voxels are read from at once, where there are so many that a place has eight around it.
    fn corners(&self) -> Option<Corners<'a>> {
        Corners::new(self.values, [self.shape[1], self.shape[2]])
    }

    /// A place counted from the block's first voxel.
    fn place_within(&self, place: [i64; 3]) -> [i64; 3] {
        std::array::from_fn(|axis| place[axis] - self.start[axis] as i64 * ONE)
    }
}

for_avx2! {
    /// Interpolates a row whose places all lie in the interior of the block.
    fn linear_row_of_interior(corners: &Corners, source: &Source, line: &Line, first: usize, row: &mut [f32]) {
        let mut walk = Walk::new(source.place_within(line.at(first)), line.step, 0);
        loop {
            store_reals(linear::<false>(corners, source, walk.x, walk.y, walk.z), eight_of(row, walk.taken));
            let Some(next) = walk.next(row.len()) else { return };
            walk = next;
        }
    }
}

/// Interpolates a row whose places were found one by one. What cannot be taken eight at a time is left to `one_by_one`,
/// which is given the first index and the values to fill.
pub(super) fn bent_row(source: &Source, row: &Row, out: &mut [f32], one_by_one: impl Fn(usize, &mut [f32])) {
    let at_once = |corners: Corners| bent_row_at_once(&corners, source, row, out, &one_by_one);
    if source.corners().and_then(at_once).is_none() {
        one_by_one(0, out);
    }
}

for_avx2! {
    fn bent_row_at_once(
        corners: &Corners,
        source: &Source,
        row: &Row,
        out: &mut [f32],
        one_by_one: &impl Fn(usize, &mut [f32]),
    ) {
        for (group, out) in out.chunks_mut(GROUP).enumerate() {
            let is_done = match (row.group(group), <&mut [f32; GROUP]>::try_from(&mut *out)) {
                ((u8::MAX, places), Ok(eight)) => linear_eight(corners, source, places, eight),
                _ => false,
            };
            if !is_done {
                one_by_one(group * GROUP, out);
            }
        }
    }
}

/// Interpolates eight voxels whose places are given, of a block whose positions fit 32 bits; `false`, and nothing is
/// written, where one of them is not in the interior of the block.
#[target_feature(enable = "avx2")]
fn linear_eight(corners: &Corners, source: &Source, places: [&[i64; LANES]; 3], out: &mut [f32; LANES]) -> bool {
    let start = source.start.map(|index| (index as i64) << 32);
    let (x, y, z) = (Places::of(places[0], start[0]), Places::of(places[1], start[1]), Places::of(places[2], start[2]));
    let shape = source.shape.map(|size| size as i32 - 1);
    let is_within =
        are_below(x.indices(), shape[0]) && are_below(y.indices(), shape[1]) && are_below(z.indices(), shape[2]);
    if is_within {
        store_reals(linear::<true>(corners, source, x, y, z), out);
    }
    is_within
}

/// Whether all indices are at least 0 and below a bound.
#[inline]
#[target_feature(enable = "avx2")]
fn are_below(indices: __m256i, bound: i32) -> bool {
    let not_negative = _mm256_cmpgt_epi32(indices, _mm256_set1_epi32(-1));
    let below = _mm256_cmpgt_epi32(_mm256_set1_epi32(bound), indices);
    _mm256_movemask_epi8(_mm256_and_si256(not_negative, below)) == -1
}

/// Steps along x by which voxels are fetched ahead of need.
const AHEAD: usize = 3;

/// Lets the processor fetch what rows to come touch first: what lies some steps along x behind a position.
#[inline]
#[target_feature(enable = "avx2")]
fn fetch_ahead<T>(values: &[T], [_, size_y, size_z]: [usize; 3], at: isize) {
    let address = values.as_ptr().wrapping_add(AHEAD * size_y * size_z).wrapping_offset(at);
    // It reads nothing, wherever the address points.
    _mm_prefetch::<_MM_HINT_T0>(address.cast());
}

/// `a + (b - a) * share`, without a fused operation.
#[inline]
#[target_feature(enable = "avx2")]
fn between(a: __m256, b: __m256, share: __m256) -> __m256 {
    _mm256_add_ps(a, _mm256_mul_ps(_mm256_sub_ps(b, a), share))
}

#[cfg(test)]
mod tests {
    use super::super::fixed::ends;
    use super::super::gather::nearest_label;
    use super::*;
    use crate::data::volume::{Affine, Label};
    use crate::seed::{Purpose, Rng, Seed};
    use crate::trusted::has_avx2;

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

    for_avx2! {
        fn eight_of(source: &Source, places: [&[i64; LANES]; 3], out: &mut [f32; LANES]) -> bool {
            linear_eight(&source.corners().expect("the block is small"), source, places, out)
        }
    }

    #[test]
    fn eight_at_once_are_the_bits_of_one_by_one() {
        if !has_avx2() {
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
            let mut row = vec![0.0; 60];
            if inside.len() >= LANES {
                assert_eq!(linear_row(&source, &line, 0, &(0..60), &mut row), Some(inside.clone()));
                let row = &row[inside.clone()];
                for (value, z) in row.iter().zip(inside.clone()) {
                    assert_eq!(value.to_bits(), source.linear(line.at(z)).to_bits(), "{line:?} {z}");
                    compared += 1;
                }
                for take in [linear_row_of_interior, wide::linear_row_of_interior] {
                    let mut again = vec![0.0; row.len()];
                    if take(&source.corners().unwrap(), &source, &line, inside.start, &mut again).is_some() {
                        assert_eq!(again, row);
                    }
                }
                let places: [[i64; LANES]; 3] =
                    std::array::from_fn(|axis| std::array::from_fn(|lane| line.at(inside.start + lane)[axis]));
                let mut eight = [0.0; LANES];
                assert_eq!(eight_of(&source, places.each_ref(), &mut eight), Some(true));
                assert_eq!(eight, row[..LANES]);
            }
            let (low, high) = (SHAPE.map(|size| ends(size).0), SHAPE.map(|size| ends(size).1));
            let inside = line.between(low, high, 0, 60);
            let mut row = vec![0; inside.len()];
            if row.len() >= LANES {
                assert!(label_row(&labels, SHAPE, &line, inside.start, &mut row));
                for (label, z) in row.iter().zip(inside) {
                    assert_eq!(*label, nearest_label(&labels, SHAPE, line.at(z)), "{line:?} {z}");
                    compared_labels += 1;
                }
            }
        }
        assert!(compared > 5000 && compared_labels > 5000, "{compared} {compared_labels}");
    }

    #[test]
    fn voxels_outside_of_the_interior_are_not_read() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let values = vec![1.0; SHAPE.iter().product()];
        let source = Source { values: &values, start: [0; 3], shape: SHAPE, volume: SHAPE };
        let along_z = Line::new(&Affine::IDENTITY, 3.0, 3.0);
        for (first, length, inside, expected) in [
            (0, 39, 0..39, Some(0..39)),
            (0, 50, 0..50, Some(0..39)),
            (30, 20, 0..20, Some(0..9)),
            (32, 20, 0..20, None),
            (0, 39, 4..12, Some(4..12)),
            (0, 39, 4..11, None),
        ] {
            let mut row = vec![0.0; length];
            let taken = linear_row(&source, &along_z, first, &inside, &mut row);
            assert_eq!(taken, expected, "{first} {length} {inside:?}");
            let is_taken = |index: usize| taken.as_ref().is_some_and(|taken| taken.contains(&index));
            assert!((0..length).all(|index| row[index] == f32::from(u8::from(is_taken(index)))));
        }
    }
}
