//! Shapes that a network's stride divides.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Component, CropOrPad, CropOrPadParams, GridMapping, Incoming, NoParams, SpatialTransform};
use random::Rng;
use values::{PartialShape, Shape, single};
use volume::Grid;

/// Pads, or crops, around the centre until each axis is a multiple of a number of voxels; world coordinates stay.
///
/// ```yaml
/// - ensure_shape_multiple: { multiple: [16, 16, 8] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnsureShapeMultiple {
    /// The number of voxels that divides x, y and z.
    pub multiple: Shape,
    /// Whether voxels are added or cut; an axis that is shorter than the multiple is cut to one voxel.
    #[serde(default)]
    pub method: Method,
    /// The intensity of padded voxels; padded labels are 0.
    #[serde(default, deserialize_with = "single")]
    pub fill: f32,
}

/// How a shape becomes a multiple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Voxels are added.
    #[default]
    Pad,
    /// Voxels are cut.
    Crop,
}

impl Component for EnsureShapeMultiple {
    type Params = NoParams;

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
    fn padding_goes_up_and_cropping_goes_down() {
        assert_eq!(shape("multiple: [8, 8, 8]"), [16, 16, 8]);
        assert_eq!(shape("{multiple: [8, 8, 8], method: crop}"), [8, 16, 1]);
    }
}
