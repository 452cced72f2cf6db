//! One intensity outside a mask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::step::Registered;
use crate::whole_volume::statistics;
use crate::{
    Component, Incoming, IntensityTransform, NoParams, Region, TransformError, VolumeStatistics, WholeVolume, Window,
};
use random::Rng;
use values::single;

/// Sets the voxels outside a region to one intensity, as TorchIO's Mask.
///
/// ```yaml
/// - mask: { keep: { above: -500 }, outside: -1000 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// The voxels that stay.
    pub keep: Region,
    /// The intensity of all others.
    #[serde(default, deserialize_with = "single")]
    pub outside: f32,
}

impl Component for Mask {
    type Params = NoParams;

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn region(&self) -> Option<&Region> {
        Some(&self.keep)
    }
}

impl IntensityTransform for Mask {
    fn needs_statistics(&self) -> bool {
        // Whether there are labels at all is found out where an error can be told.
        self.keep.needs_mean() || self.keep.needs_labels()
    }

    fn statistics(&self, _: &NoParams, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        self.keep.of(Self::NAME, &whole.grid, whole.label, 0.0)?;
        Ok(if self.keep.needs_mean() {
            VolumeStatistics::new(statistics::mean(whole.image))
        } else {
            VolumeStatistics::default()
        })
    }

    fn apply(&self, _: &NoParams, measured: &VolumeStatistics, window: &mut Window) {
        let mean = if self.keep.needs_mean() { *measured.get() } else { 0.0 };
        let member = self.keep.of(Self::NAME, &window.grid, window.label, mean);
        let member = member.expect("labels were there when the volume was measured");
        let voxels: usize = window.shape.iter().product();
        let [_, size_y, size_z] = window.shape;
        for (index, value) in window.image.iter_mut().enumerate() {
            let index = index % voxels;
            let local = [index / (size_y * size_z), index / size_z % size_y, index % size_z];
            let place = std::array::from_fn(|axis| window.start[axis] + local[axis]);
            if !member.has(place, *value, index) {
                *value = self.outside;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_gets_one_intensity() {
        let mut values = [1.0, 2.0, 3.0, 6.0];
        let spec = Mask { keep: Region::AboveMean {}, outside: -1.0 };
        let measured = spec.statistics(&NoParams, &WholeVolume::of(&values)).unwrap();
        spec.apply(&NoParams, &measured, &mut Window::of(&mut values));
        assert_eq!(values, [-1.0, -1.0, -1.0, 6.0]);
    }

    #[test]
    fn labels_that_are_not_there_are_an_error() {
        let spec = Mask { keep: Region::Labels(Vec::new()), outside: 0.0 };
        assert!(spec.statistics(&NoParams, &WholeVolume::of(&[1.0])).is_err());
    }
}
