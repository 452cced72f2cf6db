//! Cosine annealing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Decay;
use values::UnitFraction;

/// Cosine annealing: the learning rate falls along half a cosine.
///
/// ```yaml
/// cosine: { final_share: 0.01 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// Learning rate at the end of the run, as a fraction of that at the start. Default: 0.
    #[serde(default = "no_final_learning_rate")]
    pub final_share: UnitFraction,
    /// Warm-up: number of steps over which the learning rate rises linearly from 0. Default: 0.
    #[serde(default)]
    pub warmup_steps: usize,
}

fn no_final_learning_rate() -> UnitFraction {
    UnitFraction::new(0.0).expect("0 is a fraction")
}

impl Decay for Cosine {
    fn factor(&self, progress: f64) -> f64 {
        let last = self.final_share.get();
        last + (1.0 - last) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
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
    fn the_factor_is_half_way_down_in_the_middle_of_the_run() {
        let schedule = Schedule::from(Cosine { final_share: UnitFraction::new(0.2).unwrap(), warmup_steps: 0 });
        assert!((schedule.factor(50, 100, 10) - 0.6).abs() < 1e-12);
        assert!((schedule.factor(100, 100, 10) - 0.2).abs() < 1e-12);
    }
}
