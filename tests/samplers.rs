//! Parity with TorchIO's samplers: the same grid positions in the same order, the same probabilities of centres.
//!
//! `tests/parity/torchio_samplers.py` writes the expected values; the maps are formulas that the test repeats.

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
    PatchIndex { number, index_in_batch: 0, batch_size: 1 }
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
            assert_eq!((start(number), start(number + count)), (*expected, *expected), "{:?}", grid.shape);
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
            let centre: [usize; 3] = std::array::from_fn(|axis| start[axis] + sampler.patch()[axis] / 2);
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
