//! Why a run cannot be exported.

use std::path::PathBuf;

use engine::experiment::problem::Problems;
use engine::prediction::PredictError;
use nn::weights::WeightsError;

/// A run that cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The experiment has what nnU-Net lacks: every reason, at its place in plan.yaml.
    #[error("{0}")]
    Refused(Problems),
    /// The runs are not of one setting, or an argument is wrong.
    #[error("{message}")]
    Problem {
        /// What is wrong.
        message: String,
        /// What to do.
        help: String,
    },
    /// The run folder cannot be read.
    #[error(transparent)]
    Run(#[from] PredictError),
    /// The weights cannot be read.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl ExportError {
    /// Makes a problem with a message and what to do.
    pub(super) fn problem(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Problem { message: message.into(), help: help.into() }
    }
}
