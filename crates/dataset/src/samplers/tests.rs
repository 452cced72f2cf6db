//! Frequencies of sampled positions, compared with the distribution on the whole transformed map.

use std::collections::HashMap;
use std::hash::Hash;

use super::sampling::centres::label_at;
use super::sampling::region::Region;
use super::{Foreground, LabelIndex, PatchIndex, Sampler, SamplingContext, SamplingError, WeightIndex};
use random::{Purpose, Rng, Seed};
use transforms::lazy::{self, IndexMapping};
use transforms::{Incoming, Transform};
use volume::{Affine, Grid, Label, Voxels};

pub(super) const SHAPE: [usize; 3] = [12, 10, 9];

/// Chains without randomness that move voxels in every way.
pub(super) const CHAINS: [&str; 9] = [
    "[]",
    "[{flip: {probabilities: [1, 0, 1]}}]",
    "[{affine: {scales: 1.5, degrees: [25, -10, 15]}}, {crop_or_pad: {shape: [14, 12, 12]}}]",
    "[{affine: {scales: [0.6, 0.7, 0.65], degrees: [0, 5, 0]}}]",
    "[{affine: {scales: 0.55, degrees: 0}}, {crop_or_pad: {shape: [7, 6, 6]}}]",
    "[{crop_or_pad: {shape: [18, 16, 15]}}]",
    // The fixed parameters' stream samples the fields: the first two have candidate boxes, the last one folds.
    "[{elastic_deformation: {num_control_points: [5, 5, 5], locked_borders: 0, max_displacement_mm: [0.5, 0.5, 0.5]}}]",
    "[{elastic_deformation: {num_control_points: [5, 6, 5], locked_borders: 1, max_displacement_mm: [0.6, 0.5, 0.4]}}, {affine: {scales: 1.2, degrees: [25, -10, 15]}}]",
    "[{affine: {scales: 1.1, degrees: 10}}, {elastic_deformation: {locked_borders: 0, max_displacement_mm: [3, 3, 3]}}]",
];

/// Background, a block of label 1 and a few voxels of label 2 at its edge and at the border.
pub(super) fn labels() -> Vec<Label> {
    let mut labels = vec![0; SHAPE.iter().product()];
    for x in 3..9 {
        for y in 2..7 {
            for z in 1..6 {
                labels[(x * SHAPE[1] + y) * SHAPE[2] + z] = if x == 8 && y > 4 { 2 } else { 1 };
            }
        }
    }
    labels[0] = 2;
    labels
}

/// Compares the frequencies of many samples with their expected probabilities.
pub(super) fn assert_distribution<T: Copy + Eq + Hash>(
    expected: &HashMap<T, f64>,
    mut sample: impl FnMut(&mut Rng) -> T,
) {
    let mut rng = Seed(1).stream(Purpose::Sample, 0, "", 0);
    let num_samples = 60_000;
    let mut counts = HashMap::new();
    for _ in 0..num_samples {
        *counts.entry(sample(&mut rng)).or_insert(0u32) += 1;
    }
    assert!(counts.keys().all(|start| expected.contains_key(start)), "a position that has no probability");
    let chi_square: f64 = expected
        .iter()
        .map(|(start, probability)| {
            let expected = probability * f64::from(num_samples);
            (f64::from(counts.get(start).copied().unwrap_or(0)) - expected).powi(2) / expected
        })
        .sum();
    // Five standard deviations above the mean of the chi-square distribution: a probability of one in a million.
    let degrees_of_freedom = expected.len() as f64 - 1.0;
    assert!(
        chi_square < degrees_of_freedom + 5.0 * (2.0 * degrees_of_freedom).sqrt(),
        "chi-square {chi_square} of {degrees_of_freedom}"
    );
}

pub(super) fn mapping(chain: &str) -> IndexMapping {
    let chain: Vec<Transform> = parsed(chain);
    let grid = Grid { shape: SHAPE, affine: Affine::IDENTITY };
    lazy::index_mapping(&chain, &lazy::fixed_params(&chain, &Incoming { grid, channels: 1 }), &grid)
}

pub(super) fn patch_index(index_in_batch: usize) -> PatchIndex {
    PatchIndex { number: 0, index_in_batch, batch_size: 2, margin: [0; 3] }
}

fn sampler(text: &str) -> Sampler {
    parsed(text)
}

/// Parses a component as in an experiment.
fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_value(serde_yaml::from_str(text).unwrap()).unwrap()
}

