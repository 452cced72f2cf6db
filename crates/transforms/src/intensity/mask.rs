//! One intensity outside a mask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::erasure::Registered;
use crate::statistics::region::RegionStatistics;
use crate::{
    Component, Incoming, IntensityTransform, NoParams, Region, TransformError, VolumeStatistics, WholeVolume, Window,
};
use random::Rng;
use values::single;

/// Sets voxels outside a mask to one intensity, as TorchIO's Mask. Labels are unchanged.
///
/// ```yaml
/// - mask: { keep: { above: -500 }, outside: -1000 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// The mask: the region whose voxels are unchanged, such as `{ above: -500 }` or `{ labels: [1] }`.
    pub keep: Region,
    /// Intensity of all other voxels, default 0.
    #[serde(default, deserialize_with = "single")]
    pub outside: f32,
}

impl Component for Mask {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["Mask", "MaskIntensity"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn region(&self) -> Option<&Region> {
        Some(&self.keep)
    }
}

impl IntensityTransform for Mask {
    fn needs_statistics(&self) -> bool {
        // Missing labels are an error of `statistics`.
        self.keep.needs_statistics() || self.keep.needs_labels()
    }

    fn statistics(&self, _: &NoParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        let statistics = self.keep.statistics(whole);
        self.keep.resolve(Self::NAME, &whole.grid, whole.label, &statistics)?;
        Ok(VolumeStatistics::new(statistics))
    }

    fn apply(&self, _: &NoParams, statistics: &VolumeStatistics, window: &mut Window) {
        let none = RegionStatistics::default();
        let statistics = if self.needs_statistics() { statistics.get() } else { &none };
        let mask = self.keep.resolve(Self::NAME, &window.grid, window.label, statistics);
        let mask = mask.expect("`statistics` requires labels");
        let voxels: usize = window.shape.iter().product();
        let [_, size_y, size_z] = window.shape;
        for (index, value) in window.image.iter_mut().enumerate() {
            let index = index % voxels;
            let local = [index / (size_y * size_z), index / size_z % size_y, index % size_z];
            let voxel = std::array::from_fn(|axis| window.start[axis] + local[axis]);
            if !mask.contains(voxel, *value, index) {
                *value = self.outside;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voxels_outside_get_one_intensity() {
        let mut values = [1.0, 2.0, 3.0, 6.0];
        let spec = Mask { keep: Region::AboveMean {}, outside: -1.0 };
        let statistics = spec.statistics(&NoParams, &WholeVolume::single_row(&values)).unwrap();
        spec.apply(&NoParams, &statistics, &mut Window::single_row(&mut values));
        assert_eq!(values, [-1.0, -1.0, -1.0, 6.0]);
    }

    #[test]
    fn missing_labels_are_an_error() {
        let spec = Mask { keep: Region::Labels(Vec::new()), outside: 0.0 };
        assert!(spec.statistics(&NoParams, &WholeVolume::single_row(&[1.0])).is_err());
    }
}
