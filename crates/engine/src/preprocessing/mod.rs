//! Preprocessing: from a subject's files to the volume that the network is trained on or predicts from.
//!
//! [`fitted`] is the preprocess chain with statistics of the training subjects, [`subject`] applies it to one subject
//! through the cache, and [`input_files`] hashes the files.

mod error;
mod fit;
pub mod fitted;
pub mod input_files;
pub(crate) mod keys;
mod measured;
mod phantoms;
mod stored;
pub mod subject;
mod weight_map;

pub use error::PreprocessError;
pub use fitted::FittedPreprocessing;
pub(crate) use measured::MeasuredIntensities;
pub use phantoms::make_phantoms;
pub use subject::PreprocessedSubject;

/// The version of the preprocessing code, part of every cache key: it changes when the same chain computes other
/// voxels, so that older cache entries are not used.
pub(crate) const CHAIN_VERSION: &str = "6";

/// Why a label map can be expected: `check` reports training and validation subjects without one.
pub(crate) const HAS_LABELS: &str = "training and validation subjects have labels";

/// Serializes a chain or its parameters as text for a cache key.
fn key_text(value: &(impl serde::Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("chains and parameters are plain data")
}
