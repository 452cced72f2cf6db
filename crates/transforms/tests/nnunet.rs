//! The transforms compute what batchgeneratorsv2 computes for nnU-Net with the same parameters, and sample parameters from the
//! same distributions.
//!
//! `tests/nnunet/augmentation.py` writes the expected values; the volumes are formulas that the test repeats.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

use random::{Purpose, Rng, Seed};
use transforms::lazy::{self, BACKGROUND, View};
use transforms::{Incoming, RotateAndScaleParams, Transform, TransformParams, sample_params, validate_params};
use volume::{Affine, Grid, Label, Volume, Voxels, unravel_index};

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
    distributions: Vec<Distribution>,
    spatial: Spatial,
    patches: Vec<Patch>,
    masked: Vec<Masked>,
}

#[derive(Deserialize)]
struct Case {
    step: String,
    shape: [usize; 3],
    channels: usize,
    draws: TransformParams,
    image: Vec<f32>,
    #[serde(default)]
    label: Vec<Label>,
    /// Voxels in which two labels have nearly the same weight, so that rounding errors select one.
    #[serde(default)]
    ties: Vec<usize>,
}

#[derive(Deserialize)]
struct Distribution {
    step: String,
    /// The fraction of channels that are changed.
    changed: f64,
    /// Quantiles .05, .15, … .95 of the parameter.
    quantiles: Vec<f64>,
}

#[derive(Deserialize)]
struct Spatial {
    rotated: f64,
    scaled: f64,
    degrees: Vec<f64>,
    scales: Vec<f64>,
}

#[derive(Deserialize)]
struct Patch {
    patch: [usize; 3],
    degrees: f64,
    in_plane: bool,
    input: [usize; 3],
}

/// A patch whose background is masked after spatial steps.
#[derive(Deserialize)]
struct Masked {
    chain: String,
    shape: [usize; 3],
    draws: Vec<TransformParams>,
    image: Vec<f32>,
    label: Vec<Label>,
    ties: Vec<usize>,
}

fn file() -> File {
    serde_json::from_str(include_str!("nnunet/augmentation.json")).unwrap()
}

fn parsed<T: DeserializeOwned>(yaml: &str) -> T {
    let value: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
    serde_json::from_value(value).unwrap()
}

fn step(yaml: &str) -> Transform {
    parsed(yaml)
}

/// Returns the volume of the functions `image` and `labels` in the script.
fn volume(shape: [usize; 3], channels: usize) -> Volume {
    let voxels: usize = shape.iter().product();
    let value = |i: usize| ((0.05 * i as f64).sin() * 50.0 + (0.31 * i as f64).cos() * 10.0) as f32;
    let label = |i: usize| {
        let [x, y, z] = unravel_index(shape, i);
        ((x / 3 + 2 * (y / 3) + z / 2) % 4) as Label
    };
    Volume {
        grid: Grid { shape, affine: Affine::IDENTITY },
        image: Voxels::new(channels, shape, (0..channels * voxels).map(value).collect()),
        label: Some(Voxels::new(1, shape, (0..voxels).map(label).collect())),
    }
}