/// Adds a probability to the position of the patch centred at a voxel and shifted into the volume.
fn add_around(
    expected: &mut HashMap<[isize; 3], f64>,
    voxel: [usize; 3],
    patch: [usize; 3],
    volume: [usize; 3],
    probability: f64,
) {
    let position = std::array::from_fn(|axis| {
        let start = voxel[axis] as i64 - (patch[axis] / 2) as i64;
        start.clamp(0, (volume[axis] - patch[axis]) as i64) as isize
    });
    *expected.entry(position).or_insert(0.0) += probability;
}

/// Equal probabilities of the labels above 0, divided equally among their voxels.
fn guaranteed(context: &SamplingContext, patch: [usize; 3]) -> HashMap<[isize; 3], f64> {
    let volume = context.mapping.shape;
    let mut by_label: HashMap<Label, Vec<[usize; 3]>> = HashMap::new();
    for voxel in Region::whole(volume).voxels() {
        by_label.entry(label_at(context, voxel)).or_default().push(voxel);
    }
    by_label.remove(&0);
    let mut expected = HashMap::new();
    for voxels in by_label.values() {
        let probability = 1.0 / by_label.len() as f64 / voxels.len() as f64;
        voxels.iter().for_each(|voxel| add_around(&mut expected, *voxel, patch, volume, probability));
    }
    expected
}

/// Equal probabilities of all positions.
fn uniform(patch: [usize; 3], volume: [usize; 3]) -> HashMap<[isize; 3], f64> {
    let positions = Region { start: [0; 3], shape: std::array::from_fn(|axis| volume[axis] - patch[axis] + 1) };
    let probability = 1.0 / positions.voxels().count() as f64;
    positions.voxels().map(|start| (start.map(|index| index as isize), probability)).collect()
}

const OVERSAMPLE: &str = "foreground_oversample: {patch: [4, 3, 3], share: 0.33}";

#[test]
fn guaranteed_patches_follow_the_labels_of_the_whole_map() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let sampler = sampler(OVERSAMPLE);
    for chain in CHAINS {
        let mapping = mapping(chain);
        let context =
            SamplingContext { mapping: &mapping, labels: &index, weights: None, foreground: &Foreground::default() };
        let expected = guaranteed(&context, sampler.patch());
        assert!(expected.len() > 8, "{chain}");
        assert_distribution(&expected, |rng| sampler.sample_start(&context, &patch_index(1), rng).unwrap());
    }
}

#[test]
fn the_probability_of_a_label_that_the_chain_removed_is_divided_among_the_others() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let mapping = mapping("[{crop: {start: [3, 2, 1], end: [5, 4, 4]}}]");
    let context =
        SamplingContext { mapping: &mapping, labels: &index, weights: None, foreground: &Foreground::default() };
    let sampler = sampler(OVERSAMPLE);
    assert!(Region::whole(mapping.shape).voxels().all(|voxel| label_at(&context, voxel) == 1));
    let expected = guaranteed(&context, sampler.patch());
    let mut rng = Seed(2).stream(Purpose::Sample, 0, "", 0);
    for _ in 0..50 {
        assert!(expected.contains_key(&sampler.sample_start(&context, &patch_index(1), &mut rng).unwrap()));
    }
}

#[test]
fn other_patches_and_all_without_foreground_are_uniformly_distributed() {
    let sampler = sampler(OVERSAMPLE);
    let mapping = mapping(CHAINS[2]);
    let expected = uniform(sampler.patch(), mapping.shape);
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let empty = LabelIndex::new(Voxels::new(1, SHAPE, vec![0; SHAPE.iter().product()]));
    for (index, index_in_batch) in [(&index, 0), (&empty, 0), (&empty, 1)] {
        let context =
            SamplingContext { mapping: &mapping, labels: index, weights: None, foreground: &Foreground::default() };
        assert_distribution(&expected, |rng| {
            sampler.sample_start(&context, &patch_index(index_in_batch), rng).unwrap()
        });
    }
}

/// Weights of all sizes, a block of zeros among them, and the largest at the border.
fn weights() -> Vec<f32> {
    let count: usize = SHAPE.iter().product();
    let mut weights: Vec<f32> = (0..count).map(|i| if i % 7 < 3 { 0.0 } else { 1.0 + (i % 5) as f32 }).collect();
    (weights[0], weights[count - 1]) = (40.0, 25.0);
    weights[count / 2..count / 2 + 60].fill(0.0);
    weights
}

