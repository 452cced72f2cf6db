//! Random motion artefacts of MR.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filters::spectrum::{self, unshifted};
use crate::spatial::affine::rotation;
use crate::validation::{require, same_count, within};
use crate::{Component, ITSELF, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::Range;
use volume::{self, Grid};

/// Simulates a patient who moves during an MR scan, as TorchIO's RandomMotion after Shaw et al. 2019: moved copies of the
/// image are mixed in k-space. Labels are unchanged.
///
/// Copies are interpolated linearly and, as in TorchIO, rotated about the origin of world coordinates.
///
/// ```yaml
/// - motion: { degrees: [-10, 10], translation_mm: [-10, 10], num_transforms: 2 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Motion {
    /// Range of the rotation of each movement about each axis in degrees, default `[-10, 10]`.
    #[serde(default = "ten")]
    pub degrees: Range,
    /// Range of the translation of each movement along each axis in millimetres, default `[-10, 10]`.
    #[serde(default = "ten")]
    pub translation_mm: Range,
    /// Number of movements, from 1 to 100, default 2.
    #[serde(default = "two")]
    #[schemars(range(min = 1))]
    pub num_transforms: std::num::NonZeroUsize,
}

fn ten() -> Range {
    Range { low: -10.0, high: 10.0 }
}

fn two() -> std::num::NonZeroUsize {
    std::num::NonZeroUsize::new(2).expect("2 is not 0")
}

/// The movements of a patient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MotionParams {
    /// The time of each movement as a fraction of the scan.
    pub times: Vec<f64>,
    /// Rotation angles about x, y and z after each movement in degrees, in LPS as in TorchIO and ITK.
    pub degrees: Vec<[f64; 3]>,
    /// Translation along x, y and z after each movement in millimetres, in LPS.
    pub translation_mm: Vec<[f64; 3]>,
}

/// Maximum deviation of the times of movements from even spacing, as a fraction of the spacing.
const PERTURBATION: f64 = 0.3;

impl Component for Motion {
    type Params = MotionParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomMotion"]
    }

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> MotionParams {
        let count = self.num_transforms.get();
        let is_flat = incoming.grid.shape[2] == 1;
        let step = 1.0 / (count + 1) as f64;
        let mut three = |range: Range, within: [bool; 3]| -> [f64; 3] {
            let sampled: [f64; 3] = std::array::from_fn(|_| rng.uniform(range));
            std::array::from_fn(|axis| if is_flat && !within[axis] { 0.0 } else { sampled[axis] })
        };
        // A single slice is rotated about z and translated in its plane.
        let degrees = (0..count).map(|_| three(self.degrees, [false, false, true])).collect();
        let translation_mm = (0..count).map(|_| three(self.translation_mm, [true, true, false])).collect();
        let noise = Range { low: -step * PERTURBATION, high: step * PERTURBATION };
        let times = (1..=count).map(|index| index as f64 * step + rng.uniform(noise)).collect();
        MotionParams { times, degrees, translation_mm }
    }

    fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
        &[("degrees", 0.0), ("translation_mm", 0.0)]
    }

    fn random_keys(&self) -> Vec<&'static str> {
        vec![ITSELF]
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let count = self.num_transforms.get();
        let message = || format!("expected at most {MAX_MOVEMENTS} movements, got {count}");
        require(count <= MAX_MOVEMENTS, "num_transforms", message).into_iter().collect()
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        same_count("degrees", params.degrees.len(), params.times.len())?;
        same_count("translation_mm", params.translation_mm.len(), params.times.len())?;
        within("times", &params.times, [0.0, 1.0])
    }
}

impl IntensityTransform for Motion {
    fn halo(&self, _: &MotionParams, _: &Grid) -> [usize; 3] {
        [usize::MAX; 3]
    }

    fn copies(&self, params: &MotionParams, grid: &Grid) -> Vec<volume::Affine> {
        let to_lps = volume::Affine::scale_and_shift([-1.0, -1.0, 1.0], [0.0; 3]);
        let to_voxels = grid.affine.inverse().expect("the affine of a grid is invertible");
        let map = |(degrees, translation): (&[f64; 3], &[f64; 3])| {
            let rigid = volume::Affine::from_parts(rotation(*degrees), *translation);
            to_voxels.after(&to_lps).after(&rigid).after(&to_lps).after(&grid.affine)
        };
        params.degrees.iter().zip(&params.translation_mm).map(map).collect()
    }

    fn apply(&self, params: &MotionParams, _: &VolumeStatistics, window: &mut Window) {
        let shape = window.shape;
        let length = shape[2];
        // The copy that each plane of the shifted spectrum along z comes from; 0 is the image itself.
        let mut order: Vec<usize> = (0..=params.times.len()).collect();
        // The image fills the centre of k-space.
        let central = params.times.iter().position(|time| *time > 0.5).unwrap_or(order.len() - 1);
        order.swap(0, central);
        let ends = params.times.iter().map(|time| (length as f64 * time) as usize).chain([length]);
        let mut source = vec![0; length];
        let mut first = 0;
        for (copy, end) in order.into_iter().zip(ends) {
            for plane in first..end {
                source[unshifted(plane, length)] = copy;
            }
            first = end;
        }
        let moved = std::mem::take(&mut window.moved);
        let mut transform = spectrum::Line::new(length);
        let mut mixed = vec![Default::default(); length];
        for (row, values) in window.image.chunks_exact_mut(length).enumerate() {
            for copy in 0..=moved.len() {
                let line = match copy {
                    0 => &*values,
                    copy => &moved[copy - 1][row * length..(row + 1) * length],
                };
                let spectrum = transform.spectrum(line);
                for plane in 0..length {
                    if source[plane] == copy {
                        mixed[plane] = spectrum[plane];
                    }
                }
            }
            transform.spectrum(values).copy_from_slice(&mixed);
            transform.restore(values);
        }
    }

    fn needs_whole_volume(&self) -> bool {
        true
    }
}

/// Maximum number of movements; each needs a copy of the volume.
const MAX_MOVEMENTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};

    #[test]
    fn copies_without_motion_leave_the_image_unchanged() {
        let mut values = [1.0, 4.0, 2.0, 8.0, 5.0];
        let spec: Motion = serde_yaml::from_str("{}").unwrap();
        let params =
            MotionParams { times: vec![0.3, 0.7], degrees: vec![[0.0; 3]; 2], translation_mm: vec![[0.0; 3]; 2] };
        let moved = vec![values.to_vec(); 2];
        let mut window = Window { moved, ..Window::single_row(&mut values) };
        spec.apply(&params, VolumeStatistics::none(), &mut window);
        assert!(values.iter().zip([1.0, 4.0, 2.0, 8.0, 5.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{values:?}");
    }

    #[test]
    fn movements_are_in_order() {
        let spec: Motion = serde_yaml::from_str("num_transforms: 5").unwrap();
        let grid = Grid { shape: [4, 5, 1], affine: volume::Affine::IDENTITY };
        let params =
            spec.sample_params(&mut Seed(0).stream(Purpose::Augment, 0, "", 0), &Incoming { grid, channels: 1 });
        assert!(params.times.is_sorted() && params.times.len() == 5);
        assert!(params.degrees.iter().all(|[x, y, z]| *x == 0.0 && *y == 0.0 && *z != 0.0));
    }
}
