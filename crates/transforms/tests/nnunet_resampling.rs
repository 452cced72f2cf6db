//! Images, label maps and logits are resampled as by nnU-Net, and volumes cropped and normalized with a mask alike.
//!
//! `tests/nnunet/resampling.py` writes the expected values; the volumes are formulas that the test repeats.

use serde::Deserialize;

use transforms::lazy::{self, View};
use transforms::{Incoming, Transform, TransformParams};
use volume::{Affine, Grid, Label, Volume, Voxels, unravel_index};

#[derive(Deserialize)]
struct File {
    resampling: Vec<Resampling>,
    masked: Vec<Masked>,
    background: Vec<Background>,
}

#[derive(Deserialize)]
struct Resampling {
    step: String,
    shape: [usize; 3],
    spacing: [f64; 3],
    channels: usize,
    to: [usize; 3],
    image: Vec<f32>,
    label: Vec<Label>,
    /// The volume of two channels on the new grid, resampled to the old shape.
    logits: Vec<f32>,
}

#[derive(Deserialize)]
struct Masked {
    chain: String,
    shape: [usize; 3],
    channels: usize,
    #[serde(rename = "box")]
    bounds: [[usize; 3]; 2],
    image: Vec<f32>,
}

/// A label map after a crop and a resampling, -1 in the background.
#[derive(Deserialize)]
struct Background {
    chain: String,
    shape: [usize; 3],
    spacing: [f64; 3],
    label: Vec<i32>,
}

fn file() -> File {
    serde_json::from_str(include_str!("nnunet/resampling.json")).unwrap()
}

fn parsed<T: serde::de::DeserializeOwned>(yaml: &str) -> T {
    let value: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
    serde_json::from_value(value).unwrap()
}

/// Returns the volume of the functions `image` and `labels` in the script.
fn volume(shape: [usize; 3], spacing: [f64; 3], channels: usize) -> Volume {
    let voxels: usize = shape.iter().product();
    let value = |i: usize| ((0.05 * i as f64).sin() * 50.0 + (0.31 * i as f64).cos() * 10.0) as f32;
    let label = |i: usize| {
        let [x, y, z] = unravel_index(shape, i);
        ((x / 3 + 2 * (y / 3) + z / 2) % 4) as Label
    };
    Volume {
        grid: Grid { shape, affine: Affine::scale_and_shift(spacing, [0.0; 3]) },
        image: Voxels::new(channels, shape, (0..channels * voxels).map(value).collect()),
        label: Some(Voxels::new(1, shape, (0..voxels).map(label).collect())),
    }
}

/// Returns the volume of the function `island` in the script.
fn island(shape: [usize; 3], channels: usize) -> Volume {
    let mut volume = volume(shape, [1.0; 3], channels);
    let mut values = volume.image.to_vec();
    for (i, value) in values.iter_mut().enumerate() {
        let voxels: usize = shape.iter().product();
        let [x, y, z] = unravel_index(shape, i % voxels);
        let outside = x < 2 || y >= shape[1] - 3 || z < 1;
        let hole = (4..6).contains(&x) && (3..5).contains(&y) && (3..5).contains(&z);
        let notch = x >= shape[0] - 3 && y < 2 && z >= shape[2] - 2;
        let only_first = i < voxels && x == 3 && y == 1;
        *value = if outside || hole || notch || only_first { 0.0 } else { *value + 100.0 };
    }
    volume.image = Voxels::new(channels, shape, values);
    volume
}

/// Returns the volume of the functions `ball` and `labels` in the script.
fn ball(shape: [usize; 3], spacing: [f64; 3]) -> Volume {
    let mut volume = volume(shape, spacing, 1);
    let mut values = volume.image.to_vec();
    for (i, value) in values.iter_mut().enumerate() {
        let voxel = unravel_index(shape, i);
        let along = |axis: usize| (2 * voxel[axis] as i64 - shape[axis] as i64 + 1) as f64 / shape[axis] as f64;
        let radius: f64 = (0..3).map(|axis| along(axis).powi(2)).sum();
        *value = if radius > 0.7 { 0.0 } else { *value + 100.0 };
    }
    volume.image = Voxels::new(1, shape, values);
    volume
}

/// Returns the largest difference between values, as a fraction of the range of the expected ones.
fn difference(values: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(values.len(), expected.len());
    let [low, high] = expected.iter().fold([f32::MAX, f32::MIN], |[low, high], v| [low.min(*v), high.max(*v)]);
    values.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / (high - low)
}

