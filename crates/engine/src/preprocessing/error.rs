//! Why subjects cannot be preprocessed.

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
