//! Distributions of a random search.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use random::Rng;

/// Distribution that values of a key are sampled from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Distribution {
    /// Uniform distribution `[low, high]`, rounded to four significant digits, for example `uniform: [0, 0.3]`.
    Uniform([f64; 2]),
    /// Log-uniform distribution `[low, high]` with bounds above 0, rounded to four significant digits, for example `log_uniform: [1.0e-4, 1.0e-2]`.
    LogUniform([f64; 2]),
    /// Uniformly distributed whole number `[low, high]`, both included, for example `integer: [1, 8]`.
    Integer([i64; 2]),
    /// One of these values, all equally likely, for example `choice: [relu, leaky_relu]`.
    Choice(Vec<Value>),
}

impl Distribution {
    /// Returns what is wrong with the bounds, if anything.
    pub fn problem(&self) -> Option<String> {
        let order = |low: String, high: String| format!("expected the smaller bound first, got [{low}, {high}]");
        match self {
            Self::Uniform([low, high]) | Self::LogUniform([low, high]) if !low.is_finite() || !high.is_finite() => {
                Some(format!("expected finite bounds, got [{low}, {high}]"))
            }
            Self::LogUniform([low, _]) if *low <= 0.0 => Some(format!("log_uniform needs bounds above 0, got {low}")),
            Self::Uniform([low, high]) | Self::LogUniform([low, high]) if low > high => {
                Some(order(low.to_string(), high.to_string()))
            }
            Self::Integer([low, high]) if low > high => Some(order(low.to_string(), high.to_string())),
            Self::Choice(values) if values.is_empty() => Some("expected at least one value to choose from".to_owned()),
            _ => None,
        }
    }

    /// Samples a value.
    pub fn sample(&self, rng: &mut Rng) -> Value {
        match self {
            Self::Uniform([low, high]) => Value::from(rounded(low + (high - low) * rng.unit()).clamp(*low, *high)),
            Self::LogUniform([low, high]) => {
                let (first, last) = (low.ln(), high.ln());
                Value::from(rounded((first + (last - first) * rng.unit()).exp()).clamp(*low, *high))
            }
            Self::Integer([low, high]) => {
                let count = low.abs_diff(*high).saturating_add(1);
                Value::from(low.wrapping_add_unsigned(rng.below(count)))
            }
            Self::Choice(values) => values[rng.below(values.len() as u64) as usize].clone(),
        }
    }
}

/// Rounds to four significant digits, which keeps tables readable.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().expect("a formatted number can be parsed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};

    fn values(distribution: &Distribution) -> Vec<f64> {
        (0..2000)
            .map(|index| distribution.sample(&mut Seed(7).stream(Purpose::Sweep, 0, "key", index)).as_f64().unwrap())
            .collect()
    }

    #[test]
    fn half_of_a_log_uniform_sample_is_below_the_geometric_mean() {
        let values = values(&Distribution::LogUniform([1e-5, 1e-1]));
        let below = values.iter().filter(|value| **value < 1e-3).count();
        assert!((900..1100).contains(&below), "{below} of 2000");
        assert!(values.iter().all(|value| (1e-5..=1e-1).contains(value)));
    }

    #[test]
    fn an_integer_reaches_both_bounds() {
        let values = values(&Distribution::Integer([-1, 2]));
        for bound in [-1.0, 0.0, 1.0, 2.0] {
            assert!(values.contains(&bound), "{bound} was never sampled");
        }
        assert!(values.iter().all(|value| (-1.0..=2.0).contains(value)));
    }

    #[test]
    fn the_mean_of_a_uniform_sample_is_the_mean_of_its_bounds() {
        let values = values(&Distribution::Uniform([2.0, 4.0]));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!((mean - 3.0).abs() < 0.05, "{mean}");
    }

    #[test]
    fn wrong_bounds_are_an_error() {
        for distribution in [
            Distribution::Uniform([2.0, 1.0]),
            Distribution::LogUniform([0.0, 1.0]),
            Distribution::Integer([3, 2]),
            Distribution::Choice(vec![]),
            Distribution::Uniform([0.0, f64::INFINITY]),
        ] {
            assert!(distribution.problem().is_some(), "{distribution:?}");
        }
        assert_eq!(Distribution::Integer([i64::MIN, i64::MAX]).problem(), None);
        Distribution::Integer([i64::MIN, i64::MAX]).sample(&mut Seed(7).stream(Purpose::Sweep, 0, "key", 0));
    }
}
