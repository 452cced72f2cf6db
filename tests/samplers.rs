//! Parity with TorchIO's samplers: the same grid positions in the same order, the same probabilities of centres; and with
//! nnU-Net's data loader: the same boxes.
//!
//! `tests/parity/torchio_samplers.py` and `nnunet_sampler.py` write the expected values; the maps of the former are formulas
//! that the test repeats.

use std::collections::BTreeMap;

use dataset::samplers::{Foreground, LabelIndex, PatchIndex, Sampler, SamplingContext, WeightIndex};
use random::{Purpose, Seed};
use serde::Deserialize;
use transforms::lazy::IndexMapping;
use volume::{Label, Voxels};

#[derive(Deserialize)]
struct File {
    shape: [usize; 3],
    grids: Vec<Grid>,
    centres: Vec<Centres>,
}

/// A grid and the start voxels of its patches.
#[derive(Deserialize)]
struct Grid {
    shape: [usize; 3],
    patch: [usize; 3],
    overlap: [usize; 3],
    starts: Vec<[usize; 3]>,
}

/// A sampler and the probability of each voxel to be the centre of a patch.
#[derive(Deserialize)]
struct Centres {
    yaml: String,
    probabilities: Vec<f64>,
}

fn file() -> File {
    serde_json::from_str(&std::fs::read_to_string("tests/parity/torchio/samplers.json").unwrap()).unwrap()
}

fn sampler(text: &str) -> Sampler {
    serde_json::from_value(serde_yaml::from_str(text).unwrap()).unwrap()
}

/// Returns the values of the function `waves` in the script.
fn waves(shape: [usize; 3]) -> Vec<f64> {
    (0..shape.iter().product())
        .map(|i: usize| (0.37 * i as f64).sin() * 50.0 + (0.05 * i as f64).cos() * 10.0)
        .collect()
}

fn patch_index(number: u64) -> PatchIndex {
    PatchIndex { number, index_in_batch: 0, batch_size: 1, margin: [0; 3] }
}

#[test]
fn a_grid_has_torchios_positions_in_its_order_and_repeats_them() {
    for grid in file().grids {
        let sampler = sampler(&format!("grid: {{patch: {:?}, overlap: {:?}}}", grid.patch, grid.overlap));
        let mapping = IndexMapping::identity(grid.shape);
        let index = LabelIndex::new(Voxels::new(1, grid.shape, vec![0; grid.shape.iter().product()]));
        let context =
            SamplingContext { mapping: &mapping, labels: &index, weights: None, foreground: &Foreground::default() };
        let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
        let mut start = |number: usize| sampler.sample_start(&context, &patch_index(number as u64), &mut rng).unwrap();
        let count = grid.starts.len();
        for (number, expected) in grid.starts.iter().enumerate() {
            let expected = expected.map(|index| index as isize);
            assert_eq!((start(number), start(number + count)), (expected, expected), "{:?}", grid.shape);
        }
    }
}

#[test]
fn centres_have_torchios_probabilities() {
    let file = file();
    let waves = waves(file.shape);
    let labels: Vec<Label> = waves.iter().map(|v| Label::from(*v > 0.0) + Label::from(*v > 50.0)).collect();
    let weights = waves.iter().map(|v| v.max(0.0) as f32).collect();
    let index = LabelIndex::new(Voxels::new(1, file.shape, labels));
    let weights = WeightIndex::new(Voxels::new(1, file.shape, weights));
    let mapping = IndexMapping::identity(file.shape);
    let context = SamplingContext {
        mapping: &mapping,
        labels: &index,
        weights: Some(&weights),
        foreground: &Foreground::default(),
    };
    for Centres { yaml, probabilities } in file.centres {
        let sampler = sampler(&yaml);
        let mut rng = Seed(1).stream(Purpose::Sample, 0, &yaml, 0);
        let mut counts = vec![0u32; probabilities.len()];
        let num_samples = 50_000;
        for _ in 0..num_samples {
            let start = sampler.sample_start(&context, &patch_index(0), &mut rng).unwrap();
            let centre: [usize; 3] = std::array::from_fn(|axis| start[axis] as usize + sampler.patch()[axis] / 2);
            counts[(centre[0] * file.shape[1] + centre[1]) * file.shape[2] + centre[2]] += 1;
        }
        let voxels = || counts.iter().zip(&probabilities);
        assert!(
            voxels().all(|(count, probability)| *probability > 0.0 || *count == 0),
            "{yaml}: a centre that TorchIO never samples"
        );
        // Voxels with an expected count below five do not follow the chi-square distribution.
        let likely = || voxels().filter(|(_, probability)| **probability * f64::from(num_samples) >= 5.0);
        let chi_square: f64 = likely()
            .map(|(count, probability)| {
                let expected = probability * f64::from(num_samples);
                (f64::from(*count) - expected).powi(2) / expected
            })
            .sum();
        let degrees_of_freedom = likely().count() as f64 - 1.0;
        assert!(
            chi_square < degrees_of_freedom + 5.0 * (2.0 * degrees_of_freedom).sqrt(),
            "{yaml}: chi-square {chi_square} of {degrees_of_freedom}"
        );
    }
}

