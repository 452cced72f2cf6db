//! Errors of reading and writing image files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use values::Bytes;

/// An image file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file cannot be opened, read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is not of the expected format.
    #[error("{path}: expected {expected}, got {found}; {fix}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The expected format, such as `a single NIfTI-1 file`.
        expected: &'static str,
        /// The actual format.
        found: String,
        /// How to fix it.
        fix: &'static str,
    },
    /// The compressed bytes are corrupt.
    #[error("{path}: damaged: {source}; copy the file again", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The decompressor's error.
        source: std::io::Error,
    },
    /// A field of the header has an unusable value.
    #[error("{path}: header field {field}: {reason}", path = path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field's name in the format's standard.
        field: &'static str,
        /// The expected and the actual value.
        reason: String,
    },
    /// The file ends before its last voxel.
    #[error("{path}: truncated: the header declares {expected} bytes of voxels, {reason}; copy the file again", path = path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of voxels that the header declares.
        expected: u64,
        /// How the file falls short.
        reason: String,
    },
    /// The voxels do not fit into the machine's memory.
    #[error("{path}: the voxels take {needed} to read, {available}; crop or resample the file, or read it on a larger machine", path = path.display(), needed = Bytes(*needed))]
    Memory {
        /// The file.
        path: PathBuf,
        /// Bytes needed while reading.
        needed: u64,
        /// The available memory, as a sentence fragment.
        available: String,
    },
    /// A voxel of a label map is not a label.
    #[error("{path}: voxel {voxel:?} has the value {value}, expected a whole number from 0 to 65535; is this the image instead of the label?", path = path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// The voxel's index along x, y and z.
        voxel: [usize; 3],
        /// The voxel's value.
        value: f64,
    },
    /// A label map has several channels.
    #[error("{path}: expected a label map of 1 channel, got {channels}", path = path.display())]
    LabelChannels {
        /// The file.
        path: PathBuf,
        /// Channels in the file.
        channels: usize,
    },
    /// A value does not fit into the type in which the file stores it.
    #[error("{path}: cannot write the value {value} as a whole 16-bit number", path = path.display())]
    Range {
        /// The file.
        path: PathBuf,
        /// The value.
        value: f32,
    },
    /// The format can be read but not written.
    #[error("{path}: {format} files can be read but not written; use the ending {default}", path = path.display(), default = super::DEFAULT_ENDING)]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// The format's name.
        format: &'static str,
    },
}

impl ImageError {
    /// Returns a function that converts I/O errors of a file.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// Returns a function that converts errors of reading an open file: errors of the decompressor mean that it is damaged.
    pub(super) fn reading(path: &Path) -> impl Fn(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
                Self::Damaged { path: path.clone(), source }
            }
            _ => Self::Io { path: path.clone(), source },
        }
    }
}
