//! Vectorized rows compared with their voxels one by one.

use std::sync::Arc;

use super::*;
use crate::lazy::fixed_point::bounds;
use crate::lazy::index_mapping::IndexMapping;
use crate::lazy::line::Line;
use crate::lazy::resample::rows::{Rows, Span};
use crate::lazy::resample::source::{ImageSource, LabelSource};
use crate::lazy::warp::SourceRow;
use crate::{ElasticDisplacement, Map};
use random::{Purpose, Rng, Seed};
use simd::{LANES, has_avx2};
use volume::{Affine, Grid, Label};

const SHAPE: [usize; 3] = [13, 17, 40];

fn random_affine(rng: &mut Rng) -> Affine {
    let mut near = |middle: f64, width: f64| middle + width * (rng.unit() - 0.5);
    Affine([
        [near(1.0, 0.4), near(0.0, 0.4), near(0.0, 0.2), near(0.0, 4.0)],
        [near(0.0, 0.4), near(1.0, 0.4), near(0.0, 0.2), near(0.0, 4.0)],
        [near(0.0, 0.4), near(0.0, 0.4), near(1.0, 0.4), near(0.0, 9.0)],
    ])
}

/// Random intensities and labels.
fn volume(shape: [usize; 3], rng: &mut Rng) -> (Vec<f32>, Vec<Label>) {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.normal() as f32).collect();
    let labels = values.iter().map(|value| (value.abs() * 3e4) as Label).collect();
    (values, labels)
}

#[test]
fn rows_are_located_as_one_by_one() {
    if !has_avx2() {
        return eprintln!("skipped: needs AVX2");
    }
    let mut rng = Seed(4).stream(Purpose::Phantom, 0, "vector", 0);
    let (mut whole, mut cut) = (0, 0);
    for round in 0..300 {
        let map = random_affine(&mut rng);
        let (low, high) = (SHAPE.map(|size| bounds(size).0), SHAPE.map(|size| bounds(size).1));
        let (x, y, z, length) = (round % 11, round % 5, round % 3, 20 + round % 7);
        let mut bases = [[0; 4]; 9];
        let within = locate_rows(&map, [x, y, z], length, (low, high), &mut bases).unwrap();
        for (row, base) in bases.iter().enumerate() {
            let line = Line::new(&map, x as f64, (y + row) as f64);
            assert_eq!(base[..3], line.at(z));
            let is_whole = line.range_within(low, high, z, length) == (0..length);
            assert_eq!(within >> row & 1 == 1, is_whole, "{map:?} {row}");
            whole += usize::from(is_whole);
            cut += usize::from(!is_whole);
        }
    }
    assert!(whole > 500 && cut > 500, "{whole} {cut}");
}

/// Returns the values of a row, computed one by one in a span of at least eight voxels and `unchanged` elsewhere.
fn one_by_one<T: Copy>(length: usize, span: Span, unchanged: T, value: impl Fn(usize) -> T) -> Vec<T> {
    let is_computed = |z: &usize| span[1] - span[0] >= LANES && (span[0]..span[1]).contains(z);
    (0..length).map(|z| if is_computed(&z) { value(z) } else { unchanged }).collect()
}

