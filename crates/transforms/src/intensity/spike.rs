//! Stripes from spikes in k-space, as in MR.

use std::f64::consts::TAU;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filters::spectrum;
use crate::validation::{random, require, within};
use crate::{
    Component, Incoming, IntensityTransform, KeyProblem, TransformError, VolumeStatistics, WholeVolume, Window,
};
use random::Rng;
use values::Range;
use volume::offset;

/// Adds stripes, as TorchIO's RandomSpike: single points of k-space are raised by a multiple of its largest magnitude.
///
/// A point of k-space is a wave in the image, so windows are computed alone once the largest magnitude is known; that
/// takes the whole volume.
///
/// ```yaml
/// - spike: { num_spikes: [1, 1], intensity: [1, 3] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spike {
    /// The fewest and the most spikes.
    #[serde(default = "one")]
    pub num_spikes: [usize; 2],
    /// The height of the spikes over the largest magnitude of the spectrum.
    #[serde(default = "one_to_three")]
    pub intensity: Range,
}

/// More spikes leave nothing of the image.
const MAX_SPIKES: usize = 10_000;

fn one() -> [usize; 2] {
    [1, 1]
}

fn one_to_three() -> Range {
    Range { low: 1.0, high: 3.0 }
}

/// What one set of spikes drew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpikeParams {
    /// Where in k-space each spike stands, as shares of its extent along x, y and z, frequency 0 in the middle.
    pub positions: Vec<[f64; 3]>,
    /// Their height over the largest magnitude of the spectrum.
    pub intensity: f64,
}

/// The height of each spike in the spectrum of each channel.
struct Heights(Vec<Vec<f32>>);

impl Component for Spike {
    type Params = SpikeParams;

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> SpikeParams {
        let [fewest, most] = self.num_spikes;
        let count = fewest + rng.below((most - fewest) as u64 + 1) as usize;
        let intensity = rng.uniform(self.intensity);
        SpikeParams { positions: (0..count).map(|_| std::array::from_fn(|_| rng.unit())).collect(), intensity }
    }

    fn random_keys(&self) -> Vec<&'static str> {
        random(&[("num_spikes", self.num_spikes != [0, 0])])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let [min, max] = self.num_spikes;
        let problems = [
            require(max <= MAX_SPIKES, "num_spikes", || format!("expected at most {MAX_SPIKES} spikes, got {max}")),
            require(min <= max, "num_spikes", || format!("expected [min, max] with min <= max, got [{min}, {max}]")),
        ];
        problems.into_iter().flatten().collect()
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        // A fraction of 1 would be one index after the last.
        within("positions", params.positions.as_flattened(), [0.0, 1.0f64.next_down()])
    }
}

impl IntensityTransform for Spike {
    fn needs_statistics(&self) -> bool {
        true
    }

    fn statistics(&self, draw: &SpikeParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        let shape = whole.grid.shape;
        let of_channel = |values| {
            let mut spectrum = spectrum::of_volume(values, shape);
            // The largest magnitude is looked for again after each spike, which may be it then.
            let mut raise = |place: [usize; 3]| {
                let height = spectrum::peak(&spectrum) * draw.intensity as f32;
                let index = std::array::from_fn(|axis| spectrum::unshifted(place[axis], shape[axis]));
                spectrum[offset(shape, index)] += height;
                height
            };
            draw.places(shape).map(&mut raise).collect()
        };
        Ok(VolumeStatistics::new(Heights(whole.channels().map(of_channel).collect())))
    }

    fn apply(&self, draw: &SpikeParams, measured: &VolumeStatistics, window: &mut Window) {
        let Heights(heights) = measured.get();
        let (volume, shape, start) = (window.grid.shape, window.shape, window.start);
        let voxels = window.grid.num_voxels() as f64;
        for (channel, heights) in heights.iter().enumerate() {
            let values = window.channel_mut(channel);
            for (place, height) in draw.places(volume).zip(heights) {
                // Turns per voxel along each axis.
                let turns: [f64; 3] =
                    std::array::from_fn(|axis| (place[axis] as f64 - (volume[axis] / 2) as f64) / volume[axis] as f64);
                for (row, values) in values.chunks_exact_mut(shape[2]).enumerate() {
                    let (x, y) = (start[0] + row / shape[1], start[1] + row % shape[1]);
                    let turned = turns[0] * x as f64 + turns[1] * y as f64;
                    for (z, value) in values.iter_mut().enumerate() {
                        let angle = TAU * (turned + turns[2] * (start[2] + z) as f64).fract();
                        *value += (f64::from(*height) / voxels * angle.cos()) as f32;
                    }
                }
            }
        }
    }

    fn needs_whole_volume(&self) -> bool {
        true
    }
}

impl SpikeParams {
    /// Where the spikes stand in the shifted spectrum of a volume.
    fn places(&self, volume: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
        let place = move |position: &[f64; 3]| {
            std::array::from_fn(|axis| (position[axis] * volume[axis] as f64).floor() as usize)
        };
        self.positions.iter().map(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_in_the_middle_raises_every_voxel_alike() {
        let mut values = [1.0, 3.0, 2.0, 2.0];
        let spec: Spike = serde_yaml::from_str("{}").unwrap();
        let draw = SpikeParams { positions: vec![[0.0, 0.0, 0.5]], intensity: 2.0 };
        let measured = spec.statistics(&draw, &WholeVolume::of(&values)).unwrap();
        spec.apply(&draw, &measured, &mut Window::of(&mut values));
        // The largest magnitude is the sum, 8; twice that over four voxels is 4 each.
        assert!(values.iter().zip([5.0, 7.0, 6.0, 6.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{values:?}");
    }

    #[test]
    fn no_spike_changes_nothing() {
        let mut values = [1.0, 3.0];
        let spec: Spike = serde_yaml::from_str("{num_spikes: [0, 0]}").unwrap();
        let draw = SpikeParams { positions: Vec::new(), intensity: 2.0 };
        let measured = spec.statistics(&draw, &WholeVolume::of(&values)).unwrap();
        spec.apply(&draw, &measured, &mut Window::of(&mut values));
        assert_eq!(values, [1.0, 3.0]);
    }
}
