//! Windows are blended as in MONAI and TorchIO.
//!
//! `tests/parity/inference.py` writes the expected values; images and the network are formulas that the test repeats.

use std::convert::Infallible;

use engine::inference::activation::FinalActivation;
use engine::inference::blend::Planes;
use engine::inference::options::{Blend, Inference};
use engine::inference::sliding_window::{SlidingWindow, predict_planes};
use serde::Deserialize;
use values::UnitFraction;
use volume::Voxels;

const WINDOW: [usize; 3] = [8, 12, 16];

#[derive(Deserialize)]
struct File {
    data: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    reference: String,
    shape: [usize; 3],
    overlap: f64,
    blend: Blend,
    values: Vec<f32>,
}

/// Returns `sin(0.37 (i + 1))` at each voxel, as the function `image` in the script.
fn image(shape: [usize; 3]) -> Voxels<f32> {
    let count: usize = shape.iter().product();
    Voxels::new(1, shape, (0..count).map(|i| (0.37 * (i as f64 + 1.0)).sin() as f32).collect())
}

/// Returns logits of two classes that depend on the position in the window, as the function `network` in the script.
fn network(windows: Vec<f32>) -> Vec<f32> {
    let [size_x, size_y, size_z] = WINDOW;
    let position = |voxel: usize| {
        let [x, y, z] = [voxel / (size_y * size_z), voxel / size_z % size_y, voxel % size_z].map(|i| i as f32);
        x * 0.05 + y * 0.03 - z * 0.02
    };
    let logits = |window: &[f32]| {
        let first = window.iter().enumerate().map(|(voxel, value)| value + position(voxel));
        let second = window.iter().enumerate().map(|(voxel, value)| value * 0.5 - position(voxel));
        first.chain(second).collect::<Vec<f32>>()
    };
    windows.chunks(size_x * size_y * size_z).flat_map(logits).collect()
}

#[test]
fn overlapping_windows_are_blended_as_in_the_references() {
    let text = std::fs::read_to_string("tests/parity/inference/windows.json").unwrap();
    let cases = serde_json::from_str::<File>(&text).unwrap().data;
    assert!(cases.len() >= 20);
    for case in cases {
        let inference =
            Inference { overlap: UnitFraction::new(case.overlap).unwrap(), blend: case.blend, ..Inference::default() };
        let sliding_window =
            SlidingWindow { window: WINDOW, classes: 2, inference: &inference, activation: FinalActivation::None };
        let plane = case.shape[1] * case.shape[2];
        let mut values = vec![0.0; case.values.len()];
        let take = |planes: &Planes| {
            for (index, chunk) in planes.values.chunks_exact(plane).enumerate() {
                let (x, class) = (planes.first + index / 2, index % 2);
                values[(class * case.shape[0] + x) * plane..][..plane].copy_from_slice(chunk);
            }
        };
        predict_planes(&image(case.shape), &sliding_window, |windows, _| Ok::<_, Infallible>(network(windows)), take)
            .unwrap();
        let worst = values.iter().zip(&case.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-5, "{} {:?} {:?}: {worst}", case.reference, case.shape, case.blend);
    }
}
