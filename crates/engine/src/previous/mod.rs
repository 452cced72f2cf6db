//! The first stage of a cascade: trained runs whose predictions are input channels of another run.
//!
//! [`runs`] reads their folders and knows which of them predicts a subject, [`copy`] copies what prediction needs of them into
//! the folder of the run, and `label_maps` predicts the run's own subjects once and keeps the label maps in the cache.
//! `masks` turns label maps into input channels.

pub mod copy;
mod error;
pub(crate) mod label_maps;
pub(crate) mod masks;
pub mod runs;

pub use error::PreviousError;
pub use runs::{PreviousRun, PreviousRuns};