#[derive(Deserialize)]
struct NnunetFile {
    boxes: Vec<Boxes>,
    /// For each batch size, whether each patch is guaranteed to have foreground.
    guaranteed: BTreeMap<String, Vec<bool>>,
}

/// The blocks that nnU-Net cuts from a volume for patches of a shape.
#[derive(Deserialize)]
struct Boxes {
    shape: [usize; 3],
    patch: [usize; 3],
    cut: [usize; 3],
    /// The lowest and the highest start.
    first: [isize; 3],
    last: [isize; 3],
    around: Vec<Around>,
}

/// Where the block of a guaranteed patch starts.
#[derive(Deserialize)]
struct Around {
    voxel: [usize; 3],
    start: [isize; 3],
}

#[test]
fn padded_foreground_oversampling_has_the_boxes_of_nnunet() {
    let text = std::fs::read_to_string("tests/parity/nnunet/sampler.json").unwrap();
    let file: NnunetFile = serde_json::from_str(&text).unwrap();
    for boxes in file.boxes {
        let sampler = sampler(&format!("foreground_oversample: {{patch: {:?}, border: pad}}", boxes.patch));
        let mapping = IndexMapping::identity(boxes.shape);
        let margin = std::array::from_fn(|axis| boxes.cut[axis] - boxes.patch[axis]);
        let patch_index = |index_in_batch| PatchIndex { number: 0, index_in_batch, batch_size: 2, margin };
        let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
        let mut start = |index_in_batch, labels: Vec<Label>| {
            let index = LabelIndex::new(Voxels::new(1, boxes.shape, labels));
            let context = SamplingContext {
                mapping: &mapping,
                labels: &index,
                weights: None,
                foreground: &Foreground::default(),
            };
            sampler.sample_start(&context, &patch_index(index_in_batch), &mut rng).unwrap()
        };
        let background = vec![0; boxes.shape.iter().product()];
        for around in boxes.around {
            let mut labels = background.clone();
            labels[volume::offset(boxes.shape, around.voxel)] = 1;
            assert_eq!(start(1, labels), around.start, "{:?} around {:?}", boxes.shape, around.voxel);
        }
        // Of the first patch of a batch, and of one without foreground, every start is equally likely.
        for index_in_batch in [0, 1] {
            let starts: Vec<_> = (0..400).map(|_| start(index_in_batch, background.clone())).collect();
            let along = |axis: usize| starts.iter().map(move |start| start[axis]);
            let first: [isize; 3] = std::array::from_fn(|axis| along(axis).min().unwrap());
            let last: [isize; 3] = std::array::from_fn(|axis| along(axis).max().unwrap());
            assert_eq!((first, last), (boxes.first, boxes.last), "{:?} in {:?}", boxes.cut, boxes.shape);
        }
    }
    for (batch_size, guaranteed) in file.guaranteed {
        let batch_size: usize = batch_size.parse().unwrap();
        let sampler = sampler("foreground_oversample: {patch: [1, 1, 1], border: pad}");
        let mapping = IndexMapping::identity([1, 1, 500]);
        let mut labels = vec![0; 500];
        labels[250] = 1;
        let index = LabelIndex::new(Voxels::new(1, [1, 1, 500], labels));
        let context =
            SamplingContext { mapping: &mapping, labels: &index, weights: None, foreground: &Foreground::default() };
        for (index_in_batch, guaranteed) in guaranteed.into_iter().enumerate() {
            let mut rng = Seed(3).stream(Purpose::Sample, 0, "", index_in_batch as u64);
            let patch_index = PatchIndex { number: 0, index_in_batch, batch_size, margin: [0; 3] };
            let start = sampler.sample_start(&context, &patch_index, &mut rng).unwrap();
            assert_eq!(start == [0, 0, 250], guaranteed, "patch {index_in_batch} of {batch_size}");
        }
    }
}
