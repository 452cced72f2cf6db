//! Reading and writing image files.
//!
//! One file or folder per format, each an [`ImageFormat`] with one line in [`FORMATS`]. A path is read by the format that
//! [handles](ImageFormat::handles) it. Voxels are returned in C order `[channel, x, y, z]` on a [`Grid`] in RAS millimetres,
//! whatever the file's memory layout and coordinate system.
//!
//! `raw` reads and writes voxel data that formats have in common: numbers of any type with x fastest, perhaps compressed.
//! Files are not trusted: the size that a header declares is compared with what the file can hold before memory is
//! allocated.
//!
//! ```
//! use volume::{Affine, Grid, Voxels, io};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let path = folder.path().join("liver_3.nii.gz");
//! let grid = Grid { shape: [2, 2, 3], affine: Affine::scale_and_shift([0.8, 0.8, 2.5], [0.0; 3]) };
//! io::write_image(&path, &grid, &Voxels::new(1, grid.shape, vec![40.0; 12])).unwrap();
//!
//! assert_eq!(io::read_header(&path).unwrap().datatype, "float32");
//! let (grid, image) = io::read_image(&path).unwrap();
//! assert_eq!((grid.shape, image.channels, image[0]), ([2, 2, 3], 1, 40.0));
//! assert_eq!(io::case_name(&path), "liver_3");
//! ```

mod error;
mod nifti;
mod raw;
mod unsupported;

use std::path::Path;

pub use error::{ImageError, slices_as_channels};
pub use unsupported::{UnsupportedFormat, unsupported_format, unsupported_in};

use crate::{Grid, Label, Voxels};

/// The image formats. A path that none of them handles is read and written by the first.
pub const FORMATS: &[&dyn ImageFormat] = &[&nifti::Nifti];

/// The file ending with which the program writes images and label maps.
pub const DEFAULT_ENDING: &str = ".nii.gz";

/// An image file format.
pub trait ImageFormat: Sync {
    /// Returns the format's name, such as `NIfTI`.
    fn name(&self) -> &'static str;

    /// Returns the file endings with their leading dot, in lower case; case does not matter in file names.
    fn endings(&self) -> &'static [&'static str];

    /// Returns whether the format reads this path. By default the ending decides; a format whose files have no ending, or
    /// that reads folders, may look at the disk.
    fn handles(&self, path: &Path) -> bool {
        self.endings().iter().any(|ending| has_ending(path, ending))
    }

    /// Reads the header without the voxels.
    ///
    /// # Errors
    /// When the file cannot be read, is of another format, has an unusable header field, or is too short for the voxels
    /// that its header declares.
    fn read_header(&self, path: &Path) -> Result<ImageHeader, ImageError>;

    /// Reads intensities, scaled as the header says.
    ///
    /// # Shapes
    /// `[channel, x, y, z]`; a two-dimensional image has a depth of 1.
    ///
    /// # Errors
    /// Those of [`ImageFormat::read_header`], and when the file ends before its last voxel or does not fit into memory.
    fn read_image(&self, path: &Path) -> Result<(Grid, Voxels<f32>), ImageError>;

    /// Reads a label map.
    ///
    /// # Shapes
    /// `[1, x, y, z]`.
    ///
    /// # Errors
    /// Those of [`ImageFormat::read_image`], and when there are several channels or a value is not a whole number from 0
    /// to 65535 as far as its storage can tell: a writer that scaled labels to integers rounded them.
    fn read_label(&self, path: &Path) -> Result<(Grid, Voxels<Label>), ImageError>;

    /// Writes a file atomically, with a description if the format has a field for it; a long one is cut off. By default the
    /// format is read-only.
    ///
    /// # Errors
    /// When the format cannot store the voxels or the file cannot be written.
    fn write(&self, path: &Path, grid: &Grid, voxels: VoxelsToWrite, description: &str) -> Result<(), ImageError> {
        let _ = (grid, voxels, description);
        Err(ImageError::ReadOnly { path: path.to_owned(), format: self.name() })
    }
}

