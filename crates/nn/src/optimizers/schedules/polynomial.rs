//! Polynomial decay.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decay, Update};
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
    /// When the learning rate decays: after every `step` (default), or after every `epoch` as in nnU-Net.
    #[serde(default, skip_serializing_if = "Update::is_default")]
    pub update: Update,
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

    fn update(&self) -> Update {
        self.update
    }
}

#[cfg(test)]
mod tests {
    use super::super::Schedule;
    use super::*;

    fn schedule(update: Update) -> Schedule {
        Schedule::from(Polynomial { power: Positive::new(0.9).unwrap(), warmup_steps: 0, update })
    }

    #[test]
    fn the_factor_falls_from_one_to_zero() {
        let schedule = schedule(Update::Step);
        assert_eq!(schedule.factor(0, 100, 10), 1.0);
        assert!((schedule.factor(50, 100, 10) - 0.5f64.powf(0.9)).abs() < 1e-12);
        assert_eq!(schedule.factor(100, 100, 10), 0.0);
    }

    #[test]
    fn by_epoch_the_learning_rate_is_that_of_nnunets_polylrscheduler() {
        // PolyLRScheduler(optimizer, 1e-2, 1000).step(epoch) of nnunetv2 2.8.1.
        let expected = [
            (0, 0.01),
            (1, 0.009990999549834914),
            (2, 0.009981998198678612),
            (10, 0.009909954834128341),
            (333, 0.006945655687758883),
            (500, 0.005358867312681466),
            (998, 3.723291133272141e-05),
            (999, 1.995262314968881e-05),
        ];
        for (epoch, learning_rate) in expected {
            for step in [0, 1, 249] {
                let factor = schedule(Update::Epoch).factor(250 * epoch + step, 250_000, 250);
                let difference: f64 = 1e-2 * factor - learning_rate;
                assert!(difference.abs() <= 1e-15 * learning_rate, "epoch {epoch}, step {step}: {difference}");
            }
        }
    }
}
