//! Why a model cannot be imported.

use std::path::PathBuf;

use nn::weights::WeightsError;
use run_folder::folder::RunError;

/// A model that cannot be imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The model needs something that this program lacks, or an argument is wrong.
    #[error("{message}")]
    Problem {
        /// What is wrong.
        message: String,
        /// What to do.
        help: String,
    },
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file, in an archive after the name of the archive.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A checkpoint is damaged.
    #[error("{path} cannot be used: {source}")]
    Checkpoint {
        /// The file.
        path: String,
        /// The cause.
        source: WeightsError,
    },
    /// A folder cannot be made or moved.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The folder.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The run folder cannot be written.
    #[error(transparent)]
    Run(#[from] RunError),
}

impl ImportError {
    /// Makes a problem with a message and what to do.
    pub(crate) fn problem(message: impl Into<String>, help: impl Into<String>) -> Self {
        Self::Problem { message: message.into(), help: help.into() }
    }
}
