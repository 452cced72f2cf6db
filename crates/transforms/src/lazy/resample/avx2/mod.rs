//! The inner loops of [`gather`](crate::lazy::resample) for processors with AVX2 and FMA, chosen at run time.
//!
//! They do the same operations in the same order as the plain loops, without fused ones, so every processor gives
//! the same bits. Eight voxels of a row are taken at once; the last eight of a row may overlap those before.
//!
//! The positions of many groups of eight are written down before the first voxel is read
//! ([`GatherIndices`](simd::GatherIndices)). Voxels are then read one by one and not with gather instructions, which are
//! slower on many processors.
//!
//! No closures are passed to functions compiled without AVX2: they could not be made part of the loop.
//!
//! The functions for others look whether the processor can run these, and [`trusted`](simd) reads voxels after
//! one look at the bounds of eight.

mod affine;
mod coordinates;
mod labels;
mod linear;

use crate::lazy::resample::Source;
use crate::lazy::warp::GROUP;
pub(in crate::lazy) use affine::{can_interpolate, can_look_up, find_rows, interpolate_rows, look_up_rows};
pub(in crate::lazy) use coordinates::Places;
pub(in crate::lazy) use labels::bent_labels;
pub(in crate::lazy) use linear::bent_row;
use simd::{CornerGather, LANES, prefetch};

const _: () = assert!(LANES == GROUP, "voxels that are taken at once are a group of a row");

impl<'a> Source<'a> {
    /// What eight voxels are read from at once, where there are so many that a place has eight around it.
    fn corners(&self) -> Option<CornerGather<'a>> {
        CornerGather::new(self.values, [self.shape[1], self.shape[2]])
    }
}

/// The voxels of a group of a span, of the groups from the voxel `taken` on; the last eight may overlap those before.
#[inline(always)]
fn eight_of<T>(row: &mut [T], taken: usize, group: usize) -> &mut [T; LANES] {
    let first = (taken + group * LANES).min(row.len() - LANES);
    row[first..].first_chunk_mut().expect("eight voxels are left")
}

/// Steps along x by which voxels are fetched ahead of need.
const AHEAD: usize = 4;