/// The header of an image file.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageHeader {
    /// Shape and position of the voxels in RAS millimetres.
    pub grid: Grid,
    /// Number of channels.
    pub channels: usize,
    /// Number of axes in space: 2 of a file of one slice without a third axis, else 3.
    pub num_axes: usize,
    /// Millimetres per voxel along x, y and z as the header states them beside the affine, which ITK uses; those of the affine up
    /// to rounding, unless [`ambiguities`](Self::ambiguities) says otherwise.
    pub stated_spacing_mm: [f64; 3],
    /// The type in which the file stores voxels, by NumPy's name, such as `int16`.
    pub datatype: &'static str,
    /// Slope and intercept that convert stored numbers to values; `None` if they need no conversion.
    pub scaling: Option<(f64, f64)>,
    /// The unit of the header's lengths, which are converted to millimetres.
    pub unit: LengthUnit,
    /// Contradictions in the header about the position of the voxels, and other reasons why programs may read the file
    /// differently, as sentence fragments.
    pub ambiguities: Vec<String>,
}

impl ImageHeader {
    /// Returns whether a value of the file, rounded to float32, is a whole number from 0 to 65535 as far as its storage can
    /// tell.
    pub fn is_label(&self, value: f32) -> bool {
        let is_integer = !self.datatype.starts_with("float");
        raw::round_to_label(value.into(), raw::label_tolerance(is_integer, self.scaling, value.into())).1
    }
}

/// The unit of the lengths in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthUnit {
    /// Not stated; read as millimetres.
    Unknown,
    /// Metres.
    Metre,
    /// Millimetres.
    Millimetre,
    /// Micrometres.
    Micrometre,
}

impl LengthUnit {
    /// Returns the unit of a NIfTI code.
    fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Metre,
            2 => Self::Millimetre,
            3 => Self::Micrometre,
            _ => Self::Unknown,
        }
    }

    /// Returns the millimetres in one unit.
    pub fn millimetres(self) -> f64 {
        match self {
            Self::Metre => 1e3,
            Self::Unknown | Self::Millimetre => 1.0,
            Self::Micrometre => 1e-3,
        }
    }
}

