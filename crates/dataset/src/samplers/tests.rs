//! How often each place is drawn, against the whole transformed map.

use std::collections::HashMap;

use super::centre::{Valid, label_at};
use super::{LabelIndex, PatchIndex, Sampler, SamplingContext, SamplingError, WeightIndex};
use random::{Purpose, Rng, Seed};
use transforms::lazy::{self, IndexMapping};
use transforms::{Incoming, Transform};
use volume::{Affine, Grid, Label, Voxels};

pub(super) const SHAPE: [usize; 3] = [12, 10, 9];

/// Chains without chance that move voxels in every way.
pub(super) const CHAINS: [&str; 9] = [
    "[]",
    "[{flip: {probabilities: [1, 0, 1]}}]",
    "[{affine: {scales: 1.5, degrees: [25, -10, 15]}}, {crop_or_pad: {shape: [14, 12, 12]}}]",
    "[{affine: {scales: [0.6, 0.7, 0.65], degrees: [0, 5, 0]}}]",
    "[{affine: {scales: 0.55, degrees: 0}}, {crop_or_pad: {shape: [7, 6, 6]}}]",
    "[{crop_or_pad: {shape: [18, 16, 15]}}]",
    // The stream of a fixed chain draws the fields: gentle ones have boxes to draw from, the last one folds.
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

/// Draws many places and compares how often each comes with its share.
pub(super) fn hold_distribution(expected: &HashMap<[usize; 3], f64>, mut draw: impl FnMut(&mut Rng) -> [usize; 3]) {
    let mut rng = Seed(1).stream(Purpose::Sample, 0, "", 0);
    let num_draws = 60_000;
    let mut counts = HashMap::new();
    for _ in 0..num_draws {
        *counts.entry(draw(&mut rng)).or_insert(0u32) += 1;
    }
    assert!(counts.keys().all(|place| expected.contains_key(place)), "a place that the whole map does not allow");
    let chi_square: f64 = expected
        .iter()
        .map(|(place, share)| {
            let expected = share * f64::from(num_draws);
            (f64::from(counts.get(place).copied().unwrap_or(0)) - expected).powi(2) / expected
        })
        .sum();
    // Five standard deviations above the mean of the distribution: one in a million by chance.
    let freedom = expected.len() as f64 - 1.0;
    assert!(chi_square < freedom + 5.0 * (2.0 * freedom).sqrt(), "chi-square {chi_square} of {freedom}");
}

pub(super) fn mapping(chain: &str) -> IndexMapping {
    let chain: Vec<Transform> = parsed(chain);
    let grid = Grid { shape: SHAPE, affine: Affine::IDENTITY };
    lazy::index_mapping(&chain, &lazy::fixed_params(&chain, &Incoming { grid, channels: 1 }), &grid)
}

fn patch_index(index_in_batch: usize) -> PatchIndex {
    PatchIndex { number: 0, index_in_batch, batch_size: 2 }
}

fn sampler(text: &str) -> Sampler {
    parsed(text)
}

/// A component as it stands in an experiment.
fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> T {
    serde_json::from_value(serde_yaml::from_str(text).unwrap()).unwrap()
}

/// Adds a share to the place of the patch around a voxel, moved inside the volume.
fn add_around(
    expected: &mut HashMap<[usize; 3], f64>,
    voxel: [usize; 3],
    patch: [usize; 3],
    volume: [usize; 3],
    share: f64,
) {
    let place = std::array::from_fn(|axis| {
        let start = voxel[axis] as i64 - (patch[axis] / 2) as i64;
        start.clamp(0, (volume[axis] - patch[axis]) as i64) as usize
    });
    *expected.entry(place).or_insert(0.0) += share;
}

/// Every label evenly, every voxel of a label evenly, wherever in the volume it lies.
fn forced(context: &SamplingContext, patch: [usize; 3]) -> HashMap<[usize; 3], f64> {
    let volume = context.mapping.shape;
    let mut of_label: HashMap<Label, Vec<[usize; 3]>> = HashMap::new();
    for voxel in Valid::whole(volume).voxels() {
        of_label.entry(label_at(context, voxel)).or_default().push(voxel);
    }
    of_label.remove(&0);
    let mut expected = HashMap::new();
    for voxels in of_label.values() {
        let share = 1.0 / of_label.len() as f64 / voxels.len() as f64;
        voxels.iter().for_each(|voxel| add_around(&mut expected, *voxel, patch, volume, share));
    }
    expected
}

/// Every place alike.
fn anywhere(patch: [usize; 3], volume: [usize; 3]) -> HashMap<[usize; 3], f64> {
    let places = Valid { start: [0; 3], shape: std::array::from_fn(|axis| volume[axis] - patch[axis] + 1) };
    let share = 1.0 / places.voxels().count() as f64;
    places.voxels().map(|place| (place, share)).collect()
}

const OVERSAMPLE: &str = "foreground_oversample: {patch: [4, 3, 3], share: 0.33}";

#[test]
fn forced_patches_follow_the_labels_of_the_whole_map() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let sampler = sampler(OVERSAMPLE);
    for chain in CHAINS {
        let mapping = mapping(chain);
        let context = SamplingContext { mapping: &mapping, labels: &index, weights: None };
        let expected = forced(&context, sampler.patch());
        assert!(expected.len() > 8, "{chain}");
        hold_distribution(&expected, |rng| sampler.sample_start(&context, &patch_index(1), rng).unwrap());
    }
}

