//! Why subjects cannot be preprocessed.

use std::path::PathBuf;

use crate::prediction::PredictError;
use dataset::cache::CacheError;
use dataset::queue::MakeError;

/// Why subjects cannot be preprocessed.
#[derive(Debug, thiserror::Error)]
pub enum PreprocessError {
    /// A subject's files cannot be read or preprocessed.
    #[error("subject {subject} cannot be prepared")]
    Subject {
        /// The subject's name.
        subject: String,
        /// The cause.
        source: MakeError,
    },
    /// The file of the initial weights cannot be read.
    #[error("the initial weights cannot be read")]
    InitialWeights(#[source] MakeError),
    /// The weights of a previous run cannot be read.
    #[error("the weights of the previous runs cannot be read")]
    PreviousWeights(#[source] MakeError),
    /// A previous run cannot be opened.
    #[error("the previous runs cannot predict")]
    PreviousRun(#[source] Box<PredictError>),
    /// A subject cannot be predicted by the previous runs.
    #[error("subject {subject} cannot be predicted by the previous runs")]
    Previous {
        /// The subject's name.
        subject: String,
        /// The cause.
        source: Box<PredictError>,
    },
    /// A subject is another one than that which a previous run knows by the same name.
    #[error("subject {subject} has other images than the subject of that name in {}, so it is unknown whether that run was trained on it; rename the subject, or train the previous stage on the same data", run.display())]
    OtherImages {
        /// The subject's name.
        subject: String,
        /// The previous run.
        run: PathBuf,
    },
    /// A step cannot be fitted to the training subjects.
    #[error("{step} cannot be fitted to the training subjects: {reason}")]
    Fit {
        /// The step's name.
        step: &'static str,
        /// The cause.
        reason: String,
    },
    /// The cache cannot be read or written.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl PreprocessError {
    /// Names the subject that an error is about.
    pub(crate) fn of_subject(name: &str) -> impl FnOnce(MakeError) -> Self {
        move |source| Self::Subject { subject: name.to_owned(), source }
    }
}
