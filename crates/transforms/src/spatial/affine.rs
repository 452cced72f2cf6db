//! Random scaling, rotation and translation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation::{MAX_DISPLACEMENT, keys_where, within};
use crate::{Component, Fill, GridMapping, Incoming, Interpolation, KeyProblem, SpatialTransform};
use random::Rng;
use values::number_or_word::NumberOrWord;
use values::written_as_number_or_word;
use values::{AxisRanges, Range};
use volume::{self, Grid};

/// Random scaling, rotation and translation about the centre of the image or the origin, in RAS millimetres, as TorchIO's
/// RandomAffine. Without keys the volume is unchanged.
///
/// ```yaml
/// - affine: { scales: [0.9, 1.1], degrees: [-10, 10] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Range of scale factors along x, y and z, default 1; above 1 enlarges. Example `[0.9, 1.1]`, or one range per axis.
    #[serde(default = "unchanged_scale")]
    pub scales: AxisRanges,
    /// Range of rotation angles about x, y and z in degrees, default 0; applied in the order y, x, z. Example `[-10, 10]`.
    #[serde(default = "no_change")]
    pub degrees: AxisRanges,
    /// Range of translations along x, y and z in millimetres, default 0. As in TorchIO, they are multiplied by the scale.
    #[serde(default = "no_change")]
    pub translation_mm: AxisRanges,
    /// If true, all axes have the same scale factor; default false.
    #[serde(default)]
    pub isotropic: bool,
    /// The centre of scaling and rotation: `image` (default) or `origin`.
    #[serde(default)]
    pub center: Center,
    /// Intensity of voxels from outside the image: a number; the image's `minimum` (default, also `null`); the `mean` of
    /// its six faces; or `otsu`, the mean of the values on the faces below their Otsu threshold. Labels outside are 0.
    #[serde(default)]
    pub fill: Outside,
    /// Interpolation of intensities: `nearest`, `linear` (default) or `cubic`.
    #[serde(default)]
    pub interpolation: Interpolation,
}

/// The fixed point of scaling and rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Center {
    /// The centre of the image.
    #[default]
    Image,
    /// The origin of world coordinates.
    Origin,
}

/// The intensity of voxels from outside the image; written as a number, a word, or `null` for `minimum`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outside(Fill);

impl Default for Outside {
    fn default() -> Self {
        Self(Fill::Minimum)
    }
}

impl NumberOrWord for Outside {
    const MEANINGS: &'static [Self] = &[Self(Fill::Minimum), Self(Fill::BorderMean), Self(Fill::BorderOtsu)];
    const WORDS: &'static [&'static str] = &["minimum", "mean", "otsu"];

    fn from_number(number: f32) -> Self {
        Self(Fill::Value(number))
    }

    fn number(&self) -> Option<f32> {
        match self.0 {
            Fill::Value(value) => Some(value),
            _ => None,
        }
    }
}

written_as_number_or_word!(Outside);

fn unchanged_scale() -> AxisRanges {
    AxisRanges::same(Range::fixed(1.0))
}

fn no_change() -> AxisRanges {
    AxisRanges::same(Range::fixed(0.0))
}

/// Valid scale factors: others leave nothing of an image, and their maps are not invertible in floating point.
const SCALES: std::ops::RangeInclusive<f64> = 1e-3..=1e3;

/// The sampled parameters of an affine transform.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AffineParams {
    /// Scale factors along x, y and z.
    pub scales: [f64; 3],
    /// Rotation angles about x, y and z in degrees.
    pub degrees: [f64; 3],
    /// Translation along x, y and z in millimetres.
    pub translation_mm: [f64; 3],
}

impl Component for Affine {
    type Params = AffineParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomAffine", "Affine", "RandAffine", "RandRotate", "RandZoom", "Rotate"]
    }

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> AffineParams {
        let mut scales = self.scales.0.map(|range| rng.uniform(range));
        if self.isotropic {
            scales = [scales[0]; 3];
        }
        let degrees = self.degrees.0.map(|range| rng.uniform(range));
        AffineParams { scales, degrees, translation_mm: self.translation_mm.0.map(|range| rng.uniform(range)) }
    }

    fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
        &[("scales", 1.0), ("degrees", 0.0), ("translation_mm", 0.0)]
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[
            ("scales", !self.scales.is_fixed()),
            ("degrees", !self.degrees.is_fixed()),
            ("translation_mm", !self.translation_mm.is_fixed()),
        ])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let bounds = self.scales.0.iter().flat_map(|range| [range.low, range.high]);
        let scale = bounds.into_iter().find(|scale| !SCALES.contains(scale)).map(|scale| {
            KeyProblem::new("scales", format!("expected scales between 0.001 and 1000, got {scale}"))
                .help("1 keeps the size, 0.9 makes it a tenth smaller")
        });
        let is_one_range = self.scales.0.iter().all(|range| *range == self.scales.0[0]);
        let isotropic = (self.isotropic && !is_one_range).then(|| {
            KeyProblem::new("scales", "expected one range for all axes, since `isotropic` is true")
                .help("write scales: [low, high]")
        });
        scale.into_iter().chain(isotropic).collect()
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        within("scales", &params.scales, [*SCALES.start(), *SCALES.end()])?;
        within("degrees", &params.degrees, [-MAX_DISPLACEMENT, MAX_DISPLACEMENT])?;
        within("translation_mm", &params.translation_mm, [-MAX_DISPLACEMENT, MAX_DISPLACEMENT])
    }
}

