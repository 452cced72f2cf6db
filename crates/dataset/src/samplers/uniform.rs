//! Patches anywhere.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use random::Rng;
use values::Shape;

/// Every place where the patch fits into the volume is equally likely.
///
/// ```yaml
/// uniform: { patch: [64, 64, 64] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UniformSampler {
    /// Voxels along x, y and z.
    pub patch: Shape,
}

/// Draws where a patch starts.
pub(super) fn start(volume: [usize; 3], patch: [usize; 3], rng: &mut Rng) -> [usize; 3] {
    std::array::from_fn(|axis| rng.below((volume[axis] - patch[axis] + 1) as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};

    #[test]
    fn every_place_is_drawn_and_none_outside() {
        let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
        let mut seen = [[false; 3]; 2];
        for _ in 0..200 {
            let [x, y, z] = start([4, 3, 5], [2, 2, 5], &mut rng);
            assert_eq!(z, 0);
            seen[y][x] = true;
        }
        assert_eq!(seen, [[true; 3]; 2]);
    }
}
