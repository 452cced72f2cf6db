//! Polynomial decay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Decay;
use values::Positive;

/// Polynomial decay: the learning rate is multiplied by `(1 - progress) ^ power`.
///
/// ```yaml
/// polynomial: { power: 0.9 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Polynomial {
    /// Exponent of the remaining fraction of the run. Default: 0.9.
    #[serde(default = "default_power")]
    pub power: Positive,
    /// Warm-up: number of steps over which the learning rate rises linearly from 0. Default: 0.
    #[serde(default)]
    pub warmup_steps: usize,
}

fn default_power() -> Positive {
    Positive::new(0.9).expect("0.9 is above 0")
}

impl Decay for Polynomial {
    fn factor(&self, progress: f64) -> f64 {
        (1.0 - progress).powf(self.power.get())
    }

    fn warmup_steps(&self) -> usize {
        self.warmup_steps
    }
}

#[cfg(test)]
mod tests {
    use super::super::Schedule;
    use super::*;

    #[test]
    fn the_factor_falls_from_one_to_zero() {
        let schedule = Schedule::from(Polynomial { power: Positive::new(0.9).unwrap(), warmup_steps: 0 });
        assert_eq!(schedule.factor(0, 100), 1.0);
        assert!((schedule.factor(50, 100) - 0.5f64.powf(0.9)).abs() < 1e-12);
        assert_eq!(schedule.factor(100, 100), 0.0);
    }
}
