//! Scans are preprocessed and predicted as by nnU-Net, from the windows to the label map on the grid of the file.
//!
//! `tests/nnunet/inference.py` writes the expected values; scans and the network are formulas that the test repeats.

use std::convert::Infallible;

use serde::Deserialize;

use engine::experiment::targets::{RegionSpec, Targets};
use engine::inference::activation::FinalActivation;
use engine::inference::blend::{Planes, importance};
use engine::inference::file_mapping::FileMapping;
use engine::inference::options::{Average, Axis, Blend, Inference, WindowConvention};
use engine::inference::sliding_window::{
    LabelMapOutput, SlidingWindow, add_probabilities, predict_label_map, predict_planes,
};
use engine::inference::tiling::Tiling;
use transforms::lazy::{self, View};
use transforms::{CropToNonzeroParams, Incoming, Transform, TransformParams};
use values::UnitFraction;
use volume::{Affine, Grid, Label, Volume, Voxels, unravel_index};

#[derive(Deserialize)]
struct File {
    starts: Vec<Starts>,
    gaussians: Vec<Gaussian>,
    predictions: Vec<Prediction>,
}

#[derive(Deserialize)]
struct Starts {
    size: usize,
    window: usize,
    overlap: f64,
    starts: Vec<usize>,
}

#[derive(Deserialize)]
struct Gaussian {
    window: [usize; 3],
    weights: Vec<f32>,
}

#[derive(Deserialize)]
struct Prediction {
    shape: [usize; 3],
    spacing: [f64; 3],
    target: [Option<f64>; 3],
    window: [usize; 3],
    /// The axes of test-time augmentation.
    mirror: String,
    /// A factor of the network of each fold.
    scales: Vec<f32>,
    masked: bool,
    /// The labels as which regions are written, if regions are predicted.
    regions: Option<Vec<Label>>,
    #[serde(rename = "box")]
    bounds: [[usize; 3]; 2],
    preprocessed: [usize; 3],
    image: Vec<f32>,
    label: Vec<Label>,
    /// The mean logits on the preprocessed grid.
    logits: Vec<f32>,
    /// The label map on the grid of the file.
    prediction: Vec<Label>,
    probabilities: Vec<f32>,
}

const CLASSES: usize = 3;

fn file() -> File {
    serde_json::from_str(include_str!("nnunet/inference.json")).unwrap()
}

/// Returns the scan of the function `scan` in the script.
fn scan(shape: [usize; 3], spacing: [f64; 3]) -> Volume {
    let voxels: usize = shape.iter().product();
    let mut image = vec![0.0; 2 * voxels];
    let mut label = vec![0; voxels];
    for voxel in 0..voxels {
        let index = unravel_index(shape, voxel);
        let [x, y, z] = index.map(|index| index as f64);
        label[voxel] = ((index[0] / 4 + index[1] / 5 + index[2] / 2) % 3) as Label;
        let outside = index[0] < 1 || index[0] + 2 >= shape[0] || index[1] < 2 || index[2] + 1 >= shape[2];
        let hole = (x - 5.0).abs() < 1.5 && (y - 7.0).abs() < 1.5 && index[2] == 2;
        if !(outside || hole) {
            let first = (0.5 * x + 0.2 * y).sin() * 60.0 + (0.9 * z - 0.3 * x).cos() * 30.0 + 80.0;
            let second = (0.45 * y - 0.15 * x).cos() * 90.0 + (0.8 * z).sin() * 40.0 + 30.0;
            (image[voxel], image[voxels + voxel]) = (first as f32, second as f32);
        }
    }
    let grid = Grid { shape, affine: Affine::scale_and_shift(spacing, [0.0; 3]) };
    Volume { grid, image: Voxels::new(2, shape, image), label: Some(Voxels::new(1, shape, label)) }
}

