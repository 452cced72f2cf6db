//! Random flips.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation::keys_where;
use crate::{Component, GridMapping, Incoming, Lattice, LatticeAxis, SpatialTransform};
use random::Rng;
use values::Probability;
use volume::Grid;

/// Random flips along each axis, as TorchIO's RandomFlip. World coordinates are preserved: the content is flipped.
///
/// ```yaml
/// - flip: { probabilities: [0.5, 0, 0] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flip {
    /// Probabilities of flips along x, y and z, each from 0 to 1, such as `[0.5, 0, 0]`.
    pub probabilities: [Probability; 3],
}

/// Whether x, y and z are flipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FlipParams(pub [bool; 3]);

impl Component for Flip {
    type Params = FlipParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomFlip", "Flip", "RandFlip", "RandAxisFlip", "MirrorTransform"]
    }

    fn sample_params(&self, rng: &mut Rng, _: &Incoming) -> FlipParams {
        FlipParams(self.probabilities.map(|probability| rng.bernoulli(probability.get())))
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[("probabilities", self.probabilities.iter().any(|p| p.get() > 0.0 && p.get() < 1.0))])
    }
}

impl SpatialTransform for Flip {
    fn map_grid(&self, FlipParams(flipped): &FlipParams, incoming: &Grid) -> GridMapping {
        let axes = std::array::from_fn(|axis| LatticeAxis {
            source: axis,
            flipped: flipped[axis],
            offset: if flipped[axis] { incoming.shape[axis] as i64 - 1 } else { 0 },
        });
        // The content is flipped, not the affine.
        GridMapping { grid: *incoming, ..GridMapping::lattice(Lattice { axes }, incoming.shape, incoming) }
    }

    fn changes_shape(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};
    use volume::Affine;

    #[test]
    fn probabilities_of_0_and_1_are_certain() {
        let flip = Flip { probabilities: [1.0, 0.0, 1.0].map(|p| Probability::new(p).unwrap()) };
        let incoming = Incoming { grid: Grid { shape: [1; 3], affine: Affine::IDENTITY }, channels: 1 };
        assert_eq!(
            flip.sample_params(&mut Seed(0).stream(Purpose::Augment, 0, "", 0), &incoming),
            FlipParams([true, false, true])
        );
    }
}
