//! From an experiment to a plan, to a training run, to predictions.
//!
//! [`experiment`] parses and checks an experiment file and makes a plan of it. [`preprocessing`] makes volumes of a
//! subject's files. [`training`] is the training loop; [`run`] puts it into a run folder with its records and manifest.
//! [`inference`] is the sliding window; [`prediction`] applies it to new images with the weights of trained runs.

pub mod experiment;
pub mod inference;
pub mod prediction;
pub mod preprocessing;
pub mod run;
pub mod training;
