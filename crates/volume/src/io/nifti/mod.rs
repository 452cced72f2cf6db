//! NIfTI files, `.nii` and `.nii.gz`: both versions are read, NIfTI-1 is written.
//!
//! `fields` decodes the bytes of headers and `header` validates them, `geometry` derives the grid's affine, `ambiguity` finds
//! what other programs may read differently, `write` writes files.

mod ambiguity;
mod fields;
mod geometry;
mod header;
mod write;

use std::path::Path;

use super::{ImageError, ImageFormat, ImageHeader, VoxelsToWrite, raw};
use crate::{Grid, Label, Voxels};

/// The expected format, for error messages.
const EXPECTED: &str = "a single NIfTI file";

/// The format NIfTI in a single file, uncompressed or compressed with gzip.
pub struct Nifti;

impl ImageFormat for Nifti {
    fn name(&self) -> &'static str {
        "NIfTI"
    }

    fn endings(&self) -> &'static [&'static str] {
        &[".nii", ".nii.gz"]
    }

    fn read_header(&self, path: &Path) -> Result<ImageHeader, ImageError> {
        let (header, _) = header::open(path)?;
        Ok(ImageHeader {
            grid: header.grid,
            num_axes: header.geometry.num_axes.clamp(2, 3),
            stated_spacing_mm: header.geometry.stated_spacing_mm(),
            channels: header.layout.channels,
            datatype: header.layout.data_type.name(),
            scaling: header.layout.scaling,
            unit: header.geometry.unit,
            ambiguities: ambiguity::ambiguities(&header),
        })
    }

    fn read_image(&self, path: &Path) -> Result<(Grid, Voxels<f32>), ImageError> {
        let (header, stream) = header::open(path)?;
        Ok((header.grid, raw::read(path, &header.layout, stream)?))
    }

    fn read_label(&self, path: &Path) -> Result<(Grid, Voxels<Label>), ImageError> {
        let (header, stream) = header::open(path)?;
        let raw::RawLayout { channels, shape, .. } = header.layout;
        if channels != 1 {
            return Err(ImageError::LabelChannels { path: path.to_owned(), channels, shape });
        }
        Ok((header.grid, raw::read(path, &header.layout, stream)?))
    }

    fn write(&self, path: &Path, grid: &Grid, voxels: VoxelsToWrite, description: &str) -> Result<(), ImageError> {
        write::write(path, grid, voxels, description)
    }
}

#[cfg(test)]
mod tests;
