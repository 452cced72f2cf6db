//! From an experiment to a plan, to a training run, to predictions.
//!
//! [`experiment`] parses and checks an experiment file and resolves it to a plan. [`preprocessing`] turns a subject's
//! files into a volume; [`fingerprint`] summarizes the training scans. [`training`] is the training loop; [`run`] runs it in a run folder with records and a manifest.
//! [`inference`] is the sliding window; [`prediction`] applies it to new images with the weights of trained runs.
//! [`export`] writes trained runs for other programs, and [`selection`] chooses the best of several.

pub mod experiment;
pub mod export;
pub mod fingerprint;
pub mod inference;
pub mod prediction;
pub mod preprocessing;
pub mod previous;
pub mod run;
pub mod selection;
pub mod training;