#[test]
fn images_label_maps_and_logits_are_resampled_as_by_nnunet() {
    let cases = file().resampling;
    assert!(cases.len() >= 29);
    let (mut faults, mut separate) = (Vec::new(), 0);
    for Resampling { step, shape, spacing, channels, to, image, label, logits } in cases {
        let chain: [Transform; 1] = [parsed(&step)];
        assert_eq!(chain[0].component().validate(), [], "{step}");
        let source = volume(shape, spacing, channels);
        let params = lazy::fixed_params(&chain, &Incoming { grid: source.grid, channels });
        let round_trip = chain[0].component().zoom(&source.grid).unwrap();
        separate += usize::from(round_trip.forward.separate_axis.is_some());
        let result = View::new(source, &chain, &params).unwrap().volume().unwrap();
        assert_eq!((result.grid.shape, result.image.shape, result.image.channels), (to, to, channels), "{step}");
        // The field of view stays the same.
        let corner = result.grid.affine.apply([-0.5; 3]);
        assert!((0..3).all(|axis| (corner[axis] + 0.5 * spacing[axis]).abs() < 1e-9), "{step}: {corner:?}");
        let back = round_trip.back.image(volume(to, spacing, 2).image);
        let worst = [difference(&result.image, &image), difference(&back, &logits)];
        let wrong = result.label.unwrap().iter().zip(&label).filter(|(a, b)| a != b).count();
        if worst[0] > 2e-6 || worst[1] > 1e-6 || wrong > 0 {
            faults.push(format!("{step} of {shape:?} by {spacing:?}: {worst:?} of the range, {wrong} labels"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(separate >= 12, "{separate}");
}

#[test]
fn zeros_are_cropped_and_normalization_is_masked_as_by_nnunet() {
    let cases = file().masked;
    assert_eq!(cases.len(), 4);
    for Masked { chain: yaml, shape, channels, bounds, image } in cases {
        let chain: Vec<Transform> = parsed(&yaml);
        let source = island(shape, channels);
        let params = lazy::fixed_params(&chain, &Incoming { grid: source.grid, channels });
        let params = lazy::resolve_from_volume(&chain, &params, &source).unwrap();
        assert_eq!(params[0], TransformParams::CropToNonzero(transforms::CropToNonzeroParams(Some(bounds))), "{yaml}");
        let result = View::new(source, &chain, &params).unwrap().volume().unwrap();
        assert_eq!(result.grid.affine.origin(), bounds[0].map(|index| index as f64));
        let worst = difference(&result.image, &image);
        assert!(worst < 2e-6, "{yaml} of {shape:?}: {worst}");
        let zeros = |values: &[f32]| values.iter().map(|value| *value == 0.0).collect::<Vec<bool>>();
        assert_eq!(zeros(&result.image), zeros(&image), "what is outside the mask stays 0");
    }
}

#[test]
fn the_background_is_resampled_as_by_nnunet() {
    let cases = file().background;
    assert_eq!(cases.len(), 5);
    for Background { chain: yaml, shape, spacing, label } in cases {
        let chain: Vec<Transform> = parsed(&yaml);
        let mut source = ball(shape, spacing);
        let labels = source.label.unwrap();
        let labels = labels.iter().map(|label| if *label == 3 { 0 } else { *label }).collect();
        source.label = Some(Voxels::new(1, shape, labels));
        let params = lazy::fixed_params(&chain, &Incoming { grid: source.grid, channels: 1 });
        let params = lazy::resolve_from_volume(&chain, &params, &source).unwrap();
        let (result, map) = lazy::volume_and_background(source, &chain, &params).unwrap();
        let labels = result.label.unwrap();
        let own = map
            .iter()
            .zip(labels.iter())
            .map(|(is_inside, label)| if *is_inside == 0.0 { -1 } else { i32::from(*label) });
        assert_eq!(own.collect::<Vec<_>>(), label, "{yaml}");
        // Voxels of each kind were compared, also those that have a label outside the mask.
        assert!((-1..=2).all(|kind| label.iter().filter(|label| **label == kind).count() >= 14), "{yaml}");
    }
}

#[test]
fn the_label_that_marks_the_background_is_reserved() {
    let chain: Vec<Transform> = parsed("[{ crop_to_nonzero: {} }]");
    let mut source = island([10, 11, 9], 1);
    source.label = Some(Voxels::new(1, source.grid.shape, vec![lazy::BACKGROUND; 990]));
    let params = lazy::fixed_params(&chain, &Incoming { grid: source.grid, channels: 1 });
    let error = lazy::volume_and_background(source, &chain, &params).unwrap_err().to_string();
    assert!(error.starts_with("mask_background: label 65535 is reserved"), "{error}");
}
