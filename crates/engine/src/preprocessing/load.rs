//! Reading a subject's image and label files.

use dataset::queue::MakeError;
use dataset::subject::Subject;
use volume::io;
use volume::{GRID_TOLERANCE_MM, Grid, Volume, Voxels};

/// Reads a subject's files.
///
/// # Errors
/// When a file cannot be read, or images and label map are not on one grid.
pub fn load(subject: &Subject) -> Result<Volume, MakeError> {
    let read_label = || subject.label.as_deref().map(io::read_label).transpose();
    let (image, label) = rayon::join(|| load_image(subject), read_label);
    let ((grid, image), label) = (image?, label?);
    if label.as_ref().is_some_and(|(other, _)| !other.matches(&grid, GRID_TOLERANCE_MM)) {
        return Err("its label map is on another grid than its image; resample it to the image's".into());
    }
    Ok(Volume { grid, image, label: label.map(|(_, label)| label) })
}

/// Reads the image files of a subject as the channels of one image.
fn load_image(subject: &Subject) -> Result<(Grid, Voxels<f32>), MakeError> {
    let mut files = subject.images.iter().map(|path| io::read_image(path));
    let (grid, image) = files.next().ok_or("it has no image file")??;
    let mut values = None;
    for file in files {
        let (other, channels) = file?;
        if !other.matches(&grid, GRID_TOLERANCE_MM) {
            return Err("its image files are on different grids; resample them to one".into());
        }
        values.get_or_insert_with(|| image.to_vec()).extend_from_slice(&channels);
    }
    Ok(match values {
        Some(values) => (grid, Voxels::new(values.len() / grid.num_voxels(), grid.shape, values)),
        None => (grid, image),
    })
}
