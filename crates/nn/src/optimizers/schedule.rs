//! How the learning rate changes over the steps of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use values::{Positive, UnitFraction};

/// How the learning rate changes over the steps of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// It stays, after the warm-up.
    Constant(Constant),
    /// It falls as `(1 - progress) ^ power`, nnU-Net's schedule.
    Polynomial(Polynomial),
    /// It falls along half a cosine.
    Cosine(Cosine),
}

/// A learning rate that stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {
    /// Steps over which the rate rises linearly from 0 to its value.
    #[serde(default)]
    pub warmup_steps: usize,
}

/// A learning rate that falls as a power of the remaining share of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Polynomial {
    /// The exponent.
    #[serde(default = "default_power")]
    pub power: Positive,
    /// Steps over which the rate rises linearly from 0 to its value.
    #[serde(default)]
    pub warmup_steps: usize,
}

/// A learning rate that falls along half a cosine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// The share of the learning rate that is left at the end.
    #[serde(default = "default_final_share")]
    pub final_share: UnitFraction,
    /// Steps over which the rate rises linearly from 0 to its value.
    #[serde(default)]
    pub warmup_steps: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule::Constant(Constant { warmup_steps: 0 })
    }
}

impl Schedule {
    /// The factor of the learning rate in a step, counted from 0, of a run of `num_steps`.
    ///
    /// During warm-up step s has the factor `(s + 1) / warmup_steps`; the schedule runs over the rest.
    pub fn factor(&self, step: usize, num_steps: usize) -> f64 {
        let warmup = self.warmup_steps();
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let progress = ((step - warmup) as f64 / num_steps.saturating_sub(warmup).max(1) as f64).min(1.0);
        match self {
            Schedule::Constant(_) => 1.0,
            Schedule::Polynomial(polynomial) => (1.0 - progress).powf(polynomial.power.get()),
            Schedule::Cosine(cosine) => {
                let left = cosine.final_share.get();
                left + (1.0 - left) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
        }
    }

    /// Steps over which the learning rate rises.
    pub fn warmup_steps(&self) -> usize {
        match self {
            Schedule::Constant(constant) => constant.warmup_steps,
            Schedule::Polynomial(polynomial) => polynomial.warmup_steps,
            Schedule::Cosine(cosine) => cosine.warmup_steps,
        }
    }
}

fn default_power() -> Positive {
    Positive::new(0.9).expect("0.9 is above 0")
}

fn default_final_share() -> UnitFraction {
    UnitFraction::new(0.0).expect("0 is a share")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polynomial_falls_to_zero() {
        let schedule = Schedule::Polynomial(Polynomial { power: Positive::new(0.9).unwrap(), warmup_steps: 0 });
        assert_eq!(schedule.factor(0, 100), 1.0);
        assert!((schedule.factor(50, 100) - 0.5f64.powf(0.9)).abs() < 1e-12);
        assert_eq!(schedule.factor(100, 100), 0.0);
    }

    #[test]
    fn a_cosine_is_half_way_down_in_the_middle() {
        let schedule = Schedule::Cosine(Cosine { final_share: UnitFraction::new(0.2).unwrap(), warmup_steps: 0 });
        assert!((schedule.factor(50, 100) - 0.6).abs() < 1e-12);
        assert!((schedule.factor(100, 100) - 0.2).abs() < 1e-12);
    }

    #[test]
    fn warm_up_rises_in_equal_steps_and_the_schedule_follows() {
        let schedule = Schedule::Polynomial(Polynomial { power: Positive::new(1.0).unwrap(), warmup_steps: 4 });
        let factors: Vec<f64> = (0..6).map(|step| schedule.factor(step, 14)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0, 0.9]);
    }
}
