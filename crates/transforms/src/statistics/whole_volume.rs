//! The whole volume that enters a transform, and its statistics.

use std::any::Any;
use std::fmt;

use volume::{Grid, Label};

/// A whole volume that enters a step.
#[derive(Clone, Copy, Debug)]
pub struct WholeVolume<'a> {
    /// Its grid.
    pub grid: Grid,
    /// The intensities, `[channel, x, y, z]`.
    pub image: &'a [f32],
    /// The labels, `[x, y, z]`, if the step needs them and the volume has them.
    pub label: Option<&'a [Label]>,
}

impl<'a> WholeVolume<'a> {
    /// Returns a volume of one row, for tests.
    pub fn single_row(image: &'a [f32]) -> Self {
        let shape = [1, 1, image.len()];
        Self { grid: Grid { shape, affine: volume::Affine::IDENTITY }, image, label: None }
    }

    /// Returns the intensities of each channel, `[x, y, z]`.
    pub fn channels(&self) -> impl Iterator<Item = &'a [f32]> {
        self.image.chunks_exact(self.grid.num_voxels())
    }

    /// Returns the intensities of one channel, `[x, y, z]`.
    pub fn channel(&self, channel: usize) -> &'a [f32] {
        let size = self.grid.num_voxels();
        &self.image[channel * size..(channel + 1) * size]
    }
}

/// Statistics of a whole volume, of the type that its transform needs.
#[derive(Default)]
pub struct VolumeStatistics(Option<Box<dyn Any + Send + Sync>>);

impl VolumeStatistics {
    /// Returns statistics of any type.
    pub fn new(statistics: impl Any + Send + Sync) -> Self {
        Self(Some(Box::new(statistics)))
    }

    /// Returns the statistics of a transform that needs none.
    pub fn none() -> &'static Self {
        static NONE: VolumeStatistics = VolumeStatistics(None);
        &NONE
    }

    /// Returns the statistics.
    ///
    /// # Panics
    /// When they are of another type than the transform's `statistics` returns.
    pub fn get<T: Any>(&self) -> &T {
        let statistics = self.0.as_ref().and_then(|statistics| statistics.downcast_ref());
        statistics.expect("a transform receives the statistics that it computed")
    }
}

impl fmt::Debug for VolumeStatistics {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("VolumeStatistics")
    }
}
