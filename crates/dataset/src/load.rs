//! Loading a subject: its image files as the channels of one volume, and its label map on the same grid.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::subject::Subject;
use volume::io::{self, ImageError};
use volume::{GRID_TOLERANCE_MM, Grid, Volume, Voxels};

/// Why a subject cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] ImageError),
    /// Its files have different grids.
    #[error(transparent)]
    Grid(#[from] GridMismatch),
    /// The subject has no image.
    #[error("it has no image file")]
    NoImage,
}

/// A file whose grid is not that of its subject's first image.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{role} {path}: {difference}", path = path.display())]
pub struct GridMismatch {
    /// The role of the file in its subject.
    pub role: Role,
    /// The file.
    pub path: PathBuf,
    /// How its grid differs from that of the image.
    pub difference: GridDifference,
}

/// The role of a file in its subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// One or several channels of the image.
    Image,
    /// The label map.
    LabelMap,
}

/// How the grid of a file differs from that of the image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GridDifference {
    /// Another number of voxels along an axis.
    Shape {
        /// Voxels of the file along x, y and z.
        file: [usize; 3],
        /// Voxels of the image along x, y and z.
        image: [usize; 3],
    },
    /// The same shape, but another position, spacing or orientation.
    Corners {
        /// The largest distance between corresponding corners, in mm.
        distance_mm: f64,
    },
}

impl Subject {
    /// Reads the files; several image files become the channels of one image.
    ///
    /// # Errors
    /// When a file cannot be read, or its grid differs from that of the first image.
    pub fn load(&self) -> Result<Volume, LoadError> {
        let read_label = || self.label.as_deref().map(io::read_label).transpose();
        let (image, label) = rayon::join(|| self.load_image(), read_label);
        let ((grid, image), label) = (image?, label?);
        if let (Some(path), Some((other, _))) = (&self.label, &label) {
            check_grid(Role::LabelMap, path, other, &grid)?;
        }
        Ok(Volume { grid, image, label: label.map(|(_, label)| label) })
    }

    fn load_image(&self) -> Result<(Grid, Voxels<f32>), LoadError> {
        let mut paths = self.images.iter();
        let (grid, image) = io::read_image(paths.next().ok_or(LoadError::NoImage)?)?;
        let mut values = None;
        for path in paths {
            let (other, channels) = io::read_image(path)?;
            check_grid(Role::Image, path, &other, &grid)?;
            values.get_or_insert_with(|| image.to_vec()).extend_from_slice(&channels);
        }
        Ok(match values {
            Some(values) => (grid, Voxels::new(values.len() / grid.num_voxels(), grid.shape, values)),
            None => (grid, image),
        })
    }
}

/// Compares the grid of a file with that of its subject's first image.
///
/// # Errors
/// When they differ.
pub fn check_grid(role: Role, path: &Path, file: &Grid, image: &Grid) -> Result<(), GridMismatch> {
    if file.matches(image, GRID_TOLERANCE_MM) {
        return Ok(());
    }
    let difference = if file.shape == image.shape {
        GridDifference::Corners { distance_mm: file.max_corner_distance_mm(&image.affine) }
    } else {
        GridDifference::Shape { file: file.shape, image: image.shape }
    };
    Err(GridMismatch { role, path: path.to_owned(), difference })
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Image => "image",
            Self::LabelMap => "label map",
        })
    }
}

impl fmt::Display for GridDifference {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Shape { file, image } => {
                let [file, image] = [file, image].map(|shape| shape.map(|size| size.to_string()).join(" x "));
                write!(f, "{file} voxels, but the image has {image}; resample it to the grid of the image")
            }
            Self::Corners { distance_mm } => {
                let distance = values::format_number(*distance_mm);
                write!(f, "its corners are up to {distance} mm from those of the image; fix its header or resample it")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    /// Writes an image whose voxels are all `value` on a grid whose origin is at `x_mm` along x.
    fn image(path: &Path, shape: [usize; 3], x_mm: f64, value: f32) {
        let grid = Grid { shape, affine: Affine::scale_and_shift([1.0; 3], [x_mm, 0.0, 0.0]) };
        let voxels = Voxels::new(1, shape, vec![value; grid.num_voxels()]);
        io::write_image(path, &grid, &voxels).unwrap();
    }

    fn subject(folder: &Path) -> Subject {
        let images = vec![folder.join("t1.nii.gz"), folder.join("t2.nii.gz")];
        image(&images[0], [4, 4, 4], 0.0, 1.0);
        image(&images[1], [4, 4, 4], 0.0, 2.0);
        Subject { name: "a".to_owned(), images, label: None }
    }

    #[test]
    fn image_files_become_channels_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let volume = subject(folder.path()).load().unwrap();
        assert_eq!((volume.image.channels, volume.image[0], volume.image[64]), (2, 1.0, 2.0));
    }

    #[test]
    fn a_file_on_another_grid_is_named_with_the_difference() {
        let folder = tempfile::tempdir().unwrap();
        let subject = subject(folder.path());
        image(&subject.images[1], [4, 4, 4], 10.0, 2.0);
        let message = subject.load().unwrap_err().to_string();
        assert!(message.contains("t2.nii.gz: its corners are up to 10 mm from those of the image"), "{message}");
        let label = Some(folder.path().join("label.nii.gz"));
        image(label.as_deref().unwrap(), [4, 4, 5], 0.0, 0.0);
        let subject = Subject { images: vec![subject.images[0].clone()], label, ..subject };
        let larger = subject.load().unwrap_err().to_string();
        assert!(larger.contains("label map") && larger.contains("4 x 4 x 5 voxels, but the image has 4 x 4 x 4"));
    }
}
