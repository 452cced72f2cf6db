//! Which part each subject belongs to: training, validation or test.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::NonNegative;

/// How subjects are split into parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Split {
    /// The first subjects in sorted order train, the rest validate.
    First(NonZeroUsize),
    /// Shares of the subjects, shuffled by the seed.
    Fraction(Fraction),
    /// One of several equal parts validates, the rest trains; shuffled by the seed.
    Fold(Fold),
    /// A JSON file: `{"train": [names], "val": [...], "test": [...]}`.
    File(PathBuf),
}

/// Shares of the subjects; they must not exceed 1 together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fraction {
    /// The share that trains.
    pub train: NonNegative,
    /// The share that validates.
    pub val: NonNegative,
    /// The share that is kept for tests.
    #[serde(default = "none")]
    pub test: NonNegative,
}

/// One of `count` equal parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fold {
    /// Which part validates, counted from 0.
    pub index: usize,
    /// How many parts there are, at least 2.
    pub count: NonZeroUsize,
}

fn none() -> NonNegative {
    NonNegative::new(0.0).expect("0 is not negative")
}

/// The subjects of each part, by name, in the order in which they are used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parts {
    /// They train.
    pub train: Vec<String>,
    /// They validate.
    pub val: Vec<String>,
    /// They are kept for tests.
    #[serde(default)]
    pub test: Vec<String>,
}
