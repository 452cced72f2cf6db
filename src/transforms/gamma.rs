//! Contrast change by a random power.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use wide::f32x8;

use super::{Incoming, Intensity, Measured, Window};
use crate::seed::Rng;
use crate::value::Range;

/// Raises intensities to a random power, keeping their sign.
///
/// ```yaml
/// - gamma: { log_gamma: [-0.3, 0.3] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gamma {
    /// Natural logarithm of the exponent; 0 leaves the image as it is.
    pub log_gamma: Range,
}

impl Intensity for Gamma {
    /// The exponent of each channel.
    type Draw = Vec<f32>;

    fn draw(&self, rng: &mut Rng, incoming: &Incoming) -> Vec<f32> {
        (0..incoming.channels).map(|_| rng.uniform(self.log_gamma).exp() as f32).collect()
    }

    fn apply(&self, exponents: &Vec<f32>, _: &Measured, window: &mut Window) {
        for (channel, exponent) in exponents.iter().enumerate() {
            if *exponent != 1.0 {
                raise(window.channel_mut(channel), *exponent);
            }
        }
    }
}

/// Raises magnitudes to a power and keeps signs, eight values at a time.
fn raise(values: &mut [f32], exponent: f32) {
    // As a power of e: half the work of a power that is right to the last digit.
    let raised = |values: f32x8| (values.abs().ln() * exponent).exp().copysign(values);
    let (eights, rest) = values.as_chunks_mut();
    for eight in eights {
        *eight = raised(f32x8::new(*eight)).to_array();
    }
    let mut eight = [0.0; 8];
    eight[..rest.len()].copy_from_slice(rest);
    rest.copy_from_slice(&raised(f32x8::new(eight)).to_array()[..rest.len()]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(exponent: f32) -> [f32; 3] {
        let mut values = [-4.0, 0.0, 9.0];
        let spec = Gamma { log_gamma: Range::fixed(0.0) };
        spec.apply(&vec![exponent], &Measured::Nothing, &mut Window::of(&mut values));
        values
    }

    #[test]
    fn zero_log_gamma_changes_nothing() {
        assert_eq!(changed(0.0f32.exp()), [-4.0, 0.0, 9.0]);
    }

    #[test]
    fn a_root_keeps_the_sign() {
        let found = changed(0.5);
        assert!(found.iter().zip([-2.0, 0.0, 3.0]).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn powers_are_those_of_the_standard_library() {
        for exponent in [0.74f32, 0.9, 1.35] {
            let mut values: Vec<f32> = (1..2000).map(|i| i as f32 * 0.731 - 700.0).collect();
            let expected: Vec<f32> = values.iter().map(|v| v.signum() * v.abs().powf(exponent)).collect();
            raise(&mut values, exponent);
            let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-6 * b.abs() + 1e-6;
            assert!(values.iter().zip(&expected).all(near), "{exponent}");
        }
    }
}