#[test]
fn a_label_that_the_chain_has_lost_leaves_its_share_to_the_others() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let mapping = mapping("[{crop: {start: [3, 2, 1], end: [5, 4, 4]}}]");
    let context = SamplingContext { mapping: &mapping, labels: &index, weights: None };
    let sampler = sampler(OVERSAMPLE);
    assert!(Valid::whole(mapping.shape).voxels().all(|voxel| label_at(&context, voxel) == 1));
    let expected = forced(&context, sampler.patch());
    let mut rng = Seed(2).stream(Purpose::Sample, 0, "", 0);
    for _ in 0..50 {
        assert!(expected.contains_key(&sampler.sample_start(&context, &patch_index(1), &mut rng).unwrap()));
    }
}

#[test]
fn patches_that_are_not_forced_lie_anywhere_and_so_do_all_without_foreground() {
    let sampler = sampler(OVERSAMPLE);
    let mapping = mapping(CHAINS[2]);
    let expected = anywhere(sampler.patch(), mapping.shape);
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let empty = LabelIndex::new(Voxels::new(1, SHAPE, vec![0; SHAPE.iter().product()]));
    for (index, place) in [(&index, 0), (&empty, 0), (&empty, 1)] {
        let context = SamplingContext { mapping: &mapping, labels: index, weights: None };
        hold_distribution(&expected, |rng| sampler.sample_start(&context, &patch_index(place), rng).unwrap());
    }
}

#[test]
fn as_many_patches_of_a_batch_are_forced_as_by_nnunet() {
    let Sampler::ForegroundOversample(sampler) = sampler(OVERSAMPLE) else { unreachable!("it is written above") };
    let forced = [1, 2, 3, 4, 9, 12].map(|batch_size| batch_size - sampler.num_unforced(batch_size));
    assert_eq!(forced, [0, 1, 1, 1, 3, 4]);
    // Python rounds halves to even: round(2.5) is 2.
    let Sampler::ForegroundOversample(half) = self::sampler("foreground_oversample: {patch: [4, 3, 3], share: 0.5}")
    else {
        unreachable!("it is written above")
    };
    assert_eq!(half.num_unforced(5), 2);
}

/// Weights of all sizes, a block of zeros among them, and the largest at the border.
fn weights() -> Vec<f32> {
    let count: usize = SHAPE.iter().product();
    let mut weights: Vec<f32> = (0..count).map(|i| if i % 7 < 3 { 0.0 } else { 1.0 + (i % 5) as f32 }).collect();
    (weights[0], weights[count - 1]) = (40.0, 25.0);
    weights[count / 2..count / 2 + 60].fill(0.0);
    weights
}

