//! Random multiplicative brightness.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels::{certain, scales_channels};
use crate::{IntensityTransform, VolumeStatistics, Window};
use values::{Probability, Range};

/// Multiplies each channel by a random factor, like nnU-Net's MultiplicativeBrightnessTransform.
///
/// ```yaml
/// - brightness: { factor: [0.75, 1.25] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Brightness {
    /// Range of the factor, such as `[0.75, 1.25]`. If it contains 1, half of the factors are sampled uniformly below 1 and half
    /// above 1.
    pub factor: Range,
    /// Probability that a channel is changed, default 1; each channel has its own factor.
    #[serde(default = "certain")]
    pub channel_probability: Probability,
}

scales_channels!(
    Brightness,
    BrightnessParams,
    ["MultiplicativeBrightnessTransform", "BrightnessMultiplicativeTransform", "RandScaleIntensity"]
);

impl IntensityTransform for Brightness {
    fn is_identity(&self, params: &BrightnessParams) -> bool {
        params.0.iter().all(Option::is_none)
    }

    fn apply(&self, params: &BrightnessParams, _: &VolumeStatistics, window: &mut Window) {
        for (channel, factor) in params.0.iter().enumerate() {
            if let Some(factor) = factor {
                let factor = *factor as f32;
                window.map_channel(channel, |value| value * factor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Component, Incoming};
    use random::{Purpose, Seed};
    use volume::{Affine, Grid};

    #[test]
    fn each_channel_has_its_own_factor() {
        let mut values = [1.0, -2.0, 3.0, 4.0];
        let spec: Brightness = serde_yaml::from_str("factor: [0.75, 1.25]").unwrap();
        let grid = Grid { shape: [1, 1, 2], affine: Affine::IDENTITY };
        let mut window = Window::new(&mut values, 2, grid, ([0; 3], [1, 1, 2]));
        spec.apply(&BrightnessParams(vec![Some(0.5), None]), VolumeStatistics::none(), &mut window);
        assert_eq!(values, [0.5, -1.0, 3.0, 4.0]);
    }

    #[test]
    fn a_factor_below_0_is_a_problem() {
        let spec: Brightness = serde_yaml::from_str("factor: [-0.5, 1.25]").unwrap();
        assert_eq!(spec.validate()[0].message, "expected factors from 0 to 1000000, got [-0.5, 1.25]");
    }

    #[test]
    fn factors_are_sampled_for_each_channel() {
        let spec: Brightness = serde_yaml::from_str("{factor: [0.75, 1.25], channel_probability: 0.5}").unwrap();
        let incoming = Incoming { grid: Grid { shape: [1; 3], affine: Affine::IDENTITY }, channels: 2000 };
        let params = spec.sample_params(&mut Seed(0).stream(Purpose::Augment, 0, "", 0), &incoming);
        let factors: Vec<f64> = params.0.iter().flatten().copied().collect();
        assert!((factors.len() as f64 / 2000.0 - 0.5).abs() < 0.05);
        let below = factors.iter().filter(|factor| **factor < 1.0).count() as f64 / factors.len() as f64;
        assert!((below - 0.5).abs() < 0.06 && factors.iter().all(|factor| (0.75..=1.25).contains(factor)), "{below}");
        assert_eq!(spec.validate_params(&params, &incoming), Ok(()));
    }
}
