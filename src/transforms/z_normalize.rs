//! Zero mean, unit variance.

use super::statistics;
use super::{Intensity, Measured, Nothing, TransformError, Window};
use crate::seed::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Subtracts each volume's mean and divides by its standard deviation (with n - 1), over all voxels.
///
/// ```yaml
/// - z_normalize: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ZNormalize {}

impl Intensity for ZNormalize {
    type Draw = Nothing;

    fn draw(&self, _: &mut Rng, _: usize) -> Nothing {
        Nothing
    }

    fn measures(&self) -> bool {
        true
    }

    fn measure(&self, whole: &[f32]) -> Result<Measured, TransformError> {
        let (mean, deviation) = statistics::mean_and_deviation(whole);
        if !(deviation.is_finite() && deviation > 0.0) {
            let reason =
                format!("the standard deviation of the intensities is {deviation}, so they cannot be divided by it");
            return Err(TransformError { name: "z_normalize", reason });
        }
        Ok(Measured { mean: mean as f32, deviation: deviation as f32, ..Measured::default() })
    }

    fn apply(&self, _: &Nothing, measured: &Measured, window: &mut Window) {
        let (mean, deviation) = (measured.mean, measured.deviation);
        window.map(|v| (v - mean) / deviation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_values_by_hand() {
        let mut values = [1.0, 2.0, 3.0];
        let measured = ZNormalize {}.measure(&values).unwrap();
        ZNormalize {}.apply(&Nothing, &measured, &mut Window::of(&mut values));
        assert_eq!(values, [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_constant_volume_is_refused() {
        assert!(ZNormalize {}.measure(&[2.0; 5]).is_err());
    }
}