/// Returns the logits of the class `Network` in the script, of each fold.
fn network(windows: &[f32], count: usize, window: [usize; 3], scales: &[f32]) -> Vec<f32> {
    let voxels: usize = window.iter().product();
    let per_window = scales.len() * CLASSES * voxels;
    let mut logits = vec![0.0; count * per_window];
    for (channels, logits) in windows.chunks_exact(2 * voxels).zip(logits.chunks_exact_mut(per_window)) {
        for (scale, logits) in scales.iter().zip(logits.chunks_exact_mut(CLASSES * voxels)) {
            for voxel in 0..voxels {
                let [x, y, z] = unravel_index(window, voxel).map(|index| index as f32);
                let position = 0.05 * x + 0.03 * y - 0.02 * z;
                let (first, second) = (channels[voxel], channels[voxels + voxel]);
                logits[voxel] = scale * (0.6 * first + position);
                logits[voxels + voxel] = scale * (0.9 * second - position) + 0.1;
                logits[2 * voxels + voxel] = scale * (0.3 * first * second) - 0.2;
            }
        }
    }
    logits
}

impl Prediction {
    fn chain(&self) -> Vec<Transform> {
        let mask = if self.masked { r#""mask": {"nonzero": {}}, "outside": "unchanged","# } else { "" };
        let spacing = serde_json::to_string(&self.target).unwrap();
        let chain = format!(
            r#"[{{"crop_to_nonzero": {{}}}},
                {{"z_normalize": {{{mask} "channels": [0], "ddof": 0, "per_channel": true}}}},
                {{"foreground_normalize": {{
                    "channels": [1], "statistics": [{{"low": -60, "high": 150, "mean": 40, "std": 55}}]}}}},
                {{"resample": {{"spacing_mm": {spacing}, "interpolation": "cubic", "convention": "nnunet"}}}}]"#
        );
        serde_json::from_str(&chain).unwrap()
    }

    fn targets(&self) -> Targets {
        let name = |label: Label| (label, format!("label {label}"));
        match &self.regions {
            None => Targets::new(&[name(1), name(2)].into(), &[], None).unwrap(),
            Some(written) => {
                // Each region has its label and all later ones.
                let region = |(index, label): (usize, &Label)| {
                    (format!("region {label}"), RegionSpec { labels: written[index..].to_vec(), write: Some(*label) })
                };
                let regions: Vec<_> = written.iter().enumerate().map(region).collect();
                Targets::new(&written.iter().copied().map(name).collect(), &regions, None).unwrap()
            }
        }
    }

    fn inference(&self) -> Inference {
        let axis = |letter| match letter {
            'x' => Axis::X,
            'y' => Axis::Y,
            _ => Axis::Z,
        };
        Inference {
            overlap: UnitFraction::new(0.5).unwrap(),
            blend: Blend::Gaussian,
            mirror: self.mirror.chars().map(axis).collect(),
            convention: WindowConvention::Nnunet,
            average: Average::Logits,
            ..Inference::default()
        }
    }

    /// Returns whether two classes of a voxel are nearly equally probable, or a region nearly as probable as not.
    fn is_tie(&self, voxel: usize) -> bool {
        let mut scores: Vec<f32> =
            self.probabilities.iter().copied().skip(voxel).step_by(self.prediction.len()).collect();
        if self.regions.is_some() {
            return scores.iter().any(|probability| (probability - 0.5).abs() < 1e-3);
        }
        scores.sort_by(f32::total_cmp);
        scores[CLASSES - 1] - scores[CLASSES - 2] < 1e-3
    }
}

/// Returns the largest difference between values, as a fraction of the range of the expected ones.
fn difference(values: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(values.len(), expected.len());
    let [low, high] = expected.iter().fold([f32::MAX, f32::MIN], |[low, high], v| [low.min(*v), high.max(*v)]);
    values.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / (high - low)
}

#[test]
fn windows_are_placed_as_by_nnunet() {
    let cases = file().starts;
    assert!(cases.len() >= 12);
    for Starts { size, window, overlap, starts } in cases {
        let tiling = Tiling::evenly_spread([4, size, 3], [4, window, 3], overlap);
        let along: Vec<usize> = tiling.starts.iter().map(|start| start[1]).collect();
        assert_eq!(along, starts, "{size} {window} {overlap}");
    }
}