impl SpatialTransform for Affine {
    /// `y = S (R (x - c) + t) + c` moves a point x of the content; c is the centre of the image or the origin, R = Rz Rx Ry.
    ///
    /// A single slice is neither scaled along z nor rotated out of its plane, as in TorchIO.
    fn map_grid(&self, params: &AffineParams, incoming: &Grid) -> GridMapping {
        let mut params = *params;
        if incoming.shape[2] == 1 {
            params.scales[2] = 1.0;
            params.degrees = [0.0, 0.0, params.degrees[2]];
        }
        let centre = match self.center {
            Center::Image => incoming.centre(),
            Center::Origin => [0.0; 3],
        };
        let to_centre = volume::Affine::scale_and_shift([1.0; 3], centre.map(|v| -v));
        let from_centre = volume::Affine::scale_and_shift([1.0; 3], centre);
        let rigid = volume::Affine::from_parts(rotation(params.degrees), params.translation_mm);
        let scale = volume::Affine::scale_and_shift(params.scales, [0.0; 3]);
        let forward = from_centre.after(&scale).after(&rigid).after(&to_centre);
        let backward = forward.inverse().expect("scales above 0 are invertible");
        let to_voxels = incoming.affine.inverse().expect("the affine of a grid is invertible");
        let map = to_voxels.after(&backward).after(&incoming.affine);
        GridMapping { fill: self.fill.0, ..GridMapping::warp(map, *incoming, self.interpolation) }
    }

    fn changes_shape(&self) -> bool {
        false
    }

    fn is_random_warp(&self) -> bool {
        true
    }
}

/// Returns Rz Rx Ry, right-handed, for angles about x, y and z in degrees.
pub(crate) fn rotation(degrees: [f64; 3]) -> [[f64; 3]; 3] {
    let [(sx, cx), (sy, cy), (sz, cz)] = degrees.map(|angle| angle.to_radians().sin_cos());
    let about_x = [[1.0, 0.0, 0.0], [0.0, cx, -sx], [0.0, sx, cx]];
    let about_y = [[cy, 0.0, sy], [0.0, 1.0, 0.0], [-sy, 0.0, cy]];
    let about_z = [[cz, -sz, 0.0], [sz, cz, 0.0], [0.0, 0.0, 1.0]];
    let [z, x, y] = [about_z, about_x, about_y].map(|linear| volume::Affine::from_parts(linear, [0.0; 3]));
    z.after(&x).after(&y).linear()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Map;

    fn map(params: AffineParams) -> volume::Affine {
        let spec: Affine = serde_yaml::from_str("{}").unwrap();
        let grid = Grid { shape: [5, 5, 5], affine: volume::Affine::IDENTITY };
        match spec.map_grid(&params, &grid).map {
            Map::Warp(map) => map,
            map => panic!("{map:?} is not an affine map"),
        }
    }

    const IDENTITY: AffineParams = AffineParams { scales: [1.0; 3], degrees: [0.0; 3], translation_mm: [0.0; 3] };

    #[test]
    fn identity_parameters_move_nothing() {
        assert_eq!(map(IDENTITY).apply([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn a_scale_above_one_enlarges() {
        let map = map(AffineParams { scales: [2.0; 3], ..IDENTITY });
        // The content that was one voxel from the centre is two voxels from it.
        assert_eq!(map.apply([4.0, 2.0, 2.0]), [3.0, 2.0, 2.0]);
    }

    #[test]
    fn a_single_slice_is_transformed_within_its_plane() {
        let spec: Affine = serde_yaml::from_str("{}").unwrap();
        let grid = Grid { shape: [5, 5, 1], affine: volume::Affine::IDENTITY };
        let params = AffineParams { scales: [1.0, 1.0, 2.0], degrees: [30.0, -20.0, 90.0], ..IDENTITY };
        let Map::Warp(map) = spec.map_grid(&params, &grid).map else { panic!("an affine map") };
        let source = map.apply([2.0, 4.0, 0.0]);
        assert!((source[0] - 4.0).abs() < 1e-12 && (source[1] - 2.0).abs() < 1e-12 && source[2] == 0.0, "{source:?}");
    }

    #[test]
    fn a_rotation_by_90_degrees_about_z_maps_x_to_y() {
        let map = map(AffineParams { degrees: [0.0, 0.0, 90.0], ..IDENTITY });
        let source = map.apply([2.0, 4.0, 2.0]);
        assert!((source[0] - 4.0).abs() < 1e-12 && (source[1] - 2.0).abs() < 1e-12, "{source:?}");
    }

    #[test]
    fn the_translation_is_scaled() {
        let map = map(AffineParams { scales: [2.0, 1.0, 1.0], translation_mm: [1.0, 0.0, 0.0], ..IDENTITY });
        assert_eq!(map.apply([4.0, 2.0, 2.0]), [2.0, 2.0, 2.0]);
    }
}
