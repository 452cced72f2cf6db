//! From an experiment to a plan, to a training run, to predictions.

pub mod experiment;
pub mod inference;
pub mod training;