#[test]
fn windows_are_weighted_as_by_nnunet() {
    let cases = file().gaussians;
    assert!(cases.len() >= 5);
    for Gaussian { window, weights } in cases {
        let own = importance(window, Blend::Gaussian, WindowConvention::Nnunet);
        assert_eq!(own.len(), weights.len());
        for (own, expected) in own.iter().zip(&weights) {
            // Both are rounded to half precision; a product that is nearly between two such numbers may be rounded to either.
            assert!((own - expected).abs() <= expected * 1e-3, "{window:?}: {own} {expected}");
        }
        let differing = own.iter().zip(&weights).filter(|(own, expected)| own != expected).count();
        assert!(differing * 100 <= weights.len(), "{window:?}: {differing}");
    }
}

#[test]
fn scans_are_preprocessed_and_predicted_as_by_nnunet() {
    let cases = file().predictions;
    assert_eq!(cases.len(), 3);
    for case in cases {
        let (chain, source) = (case.chain(), scan(case.shape, case.spacing));
        let (grid, name) = (source.grid, format!("{:?}", case.target));
        let params = lazy::fixed_params(&chain, &Incoming { grid, channels: 2 });
        let params = lazy::resolve_from_volume(&chain, &params, &source).unwrap();
        assert_eq!(params[0], TransformParams::CropToNonzero(CropToNonzeroParams(Some(case.bounds))), "{name}");
        let mapping = FileMapping::new(&chain, &params, &grid);
        let preprocessed = View::new(source, &chain, &params).unwrap().volume().unwrap();
        assert_eq!(preprocessed.grid.shape, case.preprocessed, "{name}");
        let worst = difference(&preprocessed.image, &case.image);
        assert!(worst < 5e-6, "{name}: {worst}");
        assert_eq!(preprocessed.label.unwrap()[..], case.label, "{name}");

        let (targets, inference, window) = (case.targets(), case.inference(), case.window);
        let activation = if targets.has_background() { FinalActivation::Softmax } else { FinalActivation::Sigmoid };
        let sliding_window = SlidingWindow { window, classes: CLASSES, inference: &inference, activation };
        let forward = |windows: Vec<f32>, count| Ok::<_, Infallible>(network(&windows, count, window, &case.scales));
        let image = &preprocessed.image;
        let [size_x, size_y, size_z] = image.shape;
        let mut logits = vec![0.0; case.logits.len()];
        // The axes of planes are z, y and x.
        let take = |planes: &Planes| {
            assert_eq!(planes.shape, [size_z, size_y, size_x]);
            for (index, value) in planes.values.iter().enumerate() {
                let [plane, y, x] = unravel_index([0, size_y, size_x], index);
                let (z, class) = (planes.first + plane / CLASSES, plane % CLASSES);
                logits[((class * size_x + x) * size_y + y) * size_z + z] = *value;
            }
        };
        predict_planes(image, &sliding_window, forward, take).unwrap();
        // Sums are rounded to half precision in the same order, so nearly all are the same.
        let worst = difference(&logits, &case.logits);
        assert!(worst < 1e-3, "{name}: {worst}");
        let differing = logits.iter().zip(&case.logits).filter(|(a, b)| (*a - *b).abs() > 1e-5 * b.abs()).count();
        assert!(differing * 100 < logits.len(), "{name}: {differing} of {} logits differ", logits.len());

        let output = LabelMapOutput { grid: &grid, targets: &targets, postprocess: &[] };
        let map = predict_label_map(image, &mapping, &sliding_window, &output, forward).unwrap();
        let wrong: Vec<usize> = (0..map.len()).filter(|voxel| map[*voxel] != case.prediction[*voxel]).collect();
        assert!(wrong.iter().all(|voxel| case.is_tie(*voxel)), "{name}: {} voxels differ", wrong.len());
        assert!(wrong.len() * 1000 < map.len(), "{name}: {} voxels differ", wrong.len());
        let mut probabilities = vec![0.0; case.probabilities.len()];
        let has_background = targets.has_background();
        add_probabilities(image, &mapping, &sliding_window, has_background, (1.0, &mut probabilities), forward)
            .unwrap();
        let worst = difference(&probabilities, &case.probabilities);
        // nnU-Net rounds resampled logits to half precision, too.
        assert!(worst < 2e-3, "{name}: {worst}");
    }
}
