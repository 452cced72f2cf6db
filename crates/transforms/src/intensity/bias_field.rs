//! Random bias field, as of MR coils.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation::{keys_where, require, same_count};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::Range;

/// Multiplies the image by a smooth random field, the exponential of a polynomial of the position, as TorchIO's
/// RandomBiasField.
///
/// Positions are from -1 to 1 along each axis of the volume; all channels have the same field.
///
/// ```yaml
/// - bias_field: { coefficients: [-0.5, 0.5], order: 3 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BiasField {
    /// Range of the coefficients of the polynomial, default `[-0.5, 0.5]`.
    #[serde(default = "half")]
    pub coefficients: Range,
    /// Order of the polynomial, from 0 to 8, default 3.
    #[serde(default = "third")]
    #[schemars(range(max = 8))]
    pub order: u8,
}

/// Maximum order of the polynomial; higher orders are not smooth.
const MAX_ORDER: u8 = 8;

fn half() -> Range {
    Range { low: -0.5, high: 0.5 }
}

fn third() -> u8 {
    3
}

/// The sampled coefficients of `x^i y^j z^k` with i + j + k up to the order, k fastest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BiasFieldParams(pub Vec<f64>);

impl Component for BiasField {
    type Params = BiasFieldParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomBiasField", "RandBiasField"]
    }

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> BiasFieldParams {
        BiasFieldParams(exponents(self.order).map(|_| rng.uniform(self.coefficients)).collect())
    }

    fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
        &[("coefficients", 0.0)]
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[("coefficients", !self.coefficients.is_fixed())])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let message = || format!("expected an order up to {MAX_ORDER}, got {}", self.order);
        require(self.order <= MAX_ORDER, "order", message).into_iter().collect()
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        same_count("coefficients", params.0.len(), exponents(self.order).count())
    }
}

impl IntensityTransform for BiasField {
    fn apply(&self, params: &BiasFieldParams, _: &VolumeStatistics, window: &mut Window) {
        let volume = window.grid.shape;
        let position = |axis: usize, index: usize| {
            let half = (volume[axis] as f64 - 1.0) / 2.0;
            if half > 0.0 { (index as f64 - half) / half } else { index as f64 - half }
        };
        let mut along_z = vec![0.0; usize::from(self.order) + 1];
        window.for_each_row_at(|[x, y, z], row| {
            let (x, y) = (position(0, x), position(1, y));
            along_z.fill(0.0);
            for ([i, j, k], coefficient) in exponents(self.order).zip(&params.0) {
                along_z[usize::from(k)] += coefficient * x.powi(i.into()) * y.powi(j.into());
            }
            for (step, value) in row.iter_mut().enumerate() {
                let z = position(2, z + step);
                let sum = along_z.iter().rev().fold(0.0, |sum, coefficient| sum * z + coefficient);
                *value *= sum.exp() as f32;
            }
        });
    }
}

/// Returns the exponents of each term.
fn exponents(order: u8) -> impl Iterator<Item = [u8; 3]> {
    let rest = move |i: u8| (0..=order - i).flat_map(move |j| (0..=order - i - j).map(move |k| [i, j, k]));
    (0..=order).flat_map(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid};

    fn field(order: u8, coefficients: &[f64]) -> Vec<f32> {
        let mut values = vec![1.0; 27];
        let shape = [3; 3];
        let mut window = Window::whole(&mut values, Grid { shape, affine: Affine::IDENTITY });
        let spec = BiasField { coefficients: half(), order };
        spec.apply(&BiasFieldParams(coefficients.to_vec()), VolumeStatistics::none(), &mut window);
        values
    }

    #[test]
    fn a_constant_term_scales_all_voxels_equally() {
        assert!(field(0, &[2.0f64.ln()]).iter().all(|value| (value - 2.0).abs() < 1e-6));
    }

    #[test]
    fn the_linear_terms_are_z_then_y_then_x() {
        let values = field(1, &[0.0, 1.0, 0.0, 0.0]);
        assert!((values[0] - (-1.0f32).exp()).abs() < 1e-6 && (values[2] - 1.0f32.exp()).abs() < 1e-6);
        let values = field(1, &[0.0, 0.0, 0.0, 1.0]);
        assert!((values[0] - (-1.0f32).exp()).abs() < 1e-6 && (values[18] - 1.0f32.exp()).abs() < 1e-6);
    }

    #[test]
    fn a_third_order_has_twenty_terms() {
        assert_eq!(exponents(3).count(), 20);
    }
}
