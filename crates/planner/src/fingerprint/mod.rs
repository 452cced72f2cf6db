//! The fingerprint of a dataset: what plans are computed from.
//!
//! [`extract`] reads every subject once. `subject` measures one, and `intensities` summarizes the foreground of all.

mod extraction;
mod intensities;
mod labels;
mod subject;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use extraction::{Extraction, Unreadable, extract};
pub use intensities::ChannelIntensities;
pub use labels::LabelOccurrence;

/// The format of the file that this program writes and reads.
const FORMAT: u32 = 1;

/// The fingerprint of a dataset, with axes x, y and z as in the files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetFingerprint {
    /// The format of the file.
    pub format: u32,
    /// The subjects, sorted by name.
    pub subjects: Vec<SubjectFingerprint>,
    /// The intensities of the foreground in each channel.
    pub channels: Vec<ChannelIntensities>,
    /// The largest label of any subject.
    pub max_label: u16,
    /// The labels that occur in the label maps, in ascending order; empty in files of earlier versions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelOccurrence>,
    /// The median, over the subjects, of the fraction of a volume that remains after cropping to its non-zero voxels.
    pub median_relative_size_after_cropping: f64,
}

/// What is measured of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectFingerprint {
    /// Its name.
    pub name: String,
    /// Voxels of the image.
    pub shape: [usize; 3],
    /// Voxels of the bounding box of the voxels of which any channel is not 0.
    pub shape_after_crop: [usize; 3],
    /// Millimetres per voxel.
    pub spacing_mm: [f64; 3],
    /// The directions of the axes, such as `LPS`.
    pub orientation: String,
    /// The number of foreground voxels: those with a label above 0.
    pub foreground_voxels: usize,
}

impl DatasetFingerprint {
    /// Returns the fingerprint as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a fingerprint is plain data") + "\n"
    }

    /// Reads a fingerprint that [`DatasetFingerprint::to_json`] wrote.
    ///
    /// # Errors
    /// When the file cannot be read or is no fingerprint of this format.
    pub fn read(path: &Path) -> Result<Self, String> {
        let wrong = |reason: String| format!("{}: {reason}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let fingerprint: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        match fingerprint.format {
            FORMAT => Ok(fingerprint),
            format => Err(wrong(format!("expected format {FORMAT}, got {format}"))),
        }
    }

    /// Returns the median number of voxels that a crop leaves, as a fraction.
    fn median_relative_size(subjects: &[SubjectFingerprint]) -> f64 {
        let voxels = |shape: [usize; 3]| shape.iter().product::<usize>() as f64;
        let relative = |subject: &SubjectFingerprint| voxels(subject.shape_after_crop) / voxels(subject.shape);
        crate::quantile::median(&subjects.iter().map(relative).collect::<Vec<_>>())
    }

    #[cfg(test)]
    pub(crate) fn of_grids(grids: &[([f64; 3], [usize; 3])]) -> Self {
        let subject = |(index, (spacing_mm, shape)): (usize, &([f64; 3], [usize; 3]))| SubjectFingerprint {
            name: format!("case_{index}"),
            shape: *shape,
            shape_after_crop: *shape,
            spacing_mm: *spacing_mm,
            orientation: "RAS".to_owned(),
            foreground_voxels: 1,
        };
        let subjects = grids.iter().enumerate().map(subject).collect();
        Self {
            format: FORMAT,
            subjects,
            channels: Vec::new(),
            max_label: 1,
            labels: Vec::new(),
            median_relative_size_after_cropping: 1.0,
        }
    }
}
