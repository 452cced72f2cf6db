//! What a run needs to go on, and the weights that are kept.
//!
//! The whole state of a run is one file, `last.state.safetensors`: it appears complete or not at all,
//! so no crash can leave weights of one step beside moments of another. The one before stays as
//! `last-1.state.safetensors`, for the day on which the newest cannot be read. `last.safetensors` and
//! `best.safetensors` hold weights alone, for people and for `predict`. All carry a checksum. Randomness
//! needs no state: every draw is named by the step it belongs to.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

mod best;
mod exact;
mod files;

pub use best::keep_best;
pub use files::{Newest, newest};

use nn::sealed;
use nn::weights::{self, NamedTensor};
use run_folder::folder::RunError;

/// How far a run has come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The epoch that is under way, counted from 1.
    pub epoch: usize,
    /// Its optimiser steps that are done.
    pub steps_in_epoch: usize,
    /// Optimiser steps since the start of the run.
    pub step: usize,
    /// The sum of the losses of this epoch's steps.
    pub loss_sum: f64,
    /// The learning rate of the newest step.
    pub learning_rate: f64,
    /// The epochs whose weights are kept, best first.
    pub best: Vec<BestEpoch>,
    /// Whether training has ended early, for want of a better epoch.
    #[serde(default)]
    pub ended_early: bool,
}

/// An epoch and the value of the monitored column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// What `checkpoint.monitor` was; a distance may be infinite.
    #[serde(with = "exact")]
    pub value: f64,
}

impl Progress {
    /// A run that has not begun.
    pub fn start() -> Self {
        Self {
            epoch: 1,
            steps_in_epoch: 0,
            step: 0,
            loss_sum: 0.0,
            learning_rate: 0.0,
            best: Vec::new(),
            ended_early: false,
        }
    }
}

/// Everything that a run needs to go on.
#[derive(Clone, Debug)]
pub struct State {
    /// How far it has come.
    pub progress: Progress,
    /// Weights and buffers of the network.
    pub weights: Vec<NamedTensor>,
    /// What the optimiser remembers.
    pub moments: Vec<NamedTensor>,
}

/// A checkpoint that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The disk refused.
    #[error(transparent)]
    Folder(#[from] RunError),
    /// A file could not be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No checkpoint of the run can be read.
    #[error("no checkpoint of the run can be read: {}; remove them to start the run again from its first step", .0.join("; "))]
    Damaged(Vec<String>),
}

const WEIGHTS: &str = "weights.";
const MOMENTS: &str = "optimizer.";

impl State {
    /// The bytes of its file; the same state has the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let tensors = views(WEIGHTS, &self.weights).chain(views(MOMENTS, &self.moments));
        sealed::seal(tensors, Some(serde_json::to_value(&self.progress).expect("progress is plain numbers")))
    }

    /// The state in the bytes of a file.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let note = sealed::check(bytes).map_err(|error| error.to_string())?;
        let progress = note.ok_or("it does not say how far the run has come")?;
        let progress = serde_json::from_value(progress).map_err(|error| error.to_string())?;
        let mut parts: BTreeMap<&str, Vec<NamedTensor>> = BTreeMap::new();
        for tensor in weights::read_tensors(bytes).map_err(|error| error.to_string())? {
            let prefix = [WEIGHTS, MOMENTS].into_iter().find(|prefix| tensor.name.starts_with(prefix));
            let prefix = prefix.ok_or_else(|| format!("unexpected tensor `{}`", tensor.name))?;
            let name = tensor.name[prefix.len()..].to_owned();
            parts.entry(prefix).or_default().push(NamedTensor { name, ..tensor });
        }
        let mut take = |prefix| parts.remove(prefix).unwrap_or_default();
        Ok(Self { progress, weights: take(WEIGHTS), moments: take(MOMENTS) })
    }
}

