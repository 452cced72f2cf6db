//! A patient who moves during the scan, as in MR.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filters::spectrum::{self, unshifted};
use crate::spatial::affine::rotation;
use crate::validation::{require, same_count, within};
use crate::{Component, ITSELF, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::Range;
use volume::{self, Grid};

/// Mixes moved copies of the image in k-space, as TorchIO's RandomMotion, after Shaw et al. 2019. Labels stay.
///
/// Copies are interpolated linearly; as in TorchIO, they turn about the origin of the world.
///
/// ```yaml
/// - motion: { degrees: [-10, 10], translation_mm: [-10, 10], num_transforms: 2 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Motion {
    /// Angles of each movement about each axis.
    #[serde(default = "ten")]
    pub degrees: Range,
    /// Shifts of each movement along each axis in millimetres.
    #[serde(default = "ten")]
    pub translation_mm: Range,
    /// How often the patient moves.
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
    /// When each movement happens, as a share of the scan.
    pub times: Vec<f64>,
    /// Angles about x, y and z after each movement, in LPS as TorchIO's and ITK's.
    pub degrees: Vec<[f64; 3]>,
    /// Shifts along x, y and z after each movement, in LPS.
    pub translation_mm: Vec<[f64; 3]>,
}

/// How far a movement's time lies from an even one, at most, as a share of the time between two.
const PERTURBATION: f64 = 0.3;

impl Component for Motion {
    type Params = MotionParams;

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> MotionParams {
        let count = self.num_transforms.get();
        let is_flat = incoming.grid.shape[2] == 1;
        let step = 1.0 / (count + 1) as f64;
        let mut three = |range: Range, within: [bool; 3]| -> [f64; 3] {
            let drawn: [f64; 3] = std::array::from_fn(|_| rng.uniform(range));
            std::array::from_fn(|axis| if is_flat && !within[axis] { 0.0 } else { drawn[axis] })
        };
        // A single slice turns about z and moves in its plane.
        let degrees = (0..count).map(|_| three(self.degrees, [false, false, true])).collect();
        let translation_mm = (0..count).map(|_| three(self.translation_mm, [true, true, false])).collect();
        let noise = Range { low: -step * PERTURBATION, high: step * PERTURBATION };
        let times = (1..=count).map(|index| index as f64 * step + rng.uniform(noise)).collect();
        MotionParams { times, degrees, translation_mm }
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

    fn copies(&self, draw: &MotionParams, grid: &Grid) -> Vec<volume::Affine> {
        let to_lps = volume::Affine::scale_and_shift([-1.0, -1.0, 1.0], [0.0; 3]);
        let to_voxels = grid.affine.inverse().expect("the affine of a grid can be undone");
        let of_movement = |(degrees, translation): (&[f64; 3], &[f64; 3])| {
            let rigid = volume::Affine::from_parts(rotation(*degrees), *translation);
            to_voxels.after(&to_lps).after(&rigid).after(&to_lps).after(&grid.affine)
        };
        draw.degrees.iter().zip(&draw.translation_mm).map(of_movement).collect()
    }

    fn apply(&self, draw: &MotionParams, _: &VolumeStatistics, window: &mut Window) {
        let shape = window.shape;
        let length = shape[2];
        // Which copy each plane of the shifted spectrum along z comes from; 0 is the image itself.
        let mut order: Vec<usize> = (0..=draw.times.len()).collect();
        // The image fills the centre of k-space.
        let central = draw.times.iter().position(|time| *time > 0.5).unwrap_or(order.len() - 1);
        order.swap(0, central);
        let ends = draw.times.iter().map(|time| (length as f64 * time) as usize).chain([length]);
        let mut source = vec![0; length];
        let mut first = 0;
        for (copy, end) in order.into_iter().zip(ends) {
            for place in first..end {
                source[unshifted(place, length)] = copy;
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
                for place in 0..length {
                    if source[place] == copy {
                        mixed[place] = spectrum[place];
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

/// Each movement takes a copy of the volume.
const MAX_MOVEMENTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};

    #[test]
    fn copies_that_did_not_move_leave_the_image() {
        let mut values = [1.0, 4.0, 2.0, 8.0, 5.0];
        let spec: Motion = serde_yaml::from_str("{}").unwrap();
        let draw =
            MotionParams { times: vec![0.3, 0.7], degrees: vec![[0.0; 3]; 2], translation_mm: vec![[0.0; 3]; 2] };
        let moved = vec![values.to_vec(); 2];
        let mut window = Window { moved, ..Window::of(&mut values) };
        spec.apply(&draw, VolumeStatistics::none(), &mut window);
        assert!(values.iter().zip([1.0, 4.0, 2.0, 8.0, 5.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{values:?}");
    }

    #[test]
    fn movements_come_in_order() {
        let spec: Motion = serde_yaml::from_str("num_transforms: 5").unwrap();
        let grid = Grid { shape: [4, 5, 1], affine: volume::Affine::IDENTITY };
        let draw = spec.sample_params(&mut Seed(0).stream(Purpose::Augment, 0, "", 0), &Incoming { grid, channels: 1 });
        assert!(draw.times.is_sorted() && draw.times.len() == 5);
        assert!(draw.degrees.iter().all(|[x, y, z]| *x == 0.0 && *y == 0.0 && *z != 0.0));
    }
}
