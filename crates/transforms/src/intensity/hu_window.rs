//! CT windowing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::intensity::rescale_intensity::unit_interval;
use crate::{Component, Incoming, IntensityTransform, KeyProblem, NoParams, VolumeStatistics, Window};
use random::Rng;
use values::{Positive, Range, single};

/// CT windowing: clips Hounsfield units to a window and maps the window linearly to a range, as image viewers do.
///
/// The window is from `level - width / 2` to `level + width / 2`. It does not depend on the volume, so metal artefacts do
/// not affect it.
///
/// ```yaml
/// - hu_window: { level: 50, width: 400, to: [-1, 1] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HuWindow {
    /// Window level: the centre of the window in Hounsfield units, such as 50.
    #[serde(deserialize_with = "single")]
    pub level: f32,
    /// Window width in Hounsfield units, such as 400.
    pub width: Positive,
    /// Target range: the ends of the window are mapped to its ends; default `[0, 1]`.
    #[serde(default = "unit_interval")]
    pub to: Range,
}

impl Component for HuWindow {
    type Params = NoParams;

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let to = KeyProblem::new("to", "expected a range above width zero").help("give [low, high] with low < high");
        if self.to.is_fixed() { vec![to] } else { Vec::new() }
    }
}

impl IntensityTransform for HuWindow {
    fn normalizes(&self) -> bool {
        true
    }

    fn apply(&self, _: &NoParams, _: &VolumeStatistics, window: &mut Window) {
        let width = self.width.get() as f32;
        let low = self.level - width / 2.0;
        let (start, scale) = (self.to.low as f32, (self.to.high - self.to.low) as f32 / width);
        window.map(|v| (v - low).clamp(0.0, width) * scale + start);
    }

    fn limits_intensities(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_mapped_to_the_range_and_the_rest_clipped() {
        let window: HuWindow = serde_yaml::from_str("{level: 50, width: 400, to: [-1, 1]}").unwrap();
        let mut values = [-1000.0, -150.0, 50.0, 150.0, 250.0, 3000.0];
        window.apply(&NoParams, VolumeStatistics::none(), &mut Window::single_row(&mut values));
        assert_eq!(values, [-1.0, -1.0, 0.0, 0.5, 1.0, 1.0]);
    }
}
