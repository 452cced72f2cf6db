//! Blocks compared with the same voxels one by one.

use super::*;
use crate::lazy::EmptySpace;
use crate::{Convention, Map};
use random::{Purpose, Rng, Seed};
use volume::{Affine, offset, unravel_index};

const SOURCE: [usize; 3] = [30, 50, 45];
const OUT: [usize; 3] = [28, 60, 50];

/// Rotates, scales and shifts a little, so that some rows are inside and others are partly outside at either end.
fn random_affine(rng: &mut Rng) -> Affine {
    let mut near = |middle: f64, width: f64| middle + width * (rng.unit() - 0.5);
    Affine([
        [near(1.0, 0.3), near(0.0, 0.2), near(0.0, 0.2), near(0.0, 6.0)],
        [near(0.0, 0.2), near(0.8, 0.3), near(0.0, 0.2), near(0.0, 6.0)],
        [near(0.0, 0.2), near(0.0, 0.2), near(0.9, 0.4), near(0.0, 9.0)],
    ])
}

fn random_mapping(rng: &mut Rng, steps: usize) -> IndexMapping {
    let mut mapping = IndexMapping::identity(SOURCE);
    (0..steps).for_each(|_| mapping.append(&Map::Warp(random_affine(rng)), OUT));
    mapping
}

#[test]
fn blocks_have_the_bits_of_their_voxels_one_by_one() {
    let mut rng = Seed(7).stream(Purpose::Phantom, 0, "straight", 0);
    let voxels: usize = SOURCE.iter().product();
    let values: Vec<f32> = (0..2 * voxels).map(|_| rng.normal() as f32).collect();
    let (mut num_inside, mut num_outside) = (0, 0);
    // With an intermediate grid, rows are not located together.
    for steps in [1, 1, 2] {
        let mapping = random_mapping(&mut rng, steps);
        let incoming = Block::new([0; 3], SOURCE, &values[..]);
        for (start, shape) in
            [([0; 3], OUT), ([3, 20, 10], [9, 33, 40]), ([5, 9, 1], [4, 5, 17]), ([1, 2, 20], [5, 40, 7])]
        {
            for interpolation in [Interpolation::Linear, Interpolation::Nearest] {
                let border_values = [-50.0, 50.0];
                let (image, _) = warp(&incoming, (&mapping, interpolation), &border_values, None, start, shape);
                let size: usize = shape.iter().product();
                for (index, value) in image.into_iter().enumerate() {
                    let (channel, [x, y, z]) = (index / size, unravel_index(shape, index % size));
                    let z = start[2] + z;
                    let (within, line) = mapping.row_inside(start[0] + x, start[1] + y, z..z + 1);
                    let source = ImageSource::new(&incoming, channel, SOURCE);
                    let expected = match within.is_empty() {
                        true => border_values[channel],
                        false => source.interpolate(interpolation, line.at(z)),
                    };
                    assert_eq!(value.to_bits(), expected.to_bits(), "{start:?} {shape:?} {x} {y} {z}");
                    num_inside += usize::from(!within.is_empty());
                    num_outside += usize::from(within.is_empty());
                }
            }
        }
    }
    assert!(num_inside > 100_000 && num_outside > 100_000, "{num_inside} {num_outside}");
}

