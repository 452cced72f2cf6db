//! One intensity outside a mask.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::whole_volume::statistics;
use crate::{Incoming, Intensity, Nothing, Region, TransformError, VolumeStatistics, WholeVolume, Window};
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

impl Intensity for Mask {
    type Draw = Nothing;

    fn draw(&self, _: &mut Rng, _: &Incoming) -> Nothing {
        Nothing
    }

    fn measures(&self) -> bool {
        // Whether there are labels at all is found out where an error can be told.
        self.keep.wants_mean() || self.keep.wants_labels()
    }

    fn wants_labels(&self) -> bool {
        self.keep.wants_labels()
    }

    fn measure(&self, _: &Nothing, whole: &WholeVolume) -> Result<VolumeStatistics, TransformError> {
        self.keep.of("mask", &whole.grid, whole.label, 0.0)?;
        Ok(if self.keep.wants_mean() {
            VolumeStatistics::Mean(statistics::mean(whole.image))
        } else {
            VolumeStatistics::Nothing
        })
    }

    fn apply(&self, _: &Nothing, measured: &VolumeStatistics, window: &mut Window) {
        let mean = if let VolumeStatistics::Mean(mean) = measured { *mean } else { 0.0 };
        let member = self.keep.of("mask", &window.grid, window.label, mean);
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
        let measured = spec.measure(&Nothing, &WholeVolume::of(&values)).unwrap();
        spec.apply(&Nothing, &measured, &mut Window::of(&mut values));
        assert_eq!(values, [-1.0, -1.0, -1.0, 6.0]);
    }

    #[test]
    fn labels_that_are_not_there_are_an_error() {
        let spec = Mask { keep: Region::Labels(Vec::new()), outside: 0.0 };
        assert!(spec.measure(&Nothing, &WholeVolume::of(&[1.0])).is_err());
    }
}
