//! Why a run failed.

use std::error::Error;
use std::io;

use crate::training::TrainError;
use dataset::queue::MakeError;
use run_folder::folder::RunError;

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub enum RunSessionError {
    /// The phantoms cannot be made.
    #[error(transparent)]
    Phantoms(MakeError),
    /// The run's records cannot be opened or written.
    #[error(transparent)]
    Records(#[from] io::Error),
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] RunError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The loss or the gradient was not finite. The patches of the step are saved for inspection if possible.
    #[error("{error}; {saved}, and `{command}` recreates them")]
    NotFinite {
        /// The error of the training loop.
        error: TrainError,
        /// The folder of the patches, or why they were not saved.
        saved: String,
        /// The command that recreates them.
        command: String,
    },
    /// A panic: a bug of the program.
    #[error("internal error: {0}")]
    Panic(String),
}

/// A run that failed.
#[derive(Debug)]
pub struct FailedRun {
    /// Why it failed.
    pub error: Box<RunSessionError>,
    /// Why the failure could not be recorded in the manifest, if so.
    pub manifest_error: Option<RunError>,
}

impl From<RunSessionError> for FailedRun {
    fn from(error: RunSessionError) -> Self {
        Self { error: Box::new(error), manifest_error: None }
    }
}

/// Returns the message of an error and of everything that caused it.
pub fn error_chain(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Some errors include their cause in their own text.
        if !message.contains(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}