#[test]
fn skipping_empty_space_changes_no_label() {
    let mut rng = Seed(8).stream(Purpose::Phantom, 0, "straight", 0);
    let mut source = vec![0; SOURCE.iter().product()];
    let runs = [([4, 7, 3], 9), ([5, 8, 40], 5), ([25, 44, 20], 2)];
    for (first, length) in runs {
        source[offset(SOURCE, first)..][..length].fill(3);
    }
    let empty = EmptySpace::new(SOURCE, runs.into_iter());
    let mut num_labelled = 0;
    // With large steps, patches extend past the margin around their middle.
    for scale in [0.6, 1.0, 1.7] {
        for steps in [1, 2] {
            let mut mapping = random_mapping(&mut rng, steps);
            mapping.append(&Map::Warp(Affine::scale_and_shift([scale; 3], [0.0; 3])), OUT);
            for (start, shape) in [([0; 3], OUT), ([2, 1, 3], [20, 43, 40]), ([3, 3, 0], [20, 9, 7])] {
                let block = labels(
                    LabelSource { empty: Some(&empty), ..LabelSource::whole(&source, mapping.source_shape) },
                    &mapping,
                    start,
                    shape,
                );
                for (index, label) in block.into_iter().enumerate() {
                    let voxel = unravel_index(shape, index);
                    let voxel = std::array::from_fn(|axis| start[axis] + voxel[axis]);
                    let expected = mapping.source(voxel).map_or(0, |voxel| source[offset(SOURCE, voxel)]);
                    assert_eq!(label, expected, "{scale} {steps} {voxel:?}");
                    num_labelled += usize::from(label > 0);
                }
            }
        }
    }
    assert!(num_labelled > 100, "{num_labelled}");
}

#[test]
fn rows_within_slices_have_the_values_and_labels_of_their_voxels_one_by_one() {
    let mut rng = Seed(9).stream(Purpose::Phantom, 0, "slices", 0);
    let voxels: usize = SOURCE.iter().product();
    let values: Vec<f32> = (0..voxels).map(|_| rng.normal() as f32).collect();
    let map = (0..voxels).map(|voxel| {
        let [x, y, z] = unravel_index(SOURCE, voxel);
        ((x / 5 + 2 * (y / 7) + z / 9) % 3) as Label
    });
    let map: Vec<Label> = map.collect();
    let (incoming, labels) = (Block::new([0; 3], SOURCE, &values[..]), LabelSource::whole(&map, SOURCE));
    let source = ImageSource::new(&incoming, 0, SOURCE);
    let mut counts = [0; 3];
    for (angle, shift) in [(0.5f64, -3.0), (2.9, 4.0), (0.0, 0.0)] {
        let (sine, cosine) = angle.sin_cos();
        let mut mapping = IndexMapping::identity(SOURCE);
        let affine = Affine([[cosine, -sine, 0.0, 9.3], [sine, cosine, 0.0, 11.8], [0.0, 0.0, 1.0, shift]]);
        mapping.append(&Map::Warp(affine), OUT);
        mapping.convention = Convention::GridSample;
        assert!(slices::applies(&mapping, Interpolation::Linear));
        for (start, shape) in [([0; 3], OUT), ([3, 20, 10], [9, 33, 7]), ([0, 0, 40], [28, 60, 10])] {
            let linear = (&mapping, Interpolation::Linear);
            let (image, label) = warp(&incoming, linear, &[-5.0], Some(labels), start, shape);
            let label = label.unwrap();
            for (index, value) in image.into_iter().enumerate() {
                let voxel: [usize; 3] = std::array::from_fn(|axis| start[axis] + unravel_index(shape, index)[axis]);
                let (sampled, line) = mapping.row_sampled(voxel[0], voxel[1], voxel[2]..voxel[2] + 1);
                let point = line.at(voxel[2]);
                let (low, high) = source::interior([0; 3], SOURCE);
                let kind = match () {
                    () if sampled.is_empty() => 0,
                    () if (0..2).all(|axis| (low[axis]..=high[axis]).contains(&point[axis])) => 2,
                    () => 1,
                };
                let expected = match kind {
                    0 => -5.0,
                    1 => source.linear_with_border(point, -5.0),
                    _ => source.linear(point),
                };
                assert_eq!(value, expected, "{angle} {start:?} {voxel:?}");
                let expected = if kind == 0 { 0 } else { labels.vote(SOURCE, point) };
                assert_eq!(label[index], expected, "{angle} {start:?} {voxel:?}");
                counts[kind] += 1;
            }
        }
    }
    assert!(counts.iter().all(|count| *count > 1000), "{counts:?}");
}
