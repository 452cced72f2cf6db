//! NIfTI-1 files, `.nii` and `.nii.gz`.
//!
//! `header` parses headers, `affine` derives the grid's affine from them, `ambiguity` finds contradictions, `write` writes
//! files.

mod affine;
mod ambiguity;
mod header;
mod write;

use std::path::Path;

use super::{ImageError, ImageFormat, ImageHeader, VoxelsToWrite, raw};
use crate::{Grid, Label, Voxels};

/// The expected format, for error messages.
const EXPECTED: &str = "a single NIfTI-1 file";

/// The format NIfTI-1 in a single file, uncompressed or compressed with gzip.
pub struct Nifti;

impl ImageFormat for Nifti {
    fn name(&self) -> &'static str {
        "NIfTI-1"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".nii", ".nii.gz"]
    }

    fn read_header(&self, path: &Path) -> Result<ImageHeader, ImageError> {
        let (header, _) = header::open(path)?;
        Ok(ImageHeader {
            grid: header.grid,
            channels: header.layout.channels,
            datatype: header.layout.data_type.name(),
            scaling: header.layout.scaling,
            ambiguities: ambiguity::ambiguities(&header.grid, &header.geometry),
        })
    }

    fn read_image(&self, path: &Path) -> Result<(Grid, Voxels<f32>), ImageError> {
        let (header, stream) = header::open(path)?;
        Ok((header.grid, raw::read(path, &header.layout, stream)?))
    }

    fn read_label(&self, path: &Path) -> Result<(Grid, Voxels<Label>), ImageError> {
        let (header, stream) = header::open(path)?;
        let channels = header.layout.channels;
        if channels != 1 {
            return Err(ImageError::LabelChannels { path: path.to_owned(), channels });
        }
        Ok((header.grid, raw::read(path, &header.layout, stream)?))
    }

    fn write(&self, path: &Path, grid: &Grid, voxels: VoxelsToWrite) -> Result<(), ImageError> {
        write::write(path, grid, voxels)
    }
}

#[cfg(test)]
mod tests;
