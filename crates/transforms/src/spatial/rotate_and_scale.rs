//! Random rotation and scaling of a patch, as in nnU-Net.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::channels::{certain, is_random};
use crate::validation::{MAX_DISPLACEMENT, keys_where, require, within};
use crate::{
    Component, Convention, Fill, GridMapping, Incoming, Interpolation, KeyProblem, Lattice, LatticeAxis,
    SpatialTransform,
};
use random::Rng;
use values::{AxisRanges, Probability, Range, Shape};
use volume::{self, Grid};

/// Random rotation and scaling about the centre, in voxels, as nnU-Net's SpatialTransform: intensities are interpolated
/// linearly, with zeros outside; a voxel takes the label with the largest interpolation weight, or 0 outside.
///
/// With `patch`, for `patch_augment`, the patch is computed from a larger block that is cut from the volume, so that the corners
/// of a rotated patch have content. If neither rotated nor scaled, it is the central part of the block, without interpolation.
///
/// ```yaml
/// - rotate_and_scale: { degrees: [-30, 30], scales: [0.7, 1.4], rotation_probability: 0.2, scale_probability: 0.2 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateAndScale {
    /// Shape of the resulting patch, that of the sampler: voxels along x, y and z, such as `[128, 128, 128]`. The incoming block
    /// has the size that nnU-Net cuts: large enough for a rotation about one axis, divided by 0.85. Default `null`: incoming and
    /// resulting patch have the same shape.
    #[serde(default)]
    pub patch: Option<Shape>,
    /// Range of the rotation angles about x, y and z in degrees, default 0, such as `[-30, 30]`; each axis has its own angle. The
    /// content is rotated about x, then y, then z.
    #[serde(default = "no_rotation")]
    pub degrees: AxisRanges,
    /// Range of the scale, default 1, such as `[0.7, 1.4]`. As in nnU-Net, it scales the sampling grid: values above 1 make objects
    /// smaller.
    #[serde(default = "unchanged_scale")]
    pub scales: AxisRanges,
    /// If true (default), all axes have the same scale.
    #[serde(default = "is_true")]
    pub isotropic: bool,
    /// Rotates and scales within slices only. The value is the axis perpendicular to the slices: `x`, `y` or `z`. nnU-Net does so,
    /// with `degrees: [-180, 180]`, if the longest axis of the patch is more than three times the number of slices. Default `null`.
    #[serde(default)]
    pub in_plane: Option<Axis>,
    /// Probability of a rotation, default 1; nnU-Net's is 0.2.
    #[serde(default = "certain")]
    pub rotation_probability: Probability,
    /// Probability of a scaling, default 1; nnU-Net's is 0.2.
    #[serde(default = "certain")]
    pub scale_probability: Probability,
}

/// An axis of the voxel grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// The first axis.
    X,
    /// The second axis.
    Y,
    /// The third axis.
    Z,
}

fn no_rotation() -> AxisRanges {
    AxisRanges::same(Range::fixed(0.0))
}

fn unchanged_scale() -> AxisRanges {
    AxisRanges::same(Range::fixed(1.0))
}

fn is_true() -> bool {
    true
}

/// Valid scales.
const SCALES: [f64; 2] = [1e-3, 1e3];

/// The scale by which nnU-Net enlarges patches, whatever the range of scales.
const ENLARGING_SCALE: f64 = 0.85;

/// The sampled parameters of a rotation and a scaling.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RotateAndScaleParams {
    /// Rotation angles about x, y and z in degrees; `None` if the patch is not rotated.
    pub degrees: Option<[f64; 3]>,
    /// Scales of the sampling grid along x, y and z; `None` if the patch is not scaled.
    pub scales: Option<[f64; 3]>,
}

impl Component for RotateAndScale {
    type Params = RotateAndScaleParams;

