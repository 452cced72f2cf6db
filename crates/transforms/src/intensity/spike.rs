//! Random spikes in k-space.

use std::f64::consts::TAU;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::filters::spectrum;
use crate::validation::{keys_where, require, within};
use crate::{
    Component, Incoming, IntensityTransform, KeyProblem, TransformError, VolumeStatistics, WholeVolume, Window,
};
use random::Rng;
use values::Range;
use volume::offset;

/// Adds stripes, as TorchIO's RandomSpike: single points of k-space are increased by a multiple of its largest magnitude.
/// Labels are unchanged.
///
/// A point of k-space is a wave in the image, so windows are computed independently once the largest magnitude is known;
/// that needs the whole volume.
///
/// ```yaml
/// - spike: { num_spikes: [1, 1], intensity: [1, 3] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spike {
    /// Minimum and maximum number of spikes, default `[1, 1]`.
    #[serde(default = "one")]
    pub num_spikes: [usize; 2],
    /// Range of the height of the spikes relative to the largest magnitude of k-space, default `[1, 3]`.
    #[serde(default = "one_to_three")]
    pub intensity: Range,
}

/// Maximum number of spikes.
const MAX_SPIKES: usize = 10_000;

fn one() -> [usize; 2] {
    [1, 1]
}

fn one_to_three() -> Range {
    Range { low: 1.0, high: 3.0 }
}

/// The sampled spikes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpikeParams {
    /// The position of each spike as fractions of the shifted k-space along x, y and z, with frequency 0 in the centre.
    pub positions: Vec<[f64; 3]>,
    /// Their height relative to the largest magnitude of k-space.
    pub intensity: f64,
}

/// The height of each spike in the spectrum of each channel.
struct Heights(Vec<Vec<f32>>);

impl Component for Spike {
    type Params = SpikeParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomSpike", "RandKSpaceSpikeNoise", "KSpaceSpikeNoise"]
    }

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> SpikeParams {
        let [min, max] = self.num_spikes;
        let count = min + rng.below((max - min) as u64 + 1) as usize;
        let intensity = rng.uniform(self.intensity);
        SpikeParams { positions: (0..count).map(|_| std::array::from_fn(|_| rng.unit())).collect(), intensity }
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[("num_spikes", self.num_spikes != [0, 0])])
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

    fn statistics(&self, params: &SpikeParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        let shape = whole.grid.shape;
        let channel_heights = |values| {
            let mut spectrum = spectrum::fft_3d(values, shape);
            // The largest magnitude is computed again after each spike, which may have raised it.
            let mut raise = |index: [usize; 3]| {
                let height = spectrum::peak(&spectrum) * params.intensity as f32;
                let unshifted = std::array::from_fn(|axis| spectrum::unshifted(index[axis], shape[axis]));
                spectrum[offset(shape, unshifted)] += height;
                height
            };
            params.indices(shape).map(&mut raise).collect()
        };
        Ok(VolumeStatistics::new(Heights(whole.channels().map(channel_heights).collect())))
    }

    fn apply(&self, params: &SpikeParams, statistics: &VolumeStatistics, window: &mut Window) {
        let Heights(heights) = statistics.get();
        let (volume, shape, start) = (window.grid.shape, window.shape, window.start);
        let voxels = window.grid.num_voxels() as f64;
        for (channel, heights) in heights.iter().enumerate() {
            let values = window.channel_mut(channel);
            for (index, height) in params.indices(volume).zip(heights) {
                // Cycles per voxel along each axis.
                let frequency: [f64; 3] =
                    std::array::from_fn(|axis| (index[axis] as f64 - (volume[axis] / 2) as f64) / volume[axis] as f64);
                for (row, values) in values.chunks_exact_mut(shape[2]).enumerate() {
                    let (x, y) = (start[0] + row / shape[1], start[1] + row % shape[1]);
                    let phase = frequency[0] * x as f64 + frequency[1] * y as f64;
                    for (z, value) in values.iter_mut().enumerate() {
                        let angle = TAU * (phase + frequency[2] * (start[2] + z) as f64).fract();
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
    /// Returns the indices of the spikes in the shifted spectrum of a volume.
    fn indices(&self, volume: [usize; 3]) -> impl Iterator<Item = [usize; 3]> {
        let index = move |position: &[f64; 3]| {
            std::array::from_fn(|axis| (position[axis] * volume[axis] as f64).floor() as usize)
        };
        self.positions.iter().map(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spike_at_frequency_zero_raises_all_voxels_equally() {
        let mut values = [1.0, 3.0, 2.0, 2.0];
        let spec: Spike = serde_yaml::from_str("{}").unwrap();
        let params = SpikeParams { positions: vec![[0.0, 0.0, 0.5]], intensity: 2.0 };
        let statistics = spec.statistics(&params, &WholeVolume::single_row(&values)).unwrap();
        spec.apply(&params, &statistics, &mut Window::single_row(&mut values));
        // The largest magnitude is the sum, 8; twice that over four voxels is 4 each.
        assert!(values.iter().zip([5.0, 7.0, 6.0, 6.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{values:?}");
    }

    #[test]
    fn no_spike_changes_nothing() {
        let mut values = [1.0, 3.0];
        let spec: Spike = serde_yaml::from_str("{num_spikes: [0, 0]}").unwrap();
        let params = SpikeParams { positions: Vec::new(), intensity: 2.0 };
        let statistics = spec.statistics(&params, &WholeVolume::single_row(&values)).unwrap();
        spec.apply(&params, &statistics, &mut Window::single_row(&mut values));
        assert_eq!(values, [1.0, 3.0]);
    }
}
