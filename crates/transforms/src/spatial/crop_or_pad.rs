//! Cropping and padding to a shape.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::erasure::Registered;
use crate::validation::{MAX_DISPLACEMENT, keys_where, within};
use crate::{
    Component, Extension, Fill, GridMapping, Incoming, KeyProblem, Lattice, LatticeAxis, Padding, Region,
    SpatialTransform, TransformError, WholeVolume,
};
use random::Rng;
use values::PartialShape;
use volume::Grid;

/// Crops axes that are too long and pads axes that are too short, as TorchIO's CropOrPad. World coordinates are preserved.
///
/// Of a difference of n voxels, `ceil(n / 2)` are cropped or padded at the start of the axis, as in TorchIO.
///
/// ```yaml
/// - crop_or_pad: { shape: [256, 256, 100] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CropOrPad {
    /// Number of voxels along x, y and z; `null` keeps an axis, as in `[256, 256, null]`.
    pub shape: PartialShape,
    /// Set to `crop` to crop axes that are too long and leave shorter ones as they are, or to `pad` to pad axes that are too
    /// short and leave longer ones; default `null` does both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Only>,
    /// Padding mode, as for `pad`: a number (default 0) or a word such as `minimum` or `reflect`.
    #[serde(default)]
    pub fill: Padding,
    /// Position of the crop along axes that are too long: `center` (default) or `random`. Axes that are too short are
    /// padded around the centre.
    #[serde(default)]
    pub location: Location,
    /// Region whose bounding box is centred, instead of the volume; if it is empty, the volume is centred. Default
    /// `null`; example `{ labels: [1, 2] }`.
    #[serde(default)]
    pub mask: Option<Region>,
}

/// What is done to axes of another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Only {
    /// Longer axes are cropped.
    Crop,
    /// Shorter axes are padded.
    Pad,
}

/// Position of a crop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// The centre.
    #[default]
    Center,
    /// Random, uniformly distributed.
    Random,
}

/// The incoming index of the first outgoing voxel along each axis; `None` for a centred crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CropOrPadParams(pub Option<[i64; 3]>);

impl Component for CropOrPad {
    type Params = CropOrPadParams;

    fn aliases() -> &'static [&'static str] {
        &["CropOrPad", "ResizeWithPadOrCrop", "CenterSpatialCrop"]
    }

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> CropOrPadParams {
        if self.location == Location::Center {
            return CropOrPadParams(None);
        }
        let shape = self.outgoing_shape(incoming.grid.shape);
        CropOrPadParams(Some(std::array::from_fn(|axis| match incoming.grid.shape[axis].checked_sub(shape[axis]) {
            Some(spare) => rng.below(spare as u64 + 1) as i64,
            None => centre(incoming.grid.shape[axis], shape[axis]),
        })))
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[("location", self.location == Location::Random)])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let message = "a crop is either random or around a mask";
        let problem = KeyProblem::new("mask", message).help("leave out `location` or `mask`");
        if self.mask.is_some() && self.location == Location::Random { vec![problem] } else { Vec::new() }
    }

    fn validate_params(&self, params: &Self::Params, _: &Incoming) -> Result<(), String> {
        let start = params.0.unwrap_or_default().map(|start| start as f64);
        within("the start", &start, [-MAX_DISPLACEMENT, MAX_DISPLACEMENT])
    }

    fn region(&self) -> Option<&Region> {
        self.mask.as_ref()
    }
}

impl SpatialTransform for CropOrPad {
    fn map_grid(&self, params: &CropOrPadParams, incoming: &Grid) -> GridMapping {
        let shape = self.outgoing_shape(incoming.shape);
        let axes = std::array::from_fn(|axis| {
            let offset = params.0.map_or_else(|| centre(incoming.shape[axis], shape[axis]), |start| start[axis]);
            LatticeAxis { source: axis, flipped: false, offset }
        });
        GridMapping { fill: self.fill.fill(), ..GridMapping::lattice(Lattice { axes }, shape, incoming) }
    }

    fn resolves_from_volume(&self) -> bool {
        self.mask.is_some()
    }

    fn resolve_from_volume(
        &self,
        params: &CropOrPadParams,
        whole: &WholeVolume,
    ) -> Result<CropOrPadParams, TransformError> {
        let Some(mask) = &self.mask else { return Ok(*params) };
        let (incoming, shape) = (whole.grid.shape, self.outgoing_shape(whole.grid.shape));
        let bounds = mask.bounds(Self::NAME, whole)?;
        let start = |ends: usize, axis: usize| {
            let start = around(ends, shape[axis]);
            // Neither pads an axis that it crops, nor crops one that it pads.
            let last = incoming[axis] as i64 - shape[axis] as i64;
            if self.only.is_some() { start.clamp(last.min(0), last.max(0)) } else { start }
        };
        Ok(CropOrPadParams(bounds.map(|(low, high)| std::array::from_fn(|axis| start(low[axis] + high[axis], axis)))))
    }

    fn extension(&self) -> Option<Extension> {
        self.fill.extension()
    }
}

impl CropOrPad {
    /// Returns a crop or pad around the centre of the volume.
    pub(crate) fn centred(shape: PartialShape, fill: f32) -> Self {
        let fill = Padding::Fill(Fill::Value(fill));
        Self { shape, only: None, fill, location: Location::Center, mask: None }
    }

    /// Returns the shape after the step.
    fn outgoing_shape(&self, incoming: [usize; 3]) -> [usize; 3] {
        let shape = self.shape.resolve(incoming);
        match self.only {
            None => shape,
            Some(Only::Crop) => std::array::from_fn(|axis| shape[axis].min(incoming[axis])),
            Some(Only::Pad) => std::array::from_fn(|axis| shape[axis].max(incoming[axis])),
        }
    }
}