    fn aliases() -> &'static [&'static str] {
        &["SpatialTransform", "Convert3DTo2DTransform"]
    }

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> RotateAndScaleParams {
        let is_rotated = rng.bernoulli(self.rotation_probability.get());
        let mut degrees = self.degrees.0.map(|range| rng.uniform(range));
        let is_scaled = rng.bernoulli(self.scale_probability.get());
        let mut scales = self.scales.0.map(|range| rng.uniform(range));
        if self.isotropic {
            scales = [scales[0]; 3];
        }
        if let Some(across) = self.in_plane {
            degrees = std::array::from_fn(|axis| if axis == across as usize { degrees[axis] } else { 0.0 });
            scales[across as usize] = 1.0;
        }
        RotateAndScaleParams { degrees: is_rotated.then_some(degrees), scales: is_scaled.then_some(scales) }
    }

    fn symmetric_ranges(&self) -> &'static [(&'static str, f64)] {
        &[("degrees", 0.0), ("scales", 1.0)]
    }

    fn random_keys(&self) -> Vec<&'static str> {
        let is_possible = |probability: Probability| probability.get() > 0.0;
        keys_where(&[
            ("degrees", is_possible(self.rotation_probability) && !self.degrees.is_fixed()),
            ("scales", is_possible(self.scale_probability) && !self.scales.is_fixed()),
            ("rotation_probability", is_random(self.rotation_probability)),
            ("scale_probability", is_random(self.scale_probability)),
        ])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let mut bounds = self.scales.0.iter().flat_map(|range| [range.low, range.high]);
        let scale = bounds.find(|scale| !(SCALES[0]..=SCALES[1]).contains(scale)).map(|scale| {
            KeyProblem::new("scales", format!("expected scales between 0.001 and 1000, got {scale}"))
                .help("1 keeps the size, 1.1 makes objects smaller by a factor of 1.1")
        });
        let is_one_range = |ranges: &AxisRanges| ranges.0.iter().all(|range| *range == ranges.0[0]);
        let isotropic = require(!self.isotropic || is_one_range(&self.scales), "scales", || {
            "expected one range for all axes, since `isotropic` is true".to_owned()
        });
        let in_plane = require(self.in_plane.is_none() || is_one_range(&self.degrees), "degrees", || {
            "expected one range, since `in_plane` leaves one rotation axis".to_owned()
        });
        [scale, isotropic, in_plane].into_iter().flatten().collect()
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        if let Some(degrees) = &params.degrees {
            within("degrees", degrees, [-MAX_DISPLACEMENT, MAX_DISPLACEMENT])?;
        }
        if let Some(scales) = &params.scales {
            within("scales", scales, SCALES)?;
        }
        let Some(across) = self.in_plane else { return Ok(()) };
        let (degrees, scales) = (params.degrees.unwrap_or([0.0; 3]), params.scales.unwrap_or([1.0; 3]));
        let is_in_plane = (0..3).all(|axis| axis == across as usize || degrees[axis] == 0.0);
        if is_in_plane && scales[across as usize] == 1.0 {
            Ok(())
        } else {
            Err("expected degrees about, and the scale 1 along, the axis of `in_plane` only".to_owned())
        }
    }
}

impl SpatialTransform for RotateAndScale {
    fn map_grid(&self, params: &RotateAndScaleParams, incoming: &Grid) -> GridMapping {
        let shape = self.patch.map_or(incoming.shape, |patch| patch.0);
        // The central part, as nnU-Net's `crop_tensor`.
        let first: [i64; 3] = std::array::from_fn(|axis| (incoming.shape[axis] / 2) as i64 - (shape[axis] / 2) as i64);
        let axes = std::array::from_fn(|axis| LatticeAxis { source: axis, flipped: false, offset: first[axis] });
        let central = GridMapping::lattice(Lattice { axes }, shape, incoming);
        if params.degrees.is_none() && params.scales.is_none() {
            return central;
        }
        let centre = |shape: [usize; 3]| shape.map(|size| (size as f64 - 1.0) / 2.0);
        let (mut from, to) = (centre(incoming.shape), centre(shape));
        if let Some(across) = self.in_plane {
            // Slices are not interpolated.
            let across = across as usize;
            from[across] = to[across] + first[across] as f64;
        }
        let rotation = sampling_rotation(params.degrees.unwrap_or([0.0; 3]));
        let scales = params.scales.unwrap_or([1.0; 3]);
        let linear = rotation.map(|row| std::array::from_fn(|axis| row[axis] * scales[axis]));
        let map = volume::Affine::from_parts(linear, from)
            .after(&volume::Affine::scale_and_shift([1.0; 3], to.map(|centre| -centre)));
        GridMapping {
            fill: Fill::Value(0.0),
            convention: Convention::GridSample,
            ..GridMapping::warp(map, central.grid, Interpolation::Linear)
        }
    }

    fn changes_shape(&self) -> bool {
        self.patch.is_some()
    }

    fn input_shape(&self, output: [usize; 3]) -> [usize; 3] {
        if self.patch.is_none() {
            return output;
        }
        let angle = |axis: usize| {
            let Range { low, high } = self.degrees.0[axis];
            low.abs().max(high.abs()).min(90.0).to_radians()
        };
        let size = output.map(|size| size as f64);
        let mut largest = size;
        // nnU-Net rotates the corner of the patch about each axis in turn.
        for (about, first, second) in [(2, 1, 0), (1, 2, 0), (0, 2, 1)] {
            let (sine, cosine) = angle(about).sin_cos();
            let sign = if about == 1 { -1.0 } else { 1.0 };
            let rotated =
                [size[first] * cosine + sign * size[second] * sine, -sign * size[first] * sine + size[second] * cosine];
            largest[first] = largest[first].max(rotated[0].abs());
            largest[second] = largest[second].max(rotated[1].abs());
        }
        let mut input = largest.map(|size| (size / ENLARGING_SCALE) as usize);
        if let Some(across) = self.in_plane {
            input[across as usize] = output[across as usize];
        }
        input
    }

