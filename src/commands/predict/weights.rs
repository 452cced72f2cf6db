//! Which weights of a run to predict with, and errors of prediction.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clap::{Args, ValueEnum};

use crate::terminal::{CliError, run_error};
use engine::prediction::{self, PredictError, Predictor};
use engine::selection::Selection;
use nn::devices::DeviceName;

/// The weights of a run to use.
#[derive(Clone, Copy, Debug, Args)]
pub(in crate::commands) struct Checkpoint {
    /// Weights of the run to use.
    #[arg(long, value_enum, default_value_t)]
    checkpoint: Which,
}

impl Checkpoint {
    /// Returns the weights.
    pub(in crate::commands) fn weights(self) -> prediction::Weights {
        match self.checkpoint {
            Which::Best => prediction::Weights::Best,
            Which::Last => prediction::Weights::Last,
        }
    }
}

/// The weights and the device to predict with.
#[derive(Debug, Args)]
pub(in crate::commands) struct Weights {
    #[command(flatten)]
    checkpoint: Checkpoint,
    /// Device that runs the network [default: the device of the training].
    #[arg(long, env = "RUNNER_DEVICE")]
    device: Option<DeviceName>,
    /// Resample a scan whose voxels are unlike those of the training scans to their median spacing before the network sees
    /// it. The label map is on the grid of the scan, as always.
    #[arg(long)]
    pub(in crate::commands) resample: bool,
}

/// Which weights of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Which {
    /// Weights of the best epoch.
    #[default]
    Best,
    /// Weights of the last epoch.
    Last,
}

impl Weights {
    /// Returns the device that was given.
    pub(in crate::commands) fn device(&self) -> Option<DeviceName> {
        self.device
    }

    /// Returns the name of the folder for the predictions of a part of a run's subjects.
    pub(in crate::commands) fn folder(&self, part: &str) -> String {
        match self.checkpoint.weights() {
            prediction::Weights::Best => part.to_owned(),
            prediction::Weights::Last => format!("{part}_last"),
        }
    }

    /// Returns the weights that were chosen.
    pub(in crate::commands) fn checkpoint(&self) -> prediction::Weights {
        self.checkpoint.weights()
    }

    /// Opens a run folder.
    pub(in crate::commands) fn open(&self, root: &Path) -> Result<Predictor, CliError> {
        self.open_with(root, self.checkpoint.weights())
    }

    /// Opens the run folders of a selection, in order.
    pub(super) fn open_selected(&self, selection: &Selection) -> Result<Vec<Predictor>, CliError> {
        let runs =
            selection.settings.iter().flat_map(|setting| setting.runs.iter().map(|run| (run, setting.checkpoint)));
        let predictors: Vec<_> =
            runs.map(|(run, checkpoint)| self.open_with(run, checkpoint.into())).collect::<Result<_, _>>()?;
        selection.check_weights(&predictors).map_err(predict_error)?;
        Ok(predictors)
    }

    fn open_with(&self, root: &Path, weights: prediction::Weights) -> Result<Predictor, CliError> {
        let mut predictor = Predictor::open(root, weights, self.device).map_err(predict_error)?;
        if self.resample && predictor.fingerprint.is_none() {
            return Err(CliError::problem(
                format!(
                    "{} has no fingerprint.json, so the spacing of its training scans is unknown",
                    predictor.root.display()
                ),
                "leave out --resample; runs that this version starts have the file",
            ));
        }
        predictor.resamples_unlike_scans = self.resample;
        note_unfinished(&predictor);
        Ok(predictor)
    }
}

/// Says once of each run that predicts, also of the previous runs of a cascade, if its training is not finished.
pub(in crate::commands) fn note_unfinished(predictor: &Predictor) {
    static NOTED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    for (root, unfinished) in predictor.unfinished_runs() {
        let is_new = NOTED.lock().is_ok_and(|mut noted| noted.insert(root.to_owned()));
        if is_new {
            eprintln!("note: the training of {} is not finished: {unfinished}", root.display());
        }
    }
}

/// Converts an error of prediction: what is wrong with a run is a problem that the user can fix; the rest is a failure
/// of the environment.
pub(in crate::commands) fn predict_error(error: PredictError) -> CliError {
    match error {
        PredictError::Run(error) => run_error(error),
        PredictError::Plan(problems) => CliError::Problems(problems),
        PredictError::NoWeights { ref path } => CliError::problem(error.to_string(), other_weights(path)),
        PredictError::Differ { .. } => CliError::problem(
            error.to_string(),
            "predict with each run separately, or let `runner select` choose among them and predict with --selection",
        ),
        PredictError::OtherWeights { .. } => CliError::problem(
            error.to_string(),
            "restore the file, select again with `runner select`, or remove `weights_sha256` from the selection",
        ),
        PredictError::Device(_) => CliError::problem(
            error.to_string(),
            "choose another with --device; `runner devices` lists what this binary and machine offer",
        ),
        PredictError::Invalid { .. } => CliError::Problem { message: error.to_string(), help: None },
        error => CliError::failure(&error),
    }
}

/// Returns what to do about a file of weights that does not exist.
fn other_weights(missing: &Path) -> &'static str {
    let exists = |name: &str| missing.with_file_name(name).exists();
    match (exists("best.safetensors"), exists("last.safetensors")) {
        (true, _) => "the run has no other weights than its best, as an imported one: leave out --checkpoint last",
        (false, true) => "use the latest weights with --checkpoint last",
        (false, false) => "train the run until it writes a checkpoint",
    }
}
