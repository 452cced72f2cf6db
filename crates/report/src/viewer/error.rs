//! Errors of the viewer.

use std::path::{Path, PathBuf};

/// A file that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Writing failed.
    #[error("cannot write {path}: {source}", path = path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Writes a file atomically.
pub(super) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), ViewError> {
    volume::atomic_file::write(path, |file| std::io::Write::write_all(file, bytes))
        .map_err(|source| ViewError::Write { path: path.to_owned(), source })
}
