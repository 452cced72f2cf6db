//! Why runs cannot be the first stage of a cascade.

use std::path::PathBuf;

/// Runs that cannot be the first stage of a cascade.
#[derive(Debug, thiserror::Error)]
pub enum PreviousError {
    /// The folder does not exist.
    #[error("{} does not exist", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
    },
    /// The folder is not a run folder, and has none.
    #[error("{} is not a run folder and contains no run folders", path.display())]
    NoRuns {
        /// The folder.
        path: PathBuf,
    },
    /// A run is not finished.
    #[error("{} is not finished: its status is `{status}`", root.display())]
    Unfinished {
        /// The run folder.
        root: PathBuf,
        /// Its status.
        status: String,
    },
    /// A run has no weights to predict with.
    #[error("{} does not exist, so the run cannot predict", path.display())]
    NoWeights {
        /// The file.
        path: PathBuf,
    },
    /// A file of a run cannot be used.
    #[error("{} cannot be used: {reason}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The predictions of two runs cannot be averaged.
    #[error("{} and {} have different {what}", first.display(), other.display())]
    Differ {
        /// A run folder.
        first: PathBuf,
        /// Another.
        other: PathBuf,
        /// What differs.
        what: &'static str,
    },
}

impl PreviousError {
    /// Returns how to fix it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Missing { .. } | Self::NoRuns { .. } => {
                "train the previous stage first, one run for each fold: `runner run FILE --set 'data.split.*.index=0'`, then 1, 2, …; their folders are in runs/NAME"
            }
            Self::Unfinished { .. } => {
                "resume it with `runner run --resume`; or list the run folders to use, or remove this one"
            }
            Self::NoWeights { .. } => "train the run with `checkpoint.keep_best: 1`, and to its end",
            Self::Invalid { .. } => "restore the file, or train the run again",
            Self::Differ { .. } => "name runs that differ in their fold only",
        }
    }
}
