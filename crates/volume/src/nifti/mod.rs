//! NIfTI-1 files, `.nii` and `.nii.gz`: headers, voxels, and writing volumes back.
//!
//! Voxels come out in C order `[channel, x, y, z]`; the file has x fastest. `open` tells what a file is, `header`
//! decides where voxels lie, `read` and `write` move them. A file is not trusted: what its header promises is compared
//! with what the file can hold before memory is taken for it.

mod header;
mod number;
mod open;
mod read;
mod turn;
mod write;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use header::{Header, Placement, read_header};
pub use read::{read_image, read_label};
use values::Bytes;
pub use write::{write_hounsfield, write_image, write_label};

/// Why a NIfTI file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum NiftiError {
    /// The file cannot be opened, read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is not a NIfTI-1 file.
    #[error("{path}: expected a single NIfTI-1 file, got {found}; {mend}", path = path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What stands there instead.
        found: String,
        /// The way out.
        mend: &'static str,
    },
    /// The compressed bytes are not what was written.
    #[error("{path}: damaged: {source}; copy the file again", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decompressor says.
        source: std::io::Error,
    },
    /// A field of the header holds a value that cannot be used.
    #[error("{path}: header field {field}: {reason}", path = path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field's name in the NIfTI-1 standard.
        field: &'static str,
        /// Expected and got.
        reason: String,
    },
    /// The file ends before its last voxel.
    #[error("{path}: truncated: the header promises {expected} bytes of voxels, {reason}; copy the file again", path = path.display())]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of voxels that the header promises.
        expected: u64,
        /// What was found.
        reason: String,
    },
    /// The voxels do not fit into the machine's memory.
    #[error("{path}: header field dim: the voxels take {needed} to read, {available}; crop or resample the file, or read it on a larger machine", path = path.display(), needed = Bytes(*needed))]
    Memory {
        /// The file.
        path: PathBuf,
        /// Bytes that they take while they are read.
        needed: u64,
        /// What the machine has.
        available: String,
    },
    /// A voxel of a label map is not a label.
    #[error("{path}: voxel {voxel:?} has the value {value}, expected a whole number from 0 to 65535; is this the image instead of the label?", path = path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// Its index along x, y and z.
        voxel: [usize; 3],
        /// Its value.
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
    /// A value does not fit the type it is to be written as.
    #[error("{path}: cannot write the value {value} as a whole 16-bit number", path = path.display())]
    Range {
        /// The file.
        path: PathBuf,
        /// The value.
        value: f32,
    },
}

impl NiftiError {
    fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    /// While bytes of an open file are read: what the decompressor refuses is damage.
    fn reading(path: &Path) -> impl Fn(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| match source.kind() {
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof => {
                Self::Damaged { path: path.clone(), source }
            }
            _ => Self::Io { path: path.clone(), source },
        }
    }
}

#[cfg(test)]
mod tests;