/// The weight of each possible centre's source, normalized.
fn weighted(context: &SamplingContext, patch: [usize; 3]) -> HashMap<[isize; 3], f64> {
    let weights = context.weights.unwrap();
    let weight = |voxel| context.mapping.source(voxel).map_or(0.0, |source| weights.weight(source));
    let region = Region::of_centres(context.mapping.shape, patch);
    let total: f64 = region.voxels().map(weight).sum();
    let positive =
        region.voxels().map(|voxel| (voxel, weight(voxel) / total)).filter(|(_, probability)| *probability > 0.0);
    positive
        .map(|(voxel, probability)| (std::array::from_fn(|axis| (voxel[axis] - patch[axis] / 2) as isize), probability))
        .collect()
}

#[test]
fn weighted_centres_follow_the_whole_map_of_weights() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let weights = WeightIndex::new(Voxels::new(1, SHAPE, weights()));
    for patch in ["[4, 3, 3]", "[1, 1, 1]"] {
        let sampler = sampler(&format!("weighted: {{patch: {patch}, map: '{{subject}}.nii.gz'}}"));
        for chain in CHAINS {
            let mapping = mapping(chain);
            let context = SamplingContext {
                mapping: &mapping,
                labels: &index,
                weights: Some(&weights),
                foreground: &Foreground::default(),
            };
            let expected = weighted(&context, sampler.patch());
            assert_distribution(&expected, |rng| sampler.sample_start(&context, &patch_index(0), rng).unwrap());
        }
    }
}

#[test]
fn a_single_possible_weight_among_many_impossible_ones_is_sampled() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    // Nearly all weight is at the corner, where no patch can be centred.
    let mut map = vec![0.0; SHAPE.iter().product()];
    (map[0], map[(5 * SHAPE[1] + 4) * SHAPE[2] + 3]) = (1e9, 1.0);
    let weights = WeightIndex::new(Voxels::new(1, SHAPE, map));
    let mapping = mapping("[]");
    let context = SamplingContext {
        mapping: &mapping,
        labels: &index,
        weights: Some(&weights),
        foreground: &Foreground::default(),
    };
    let sampler = sampler("weighted: {patch: [4, 3, 3], map: a.nii}");
    let mut rng = Seed(2).stream(Purpose::Sample, 0, "", 0);
    assert_eq!(sampler.sample_start(&context, &patch_index(0), &mut rng).unwrap(), [3, 3, 2]);
}

#[test]
fn a_map_without_weight_at_any_possible_centre_is_an_error() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let mut map = vec![0.0; SHAPE.iter().product()];
    map[0] = 1.0;
    let weights = WeightIndex::new(Voxels::new(1, SHAPE, map));
    let mapping = mapping("[]");
    let context = SamplingContext {
        mapping: &mapping,
        labels: &index,
        weights: Some(&weights),
        foreground: &Foreground::default(),
    };
    let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
    let result = sampler("weighted: {patch: [4, 3, 3], map: a.nii}").sample_start(&context, &patch_index(0), &mut rng);
    assert_eq!(result, Err(SamplingError::NoWeight { patch: [4, 3, 3] }));
}

#[test]
fn a_patch_larger_than_the_volume_is_an_error_of_every_sampler() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let weights = WeightIndex::new(Voxels::new(1, SHAPE, self::weights()));
    let mapping = mapping("[]");
    let context = SamplingContext {
        mapping: &mapping,
        labels: &index,
        weights: Some(&weights),
        foreground: &Foreground::default(),
    };
    let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
    for text in ["label: {P}", "uniform: {P}", "grid: {P}", "foreground_oversample: {P}", "weighted: {P, map: a.nii}"] {
        let sampler = sampler(&text.replace('P', "patch: [4, 3, 10]"));
        let result = sampler.sample_start(&context, &patch_index(0), &mut rng);
        assert!(matches!(result, Err(SamplingError::PatchTooLarge { .. })), "{text}");
    }
}

#[test]
fn every_sampler_is_written_under_its_name() {
    for name in Sampler::NAMES {
        let map = if *name == "weighted" { ", map: a.nii" } else { "" };
        let written = serde_json::to_value(sampler(&format!("{name}: {{patch: [4, 3, 3]{map}}}"))).unwrap();
        assert_eq!(written.as_object().unwrap().keys().collect::<Vec<_>>(), [name]);
    }
}
