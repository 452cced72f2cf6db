//! The state that a run is resumed from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use serde::{Deserialize, Serialize};

use super::infinite_float;
use nn::weights::{self, NamedTensor, checksum};
use run_folder::folder::RunError;

/// The progress of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    /// The current epoch, counted from 1.
    pub epoch: usize,
    /// The number of its optimizer steps that are done.
    pub steps_in_epoch: usize,
    /// Optimizer steps since the start of the run.
    pub step: usize,
    /// The sum of the losses of these steps.
    pub loss_sum: f64,
    /// The learning rate of the latest step.
    pub learning_rate: f64,
    /// The epochs whose weights are kept, the best first.
    pub best: Vec<BestEpoch>,
    /// Whether early stopping has ended training.
    #[serde(default)]
    pub ended_early: bool,
    /// The moving average of the pseudo-Dice, if it is computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pseudo_dice_ema: Option<f64>,
}

/// An epoch and the value of the monitored column.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The value of `checkpoint.monitor`; a distance may be infinite.
    #[serde(with = "infinite_float")]
    pub value: f64,
}

impl TrainingProgress {
    /// Returns the progress of a run before its first step.
    pub fn start() -> Self {
        Self {
            epoch: 1,
            steps_in_epoch: 0,
            step: 0,
            loss_sum: 0.0,
            learning_rate: 0.0,
            best: Vec::new(),
            ended_early: false,
            pseudo_dice_ema: None,
        }
    }

    /// Reads the progress from the file of a state without its tensors; `None` if the file cannot be read.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_value(checksum::read_note(path)?).ok()
    }

    /// Returns the epoch of the latest step, counted from 1.
    pub fn latest_epoch(&self) -> usize {
        if self.steps_in_epoch == 0 { self.epoch - 1 } else { self.epoch }
    }
}

/// The state that a run is resumed from.
#[derive(Clone, Debug)]
pub struct State {
    /// The progress of the run.
    pub progress: TrainingProgress,
    /// Weights and buffers of the network.
    pub weights: Vec<NamedTensor>,
    /// The moving averages of the trained weights; empty without an average, or before the first step.
    pub average: Vec<NamedTensor>,
    /// The moments of the optimizer.
    pub moments: Vec<NamedTensor>,
}

/// A checkpoint that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file cannot be read or written.
    #[error(transparent)]
    Folder(#[from] RunError),
    /// A file cannot be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No checkpoint of the run can be read.
    #[error("no checkpoint of the run can be read: {}; remove them to restart the run from its first step", .0.join("; "))]
    Damaged(Vec<String>),
}

const WEIGHTS: &str = "weights.";
const AVERAGE: &str = "average.";
const MOMENTS: &str = "optimizer.";

impl State {
    /// Serializes the state; the same state has the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let average = views(AVERAGE, &self.average);
        let tensors = views(WEIGHTS, &self.weights).chain(average).chain(views(MOMENTS, &self.moments));
        checksum::serialize(tensors, Some(serde_json::to_value(&self.progress).expect("progress is plain numbers")))
    }

    /// Deserializes a state.
    ///
    /// # Errors
    /// Describes what is wrong with the bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let note = checksum::verify(bytes).map_err(|error| error.to_string())?;
        let progress = note.ok_or("it has no progress")?;
        let progress = serde_json::from_value(progress).map_err(|error| error.to_string())?;
        let mut parts: BTreeMap<&str, Vec<NamedTensor>> = BTreeMap::new();
        for tensor in weights::read_tensors(bytes).map_err(|error| error.to_string())? {
            let prefix = [WEIGHTS, AVERAGE, MOMENTS].into_iter().find(|prefix| tensor.name.starts_with(prefix));
            let prefix = prefix.ok_or_else(|| format!("unexpected tensor `{}`", tensor.name))?;
            let name = tensor.name[prefix.len()..].to_owned();
            parts.entry(prefix).or_default().push(NamedTensor { name, ..tensor });
        }
        let mut take = |prefix| parts.remove(prefix).unwrap_or_default();
        Ok(Self { progress, weights: take(WEIGHTS), average: take(AVERAGE), moments: take(MOMENTS) })
    }

    /// Returns the weights that validation and predictions use: the moving averages of the trained ones, if there are any.
    pub fn prediction_weights(&self) -> Cow<'_, [NamedTensor]> {
        if self.average.is_empty() {
            return Cow::Borrowed(&self.weights);
        }
        let averages: BTreeMap<&str, &NamedTensor> =
            self.average.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let averaged = |weight: &NamedTensor| match averages.get(weight.name.as_str()) {
            Some(average) => NamedTensor { data: average.data.clone(), ..weight.clone() },
            None => weight.clone(),
        };
        self.weights.iter().map(averaged).collect()
    }
}

