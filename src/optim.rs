//! Optimisers and learning-rate schedules, as written and as built.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{NonNegative, Positive, Share};

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
    pub betas: [Share; 2],
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
    pub betas: [Share; 2],
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
    pub momentum: Share,
    /// Whether the step looks ahead along the momentum; needs momentum above 0.
    #[serde(default)]
    pub nesterov: bool,
    /// A multiple of the weights that is added to their gradient.
    #[serde(default = "default_no_decay")]
    pub weight_decay: NonNegative,
}

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
    pub final_share: Share,
    /// Steps over which the rate rises linearly from 0 to its value.
    #[serde(default)]
    pub warmup_steps: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule::Constant(Constant { warmup_steps: 0 })
    }
}

fn default_betas() -> [Share; 2] {
    [0.9, 0.999].map(|beta| Share::new(beta).expect("0.9 and 0.999 are shares"))
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

fn default_no_momentum() -> Share {
    Share::new(0.0).expect("0 is a share")
}

fn default_power() -> Positive {
    Positive::new(0.9).expect("0.9 is above 0")
}

fn default_final_share() -> Share {
    Share::new(0.0).expect("0 is a share")
}
