//! What made a prediction: the program, its command, and the weights of one or several runs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{PredictError, Predictor, Unfinished, Weights};
use crate::training::checkpoint::TrainingProgress;
use dataset::cache::hash_content;
use run_folder::folder::RunError;
use run_folder::manifest::{Manifest, now};

/// Characters of a hash that the short form has.
const SHORT_HASH: usize = 12;

/// What made a prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// The version of the program.
    pub version: String,
    /// The arguments of the command.
    pub command: Vec<String>,
    /// The device of the network.
    pub device: String,
    /// When the command started, RFC 3339.
    pub time: String,
    /// The weights, one file for each run.
    pub weights: Vec<UsedWeights>,
}

/// Weights of a run that made a prediction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsedWeights {
    /// The run folder.
    pub run: PathBuf,
    /// `best` or `last`.
    pub checkpoint: String,
    /// The epoch after which they were written, counted from 1; `null` if the run folder does not say.
    pub epoch: Option<usize>,
    /// The file.
    pub file: PathBuf,
    /// The SHA-256 of its content.
    pub sha256: String,
    /// The SHA-256 of the weights of the runs whose predictions are input of the run, those of earlier stages included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<String>,
    /// How far the training of the run had got, if it was not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfinished: Option<Unfinished>,
}

impl UsedWeights {
    /// Describes weights of a run that was to be trained for `planned_epochs`.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn read(
        root: &Path,
        weights: Weights,
        file: PathBuf,
        manifest: &Manifest,
        planned_epochs: usize,
    ) -> Result<Self, PredictError> {
        let sha256 = hash_content(&file).map_err(|source| RunError::Read { path: file.clone(), source })?;
        let progress = TrainingProgress::read(&root.join("checkpoints/last.state.safetensors"));
        let unfinished = Unfinished::of_run(root, manifest, progress.as_ref(), planned_epochs);
        let (checkpoint, epoch) = match weights {
            Weights::Best => {
                let best = progress.and_then(|progress| progress.best.first().map(|best| best.epoch));
                ("best", best.or(manifest.best_epoch))
            }
            Weights::Last => ("last", progress.map(|progress| progress.latest_epoch())),
        };
        let (run, checkpoint) = (root.to_owned(), checkpoint.to_owned());
        Ok(Self { run, checkpoint, epoch, file, sha256, previous: Vec::new(), unfinished })
    }
}

impl Provenance {
    /// Describes what a command predicts with.
    pub fn new(predictors: &[Predictor], command: Vec<String>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command,
            device: predictors.first().map(|predictor| predictor.device_name.to_string()).unwrap_or_default(),
            time: now(),
            weights: predictors.iter().map(|predictor| predictor.weights.clone()).collect(),
        }
    }

    /// Returns the hashes of all weights, each run's own before those of its previous runs.
    fn hashes(&self) -> impl Iterator<Item = &String> {
        self.weights.iter().flat_map(|weights| std::iter::once(&weights.sha256).chain(&weights.previous))
    }

    /// Returns whether another prediction was made with the same weights.
    pub fn has_same_weights(&self, other: &Self) -> bool {
        self.hashes().eq(other.hashes())
    }

    /// Returns the short form for the header of an image file, the most telling words first: the same for the same weights.
    pub fn description(&self) -> String {
        let weights = |weights: &UsedWeights| {
            let hash = &weights.sha256[..SHORT_HASH.min(weights.sha256.len())];
            let epoch = weights.epoch.map(|epoch| format!(" epoch {epoch}")).unwrap_or_default();
            format!("{hash}{epoch}")
        };
        let runs = self.weights.iter().map(|weights| {
            let parts: Vec<_> = weights.run.components().rev().take(2).map(|part| part.as_os_str().display()).collect();
            parts.iter().rev().map(ToString::to_string).collect::<Vec<_>>().join("/")
        });
        let all: Vec<String> = self.weights.iter().map(weights).collect();
        format!("runner {} {} {}", self.version, all.join(" "), runs.collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(run: &str, sha256: &str) -> UsedWeights {
        UsedWeights {
            run: run.into(),
            checkpoint: "best".to_owned(),
            epoch: Some(12),
            file: Path::new(run).join("checkpoints/best.safetensors"),
            sha256: sha256.repeat(32),
            previous: Vec::new(),
            unfinished: None,
        }
    }

    fn provenance(weights: Vec<UsedWeights>) -> Provenance {
        let (version, device, time) = ("1.2.3".to_owned(), "flex".to_owned(), now());
        Provenance { version, command: vec!["runner".to_owned()], device, time, weights }
    }

    #[test]
    fn the_short_form_names_version_weights_epoch_and_run() {
        let one = provenance(vec![weights("/data/runs/liver/fold_0", "ab")]);
        assert_eq!(one.description(), "runner 1.2.3 abababababab epoch 12 liver/fold_0");
        let two = provenance(vec![weights("runs/a/0", "ab"), weights("runs/a/1", "cd")]);
        assert_eq!(two.description(), "runner 1.2.3 abababababab epoch 12 cdcdcdcdcdcd epoch 12 a/0 a/1");
    }

    #[test]
    fn weights_are_the_same_by_their_content() {
        let one = provenance(vec![weights("runs/a/0", "ab")]);
        assert!(one.has_same_weights(&provenance(vec![weights("moved", "ab")])));
        assert!(!one.has_same_weights(&provenance(vec![weights("runs/a/0", "cd")])));
        let cascade = UsedWeights { previous: vec!["ef".to_owned()], ..weights("runs/a/0", "ab") };
        assert!(!one.has_same_weights(&provenance(vec![cascade])));
        assert!(!one.has_same_weights(&provenance(vec![weights("runs/a/0", "ab"), weights("runs/a/1", "cd")])));
    }
}
