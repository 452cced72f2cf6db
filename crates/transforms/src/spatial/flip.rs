//! Random mirroring.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GridMapping, Incoming, Lattice, LatticeAxis, SpatialTransform};
use random::Rng;
use values::Probability;
use volume::Grid;

/// Mirrors the content along each axis by its own chance; world coordinates stay.
///
/// ```yaml
/// - flip: { probabilities: [0.5, 0, 0] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// How often each of x, y and z is mirrored.
    pub probabilities: [Probability; 3],
}

impl SpatialTransform for Flip {
    /// Which axes are mirrored.
    type Params = [bool; 3];

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> [bool; 3] {
        self.probabilities.map(|probability| rng.bernoulli(probability.get()))
    }

    fn map_grid(&self, flipped: &[bool; 3], incoming: &Grid) -> GridMapping {
        let axes = std::array::from_fn(|axis| LatticeAxis {
            source: axis,
            flipped: flipped[axis],
            offset: if flipped[axis] { incoming.shape[axis] as i64 - 1 } else { 0 },
        });
        // The content is mirrored, not the frame: world coordinates stay.
        GridMapping { grid: *incoming, ..GridMapping::lattice(Lattice { axes }, incoming.shape, incoming) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};
    use volume::Affine;

    #[test]
    fn certain_and_impossible_flips_are_drawn_so() {
        let flip = Flip { probabilities: [1.0, 0.0, 1.0].map(|p| Probability::new(p).unwrap()) };
        let incoming = Incoming { grid: Grid { shape: [1; 3], affine: Affine::IDENTITY }, channels: 1 };
        assert_eq!(flip.sample_params(&mut Seed(0).stream(Purpose::Augment, 0, "", 0), &incoming), [true, false, true]);
    }
}