fn views<'a>(prefix: &str, tensors: &'a [NamedTensor]) -> impl Iterator<Item = (String, TensorView<'a>)> {
    tensors.iter().map(move |tensor| (format!("{prefix}{}", tensor.name), tensor.view()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use run_folder::folder::RunFolder;

    fn tensor(name: &str, value: f32) -> NamedTensor {
        NamedTensor { name: name.to_owned(), shape: vec![2], data: vec![value, -value] }
    }

    fn state() -> State {
        let mut progress = Progress::start();
        progress.loss_sum = 0.1 + 0.2;
        progress.best.push(BestEpoch { epoch: 3, value: 0.25 });
        State { progress, weights: vec![tensor("head.weight", 1.5)], moments: vec![tensor("head.weight.first", 0.5)] }
    }

    #[test]
    fn a_state_comes_back_bit_for_bit() {
        let state = state();
        let back = State::from_bytes(&state.to_bytes()).unwrap();
        assert_eq!(back.progress, state.progress);
        assert_eq!(
            (back.weights[0].data.clone(), back.moments[0].name.clone()),
            (vec![1.5, -1.5], "head.weight.first".into())
        );
    }

    #[test]
    fn the_same_state_has_the_same_bytes() {
        assert_eq!(state().to_bytes(), state().to_bytes());
    }

    #[test]
    fn a_cut_file_is_called_damaged() {
        let bytes = state().to_bytes();
        assert!(State::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(State::from_bytes(b"").is_err());
    }

    #[test]
    fn an_infinite_distance_comes_back() {
        let mut state = state();
        state.progress.best =
            vec![BestEpoch { epoch: 2, value: f64::INFINITY }, BestEpoch { epoch: 1, value: 0.1 + 0.2 }];
        assert_eq!(State::from_bytes(&state.to_bytes()).unwrap().progress, state.progress);
    }

    #[test]
    fn of_damaged_states_the_newest_whole_one_is_taken_and_they_are_put_aside() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        assert!(newest(&folder).unwrap().state.is_none());
        for step in 1..=3 {
            let mut state = state();
            state.progress.step = step;
            state.commit(&folder, 1).unwrap();
        }
        let [_, path] = folder.aged_checkpoint(0);
        std::fs::write(&path, b"torn").unwrap();
        let found = newest(&folder).unwrap();
        assert_eq!((found.state.as_ref().unwrap().progress.step, &found.damaged[0].0), (2, &path));
        found.set_aside().unwrap();
        // Between two names the newest is missing, and that is no damage.
        let found = newest(&folder).unwrap();
        assert_eq!((found.state.unwrap().progress.step, found.damaged.len()), (2, 0));
        // Nor is a gap that those put aside have left.
        std::fs::rename(&folder.aged_checkpoint(1)[1], &folder.aged_checkpoint(3)[1]).unwrap();
        assert_eq!(newest(&folder).unwrap().state.unwrap().progress.step, 2);
        std::fs::write(&folder.aged_checkpoint(3)[1], b"torn").unwrap();
        assert!(matches!(newest(&folder), Err(CheckpointError::Damaged(all)) if all.len() == 1));
    }

    #[test]
    fn as_many_checkpoints_remain_as_are_kept() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        for step in 1..=4 {
            let mut state = state();
            state.progress.step = step;
            state.commit(&folder, 3).unwrap();
        }
        let step_of = |age: usize| {
            let bytes = std::fs::read(&folder.aged_checkpoint(age)[1]).unwrap();
            State::from_bytes(&bytes).unwrap().progress.step
        };
        assert_eq!([0, 1, 2].map(step_of), [4, 3, 2]);
        assert!(!folder.aged_checkpoint(3)[0].exists());
    }

    #[test]
    fn the_best_weights_of_as_many_epochs_remain_as_are_kept() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        let mut best = Vec::new();
        let mut keep = |epoch: usize, value: f64| {
            let weights = [tensor("head.weight", epoch as f32)];
            let new = BestEpoch { epoch, value };
            keep_best(&folder, &mut best, new, "val_dice_mean", 2, &weights).unwrap()
        };
        assert_eq!([keep(1, 0.5), keep(2, 0.7), keep(3, 0.6), keep(4, 0.1)], [true, true, false, false]);
        let kept: Vec<usize> = best.iter().map(|best| best.epoch).collect();
        assert_eq!(kept, [2, 3]);
        assert!(folder.best_weights_of(3).exists() && !folder.best_weights_of(1).exists());
        let weights = weights::read(&folder.best_weights()).unwrap();
        assert_eq!(weights[0].data[0], 2.0);
    }
}