/// Voxels to write, by the type in which the file stores them.
#[derive(Clone, Copy, Debug)]
pub enum VoxelsToWrite<'a> {
    /// Intensities, stored as float32.
    Float32(&'a Voxels<f32>),
    /// Whole numbers of 16 bits, stored as int16.
    Int16(&'a Voxels<f32>),
    /// A label map, stored as uint8, or as uint16 where a label exceeds 255.
    Label(&'a Voxels<Label>),
}

/// Reads the header of an image file without its voxels.
///
/// # Errors
/// Those of [`ImageFormat::read_header`].
pub fn read_header(path: &Path) -> Result<ImageHeader, ImageError> {
    format_of(path).read_header(path).map_err(|error| unsupported::explained(path, error))
}

/// Reads intensities `[channel, x, y, z]`, scaled as the header says.
///
/// # Errors
/// Those of [`ImageFormat::read_image`].
pub fn read_image(path: &Path) -> Result<(Grid, Voxels<f32>), ImageError> {
    format_of(path).read_image(path).map_err(|error| unsupported::explained(path, error))
}

/// Reads a label map `[1, x, y, z]`.
///
/// # Errors
/// Those of [`ImageFormat::read_label`].
pub fn read_label(path: &Path) -> Result<(Grid, Voxels<Label>), ImageError> {
    format_of(path).read_label(path).map_err(|error| unsupported::explained(path, error))
}

/// Writes intensities as float32.
///
/// # Errors
/// Those of [`ImageFormat::write`].
///
/// # Panics
/// When voxels and grid differ in shape.
pub fn write_image(path: &Path, grid: &Grid, image: &Voxels<f32>) -> Result<(), ImageError> {
    write(path, grid, VoxelsToWrite::Float32(image), "")
}

/// Writes intensities as [`write_image`] does, with a description such as what made them.
///
/// # Errors
/// Those of [`ImageFormat::write`].
///
/// # Panics
/// When voxels and grid differ in shape.
pub fn write_described_image(
    path: &Path,
    grid: &Grid,
    image: &Voxels<f32>,
    description: &str,
) -> Result<(), ImageError> {
    write(path, grid, VoxelsToWrite::Float32(image), description)
}

/// Writes whole numbers as int16, as CT datasets store Hounsfield units.
///
/// # Errors
/// Those of [`ImageFormat::write`], and when a value is not a whole number of 16 bits.
///
/// # Panics
/// When voxels and grid differ in shape.
pub fn write_int16_image(path: &Path, grid: &Grid, image: &Voxels<f32>) -> Result<(), ImageError> {
    if let Some(&value) = image.iter().find(|&&value| f32::from(value as i16) != value) {
        return Err(ImageError::Range { path: path.to_owned(), value });
    }
    write(path, grid, VoxelsToWrite::Int16(image), "")
}

/// Writes a label map as uint8, or as uint16 where a label exceeds 255. Several channels are allowed, such as one-hot
/// classes.
///
/// # Errors
/// Those of [`ImageFormat::write`].
///
/// # Panics
/// When voxels and grid differ in shape.
pub fn write_label(path: &Path, grid: &Grid, label: &Voxels<Label>) -> Result<(), ImageError> {
    write(path, grid, VoxelsToWrite::Label(label), "")
}

/// Writes a label map as [`write_label`] does, with a description such as what made it.
///
/// # Errors
/// Those of [`ImageFormat::write`].
///
/// # Panics
/// When voxels and grid differ in shape.
pub fn write_described_label(
    path: &Path,
    grid: &Grid,
    label: &Voxels<Label>,
    description: &str,
) -> Result<(), ImageError> {
    write(path, grid, VoxelsToWrite::Label(label), description)
}

fn write(path: &Path, grid: &Grid, voxels: VoxelsToWrite, description: &str) -> Result<(), ImageError> {
    let shape = match voxels {
        VoxelsToWrite::Float32(voxels) | VoxelsToWrite::Int16(voxels) => voxels.shape,
        VoxelsToWrite::Label(voxels) => voxels.shape,
    };
    assert_eq!(shape, grid.shape, "voxels have the shape of their grid");
    format_of(path).write(path, grid, voxels, description)
}

fn format_of(path: &Path) -> &'static dyn ImageFormat {
    *FORMATS.iter().find(|format| format.handles(path)).unwrap_or(&FORMATS[0])
}

/// Returns whether a path is that of an image file, by its name; hidden files are excluded.
pub fn is_image(path: &Path) -> bool {
    let is_hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    !is_hidden && FORMATS.iter().any(|format| format.handles(path))
}

/// Returns the file endings of all formats for messages, such as `.nii or .nii.gz`.
pub fn endings() -> String {
    let endings: Vec<&str> = FORMATS.iter().flat_map(|format| format.endings()).copied().collect();
    match endings.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

/// Returns the case name of an image file: its file name without the ending of its format. For other files the last
/// extension is removed, and `.gz` before it.
pub fn case_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let endings = FORMATS.iter().flat_map(|format| format.endings());
    let longest = endings.filter(|ending| has_ending(path, ending)).map(|ending| ending.len()).max();
    if let Some(length) = longest {
        return name[..name.len() - length].to_owned();
    }
    let name = if has_ending(path, ".gz") { &name[..name.len() - ".gz".len()] } else { &name[..] };
    name.rsplit_once('.').map_or(name, |(stem, _)| stem).to_owned()
}

/// Returns whether a file name ends with `ending`, which is ASCII, ignoring case.
fn has_ending(path: &Path, ending: &str) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.len().checked_sub(ending.len()).is_some_and(|start| name[start..].eq_ignore_ascii_case(ending.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_name_lacks_the_ending_of_the_format() {
        for (path, expected) in [
            ("a/liver_3.nii.gz", "liver_3"),
            ("liver_3.NII", "liver_3"),
            ("scan.1.nii.gz", "scan.1"),
            ("scan.1.other", "scan.1"),
            ("scan.other.gz", "scan"),
            ("nii.gz", "nii"),
            (".nii.gz", ""),
            ("é.nii", "é"),
        ] {
            assert_eq!(case_name(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn images_are_recognized_by_their_endings_in_any_case() {
        for name in ["a.nii", "a.nii.gz", "A.NII.GZ", "folder/a.b.nii"] {
            assert!(is_image(Path::new(name)), "{name}");
        }
        for name in ["a.gz", "nii", "._a.nii.gz", ".nii", "a.nii.txt"] {
            assert!(!is_image(Path::new(name)), "{name}");
        }
    }

    #[test]
    fn endings_are_lower_case_with_a_dot_and_belong_to_one_format() {
        let all: Vec<&str> = FORMATS.iter().flat_map(|format| format.endings()).copied().collect();
        for ending in &all {
            assert!(ending.starts_with('.') && *ending == ending.to_lowercase(), "{ending}");
            assert_eq!(all.iter().filter(|other| *other == ending).count(), 1, "{ending}");
        }
        assert!(all.contains(&DEFAULT_ENDING));
    }
}