    fn is_random_warp(&self) -> bool {
        !self.random_keys().is_empty()
    }
}

/// Returns the rotation of the sampling grid that rotates the content about x, then y, then z: the inverse of Rz Ry Rx.
fn sampling_rotation(degrees: [f64; 3]) -> [[f64; 3]; 3] {
    let [(sx, cx), (sy, cy), (sz, cz)] = degrees.map(|angle| angle.to_radians().sin_cos());
    let about_x = [[1.0, 0.0, 0.0], [0.0, cx, sx], [0.0, -sx, cx]];
    let about_y = [[cy, 0.0, -sy], [0.0, 1.0, 0.0], [sy, 0.0, cy]];
    let about_z = [[cz, sz, 0.0], [-sz, cz, 0.0], [0.0, 0.0, 1.0]];
    let [x, y, z] = [about_x, about_y, about_z].map(|linear| volume::Affine::from_parts(linear, [0.0; 3]));
    x.after(&y).after(&z).linear()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Map;
    use volume::Affine;

    fn step(yaml: &str) -> RotateAndScale {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn source(step: &RotateAndScale, params: RotateAndScaleParams, shape: [usize; 3], voxel: [f64; 3]) -> [f64; 3] {
        match step.map_grid(&params, &Grid { shape, affine: Affine::IDENTITY }).map {
            Map::Warp(map) => map.apply(voxel),
            Map::Lattice(lattice) => lattice.affine().apply(voxel),
            Map::Elastic(_) => unreachable!("the map is affine"),
        }
    }

    const UNCHANGED: RotateAndScaleParams = RotateAndScaleParams { degrees: None, scales: None };

    #[test]
    fn the_centre_is_cut_if_the_patch_is_neither_rotated_nor_scaled() {
        let step = step("patch: [4, 3, 2]");
        assert_eq!(source(&step, UNCHANGED, [9, 6, 2], [0.0; 3]), [2.0, 2.0, 0.0]);
        let grid = step.map_grid(&UNCHANGED, &Grid { shape: [9, 6, 2], affine: Affine::IDENTITY }).grid;
        assert_eq!((grid.shape, grid.affine.apply([0.0; 3])), ([4, 3, 2], [2.0, 2.0, 0.0]));
    }

    #[test]
    fn a_scale_above_one_makes_objects_smaller() {
        let params = RotateAndScaleParams { scales: Some([2.0; 3]), ..UNCHANGED };
        // What is one voxel from the centre comes from two voxels from it.
        assert_eq!(source(&step("{}"), params, [9; 3], [5.0, 4.0, 4.0]), [6.0, 4.0, 4.0]);
    }

    #[test]
    fn a_rotation_by_90_degrees_about_z_maps_x_to_y() {
        let params = RotateAndScaleParams { degrees: Some([0.0, 0.0, 90.0]), ..UNCHANGED };
        let source = source(&step("{}"), params, [5; 3], [2.0, 4.0, 2.0]);
        assert!((source[0] - 4.0).abs() < 1e-12 && (source[1] - 2.0).abs() < 1e-12, "{source:?}");
    }

    #[test]
    fn slices_are_not_interpolated_in_plane() {
        let step = step("{ patch: [4, 4, 3], degrees: [-180, 180], in_plane: z }");
        let params = RotateAndScaleParams { degrees: Some([0.0, 0.0, 33.0]), ..UNCHANGED };
        assert_eq!(source(&step, params, [9, 9, 3], [1.0, 3.0, 2.0])[2], 2.0);
        assert_eq!(source(&step, params, [9, 9, 6], [1.0, 3.0, 2.0])[2], 4.0);
        let incoming = Incoming { grid: Grid { shape: [9, 9, 3], affine: Affine::IDENTITY }, channels: 1 };
        assert_eq!(step.validate_params(&params, &incoming), Ok(()));
        let tilted = RotateAndScaleParams { degrees: Some([1.0, 0.0, 33.0]), ..UNCHANGED };
        assert!(step.validate_params(&tilted, &incoming).is_err());
    }

    #[test]
    fn keys_are_checked() {
        let key = |yaml: &str| step(yaml).validate().pop().map(|problem| problem.key);
        assert_eq!(key("{ degrees: [-30, 30], scales: [0.7, 1.4] }"), None);
        assert_eq!(key("scales: [0, 1]"), Some("scales"));
        assert_eq!(key("scales: [[0.7, 1.4], 1, 1]"), Some("scales"));
        assert_eq!(key("{ scales: [[0.7, 1.4], 1, 1], isotropic: false }"), None);
        assert_eq!(key("{ degrees: [[-9, 9], 0, 0], in_plane: z }"), Some("degrees"));
    }
}