/// The weight of each possible centre by its source, as a share of their sum.
fn by_weight(context: &SamplingContext, patch: [usize; 3]) -> HashMap<[usize; 3], f64> {
    let weights = context.weights.unwrap();
    let weight = |voxel| context.mapping.source(voxel).map_or(0.0, |source| weights.weight(source));
    let valid = Valid::new(context.mapping.shape, patch);
    let total: f64 = valid.voxels().map(weight).sum();
    let positive = valid.voxels().map(|voxel| (voxel, weight(voxel) / total)).filter(|(_, share)| *share > 0.0);
    positive.map(|(voxel, share)| (std::array::from_fn(|axis| voxel[axis] - patch[axis] / 2), share)).collect()
}

#[test]
fn weighted_centres_follow_the_whole_map_of_weights() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let weights = WeightIndex::new(Voxels::new(1, SHAPE, weights()));
    for patch in ["[4, 3, 3]", "[1, 1, 1]"] {
        let sampler = sampler(&format!("weighted: {{patch: {patch}, map: '{{subject}}.nii.gz'}}"));
        for chain in CHAINS {
            let mapping = mapping(chain);
            let context = SamplingContext { mapping: &mapping, labels: &index, weights: Some(&weights) };
            let expected = by_weight(&context, sampler.patch());
            hold_distribution(&expected, |rng| sampler.sample_start(&context, &patch_index(0), rng).unwrap());
        }
    }
}

#[test]
fn a_lone_weight_among_many_out_of_reach_is_found() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    // Nearly all weight lies at the corner, where no patch can have its centre.
    let mut map = vec![0.0; SHAPE.iter().product()];
    (map[0], map[(5 * SHAPE[1] + 4) * SHAPE[2] + 3]) = (1e9, 1.0);
    let weights = WeightIndex::new(Voxels::new(1, SHAPE, map));
    let mapping = mapping("[]");
    let context = SamplingContext { mapping: &mapping, labels: &index, weights: Some(&weights) };
    let sampler = sampler("weighted: {patch: [4, 3, 3], map: a.nii}");
    let mut rng = Seed(2).stream(Purpose::Sample, 0, "", 0);
    assert_eq!(sampler.sample_start(&context, &patch_index(0), &mut rng).unwrap(), [3, 3, 2]);
}

#[test]
fn a_map_without_weight_where_a_centre_can_be_is_refused() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let mut map = vec![0.0; SHAPE.iter().product()];
    map[0] = 1.0;
    let weights = WeightIndex::new(Voxels::new(1, SHAPE, map));
    let mapping = mapping("[]");
    let context = SamplingContext { mapping: &mapping, labels: &index, weights: Some(&weights) };
    let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
    let refused = sampler("weighted: {patch: [4, 3, 3], map: a.nii}").sample_start(&context, &patch_index(0), &mut rng);
    assert_eq!(refused, Err(SamplingError::NoWeight { patch: [4, 3, 3] }));
}

#[test]
fn a_patch_larger_than_the_volume_is_refused_by_every_sampler() {
    let index = LabelIndex::new(Voxels::new(1, SHAPE, labels()));
    let weights = WeightIndex::new(Voxels::new(1, SHAPE, self::weights()));
    let mapping = mapping("[]");
    let context = SamplingContext { mapping: &mapping, labels: &index, weights: Some(&weights) };
    let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
    for text in ["label: {P}", "uniform: {P}", "grid: {P}", "foreground_oversample: {P}", "weighted: {P, map: a.nii}"] {
        let sampler = sampler(&text.replace('P', "patch: [4, 3, 10]"));
        let refused = sampler.sample_start(&context, &patch_index(0), &mut rng);
        assert!(matches!(refused, Err(SamplingError::PatchTooLarge { .. })), "{text}");
    }
}
