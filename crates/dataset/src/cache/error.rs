//! Errors of the cache.

use std::path::PathBuf;

use values::Bytes;

/// An error of the cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// An entry cannot be written.
    #[error("cannot write {bytes} bytes to the cache in {folder}: {source}; free that much space, run `runner cache clear` or choose another folder with --cache-dir", folder = folder.display())]
    Write {
        /// The cache's folder.
        folder: PathBuf,
        /// Bytes of the entry.
        bytes: u64,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The system does not allow the process to start another thread.
    #[error("cannot start a thread that writes to the cache in {folder}: {source}; raise the limit of threads and processes (`ulimit -u`)", folder = folder.display())]
    Thread {
        /// The cache's folder.
        folder: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The entries of one run exceed the limit of the cache.
    #[error("the preprocessed volumes of this run take {needed} bytes ({size}), more than the {allowed} bytes ({limit}) that the cache in {folder} may hold", size = Bytes(*needed), limit = Bytes(*allowed), folder = folder.display())]
    Limit {
        /// The cache's folder.
        folder: PathBuf,
        /// Bytes that the entries take.
        needed: u64,
        /// Bytes that all entries together may take.
        allowed: u64,
    },
    /// An entry that was just written cannot be read.
    #[error("{path}: damaged right after it was written: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}
