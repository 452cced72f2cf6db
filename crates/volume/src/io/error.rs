//! Errors of reading and writing image files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::UnsupportedFormat;
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
        /// The expected format, such as `a single NIfTI file`.
        expected: &'static str,
        /// The actual format.
        found: String,
        /// How to fix it.
        fix: &'static str,
    },
    /// The file, or the files of the folder, have a format that cannot be read.
    #[error("{path}{what}; {fix}", path = path.display(), what = unreadable(*format, *is_folder), fix = format.conversion)]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// The format.
        format: UnsupportedFormat,
        /// Whether the path is a folder.
        is_folder: bool,
    },
    /// A folder where a file is expected.
    #[error("{path} is a folder; name a file that ends with {endings}", path = path.display(), endings = super::endings())]
    Folder {
        /// The folder.
        path: PathBuf,
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
    #[error("{path}: voxel {voxel:?} has the value {shown}{computed}, expected a whole number from 0 to 65535; is this the image instead of the label map?", path = path.display(), shown = *value as f32, computed = scaled_from(*stored, *scaling))]
    Label {
        /// The file.
        path: PathBuf,
        /// The voxel's index along x, y and z.
        voxel: [usize; 3],
        /// The voxel's value, scaled as the header says.
        value: f64,
        /// The stored number.
        stored: f64,
        /// Slope and intercept that convert stored numbers to values; `None` if they need no conversion.
        scaling: Option<(f64, f64)>,
    },
    /// A label map has several channels.
    #[error("{path}: expected a label map of 1 channel, got {channels}{fix}", path = path.display(), fix = slices_on_axis_4(*shape))]
    LabelChannels {
        /// The file.
        path: PathBuf,
        /// Channels in the file.
        channels: usize,
        /// Voxels along x, y and z.
        shape: [usize; 3],
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

/// Says that a file has a format that cannot be read, or that a folder contains such files.
fn unreadable(format: UnsupportedFormat, is_folder: bool) -> String {
    match is_folder {
        true => format!(" is a folder with files that cannot be read ({})", format.name),
        false => format!(": {} cannot be read", format.name),
    }
}

/// Describes how a value was computed from the stored number, in float32, since headers have few more digits.
fn scaled_from(stored: f64, scaling: Option<(f64, f64)>) -> String {
    let text = |(slope, intercept): (f64, f64)| {
        format!(" (slope {} times the stored {stored} plus intercept {})", slope as f32, intercept as f32)
    };
    scaling.map(text).unwrap_or_default()
}

/// Advises on a volume whose slices are on the fourth axis, where channels are expected.
fn slices_on_axis_4(shape: [usize; 3]) -> String {
    match slices_as_channels(shape) {
        Some(advice) => format!("; {advice}"),
        None => "; write the label of each voxel into one volume".to_owned(),
    }
}

/// Returns what to do about the channels of a file of this shape if they may be its slices: it has one slice.
pub fn slices_as_channels(shape: [usize; 3]) -> Option<&'static str> {
    (shape[2] == 1)
        .then_some("if its slices are on the fourth axis, move them to the third, with numpy.squeeze for example")
}

impl ImageError {
    /// Returns whether another path must be given, or the file converted: it does not exist, is a folder, or has a format that
    /// cannot be read. Otherwise the file is damaged, or the system failed.
    pub fn is_wrong_path(&self) -> bool {
        match self {
            Self::Unsupported { .. } | Self::Folder { .. } => true,
            Self::Io { source, .. } => source.kind() == ErrorKind::NotFound,
            _ => false,
        }
    }

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
