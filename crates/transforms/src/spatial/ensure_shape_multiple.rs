//! Padding or cropping to multiples of a number of voxels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Component, CropOrPad, CropOrPadParams, GridMapping, Incoming, NoParams, SpatialTransform};
use random::Rng;
use values::{PartialShape, Shape, single};
use volume::Grid;

/// Pads or crops around the centre so that each axis is a multiple of a number of voxels, as networks with strides require;
/// TorchIO's EnsureShapeMultiple. World coordinates are preserved.
///
/// ```yaml
/// - ensure_shape_multiple: { multiple: [16, 16, 8] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnsureShapeMultiple {
    /// The shape becomes a multiple of these numbers of voxels along x, y and z, such as `[16, 16, 8]`.
    pub multiple: Shape,
    /// `pad` (default) or `crop`; cropping leaves one voxel of an axis that is shorter than its multiple.
    #[serde(default)]
    pub method: Method,
    /// The intensity of padded voxels, default 0; padded labels are 0.
    #[serde(default, deserialize_with = "single")]
    pub fill: f32,
}

/// How a shape is made a multiple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Padding.
    #[default]
    Pad,
    /// Cropping.
    Crop,
}

impl Component for EnsureShapeMultiple {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["EnsureShapeMultiple", "DivisiblePad"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl SpatialTransform for EnsureShapeMultiple {
    fn map_grid(&self, _: &NoParams, incoming: &Grid) -> GridMapping {
        let shape = std::array::from_fn(|axis| {
            let (size, multiple) = (incoming.shape[axis], self.multiple.0[axis]);
            Some(match self.method {
                Method::Pad => size.next_multiple_of(multiple),
                Method::Crop => (size / multiple * multiple).max(1),
            })
        });
        CropOrPad::centred(PartialShape(shape), self.fill).map_grid(&CropOrPadParams(None), incoming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    fn shape(yaml: &str) -> [usize; 3] {
        let step: EnsureShapeMultiple = serde_yaml::from_str(yaml).unwrap();
        step.map_grid(&NoParams, &Grid { shape: [15, 16, 3], affine: Affine::IDENTITY }).grid.shape
    }

    #[test]
    fn padding_rounds_up_and_cropping_rounds_down() {
        assert_eq!(shape("multiple: [8, 8, 8]"), [16, 16, 8]);
        assert_eq!(shape("{multiple: [8, 8, 8], method: crop}"), [8, 16, 1]);
    }
}
