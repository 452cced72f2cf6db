//! Reorientation.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Component, GridMapping, Incoming, Lattice, LatticeAxis, NoParams, SpatialTransform};
use random::Rng;
use volume::Grid;
use volume::orientation::axes_to_ras;

/// Permutes and flips axes so that the volume has a given orientation, without interpolation, as TorchIO's ToOrientation.
/// An oblique volume stays oblique.
///
/// ```yaml
/// - to_orientation: { axes: LPS }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToOrientation {
    /// The orientation code: the anatomical directions of increasing x, y and z, such as `LPS`. One of R and L, one of A
    /// and P, one of S and I, in any order.
    pub axes: Axes,
}

/// An orientation code, such as `RAS`: the directions of increasing x, y and z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Axes {
    /// For each axis the world axis along it, and whether it is flipped.
    follows: [(usize, bool); 3],
}

const NAMES: [[char; 2]; 3] = [['R', 'L'], ['A', 'P'], ['S', 'I']];

impl Axes {
    /// Right, anterior, superior.
    pub const RAS: Self = Self { follows: [(0, false), (1, false), (2, false)] };

    /// Returns the mapping that permutes and flips the axes of a grid to this orientation.
    pub(crate) fn reorient(self, incoming: &Grid) -> GridMapping {
        let orientations = axes_to_ras(&incoming.affine);
        let axes = self.follows.map(|(world, flipped)| {
            let source = orientations[world].source_axis;
            let is_flipped = orientations[world].flipped != flipped;
            LatticeAxis {
                source,
                flipped: is_flipped,
                offset: if is_flipped { incoming.shape[source] as i64 - 1 } else { 0 },
            }
        });
        let shape = axes.map(|axis| incoming.shape[axis.source]);
        GridMapping::lattice(Lattice { axes }, shape, incoming)
    }
}

impl JsonSchema for Axes {
    fn schema_name() -> Cow<'static, str> {
        "Axes".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Orientation code: the anatomical directions of increasing x, y and z, such as RAS.",
            "type": "string", "pattern": "^[RLAPSI]{3}$"
        })
    }
}

impl FromStr for Axes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected three of R or L, A or P, S or I, such as RAS, got `{text}`");
        let letters: [char; 3] = text.chars().collect::<Vec<_>>().try_into().map_err(|_| wrong())?;
        let mut follows = [(0, false); 3];
        for (axis, letter) in letters.into_iter().enumerate() {
            let world = NAMES.iter().position(|names| names.contains(&letter)).ok_or_else(wrong)?;
            if follows[..axis].iter().any(|(other, _)| *other == world) {
                return Err(wrong());
            }
            follows[axis] = (world, letter == NAMES[world][1]);
        }
        Ok(Self { follows })
    }
}

impl TryFrom<String> for Axes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Axes> for String {
    fn from(axes: Axes) -> Self {
        axes.to_string()
    }
}

impl fmt::Display for Axes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.follows.iter().try_for_each(|(world, flipped)| write!(f, "{}", NAMES[*world][usize::from(*flipped)]))
    }
}

impl Component for ToOrientation {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["ToOrientation", "Orient"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl SpatialTransform for ToOrientation {
    fn map_grid(&self, _: &NoParams, incoming: &Grid) -> GridMapping {
        self.axes.reorient(incoming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn every_orientation_can_be_reached() {
        let affine = Affine([[0.0, -1.0, 0.0, 5.0], [0.0, 0.0, 2.0, 6.0], [3.0, 0.0, 0.0, 7.0]]);
        for axes in ["RAS", "LPS", "SAR", "IPL", "ASR"] {
            let step = ToOrientation { axes: axes.parse().unwrap() };
            let mapping = step.map_grid(&NoParams, &Grid { shape: [4, 5, 6], affine });
            assert_eq!(mapping.grid.affine.orientation(), axes);
            assert_eq!(step.axes.to_string(), axes);
        }
    }

    #[test]
    fn invalid_orientation_codes_are_rejected() {
        for text in ["RAP", "RA", "RASS", "ras", "RRS", ""] {
            assert!(text.parse::<Axes>().is_err(), "{text}");
        }
    }
}
