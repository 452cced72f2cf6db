//! What is measured of one scan.

use serde::{Deserialize, Serialize};

use volume::orientation::axes_to_ras;
use volume::{Grid, Voxels};

/// The percentiles of a channel's intensities that are kept.
pub const PERCENTILES: [f64; 7] = [0.5, 5.0, 25.0, 50.0, 75.0, 95.0, 99.5];
/// Approximate number of evenly spaced voxels from which percentiles are estimated.
const SAMPLE: usize = 1 << 15;

/// One scan without its voxels. Axes are those of the patient: right, anterior, superior.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// Millimetres per voxel of the file.
    pub spacing_mm: [f64; 3],
    /// Voxels of the file.
    pub shape: [usize; 3],
    /// The directions of the voxel axes of the file, such as `LPS`.
    pub orientation: String,
    /// Millimetres per voxel after preprocessing.
    pub preprocessed_spacing_mm: [f64; 3],
    /// The intensities of each channel.
    pub intensities: Vec<Intensities>,
}

/// The intensities of a channel of one scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intensities {
    /// The percentiles [`PERCENTILES`], estimated from evenly spaced voxels.
    pub percentiles: [f64; PERCENTILES.len()],
}

impl Scan {
    /// Measures a scan by its grids before and after preprocessing; its intensities stay empty.
    pub fn of_grids(file: &Grid, preprocessed: &Grid) -> Self {
        let axes = axes_to_ras(&file.affine).map(|axis| axis.source_axis);
        let spacing = file.spacing();
        Self {
            spacing_mm: axes.map(|axis| spacing[axis]),
            shape: axes.map(|axis| file.shape[axis]),
            orientation: file.affine.orientation(),
            preprocessed_spacing_mm: preprocessed.spacing(),
            intensities: Vec::new(),
        }
    }

    /// Returns the millimetres from end to end.
    pub fn size_mm(&self) -> [f64; 3] {
        std::array::from_fn(|axis| self.shape[axis] as f64 * self.spacing_mm[axis])
    }
}

impl Intensities {
    /// Measures each channel of an image; empty if a channel has no finite voxel in the sample.
    pub fn of_channels(image: &Voxels<f32>) -> Vec<Self> {
        let channels = (0..image.channels).map(|channel| Self::of(image.channel(channel)));
        channels.collect::<Option<_>>().unwrap_or_default()
    }

    fn of(values: &[f32]) -> Option<Self> {
        // An odd step visits every position along a row.
        let step = (values.len() / SAMPLE) | 1;
        let mut sample: Vec<f32> = values.iter().copied().step_by(step).filter(|value| value.is_finite()).collect();
        sample.sort_unstable_by(f32::total_cmp);
        let last = sample.len().checked_sub(1)? as f64;
        let percentile = |percent: f64| f64::from(sample[(percent / 100.0 * last).round() as usize]);
        Some(Self { percentiles: PERCENTILES.map(percentile) })
    }

    /// Returns the 0.5th percentile.
    pub fn low(&self) -> f64 {
        self.percentiles[0]
    }

    /// Returns the 99.5th percentile.
    pub fn high(&self) -> f64 {
        self.percentiles[PERCENTILES.len() - 1]
    }

    /// Returns the distance from the 0.5th to the 99.5th percentile.
    pub fn width(&self) -> f64 {
        self.high() - self.low()
    }

    /// Returns the 0.5th percentile as a fraction of the width; `None` of an image without contrast.
    pub fn offset(&self) -> Option<f64> {
        (self.width() > 0.0).then(|| self.low() / self.width())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn axes_are_those_of_the_patient_in_any_orientation_of_the_file() {
        // Stored as PIR: x runs to posterior, y to inferior, z to the right.
        let affine = Affine([[0.0, 0.0, 3.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -2.0, 0.0, 0.0]]);
        let grid = Grid { shape: [10, 20, 30], affine };
        let scan = Scan::of_grids(&grid, &grid);
        assert_eq!((scan.spacing_mm, scan.shape, scan.orientation.as_str()), ([3.0, 1.0, 2.0], [30, 10, 20], "PIR"));
        assert_eq!(scan.size_mm(), [90.0, 10.0, 40.0]);
    }

    #[test]
    fn percentiles_are_estimated_from_a_sample_and_voxels_that_are_not_finite_do_not_count() {
        let mut values: Vec<f32> = (0..1_000_000).map(|k| (k % 1000) as f32).collect();
        values[0] = f32::NAN;
        let intensities = &Intensities::of_channels(&Voxels::new(1, [100, 100, 100], values))[0];
        assert!((intensities.low() - 5.0).abs() < 2.0 && (intensities.high() - 994.0).abs() < 2.0, "{intensities:?}");
        assert!((intensities.percentiles[3] - 500.0).abs() < 10.0, "{intensities:?}");
        let nothing = Voxels::new(1, [1, 1, 2], vec![f32::NAN; 2]);
        assert!(Intensities::of_channels(&nothing).is_empty());
    }
}
