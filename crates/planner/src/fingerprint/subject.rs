//! Measuring one subject.

use std::collections::BTreeSet;

use super::SubjectFingerprint;
use super::intensities::{Sampled, Sampler};
use super::labels::labels_in;
use dataset::load::LoadError;
use dataset::subject::Subject;
use volume::{Grid, Label, Volume, Voxels, io, offset, unravel_index};

/// Why a subject cannot be measured.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeasureError {
    /// A file cannot be read, or belongs to another grid.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It has no label map.
    #[error("it has no label map, which the intensities of the foreground need")]
    NoLabel,
    /// An intensity is not finite.
    #[error("channel {channel} has a voxel that is {value}, at {index:?}; fix the image")]
    NotFinite { channel: usize, value: f32, index: [usize; 3] },
}

/// A measured subject, with the sampled intensities of each channel.
pub(super) struct Measured {
    pub fingerprint: SubjectFingerprint,
    /// The labels above 0 of its label map.
    pub labels: BTreeSet<Label>,
    pub channels: Vec<Sampled>,
}

/// Reads and measures a subject; `samples` intensities of each channel's foreground are sampled.
///
/// # Errors
/// When a file cannot be read, there is no label map, or an intensity is not finite.
pub(super) fn measure(subject: &Subject, samples: usize) -> Result<Measured, MeasureError> {
    let Volume { grid, image, label } = subject.load()?;
    let label = label.ok_or(MeasureError::NoLabel)?;
    for channel in 0..image.channels {
        if let Some(index) = image.channel(channel).iter().position(|value| !value.is_finite()) {
            let value = image.channel(channel)[index];
            return Err(MeasureError::NotFinite { channel, value, index: unravel_index(grid.shape, index) });
        }
    }
    let (low, high) = non_zero_box(&image);
    let foreground = foreground(&label, low, high);
    let mut sampler = Sampler::new(foreground.len(), samples);
    let channels = (0..image.channels)
        .map(|channel| {
            let values = image.channel(channel);
            sampler.sample(foreground.iter().map(|index| values[*index]))
        })
        .collect();
    let fingerprint = SubjectFingerprint {
        name: subject.name.clone(),
        shape: grid.shape,
        shape_after_crop: std::array::from_fn(|axis| high[axis] - low[axis]),
        spacing_mm: spacing_mm(subject, &grid)?,
        orientation: grid.affine.orientation(),
        foreground_voxels: foreground.len(),
    };
    Ok(Measured { fingerprint, labels: labels_in(&label), channels })
}

/// Returns the spacing that ITK, and so nnU-Net, reads: that which the header states beside the affine, if both are the same
/// apart from rounding. Rounding must not decide whether one axis is twice as coarse as another. Slices of a file without a
/// third axis are farther apart than anything else.
fn spacing_mm(subject: &Subject, grid: &Grid) -> Result<[f64; 3], LoadError> {
    const ROUNDING: f64 = 1e-5;
    const FAR: f64 = 999.0;
    let header = io::read_header(subject.images.first().ok_or(LoadError::NoImage)?)?;
    let (stated, computed) = (header.stated_spacing_mm, grid.spacing());
    let is_rounded = |axis: usize| (stated[axis] / computed[axis] - 1.0).abs() < ROUNDING;
    let mut spacing: [f64; 3] =
        std::array::from_fn(|axis| if is_rounded(axis) { stated[axis] } else { computed[axis] });
    if header.num_axes == 2 {
        spacing[2] = FAR * spacing[0].max(spacing[1]);
    }
    Ok(spacing)
}

/// Returns the first voxel, and the one after the last, of the bounding box of the voxels of which any channel is not 0; the
/// whole volume if there are none. Filling the holes of that region, as nnU-Net does, leaves the box as it is.
fn non_zero_box(image: &Voxels<f32>) -> ([usize; 3], [usize; 3]) {
    let [_, size_y, size_z] = image.shape;
    let (mut low, mut high) = (image.shape, [0; 3]);
    for channel in 0..image.channels {
        for (row, values) in image.channel(channel).chunks_exact(size_z).enumerate() {
            let Some(first) = values.iter().position(|value| *value != 0.0) else { continue };
            let last = values.iter().rposition(|value| *value != 0.0).unwrap_or(first);
            let (x, y) = (row / size_y, row % size_y);
            for (axis, (from, to)) in [(x, x), (y, y), (first, last)].into_iter().enumerate() {
                low[axis] = low[axis].min(from);
                high[axis] = high[axis].max(to + 1);
            }
        }
    }
    if high == [0; 3] { ([0; 3], image.shape) } else { (low, high) }
}