#[test]
fn every_step_computes_what_batchgenerators_computes() {
    let mut faults = Vec::new();
    let mut compared = BTreeMap::new();
    for Case { step: yaml, shape, channels, draws, image, label, ties } in file().cases {
        let (chain, params) = ([step(&yaml)], [draws]);
        let source = volume(shape, channels);
        validate_params(&chain, &params, &Incoming { grid: source.grid, channels }).unwrap();
        let result = View::new(source, &chain, &params).unwrap().volume().unwrap();
        let [low, high] = image.iter().fold([f32::MAX, f32::MIN], |[low, high], v| [low.min(*v), high.max(*v)]);
        assert_eq!(result.image.len(), image.len(), "{yaml}");
        let worst = result.image.iter().zip(&image).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / (high - low);
        let own = result.label.unwrap();
        let differs = |i: &usize| own[*i] != label[*i] && !ties.contains(i);
        let wrong = (0..label.len()).filter(differs).count();
        if worst > 1e-5 || wrong > 0 {
            faults.push(format!(
                "{yaml} on {shape:?} with {params:?}: image off by {worst} of its range, {wrong} labels"
            ));
        }
        assert!(ties.len() * 5 < own.len(), "{yaml}: {} of {} voxels are ties", ties.len(), own.len());
        *compared.entry(chain[0].name()).or_insert(0) += 1;
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let least = [("blur", 6), ("gamma", 24), ("low_resolution", 24), ("rotate_and_scale", 14), ("z_normalize", 4)];
    assert!(least.iter().all(|(name, count)| compared[name] >= *count), "{compared:?}");
}

#[test]
fn the_background_is_masked_as_by_nnunet() {
    let cases = file().masked;
    assert_eq!(cases.len(), 4);
    for Masked { chain: yaml, shape, draws, image, label, ties } in cases {
        let chain: Vec<Transform> = parsed(&yaml);
        let mut source = volume(shape, 2);
        let labels = source.label.as_ref().unwrap();
        let marked = labels.iter().enumerate().map(|(i, label)| {
            let [x, y, z] = unravel_index(shape, i);
            let is_outside = x < 4 || y >= shape[1] - 4 || z < 3;
            if is_outside && *label == 0 { BACKGROUND } else { *label }
        });
        source.label = Some(Voxels::new(1, shape, marked.collect()));
        let grid = source.grid;
        validate_params(&chain, &draws, &Incoming { grid, channels: 2 }).unwrap();
        let view = View::of_block(source, [0; 3], grid, &chain, &draws).unwrap().with_background_outside();
        let result = view.volume().unwrap();
        let labels: Vec<Label> =
            result.label.unwrap().iter().map(|label| if *label == BACKGROUND { 0 } else { *label }).collect();
        let (mut zeros, voxels) = (0, label.len());
        for i in (0..voxels).filter(|i| !ties.contains(i)) {
            assert_eq!(labels[i], label[i], "{yaml}: label of voxel {i}");
            for i in [i, voxels + i] {
                let (own, expected) = (result.image[i], image[i]);
                assert!((own - expected).abs() < 1e-3, "{yaml}: voxel {i} is {own}, expected {expected}");
                assert_eq!(own == 0.0, expected == 0.0, "{yaml}: voxel {i} is {own}, expected {expected}");
                zeros += usize::from(own == 0.0);
            }
        }
        assert!(zeros > 50 && zeros < voxels + voxels / 2, "{yaml}: {zeros} of {voxels} voxels are 0");
    }
}

const DRAWS: u64 = 20_000;

fn rng(index: u64) -> Rng {
    Seed(5).stream(Purpose::Augment, 0, "case", index)
}

fn sampled(step: &Transform, index: u64) -> TransformParams {
    let incoming = Incoming { grid: Grid { shape: [4; 3], affine: Affine::IDENTITY }, channels: 2 };
    sample_params(std::slice::from_ref(step), &mut rng(index), &incoming).remove(0)
}

/// Compares quantiles of values with those of the reference, both of tens of thousands of samples.
fn compare_quantiles(name: &str, mut values: Vec<f64>, expected: &[f64]) {
    values.sort_by(f64::total_cmp);
    let spread = expected[9] - expected[0];
    for (index, expected) in expected.iter().enumerate() {
        let actual = values[((index as f64 * 0.1 + 0.05) * values.len() as f64) as usize];
        assert!((actual - expected).abs() < 0.03 * spread, "{name}, quantile {index}: {actual}, expected {expected}");
    }
}

#[test]
fn parameters_have_the_distribution_of_the_reference() {
    for Distribution { step: yaml, changed, quantiles } in file().distributions {
        let step = step(&yaml);
        let (mut values, mut channels) = (Vec::new(), 0);
        for index in 0..DRAWS {
            let before = values.len();
            match sampled(&step, index) {
                TransformParams::Noise(noise) => values.push(noise.std),
                TransformParams::Blur(transforms::BlurParams::Voxels(deviations)) => {
                    channels += deviations.iter().flatten().count();
                    values.extend(deviations.into_iter().flatten().flatten());
                    continue;
                }
                TransformParams::Brightness(params) => values.extend(params.0.iter().flatten()),
                TransformParams::Contrast(params) => values.extend(params.0.iter().flatten()),
                TransformParams::LowResolution(params) => values.extend(params.0.iter().flatten()),
                TransformParams::Gamma(params) => values.extend(params.0.iter().flatten().map(|v| f64::from(*v))),
                other => panic!("{other:?}"),
            }
            // Noise has one standard deviation for both channels.
            let is_noise = matches!(step, Transform::Noise(_));
            channels += if is_noise { 2 } else { values.len() - before };
        }
        let fraction = channels as f64 / (2 * DRAWS) as f64;
        assert!((fraction - changed).abs() < 0.01, "{yaml}: {fraction}, expected {changed}");
        compare_quantiles(&yaml, values, &quantiles);
    }
}

#[test]
fn rotations_and_scales_have_the_distribution_of_the_reference() {
    let expected = file().spatial;
    let step = step(
        "rotate_and_scale: { degrees: [-30, 30], scales: [0.7, 1.4], rotation_probability: 0.2, scale_probability: 0.2 }",
    );
    let (mut angles, mut scales) = (Vec::new(), Vec::new());
    for index in 0..DRAWS {
        let TransformParams::RotateAndScale(RotateAndScaleParams { degrees, scales: sampled }) = sampled(&step, index)
        else {
            panic!("these are the parameters of another step");
        };
        angles.extend(degrees.into_iter().flatten());
        assert!(sampled.is_none_or(|[x, y, z]| x == y && y == z));
        scales.extend(sampled.map(|scales| scales[0]));
    }
    let close = |count: usize, expected: f64| (count as f64 / DRAWS as f64 - expected).abs() < 0.01;
    assert!(close(angles.len() / 3, expected.rotated) && close(scales.len(), expected.scaled));
    compare_quantiles("degrees", angles, &expected.degrees);
    compare_quantiles("scales", scales, &expected.scales);
}

#[test]
fn the_incoming_patch_is_as_large_as_that_of_nnunet() {
    for Patch { patch, degrees, in_plane, input } in file().patches {
        let in_plane = if in_plane { "in_plane: z, " } else { "" };
        let chain =
            [step(&format!("rotate_and_scale: {{ patch: {patch:?}, {in_plane}degrees: [-{degrees}, {degrees}] }}"))];
        assert_eq!(lazy::input_shape(&chain, patch), input, "{patch:?}");
        let params = [sampled(&chain[0], 0)];
        let grid = Grid { shape: input, affine: Affine::IDENTITY };
        assert_eq!(lazy::output_grid(&chain, &params, &grid).shape, patch);
    }
}

#[test]
fn the_required_region_suffices() {
    let chain = [
        step(
            "rotate_and_scale: { patch: [8, 9, 7], degrees: [-30, 30], scales: [0.7, 1.4], rotation_probability: 0.5, scale_probability: 0.5 }",
        ),
        step("blur: { std_voxels: [0.5, 1] }"),
        step("gamma: { exponent: [0.7, 1.5], keep_mean_and_std: true }"),
        step("flip: { probabilities: [0.5, 0.5, 0.5] }"),
    ];
    let source = volume([19, 16, 18], 2);
    let incoming = Incoming { grid: source.grid, channels: 2 };
    let mut smaller = 0;
    for index in 0..40 {
        let params = sample_params(&chain, &mut rng(index), &incoming);
        let (start, shape) = lazy::required_region(&chain, &params, &source.grid);
        let block = View::new(source.clone(), &[], &[]).unwrap();
        let block = block.window(start, shape).unwrap();
        let block = Volume {
            grid: Grid { shape, affine: Affine::IDENTITY },
            image: Voxels::new(2, shape, block.image.into_owned()),
            label: block.label.map(|label| Voxels::new(1, shape, label)),
        };
        let expected = View::new(source.clone(), &chain, &params).unwrap().volume().unwrap();
        let actual = View::of_block(block, start, source.grid, &chain, &params).unwrap().volume().unwrap();
        assert_eq!((&actual.image[..], actual.grid), (&expected.image[..], expected.grid));
        assert_eq!(actual.label.unwrap()[..], expected.label.unwrap()[..]);
        smaller += usize::from(shape != source.grid.shape);
    }
    assert!(smaller > 20, "{smaller}");
}
