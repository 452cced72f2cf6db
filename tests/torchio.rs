//! The transforms compute what TorchIO computes: images within 1e-4 of their range, label maps voxel for voxel.
//!
//! `tests/parity/torchio_transforms.py` writes the expected values; the volumes are formulas that the test repeats.

use std::collections::BTreeMap;

use serde::Deserialize;
use transforms::lazy::{self, View};
use transforms::{Incoming, Transform, TransformParams};
use volume::{Affine, Grid, Label, Volume, Voxels};

#[derive(Deserialize)]
struct File {
    volumes: BTreeMap<String, Source>,
    cases: Vec<Case>,
    fitted: Vec<Fitted>,
}

#[derive(Deserialize)]
struct Source {
    channels: usize,
    shape: [usize; 3],
    affine: Affine,
}

#[derive(Deserialize)]
struct Case {
    volume: String,
    yaml: String,
    shape: [usize; 3],
    affine: Affine,
    image: Vec<f32>,
    label: Vec<Label>,
    /// The parameters that TorchIO was given, if the step is random.
    draws: Option<TransformParams>,
}

#[derive(Deserialize)]
struct Fitted {
    volume: String,
    /// TorchIO's landmarks of the volume.
    landmarks: Option<Vec<f64>>,
    /// Low and high cut, mean and standard deviation of a channel, by nnU-Net's formula.
    foreground: Option<[f64; 4]>,
}

/// Returns the volume of the function `subject` in the script.
fn volume(source: &Source) -> Volume {
    let count = source.channels * source.shape.iter().product::<usize>();
    let value = |i: usize| ((0.05 * i as f64).sin() * 50.0 + (0.31 * i as f64).cos() * 10.0) as f32;
    let image: Vec<f32> = (0..count).map(value).collect();
    let label = image[..count / source.channels].iter().map(|v| Label::from(*v > 0.0) + Label::from(*v > 35.0));
    Volume {
        grid: Grid { shape: source.shape, affine: source.affine },
        label: Some(Voxels::new(1, source.shape, label.collect())),
        image: Voxels::new(source.channels, source.shape, image),
    }
}

/// Returns whether a voxel's source is half-way between two voxels, where rounding errors select one.
fn is_tie(mapping: &lazy::IndexMapping, voxel: usize) -> bool {
    let [_, size_y, size_z] = mapping.shape;
    let index = [voxel / (size_y * size_z), voxel / size_z % size_y, voxel % size_z];
    let point = mapping.map.apply(index.map(|i| i as f64));
    point.iter().any(|v| ((v - v.floor()) - 0.5).abs() < 1e-6)
}

fn file() -> File {
    serde_json::from_str(&std::fs::read_to_string("tests/parity/torchio/transforms.json").unwrap()).unwrap()
}

/// Parses the chain of a case: one step, or a list of them.
fn chain(yaml: &str) -> Vec<Transform> {
    let value: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
    let steps = if value.is_array() { value } else { serde_json::json!([value]) };
    serde_json::from_value(steps).unwrap()
}

#[test]
fn every_transform_computes_what_torchio_computes() {
    let file = file();
    let mut faults = Vec::new();
    for case in &file.cases {
        let chain = chain(&case.yaml);
        let source = volume(&file.volumes[&case.volume]);
        let incoming = Incoming { grid: source.grid, channels: source.image.channels };
        let case_name = format!("{} on {}", case.yaml, case.volume);
        let params = match &case.draws {
            Some(params) => vec![params.clone()],
            None => lazy::resolve_from_volume(&chain, &lazy::fixed_params(&chain, &incoming), &source).unwrap(),
        };
        let mapping = lazy::index_mapping(&chain, &params, &source.grid);
        let result = View::new(source, &chain, &params).unwrap().volume().unwrap();
        assert_eq!(result.grid.shape, case.shape, "{case_name}");
        for (value, expected) in result.grid.affine.0.iter().flatten().zip(case.affine.0.iter().flatten()) {
            assert!(
                (value - expected).abs() < 1e-5,
                "{case_name}: {:?}, expected {:?}",
                result.grid.affine,
                case.affine
            );
        }
        let range =
            case.image.iter().fold(f32::MIN, |a, b| a.max(*b)) - case.image.iter().fold(f32::MAX, |a, b| a.min(*b));
        assert_eq!(result.image.len(), case.image.len(), "{case_name}");
        let worst = result.image.iter().zip(&case.image).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let label = result.label.unwrap();
        let label = chain[0].label_channels(&label).unwrap_or_else(|| label.to_vec());
        assert!(case.label.is_empty() || label.len() == case.label.len(), "{case_name}");
        let differs = |i: &usize| label[*i] != case.label[*i] && !is_tie(&mapping, *i);
        let wrong = (0..case.label.len()).filter(differs).count();
        if worst > 1e-4 * range || wrong > 0 {
            faults.push(format!("{case_name}: image off by {} of its range, {wrong} labels wrong", worst / range));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn fitted_statistics_are_those_of_torchio_and_nnunet() {
    let file = file();
    for case in &file.fitted {
        let name = if case.landmarks.is_some() { "histogram_standardization" } else { "foreground_normalize" };
        let step = &chain(&format!("{name}: {{}}"))[0];
        let sample = lazy::fitting_sample(step, &[], &[], volume(&file.volumes[&case.volume]), None).unwrap();
        match step.component().fit(&[sample]).unwrap() {
            TransformParams::HistogramStandardization(params) => {
                let landmarks = params.0.unwrap()[0];
                let expected = case.landmarks.as_ref().unwrap();
                let near = landmarks.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4);
                assert!(near, "{landmarks:?}, expected {expected:?}");
            }
            TransformParams::ForegroundNormalize(params) => {
                let expected = case.foreground.unwrap();
                let near = params.0.unwrap().into_iter().any(|channel| {
                    let statistics = [channel.low, channel.high, channel.mean, channel.std];
                    statistics.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3 * expected[3])
                });
                assert!(near, "{expected:?} on {}", case.volume);
            }
            other => panic!("{other:?} is not fitted"),
        }
    }
}