fn views<'a>(prefix: &str, tensors: &'a [NamedTensor]) -> impl Iterator<Item = (String, TensorView<'a>)> {
    tensors.iter().map(move |tensor| (format!("{prefix}{}", tensor.name), tensor.view()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::checkpoint::{keep_best, latest};
    use run_folder::folder::RunFolder;

    fn tensor(name: &str, value: f32) -> NamedTensor {
        NamedTensor { name: name.to_owned(), shape: vec![2], data: vec![value, -value] }
    }

    fn state() -> State {
        let mut progress = TrainingProgress::start();
        progress.loss_sum = 0.1 + 0.2;
        progress.best.push(BestEpoch { epoch: 3, value: 0.25 });
        let moments = vec![tensor("head.weight.first", 0.5)];
        State { progress, weights: vec![tensor("head.weight", 1.5)], average: Vec::new(), moments }
    }

    #[test]
    fn a_state_survives_a_round_trip_bit_for_bit() {
        let state = state();
        let back = State::from_bytes(&state.to_bytes()).unwrap();
        assert_eq!(back.progress, state.progress);
        assert_eq!(
            (back.weights[0].data.clone(), back.moments[0].name.clone()),
            (vec![1.5, -1.5], "head.weight.first".into())
        );
    }

    #[test]
    fn averaged_weights_are_stored_beside_the_others_and_used_for_predictions() {
        let mut state = state();
        state.weights.push(tensor("norm.running_mean", 3.0));
        assert_eq!(state.prediction_weights()[0].data, [1.5, -1.5]);
        state.average.push(tensor("head.weight", 1.25));
        state.progress.pseudo_dice_ema = Some(0.1 + 0.2);
        let back = State::from_bytes(&state.to_bytes()).unwrap();
        assert_eq!(back.progress, state.progress);
        let data = |tensors: &[NamedTensor]| tensors.iter().map(|tensor| tensor.data[0]).collect::<Vec<_>>();
        assert_eq!((data(&back.weights), data(&back.prediction_weights())), (vec![1.5, 3.0], vec![1.25, 3.0]));
    }

    #[test]
    fn the_same_state_has_the_same_bytes() {
        assert_eq!(state().to_bytes(), state().to_bytes());
    }

    #[test]
    fn a_truncated_file_is_damaged() {
        let bytes = state().to_bytes();
        assert!(State::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(State::from_bytes(b"").is_err());
    }

    #[test]
    fn an_infinite_distance_survives_a_round_trip() {
        let mut state = state();
        state.progress.best =
            vec![BestEpoch { epoch: 2, value: f64::INFINITY }, BestEpoch { epoch: 1, value: 0.1 + 0.2 }];
        assert_eq!(State::from_bytes(&state.to_bytes()).unwrap().progress, state.progress);
    }

    #[test]
    fn damaged_states_are_renamed_and_the_latest_intact_one_is_read() {
        let runs = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(runs.path(), "name", "id").unwrap();
        assert!(latest(&folder).unwrap().state.is_none());
        for step in 1..=3 {
            let mut state = state();
            state.progress.step = step;
            state.commit(&folder, 1).unwrap();
        }
        let [_, path] = folder.aged_checkpoint(0);
        std::fs::write(&path, b"torn").unwrap();
        let checkpoint = latest(&folder).unwrap();
        assert_eq!((checkpoint.state.as_ref().unwrap().progress.step, &checkpoint.damaged[0].0), (2, &path));
        checkpoint.rename_damaged().unwrap();
        // Between two renames the latest state is missing, which is not damage.
        let checkpoint = latest(&folder).unwrap();
        assert_eq!((checkpoint.state.unwrap().progress.step, checkpoint.damaged.len()), (2, 0));
        // Nor is the gap that renamed states leave.
        std::fs::rename(&folder.aged_checkpoint(1)[1], &folder.aged_checkpoint(3)[1]).unwrap();
        assert_eq!(latest(&folder).unwrap().state.unwrap().progress.step, 2);
        std::fs::write(&folder.aged_checkpoint(3)[1], b"torn").unwrap();
        assert!(matches!(latest(&folder), Err(CheckpointError::Damaged(all)) if all.len() == 1));
    }

    #[test]
    fn keep_last_checkpoints_are_kept() {
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
    fn the_weights_of_the_keep_best_epochs_are_kept() {
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
