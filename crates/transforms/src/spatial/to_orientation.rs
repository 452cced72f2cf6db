//! Any axis order and direction.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{Component, GridMapping, Incoming, Lattice, LatticeAxis, NoParams, SpatialTransform};
use random::Rng;
use volume::Grid;
use volume::orientation::axes_to_ras;

/// Permutes and flips axes until they point where `axes` says, without interpolation; an oblique volume stays oblique.
///
/// ```yaml
/// - to_orientation: { axes: LPS }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToOrientation {
    /// Where x, y and z point: one of R and L, one of A and P, one of S and I, in any order.
    pub axes: Axes,
}

/// Where three axes point, such as `RAS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Axes {
    /// For each axis the world axis that it follows, and whether it runs backwards.
    follows: [(usize, bool); 3],
}

const NAMES: [[char; 2]; 3] = [['R', 'L'], ['A', 'P'], ['S', 'I']];

impl Axes {
    /// Right, front, head.
    pub const RAS: Self = Self { follows: [(0, false), (1, false), (2, false)] };

    /// The voxels of a grid with its axes permuted and flipped until they point like these.
    pub(crate) fn turned(self, incoming: &Grid) -> GridMapping {
        let turns = axes_to_ras(&incoming.affine);
        let axes = self.follows.map(|(world, backwards)| {
            let source = turns[world].source_axis;
            let flipped = turns[world].flipped != backwards;
            LatticeAxis { source, flipped, offset: if flipped { incoming.shape[source] as i64 - 1 } else { 0 } }
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
            "description": "Where x, y and z point, such as RAS.",
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
        self.follows.iter().try_for_each(|(world, backwards)| write!(f, "{}", NAMES[*world][usize::from(*backwards)]))
    }
}

impl Component for ToOrientation {
    type Params = NoParams;

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl SpatialTransform for ToOrientation {
    fn map_grid(&self, _: &NoParams, incoming: &Grid) -> GridMapping {
        self.axes.turned(incoming)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::Affine;

    #[test]
    fn the_axes_point_where_they_should_from_anywhere() {
        let affine = Affine([[0.0, -1.0, 0.0, 5.0], [0.0, 0.0, 2.0, 6.0], [3.0, 0.0, 0.0, 7.0]]);
        for axes in ["RAS", "LPS", "SAR", "IPL", "ASR"] {
            let step = ToOrientation { axes: axes.parse().unwrap() };
            let place = step.map_grid(&NoParams, &Grid { shape: [4, 5, 6], affine });
            assert_eq!(place.grid.affine.orientation(), axes);
            assert_eq!(step.axes.to_string(), axes);
        }
    }

    #[test]
    fn axes_that_are_no_orientation_are_refused() {
        for text in ["RAP", "RA", "RASS", "ras", "RRS", ""] {
            assert!(text.parse::<Axes>().is_err(), "{text}");
        }
    }
}