/// Returns the indices of the voxels with a label above 0 in a box, ordered by z, then y, then x, as nnU-Net's arrays are.
fn foreground(label: &Voxels<Label>, low: [usize; 3], high: [usize; 3]) -> Vec<usize> {
    let [_, size_y, size_z] = label.shape;
    let rows = |x: usize| (low[1]..high[1]).map(move |y| (x, y, offset([0, size_y, size_z], [x, y, 0])));
    // The number of foreground voxels of each line along x becomes its first place in the result.
    let mut places = vec![0; size_y * size_z];
    for (_, y, start) in (low[0]..high[0]).flat_map(rows) {
        for z in low[2]..high[2] {
            places[z * size_y + y] += usize::from(label[start + z] > 0);
        }
    }
    let mut total = 0;
    for place in &mut places {
        total += std::mem::replace(place, total);
    }
    let mut indices = vec![0; total];
    for (_, y, start) in (low[0]..high[0]).flat_map(rows) {
        for z in low[2]..high[2] {
            if label[start + z] > 0 {
                let place = &mut places[z * size_y + y];
                indices[*place] = start + z;
                *place += 1;
            }
        }
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_box_contains_every_voxel_that_is_not_zero_in_any_channel() {
        let shape = [4, 5, 6];
        let mut values = vec![0.0; 240];
        values[offset(shape, [1, 3, 2])] = 1.0;
        values[120 + offset(shape, [2, 1, 4])] = -1.0;
        assert_eq!(non_zero_box(&Voxels::new(2, shape, values)), ([1, 1, 2], [3, 4, 5]));
        assert_eq!(non_zero_box(&Voxels::new(1, shape, vec![0.0; 120])), ([0; 3], shape));
    }

    #[test]
    fn the_spacing_of_an_oblique_file_is_the_one_that_its_header_states() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("oblique.nii");
        let (sine, cosine) = (0.3_f64.sin(), 0.3_f64.cos());
        let affine = volume::Affine([
            [0.5 * cosine, -0.5 * sine, 0.0, 0.0],
            [0.5 * sine, 0.5 * cosine, 0.0, 0.0],
            [0.0, 0.0, 1.0, 0.0],
        ]);
        let grid = Grid { shape: [2, 3, 4], affine };
        io::write_image(&path, &grid, &Voxels::new(1, grid.shape, vec![1.0; 24])).unwrap();
        let (grid, _) = io::read_image(&path).unwrap();
        let subject = Subject { name: "a".to_owned(), images: vec![path], label: None };
        assert_ne!(grid.spacing(), [0.5, 0.5, 1.0]);
        assert_eq!(spacing_mm(&subject, &grid).unwrap(), [0.5, 0.5, 1.0]);
    }

    #[test]
    fn foreground_is_ordered_by_z_then_y_then_x_and_cropped() {
        let shape = [3, 2, 2];
        let mut labels = vec![0; 12];
        for index in [[2, 0, 0], [0, 1, 0], [1, 0, 1], [2, 0, 1], [0, 0, 0]] {
            labels[offset(shape, index)] = 7;
        }
        let label = Voxels::new(1, shape, labels);
        let ordered = |low, high| -> Vec<[usize; 3]> {
            foreground(&label, low, high).into_iter().map(|index| unravel_index(shape, index)).collect()
        };
        assert_eq!(ordered([0; 3], shape), [[0, 0, 0], [2, 0, 0], [0, 1, 0], [1, 0, 1], [2, 0, 1]]);
        assert_eq!(ordered([1, 0, 0], shape), [[2, 0, 0], [1, 0, 1], [2, 0, 1]]);
    }
}
