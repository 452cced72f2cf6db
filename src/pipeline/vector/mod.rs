//! The inner loops of [`gather`](super::gather) for processors with AVX2 and FMA, chosen at run time.
//!
//! They do the same operations in the same order as the plain loops, without fused ones, so every processor gives
//! the same bits. Eight voxels of a row are taken at once; the last eight of a row may overlap those before.
//!
//! The positions of many groups of eight are written down before the first voxel is read
//! ([`Positions`](crate::trusted::Positions)). Voxels are then read one by one and not with gather instructions, which are
//! slower on many processors.
//!
//! No closures are passed to functions compiled without AVX2: they could not be made part of the loop.
//!
//! The functions for others look whether the processor can run these, and [`trusted`](crate::trusted) reads voxels after
//! one look at the bounds of eight.

mod labels;
mod linear;
mod places;

use super::gather::Source;
use super::path::GROUP;
use crate::trusted::{Corners, LANES, fetch_ahead};
pub(super) use labels::{bent_labels, label_row};
pub(super) use linear::{bent_row, linear_row};
pub(super) use places::Places;

const _: () = assert!(LANES == GROUP, "voxels that are taken at once are a group of a row");

impl<'a> Source<'a> {
    /// What eight voxels are read from at once, where there are so many that a place has eight around it.
    fn corners(&self) -> Option<Corners<'a>> {
        Corners::new(self.values, [self.shape[1], self.shape[2]])
    }
}

/// The voxels of a group of a row, of the groups from the voxel `taken` on; the last eight may overlap those before.
#[inline(always)]
fn eight_of<T>(row: &mut [T], taken: usize, group: usize) -> &mut [T; LANES] {
    let first = (taken + group * LANES).min(row.len() - LANES);
    row[first..].first_chunk_mut().expect("eight voxels are left")
}

/// Steps along x by which voxels are fetched ahead of need.
const AHEAD: usize = 3;

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
        fetch_ahead(values, AHEAD * size_y * size_z + at[lane] as usize, 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fixed::{Line, ends};
    use super::super::gather::{LabelSource, nearest_label};
    use super::super::origin::Origin;
    use super::super::path::Row;
    use super::*;
    use crate::data::volume::{Affine, Grid, Label};
    use crate::seed::{Purpose, Rng, Seed};
    use crate::transforms::{Displacement, Map};
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

    /// Intensities and labels of a volume.
    fn volume(shape: [usize; 3], rng: &mut Rng) -> (Vec<f32>, Vec<Label>) {
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
        let labels = values.iter().map(|value| (value.abs() * 3e4) as Label).collect();
        (values, labels)
    }

    #[test]
    fn eight_at_once_are_the_bits_of_one_by_one() {
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let mut rng = Seed(5).stream(Purpose::Phantom, 0, "vector", 0);
        let (values, labels) = volume(SHAPE, &mut rng);
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

    #[test]
    fn rows_of_more_voxels_than_are_found_at_once_have_the_same_bits() {
        const LONG: [usize; 3] = [6, 7, 310];
        if !has_avx2() {
            return eprintln!("skipped: needs AVX2");
        }
        let mut rng = Seed(6).stream(Purpose::Phantom, 0, "vector", 0);
        let (values, labels) = volume(LONG, &mut rng);
        let source = Source { values: &values, start: [0; 3], shape: LONG, volume: LONG };
        let turned = Affine([[1.0, 0.0, 0.004, 0.3], [0.0, 1.0, -0.003, 0.7], [0.0, 0.0, 0.97, 0.6]]);
        let line = Line::new(&turned, 2.0, 3.0);

        let points: Vec<[f64; 3]> = (0..125).map(|_| std::array::from_fn(|_| rng.unit() - 0.5)).collect();
        let grid = Grid { shape: LONG, affine: Affine::IDENTITY };
        let mut origin = Origin::identity(LONG);
        origin.extend(&Map::Elastic(Arc::new(Displacement::new([5; 3], &points, &grid))), LONG);
        origin.extend(&Map::Warp(turned), LONG);
        let mut inside = 0;
        for length in [8, 127, 128, 129, 136, 255, 256, 257, 300] {
            let mut row = vec![0.0; length];
            assert_eq!(linear_row(&source, &line, 0, &(0..length), &mut row), Some(0..length));
            assert!((0..length).all(|z| row[z].to_bits() == source.linear(line.at(z)).to_bits()), "{length}");
            let mut row = vec![0; length];
            assert!(label_row(&labels, LONG, &line, 0, &mut row));
            assert!((0..length).all(|z| row[z] == nearest_label(&labels, LONG, line.at(z))), "{length}");

            let mut places = Row::new(length);
            places.follow(&origin.path, [2, 3, 0]);
            let value = |z: usize| places.source(z).map_or(-9.0, |place| source.linear(place));
            let label = |z: usize| places.source(z).map_or(0, |place| nearest_label(&labels, LONG, place));
            let mut row = vec![0.0; length];
            bent_row(&source, &places, &mut row, |first, out| {
                out.iter_mut().enumerate().for_each(|(z, out)| *out = value(first + z));
            });
            assert!((0..length).all(|z| row[z].to_bits() == value(z).to_bits()), "{length}");
            let mut row = vec![0; length];
            bent_labels(LabelSource { labels: &labels, empty: None }, LONG, &places, &mut row, |first, out| {
                out.iter_mut().enumerate().for_each(|(z, out)| *out = label(first + z));
            });
            assert!((0..length).all(|z| row[z] == label(z)), "{length}");
            inside += (0..length).filter(|z| places.source(*z).is_some()).count();
        }
        assert!(inside > 1000, "{inside}");
    }
}