#[test]
fn groups_have_the_bits_of_voxels_one_by_one() {
    if !has_avx2() {
        return eprintln!("skipped: needs AVX2");
    }
    let mut rng = Seed(5).stream(Purpose::Phantom, 0, "vector", 0);
    let (values, labels) = volume(SHAPE, &mut rng);
    let source = ImageSource { values: &values, start: [1, 0, 2], shape: SHAPE, volume: [20, 20, 50] };
    let looked_up = LabelSource::whole(&labels, SHAPE);
    let mut compared = 0;
    for _ in 0..200 {
        let map = random_affine(&mut rng);
        let lines: [Line; 5] = std::array::from_fn(|row| Line::new(&map, 5.0, 4.0 + row as f64));
        let bases = lines.map(|line| [line.base[0], line.base[1], line.base[2], 7]);
        let rows = Rows { step: lines[0].step, bases: &bases, length: 60 };
        let spans = |low: [i64; 3], high: [i64; 3]| -> Vec<Span> {
            let span = |line: &Line| line.range_within(low, high, 0, 60);
            lines.iter().map(span).map(|span| [span.start, span.end]).collect()
        };

        let within = spans(source.interior().0, source.interior().1);
        let mut image = [[-9.0; 60]; 5];
        interpolate_rows(&source, &rows, &within, image.as_flattened_mut());
        for row in 0..5 {
            let expected = one_by_one(60, within[row], -9.0, |z| source.linear(lines[row].at(z)));
            assert_eq!(image[row].map(f32::to_bits)[..], expected.into_iter().map(f32::to_bits).collect::<Vec<_>>());
        }

        let inside = spans(SHAPE.map(|size| bounds(size).0), SHAPE.map(|size| bounds(size).1));
        let mut label = [[9; 60]; 5];
        look_up_rows(looked_up, &rows, &inside, label.as_flattened_mut());
        for row in 0..5 {
            let expected = one_by_one(60, inside[row], 9, |z| looked_up.nearest(lines[row].at(z)));
            assert_eq!(label[row][..], expected);
        }
        compared += within.iter().chain(&inside).filter(|span| span[1] - span[0] >= LANES).count();
    }
    assert!(compared > 1000, "{compared}");
}

#[test]
fn rows_longer_than_the_scratch_memory_have_the_same_bits() {
    const LONG: [usize; 3] = [6, 7, 310];
    if !has_avx2() {
        return eprintln!("skipped: needs AVX2");
    }
    let mut rng = Seed(6).stream(Purpose::Phantom, 0, "vector", 0);
    let (values, labels) = volume(LONG, &mut rng);
    let source = ImageSource { values: &values, start: [0; 3], shape: LONG, volume: LONG };
    let looked_up = LabelSource::whole(&labels, LONG);
    let affine = Affine([[1.0, 0.0, 0.004, 0.3], [0.0, 1.0, -0.003, 0.7], [0.0, 0.0, 0.97, 0.6]]);
    let line = Line::new(&affine, 2.0, 3.0);
    let base = [[line.base[0], line.base[1], line.base[2], 0]];

    let points: Vec<[f64; 3]> = (0..125).map(|_| std::array::from_fn(|_| rng.unit() - 0.5)).collect();
    let grid = Grid { shape: LONG, affine: Affine::IDENTITY };
    let mut mapping = IndexMapping::identity(LONG);
    mapping.append(&Map::Elastic(Arc::new(ElasticDisplacement::new([5; 3], &points, &grid))), LONG);
    mapping.append(&Map::Warp(affine), LONG);
    let mut inside = 0;
    for length in [8, 127, 128, 129, 136, 255, 256, 257, 300] {
        let rows = Rows { step: line.step, bases: &base, length };
        let mut row = vec![0.0; length];
        interpolate_rows(&source, &rows, &[[0, length]], &mut row);
        assert!((0..length).all(|z| row[z].to_bits() == source.linear(line.at(z)).to_bits()), "{length}");
        let mut row = vec![0; length];
        look_up_rows(looked_up, &rows, &[[0, length]], &mut row);
        assert!((0..length).all(|z| row[z] == looked_up.nearest(line.at(z))), "{length}");

        let mut points = SourceRow::new(length);
        points.compute(&mapping.warp, [2, 3, 0]);
        let value = |z: usize| points.source(z).map_or(-9.0, |point| source.linear(point));
        let label = |z: usize| points.source(z).map_or(0, |point| looked_up.nearest(point));
        let mut row = vec![0.0; length];
        interpolate_elastic_row(&source, &points, &mut row, |first, out| {
            out.iter_mut().enumerate().for_each(|(z, out)| *out = value(first + z));
        });
        assert!((0..length).all(|z| row[z].to_bits() == value(z).to_bits()), "{length}");
        let mut row = vec![0; length];
        look_up_elastic_row(looked_up, LONG, &points, &mut row, |first, out| {
            out.iter_mut().enumerate().for_each(|(z, out)| *out = label(first + z));
        });
        assert!((0..length).all(|z| row[z] == label(z)), "{length}");
        inside += (0..length).filter(|z| points.source(*z).is_some()).count();
    }
    assert!(inside > 1000, "{inside}");
}
