//! Blocks compared with the same voxels one by one.

use super::*;
use crate::Map;
use crate::lazy::EmptySpace;
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