/// Lets the processor fetch what rows to come touch first: what lies some steps along x behind the positions of some
/// voxels of a group.
#[inline(always)]
fn fetch_rows_ahead<T, const N: usize>(
    values: &[T],
    [_, size_y, size_z]: [usize; 3],
    at: &[i32; LANES],
    fetched: [usize; N],
) {
    for lane in fetched {
        prefetch(values, AHEAD * size_y * size_z + at[lane] as usize, 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lazy::fixed_point::{Line, bounds};
    use crate::lazy::index_mapping::IndexMapping;
    use crate::lazy::resample::{LabelSource, Places, Span};
    use crate::lazy::warp::Row;
    use crate::{ElasticDisplacement, Map};
    use random::{Purpose, Rng, Seed};
    use simd::has_avx2;
    use volume::{Affine, Grid, Label};

    const SHAPE: [usize; 3] = [13, 17, 40];

    fn map(rng: &mut Rng) -> Affine {
        let mut near = |middle: f64, room: f64| middle + room * (rng.unit() - 0.5);
        Affine([
            [near(1.0, 0.4), near(0.0, 0.4), near(0.0, 0.2), near(0.0, 4.0)],
            [near(0.0, 0.4), near(1.0, 0.4), near(0.0, 0.2), near(0.0, 4.0)],
            [near(0.0, 0.4), near(0.0, 0.4), near(1.0, 0.4), near(0.0, 9.0)],
        ])
    }

    /// Intensities and labels of a volume.
    fn volume(shape: [usize; 3], rng: &mut Rng) -> (Vec<f32>, Vec<Label>) {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
        let labels = values.iter().map(|value| (value.abs() * 3e4) as Label).collect();
        (values, labels)
    }

    #[test]
    fn rows_are_found_as_one_by_one() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let mut rng = Seed(4).stream(Purpose::Phantom, 0, "vector", 0);
        let (mut whole, mut cut) = (0, 0);
        for round in 0..300 {
            let map = map(&mut rng);
            let (low, high) = (SHAPE.map(|size| bounds(size).0), SHAPE.map(|size| bounds(size).1));
            let (x, y, z, length) = (round % 11, round % 5, round % 3, 20 + round % 7);
            let mut bases = [[0; 4]; 9];
            let within = find_rows(&map, [x, y, z], length, (low, high), &mut bases).unwrap();
            for (row, base) in bases.iter().enumerate() {
                let line = Line::new(&map, x as f64, (y + row) as f64);
                assert_eq!(base[..3], line.at(z));
                let is_whole = line.between(low, high, z, length) == (0..length);
                assert_eq!(within >> row & 1 == 1, is_whole, "{map:?} {row}");
                whole += usize::from(is_whole);
                cut += usize::from(!is_whole);
            }
        }
        assert!(whole > 500 && cut > 500, "{whole} {cut}");
    }

    /// Of a row each value as one by one, those outside of a span left alone.
    fn one_by_one<T: Copy>(length: usize, span: Span, alone: T, value: impl Fn(usize) -> T) -> Vec<T> {
        let is_taken = |z: &usize| span[1] - span[0] >= LANES && (span[0]..span[1]).contains(z);
        (0..length).map(|z| if is_taken(&z) { value(z) } else { alone }).collect()
    }

    #[test]
    fn eight_at_once_are_the_bits_of_one_by_one() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let mut rng = Seed(5).stream(Purpose::Phantom, 0, "vector", 0);
        let (values, labels) = volume(SHAPE, &mut rng);
        let source = Source { values: &values, start: [1, 0, 2], shape: SHAPE, volume: [20, 20, 50] };
        let looked_up = LabelSource { labels: &labels, empty: None };
        let mut compared = 0;
        for _ in 0..200 {
            let map = map(&mut rng);
            let lines: [Line; 5] = std::array::from_fn(|row| Line::new(&map, 5.0, 4.0 + row as f64));
            let bases = lines.map(|line| [line.base[0], line.base[1], line.base[2], 7]);
            let places = Places { step: lines[0].step, bases: &bases, length: 60 };
            let spans = |low: [i64; 3], high: [i64; 3]| -> Vec<Span> {
                let of = |line: &Line| line.between(low, high, 0, 60);
                lines.iter().map(of).map(|span| [span.start, span.end]).collect()
            };

            let within = spans(source.interior().0, source.interior().1);
            let mut image = [[-9.0; 60]; 5];
            interpolate_rows(&source, &places, &within, image.as_flattened_mut());
            for row in 0..5 {
                let expected = one_by_one(60, within[row], -9.0, |z| source.linear(lines[row].at(z)));
                assert_eq!(
                    image[row].map(f32::to_bits)[..],
                    expected.into_iter().map(f32::to_bits).collect::<Vec<_>>()
                );
            }

            let inside = spans(SHAPE.map(|size| bounds(size).0), SHAPE.map(|size| bounds(size).1));
            let mut found = [[9; 60]; 5];
            look_up_rows(&labels, SHAPE, &places, &inside, found.as_flattened_mut());
            for row in 0..5 {
                let expected = one_by_one(60, inside[row], 9, |z| looked_up.nearest(SHAPE, lines[row].at(z)));
                assert_eq!(found[row][..], expected);
            }
            compared += within.iter().chain(&inside).filter(|span| span[1] - span[0] >= LANES).count();
        }
        assert!(compared > 1000, "{compared}");
    }

    #[test]
    fn rows_of_more_voxels_than_are_found_at_once_have_the_same_bits() {
        const LONG: [usize; 3] = [6, 7, 310];
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let mut rng = Seed(6).stream(Purpose::Phantom, 0, "vector", 0);
        let (values, labels) = volume(LONG, &mut rng);
        let source = Source { values: &values, start: [0; 3], shape: LONG, volume: LONG };
        let looked_up = LabelSource { labels: &labels, empty: None };
        let turned = Affine([[1.0, 0.0, 0.004, 0.3], [0.0, 1.0, -0.003, 0.7], [0.0, 0.0, 0.97, 0.6]]);
        let line = Line::new(&turned, 2.0, 3.0);
        let base = [[line.base[0], line.base[1], line.base[2], 0]];

        let points: Vec<[f64; 3]> = (0..125).map(|_| std::array::from_fn(|_| rng.unit() - 0.5)).collect();
        let grid = Grid { shape: LONG, affine: Affine::IDENTITY };
        let mut mapping = IndexMapping::identity(LONG);
        mapping.extend(&Map::Elastic(Arc::new(ElasticDisplacement::new([5; 3], &points, &grid))), LONG);
        mapping.extend(&Map::Warp(turned), LONG);
        let mut inside = 0;
        for length in [8, 127, 128, 129, 136, 255, 256, 257, 300] {
            let straight = Places { step: line.step, bases: &base, length };
            let mut row = vec![0.0; length];
            interpolate_rows(&source, &straight, &[[0, length]], &mut row);
            assert!((0..length).all(|z| row[z].to_bits() == source.linear(line.at(z)).to_bits()), "{length}");
            let mut row = vec![0; length];
            look_up_rows(&labels, LONG, &straight, &[[0, length]], &mut row);
            assert!((0..length).all(|z| row[z] == looked_up.nearest(LONG, line.at(z))), "{length}");

            let mut places = Row::new(length);
            places.follow(&mapping.path, [2, 3, 0]);
            let value = |z: usize| places.source(z).map_or(-9.0, |place| source.linear(place));
            let label = |z: usize| places.source(z).map_or(0, |place| looked_up.nearest(LONG, place));
            let mut row = vec![0.0; length];
            bent_row(&source, &places, &mut row, |first, out| {
                out.iter_mut().enumerate().for_each(|(z, out)| *out = value(first + z));
            });
            assert!((0..length).all(|z| row[z].to_bits() == value(z).to_bits()), "{length}");
            let mut row = vec![0; length];
            bent_labels(looked_up, LONG, &places, &mut row, |first, out| {
                out.iter_mut().enumerate().for_each(|(z, out)| *out = label(first + z));
            });
            assert!((0..length).all(|z| row[z] == label(z)), "{length}");
            inside += (0..length).filter(|z| places.source(*z).is_some()).count();
        }
        assert!(inside > 1000, "{inside}");
    }
}
