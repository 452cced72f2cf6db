//! Learning-rate schedules: the trait and the registry.
//!
//! To add a schedule, write a file with its keys and a [`Decay`], and add a line to the registry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod constant;
mod cosine;
mod polynomial;

pub use constant::Constant;
pub use cosine::Cosine;
pub use polynomial::Polynomial;

values::registry! {
    /// Learning-rate schedule: how the learning rate changes over the steps of a run.
    pub enum Schedule: Decay {
        /// Constant learning rate, after the warm-up.
        constant::Constant,
        /// Polynomial decay, `(1 - progress) ^ power`: nnU-Net's schedule.
        polynomial::Polynomial,
        /// Cosine annealing.
        cosine::Cosine,
    }
}

/// A schedule with its settings.
pub trait Decay {
    /// Returns the factor of the learning rate after the warm-up; `progress` rises from 0 to 1 over the rest of the run.
    fn factor(&self, progress: f64) -> f64;

    /// Returns the number of warm-up steps, over which the learning rate rises linearly.
    fn warmup_steps(&self) -> usize;

    /// Returns when the factor changes.
    fn update(&self) -> Update {
        Update::Step
    }
}

/// When the learning rate changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// After every optimizer step.
    #[default]
    Step,
    /// After every epoch, as in nnU-Net: during epoch e of E, counted from 0, the progress is e / E.
    Epoch,
}

impl Update {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule::Constant(Constant { warmup_steps: 0 })
    }
}

impl Schedule {
    /// Returns the factor of the learning rate in a step, counted from 0, of a run of `num_steps` in epochs of
    /// `steps_per_epoch`.
    ///
    /// Step s of the warm-up has the factor `(s + 1) / warmup_steps`; the schedule extends over the remaining steps.
    pub fn factor(&self, step: usize, num_steps: usize, steps_per_epoch: usize) -> f64 {
        let warmup = self.warmup_steps();
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        let step = match self.component().update() {
            Update::Step => step,
            Update::Epoch => (step - step % steps_per_epoch.max(1)).max(warmup),
        };
        let progress = ((step - warmup) as f64 / num_steps.saturating_sub(warmup).max(1) as f64).min(1.0);
        self.component().factor(progress)
    }

    /// Returns the number of warm-up steps.
    pub fn warmup_steps(&self) -> usize {
        self.component().warmup_steps()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use values::Positive;

    #[test]
    fn warm_up_rises_in_equal_steps_and_then_the_schedule_begins() {
        let polynomial = |update| Polynomial { power: Positive::new(1.0).unwrap(), warmup_steps: 4, update };
        let factors = |update, steps: std::ops::Range<usize>| -> Vec<f64> {
            let schedule = Schedule::Polynomial(polynomial(update));
            steps.map(|step| schedule.factor(step, 14, 7)).collect()
        };
        assert_eq!(factors(Update::Step, 0..6), [0.25, 0.5, 0.75, 1.0, 1.0, 0.9]);
        // Seven steps an epoch: the second epoch starts at 3 of the 10 steps after the warm-up.
        assert_eq!(factors(Update::Epoch, 2..9), [0.75, 1.0, 1.0, 1.0, 1.0, 0.7, 0.7]);
    }
}
