//! One case of a dataset: its name and its files.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One case: an image of one or several channels and, if known, a label map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Unique name, from its file names; random streams and rows of CSV files refer to it.
    pub name: String,
    /// One file with all channels, or one file per channel, in order.
    pub images: Vec<PathBuf>,
    /// The label map.
    pub label: Option<PathBuf>,
}