/// Returns the first incoming index of a centred crop or pad.
pub(crate) fn centre(incoming: usize, outgoing: usize) -> i64 {
    let at_start = incoming.abs_diff(outgoing).div_ceil(2) as i64;
    if incoming > outgoing { at_start } else { -at_start }
}

/// Returns the index of the first of `size` voxels centred on a box; `ends` is the sum of the box's first index and the
/// index after its last. If the exact centre is between voxels, the crop is half a voxel before it.
fn around(ends: usize, size: usize) -> i64 {
    // TorchIO moves the centre by half a voxel if only one of the box and the shape has an even size.
    let is_off = ends % 2 != size % 2;
    (ends as i64 - i64::from(is_off) - size as i64).div_euclid(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Map;
    use random::{Purpose, Seed};
    use volume::Affine;

    fn grid(size: usize) -> Grid {
        Grid { shape: [size, 1, 1], affine: Affine::IDENTITY }
    }

    fn offset(incoming: usize, outgoing: usize) -> i64 {
        let step = CropOrPad::centred(PartialShape([Some(outgoing), None, None]), 0.0);
        let mapping = step.map_grid(&CropOrPadParams(None), &grid(incoming));
        let Map::Lattice(lattice) = &mapping.map else { panic!("a crop moves whole voxels") };
        assert_eq!(mapping.grid.affine.origin()[0], lattice.axes[0].offset as f64);
        lattice.axes[0].offset
    }

    #[test]
    fn two_of_three_surplus_voxels_are_cropped_at_the_start() {
        assert_eq!(offset(7, 4), 2);
    }

    #[test]
    fn two_of_three_missing_voxels_are_padded_at_the_start() {
        assert_eq!(offset(4, 7), -2);
    }

    #[test]
    fn the_same_shape_changes_nothing() {
        assert_eq!(offset(5, 5), 0);
    }

    #[test]
    fn a_mask_is_centred_as_in_torchio() {
        let start = |labels: [u16; 10], size: usize| {
            let step = CropOrPad {
                mask: Some(Region::Labels(Vec::new())),
                ..CropOrPad::centred(PartialShape([Some(size), None, None]), 0.0)
            };
            let whole = WholeVolume { grid: grid(10), image: &[0.0; 10], label: Some(&labels) };
            step.resolve_from_volume(&CropOrPadParams(None), &whole).unwrap().0.map(|start| start[0])
        };
        // Verified with TorchIO 1.2.1.
        let mask = [0, 0, 0, 1, 1, 0, 0, 0, 0, 0];
        assert_eq!([3, 4, 5, 6].map(|size| start(mask, size)), [2, 2, 1, 1].map(Some));
        let mask = [0, 1, 1, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!([4, 6, 7].map(|size| start(mask, size)), [0, -1, -1].map(Some));
    }

    #[test]
    fn only_one_of_both_is_done() {
        let shape = |yaml: &str| {
            let step: CropOrPad = serde_yaml::from_str(yaml).unwrap();
            let grid = Grid { shape: [4, 7, 5], affine: Affine::IDENTITY };
            let mapping = step.map_grid(&CropOrPadParams(None), &grid);
            (mapping.grid.shape, mapping.grid.affine.origin())
        };
        assert_eq!(shape("{shape: [6, 6, 6], only: pad}"), ([6, 7, 6], [-1.0, 0.0, -1.0]));
        assert_eq!(shape("{shape: [6, 6, null], only: crop}"), ([4, 6, 5], [0.0, 1.0, 0.0]));
        assert_eq!(shape("{shape: [6, 6, null]}"), ([6, 6, 5], [-1.0, 1.0, 0.0]));
    }

    #[test]
    fn around_a_mask_only_one_of_both_is_done_too() {
        let start = |only: &str, size: usize| {
            let yaml = format!("{{shape: [{size}, null, null], only: {only}, mask: {{labels: []}}}}");
            let step: CropOrPad = serde_json::from_value(serde_yaml::from_str(&yaml).unwrap()).unwrap();
            let mut labels = [0; 10];
            labels[9] = 1;
            let whole = WholeVolume { grid: grid(10), image: &[0.0; 10], label: Some(&labels) };
            step.resolve_from_volume(&CropOrPadParams(None), &whole).unwrap().0.unwrap()[0]
        };
        // Centred on voxel 9, four voxels would start at 7 and end outside.
        assert_eq!([start("null", 4), start("crop", 4)], [7, 6]);
        assert_eq!([start("crop", 12), start("pad", 4)], [0, 0]);
        assert_eq!([start("null", 12), start("pad", 12)], [3, 0]);
    }

    #[test]
    fn an_empty_mask_leaves_the_centre() {
        let step = CropOrPad {
            mask: Some(Region::Above(5.0)),
            ..CropOrPad::centred(PartialShape([Some(2), None, None]), 0.0)
        };
        let whole = WholeVolume { grid: grid(3), image: &[0.0; 3], label: None };
        assert_eq!(step.resolve_from_volume(&CropOrPadParams(None), &whole).unwrap(), CropOrPadParams(None));
    }

    #[test]
    fn every_position_of_a_random_crop_is_sampled() {
        let step: CropOrPad = serde_yaml::from_str("{shape: [3, null, null], location: random}").unwrap();
        let mut rng = Seed(0).stream(Purpose::Augment, 0, "", 0);
        let incoming = Incoming { grid: grid(5), channels: 1 };
        let mut seen = [false; 3];
        for _ in 0..60 {
            let [x, y, z] = step.sample_params(&mut rng, &incoming).0.unwrap();
            assert_eq!([y, z], [0, 0]);
            seen[x as usize] = true;
        }
        assert_eq!(seen, [true; 3]);
    }
}
