//! What a run needs to go on, and the weights that are kept.
//!
//! The whole state of a run is one file, `last.state.safetensors`: it appears complete or not at all,
//! so no crash can leave weights of one step beside moments of another. `last.safetensors` and
//! `best.safetensors` hold weights alone, for people and for `predict`. Randomness needs no state:
//! every draw is named by the step it belongs to.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use crate::model::weights::{self, NamedTensor};
use crate::run::folder::{RunError, RunFolder, write_atomically};
use crate::run::table::is_better;

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
}

/// An epoch and the value of the monitored column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// What `checkpoint.monitor` was.
    pub value: f64,
}

impl Progress {
    /// A run that has not begun.
    pub fn start() -> Self {
        Self { epoch: 1, steps_in_epoch: 0, step: 0, loss_sum: 0.0, learning_rate: 0.0, best: Vec::new() }
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
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is damaged: {reason}; remove it to start the run again from its first step", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

const WEIGHTS: &str = "weights.";
const MOMENTS: &str = "optimizer.";
/// The one metadata key: several would be written in random order.
const PROGRESS: &str = "progress";

impl State {
    /// Writes the newest weights, then the state that makes them the newest; `keep` checkpoints remain.
    ///
    /// # Errors
    /// When the disk refuses; what was there before stays.
    pub fn commit(&self, folder: &RunFolder, keep: usize) -> Result<PathBuf, CheckpointError> {
        age_checkpoints(folder, keep)?;
        let weights = folder.last_weights();
        write_atomically(&weights, &weights::to_safetensors(&self.weights))?;
        write_atomically(&folder.last_state(), &self.to_bytes())?;
        Ok(weights)
    }

    /// The newest state of a run, or `None` where it has none yet.
    ///
    /// # Errors
    /// When there is one that cannot be read.
    pub fn load(folder: &RunFolder) -> Result<Option<Self>, CheckpointError> {
        let path = folder.last_state();
        match std::fs::read(&path) {
            Ok(bytes) => Self::from_bytes(&bytes).map(Some).map_err(|reason| CheckpointError::Damaged { path, reason }),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(CheckpointError::Read { path, source }),
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut tensors = views(WEIGHTS, &self.weights);
        tensors.extend(views(MOMENTS, &self.moments));
        let progress = serde_json::to_string(&self.progress).expect("progress is plain numbers");
        safetensors::serialize(tensors, Some(HashMap::from([(PROGRESS.to_owned(), progress)])))
            .expect("names are distinct and shapes fit their data")
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let progress = header.metadata().as_ref().and_then(|metadata| metadata.get(PROGRESS));
        let progress = progress.ok_or("it does not say how far the run has come")?;
        let progress = serde_json::from_str(progress).map_err(|error| error.to_string())?;
        let mut parts: BTreeMap<&str, Vec<NamedTensor>> = BTreeMap::new();
        for tensor in weights::from_safetensors(bytes).map_err(|error| error.to_string())? {
            let prefix = [WEIGHTS, MOMENTS].into_iter().find(|prefix| tensor.name.starts_with(prefix));
            let prefix = prefix.ok_or_else(|| format!("unexpected tensor `{}`", tensor.name))?;
            let name = tensor.name[prefix.len()..].to_owned();
            parts.entry(prefix).or_default().push(NamedTensor { name, ..tensor });
        }
        let mut take = |prefix| parts.remove(prefix).unwrap_or_default();
        Ok(Self { progress, weights: take(WEIGHTS), moments: take(MOMENTS) })
    }
}

fn views<'a>(prefix: &str, tensors: &'a [NamedTensor]) -> Vec<(String, TensorView<'a>)> {
    let view = |tensor: &'a NamedTensor| {
        let bytes = bytemuck::cast_slice(&tensor.data);
        TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).expect("a named tensor's shape fits its data")
    };
    tensors.iter().map(|tensor| (format!("{prefix}{}", tensor.name), view(tensor))).collect()
}

/// Makes `last-1` of the newest checkpoint, `last-2` of that before, and so on; the newest stays in its place until it is replaced.
fn age_checkpoints(folder: &RunFolder, keep: usize) -> Result<(), CheckpointError> {
    let failed = |path: &Path, source| CheckpointError::Folder(RunError::Write { path: path.to_owned(), source });
    for age in (1..keep).rev() {
        for (newer, older) in folder.aged_checkpoint(age - 1).iter().zip(folder.aged_checkpoint(age)) {
            if !newer.exists() {
                continue;
            }
            if age > 1 {
                std::fs::rename(newer, &older).map_err(|source| failed(&older, source))?;
            } else {
                std::fs::copy(newer, &older).map_err(|source| failed(&older, source))?;
            }
        }
    }
    Ok(())
}

/// Keeps the weights of an epoch among the best, and forgets those that fall out.
///
/// The weights of each kept epoch lie in a file of their own, and `best.safetensors` holds those of
/// the first; so doing it again after a crash gives the same files.
///
/// # Errors
/// When the disk refuses.
pub fn keep_best(
    folder: &RunFolder,
    best: &mut Vec<BestEpoch>,
    new: BestEpoch,
    monitor: &str,
    keep: usize,
    weights: &[NamedTensor],
) -> Result<bool, CheckpointError> {
    let place = best.iter().position(|kept| is_better(monitor, new.value, kept.value)).unwrap_or(best.len());
    if place >= keep {
        return Ok(false);
    }
    best.insert(place, new);
    let bytes = weights::to_safetensors(weights);
    if keep > 1 {
        write_atomically(&folder.best_weights_of(new.epoch), &bytes)?;
    }
    if place == 0 {
        write_atomically(&folder.best_weights(), &bytes)?;
    }
    for fallen in best.drain(keep.min(best.len())..) {
        remove(&folder.best_weights_of(fallen.epoch))?;
    }
    Ok(place == 0)
}

fn remove(path: &Path) -> Result<(), CheckpointError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(CheckpointError::Read { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
