//! Selecting the best of several trained settings, from predictions of subjects that no run was trained on.
//!
//! [`folds`] says which run of a setting predicts a subject out of fold, [`postprocessing`] which components are worth
//! removing, and [`file`](mod@file) is `selection.yaml`, which prediction applies. As in nnU-Net, ensembles are pairs of
//! settings, whose probabilities are averaged, and the mean Dice decides.

pub mod file;
pub mod folds;
pub mod postprocessing;

pub use file::{SelectedSetting, Selection};
