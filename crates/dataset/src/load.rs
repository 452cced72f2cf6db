//! Loading a subject: its image files as the channels of one volume, and its label map on the same grid.

use std::path::Path;

use crate::alignment::{GridMismatch, Role, align};
use crate::subject::Subject;
use volume::io::{self, ImageError};
use volume::{Grid, Label, Volume, Voxels};

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

impl Subject {
    /// Reads the files; several image files become the channels of one image. Files with the voxels of the first image in
    /// another axis order are reordered to it.
    ///
    /// # Errors
    /// When a file cannot be read, or has other voxels than the first image.
    pub fn load(&self) -> Result<Volume, LoadError> {
        let read_label = || self.label.as_deref().map(io::read_label).transpose();
        let (image, label) = rayon::join(|| self.load_image(), read_label);
        let ((grid, image), label) = (image?, label?);
        let label = self.label.as_deref().zip(label);
        let label = label.map(|(path, label)| align(Role::LabelMap, path, label, (Role::Image, &grid)));
        Ok(Volume { grid, image, label: label.transpose()? })
    }

    fn load_image(&self) -> Result<(Grid, Voxels<f32>), LoadError> {
        let mut paths = self.images.iter();
        let (grid, image) = io::read_image(paths.next().ok_or(LoadError::NoImage)?)?;
        let mut values = None;
        for path in paths {
            let channels = align(Role::Image, path, io::read_image(path)?, (Role::Image, &grid))?;
            values.get_or_insert_with(|| image.to_vec()).extend_from_slice(&channels);
        }
        Ok(match values {
            Some(values) => (grid, Voxels::new(values.len() / grid.num_voxels(), grid.shape, values)),
            None => (grid, image),
        })
    }
}

/// Reads a label map in the axis order of its image, which has the given grid.
///
/// # Errors
/// When it cannot be read or has other voxels.
pub fn load_label(path: &Path, image: &Grid) -> Result<Voxels<Label>, LoadError> {
    Ok(align(Role::LabelMap, path, io::read_label(path)?, (Role::Image, image))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, AxisPermutation};

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
        image(&subject.images[1], [4, 4, 4], 1.0, 2.0);
        let message = subject.load().unwrap_err().to_string();
        assert!(
            message.contains("t2.nii.gz: its corners are up to 1 mm (1 voxel) from those of the image"),
            "{message}"
        );
        let label = Some(folder.path().join("label.nii.gz"));
        image(label.as_deref().unwrap(), [4, 4, 5], 0.0, 0.0);
        let subject = Subject { images: vec![subject.images[0].clone()], label, ..subject };
        let larger = subject.load().unwrap_err().to_string();
        assert!(larger.contains("label map") && larger.contains("4 x 4 x 5 voxels, but the image has 4 x 4 x 4"));
    }

    /// Writes numbered voxels of 1 x 2 x 3 mm in an axis order; returns the voxels in the order of the first.
    fn stored_as(path: &Path, permute: bool, factor: f64) -> Vec<f32> {
        let ras = Grid { shape: [2, 3, 4], affine: Affine::scale_and_shift([1.0, 2.0, 3.0], [5.0, 6.0, 7.0]) };
        let psr = Grid {
            shape: [3, 4, 2],
            affine: Affine([[0.0, 0.0, 1.0, 5.0], [-2.0, 0.0, 0.0, 10.0], [0.0, 3.0, 0.0, 7.0]]),
        };
        let voxels = Voxels::new(1, ras.shape, (0..24u8).map(f32::from).collect());
        let mut grid = if permute { psr } else { ras };
        let stored = AxisPermutation::between(&ras, &grid).unwrap().apply(&voxels);
        grid.affine = Affine(grid.affine.0.map(|row| row.map(|mm| mm * factor)));
        io::write_image(path, &grid, &stored).unwrap();
        voxels.to_vec()
    }

    #[test]
    fn channels_and_label_map_in_other_axis_orders_are_read_in_that_of_the_first_image() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, label] = ["a.nii", "b.nii", "c.nii"].map(|name| folder.path().join(name));
        let values = stored_as(&first, false, 1.0);
        stored_as(&second, true, 1.0);
        stored_as(&label, true, 1.0);
        let subject = Subject { name: "a".to_owned(), images: vec![first, second], label: Some(label) };
        let volume = subject.load().unwrap();
        assert_eq!((volume.image.channel(0), volume.image.channel(1)), (&values[..], &values[..]));
        assert!(volume.label.unwrap().iter().zip(values).all(|(label, value)| f32::from(*label) == value));
    }

    #[test]
    fn a_label_map_without_a_unit_has_that_of_its_image() {
        let folder = tempfile::tempdir().unwrap();
        let [image, label] = ["a.nii", "b.nii"].map(|name| folder.path().join(name));
        stored_as(&image, false, 1000.0);
        stored_as(&label, true, 1000.0);
        let set_unit = |path: &Path, code: u8| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[123] = code;
            std::fs::write(path, bytes).unwrap();
        };
        let subject = Subject { name: "a".to_owned(), images: vec![image.clone()], label: Some(label.clone()) };
        set_unit(&image, 3);
        let message = subject.load().unwrap_err().to_string();
        assert!(message.contains("lengths are divided by 1000; one of the two headers"), "{message}");
        set_unit(&label, 0);
        let volume = subject.load().unwrap();
        assert_eq!(volume.grid.spacing().map(|mm| (mm * 1e4).round() / 1e4), [1.0, 2.0, 3.0]);
        assert_eq!(volume.label.unwrap()[23], 23);
    }
}
