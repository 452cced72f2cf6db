//! Padding by a number of voxels, or to a minimum size.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spatial::crop_or_pad::centre;
use crate::{
    Component, Extension, GridMapping, Incoming, KeyProblem, Lattice, LatticeAxis, NoParams, Padding, SpatialTransform,
};
use random::Rng;
use values::{Margins, PartialShape};
use volume::Grid;

/// Pads both ends of each axis, as TorchIO's Pad, or only volumes that are too small. World coordinates are preserved.
///
/// ```yaml
/// - pad: { at_least: [96, 96, 96], fill: -1000 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pad {
    /// Number of voxels to add at the start of x, y and z; default `[0, 0, 0]`.
    #[serde(default)]
    pub start: Margins,
    /// Number of voxels to add at the end of x, y and z; default `[0, 0, 0]`.
    #[serde(default)]
    pub end: Margins,
    /// Minimum number of voxels along x, y and z, instead of `start` and `end`: shorter axes are padded to it around the
    /// centre, as by `crop_or_pad`, and longer ones are unchanged. `null` leaves an axis unchanged, as in
    /// `[96, 96, null]`. Default `null`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<PartialShape>,
    /// Padding mode: a number (default 0), or the `minimum` (also `null`), `maximum`, `mean` or `median` of the volume's
    /// intensities, all with label 0; or a mode of numpy's pad, which also pads labels: `edge`, `reflect`, `symmetric`,
    /// `wrap` or `linear_ramp` (with label 0). Such a mode needs the whole volume, so it belongs in `preprocess`.
    #[serde(default)]
    pub fill: Padding,
}

impl Component for Pad {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["Pad", "BorderPad", "SpatialPad"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let is_contradictory = self.at_least.is_some() && self.start.0.iter().chain(&self.end.0).any(|size| *size > 0);
        let problem =
            KeyProblem::new("at_least", "expected a minimum size, or voxels to add at `start` and `end`, got both");
        if is_contradictory { vec![problem.help("leave out `at_least`, or `start` and `end`")] } else { Vec::new() }
    }
}

impl SpatialTransform for Pad {
    fn map_grid(&self, _: &NoParams, incoming: &Grid) -> GridMapping {
        let added = |axis: usize| self.start.0[axis] + self.end.0[axis];
        let minimum = self.at_least.unwrap_or(PartialShape([None; 3])).resolve([0; 3]);
        let shape: [usize; 3] = std::array::from_fn(|axis| (incoming.shape[axis] + added(axis)).max(minimum[axis]));
        let axes = std::array::from_fn(|axis| {
            let offset = match self.at_least {
                Some(_) => centre(incoming.shape[axis], shape[axis]),
                None => -(self.start.0[axis] as i64),
            };
            LatticeAxis { source: axis, flipped: false, offset }
        });
        GridMapping { fill: self.fill.fill(), ..GridMapping::lattice(Lattice { axes }, shape, incoming) }
    }

    fn extension(&self) -> Option<Extension> {
        self.fill.extension()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fill;
    use volume::Affine;

    #[test]
    fn both_ends_are_padded_and_world_coordinates_preserved() {
        let pad: Pad = serde_yaml::from_str("{start: [1, 0, 2], end: [2, 3, 0]}").unwrap();
        let mapping = pad.map_grid(&NoParams, &Grid { shape: [7, 8, 9], affine: Affine::IDENTITY });
        assert_eq!((mapping.grid.shape, mapping.grid.affine.origin()), ([10, 11, 11], [-1.0, 0.0, -2.0]));
        assert_eq!(mapping.fill, Fill::Value(0.0));
    }

    #[test]
    fn only_axes_below_the_minimum_are_padded() {
        let pad: Pad = serde_yaml::from_str("{at_least: [10, 8, null], fill: -1}").unwrap();
        let mapping = pad.map_grid(&NoParams, &Grid { shape: [7, 9, 2], affine: Affine::IDENTITY });
        // Of three missing voxels, two are added at the start, as by crop_or_pad.
        assert_eq!((mapping.grid.shape, mapping.grid.affine.origin()), ([10, 9, 2], [-2.0, 0.0, 0.0]));
        assert_eq!(mapping.fill, Fill::Value(-1.0));
    }

    #[test]
    fn a_minimum_and_a_number_of_voxels_are_a_problem() {
        let problems = |yaml: &str| serde_yaml::from_str::<Pad>(yaml).unwrap().validate().len();
        assert_eq!(
            ["{at_least: [4, 4, 4], end: [0, 0, 1]}", "at_least: [4, 4, 4]", "start: [1, 1, 1]"].map(problems),
            [1, 0, 0]
        );
    }
}
