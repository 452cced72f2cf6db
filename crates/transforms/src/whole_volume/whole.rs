//! What a transform may see of a whole volume, and the numbers that it takes from it.

use volume::{Grid, Label};

/// A whole volume that comes into a step.
#[derive(Clone, Copy, Debug)]
pub struct WholeVolume<'a> {
    /// Where its voxels lie.
    pub grid: Grid,
    /// The intensities, `[channel, x, y, z]`.
    pub image: &'a [f32],
    /// The labels, `[x, y, z]`, where the step wants them and the volume has them.
    pub label: Option<&'a [Label]>,
}

impl<'a> WholeVolume<'a> {
    /// A volume of one row.
    pub fn of(image: &'a [f32]) -> Self {
        let shape = [1, 1, image.len()];
        Self { grid: Grid { shape, affine: volume::Affine::IDENTITY }, image, label: None }
    }

    /// The values of each channel, `[x, y, z]`.
    pub fn channels(&self) -> impl Iterator<Item = &'a [f32]> {
        self.image.chunks_exact(self.grid.num_voxels())
    }
}

/// Numbers about a whole volume: what its transform needs of them.
#[derive(Clone, Debug, PartialEq)]
pub enum VolumeStatistics {
    /// None.
    Nothing,
    /// The mean of all intensities.
    Mean(f32),
    /// The mean and the standard deviation of some.
    Moments {
        /// The mean.
        mean: f32,
        /// The standard deviation.
        deviation: f32,
    },
    /// Where intensities are cut, and the smallest and largest after that.
    Cut {
        /// The lower cut.
        low: f32,
        /// The upper cut.
        high: f32,
        /// The smallest and the largest value after cutting.
        ends: [f32; 2],
    },
    /// The height of each spike in each channel's spectrum.
    Heights(Vec<Vec<f32>>),
    /// A piecewise linear map of each channel: its inner knots, and slope and offset of each piece.
    Pieces(Vec<(Vec<f64>, Vec<[f64; 2]>)>),
}

/// Why a transform meets the numbers that it asked for.
pub(crate) const MEASURED_FOR_IT: &str = "a transform meets the numbers that it measured";
