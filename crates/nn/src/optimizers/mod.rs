//! Optimisers and learning-rate schedules, as written and as built.
//!
//! The written forms of the optimisers stand here; [`step`](mod@step) takes their steps, [`schedule`] changes their learning rate.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use values::{NonNegative, Positive, UnitFraction};

pub mod schedule;
pub mod step;

pub use schedule::Schedule;
pub use step::{Optimizer, clip, squares};

/// How weights follow gradients; equal to PyTorch's optimiser of the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OptimizerSpec {
    /// Adam (Kingma and Ba 2015); weight decay is added to the gradient.
    Adam(AdamSpec),
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    Adamw(AdamwSpec),
    /// Stochastic gradient descent with momentum.
    Sgd(SgdSpec),
}

/// Adam.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamSpec {
    /// The step size, before the schedule.
    pub learning_rate: Positive,
    /// Decay of the running means of the gradient and of its square.
    #[serde(default = "default_betas")]
    pub betas: [UnitFraction; 2],
    /// Added to the denominator.
    #[serde(default = "default_epsilon")]
    pub epsilon: Positive,
    /// A multiple of the weights that is added to their gradient.
    #[serde(default = "default_no_decay")]
    pub weight_decay: NonNegative,
}

/// AdamW.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamwSpec {
    /// The step size, before the schedule.
    pub learning_rate: Positive,
    /// Decay of the running means of the gradient and of its square.
    #[serde(default = "default_betas")]
    pub betas: [UnitFraction; 2],
    /// Added to the denominator.
    #[serde(default = "default_epsilon")]
    pub epsilon: Positive,
    /// The share of the weights, times the learning rate, that each step takes away.
    #[serde(default = "default_decoupled_decay")]
    pub weight_decay: NonNegative,
}

/// Stochastic gradient descent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SgdSpec {
    /// The step size, before the schedule.
    pub learning_rate: Positive,
    /// Decay of the running sum of gradients; 0 keeps none.
    #[serde(default = "default_no_momentum")]
    pub momentum: UnitFraction,
    /// Whether the step looks ahead along the momentum; needs momentum above 0.
    #[serde(default)]
    pub nesterov: bool,
    /// A multiple of the weights that is added to their gradient.
    #[serde(default = "default_no_decay")]
    pub weight_decay: NonNegative,
}

impl OptimizerSpec {
    /// The learning rate, before the schedule.
    pub fn learning_rate(&self) -> f64 {
        match self {
            OptimizerSpec::Adam(adam) => adam.learning_rate.get(),
            OptimizerSpec::Adamw(adamw) => adamw.learning_rate.get(),
            OptimizerSpec::Sgd(sgd) => sgd.learning_rate.get(),
        }
    }

    /// The names of what the optimiser remembers of each parameter.
    pub fn moments(&self) -> &'static [&'static str] {
        match self {
            OptimizerSpec::Adam(_) | OptimizerSpec::Adamw(_) => &["first_moment", "second_moment"],
            OptimizerSpec::Sgd(sgd) if sgd.momentum.get() > 0.0 => &["momentum"],
            OptimizerSpec::Sgd(_) => &[],
        }
    }
}

fn default_betas() -> [UnitFraction; 2] {
    [0.9, 0.999].map(|beta| UnitFraction::new(beta).expect("0.9 and 0.999 are shares"))
}

fn default_epsilon() -> Positive {
    Positive::new(1e-8).expect("1e-8 is above 0")
}

fn default_no_decay() -> NonNegative {
    NonNegative::new(0.0).expect("0 is not negative")
}

fn default_decoupled_decay() -> NonNegative {
    NonNegative::new(0.01).expect("0.01 is not negative")
}

fn default_no_momentum() -> UnitFraction {
    UnitFraction::new(0.0).expect("0 is a share")
}
