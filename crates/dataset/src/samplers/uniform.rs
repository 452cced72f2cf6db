//! Patches at uniformly distributed positions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PatchIndex, PatchSampler, SamplingContext, SamplingError};
use random::Rng;
use values::Shape;

/// Every position at which the patch fits into the volume is equally likely.
///
/// ```yaml
/// uniform: { patch: [64, 64, 64] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UniformSampler {
    /// Shape of a patch: voxels along x, y and z, such as `[64, 64, 64]`.
    pub patch: Shape,
}

impl PatchSampler for UniformSampler {
    fn patch(&self) -> [usize; 3] {
        self.patch.0
    }

    fn sample_start(
        &self,
        context: &SamplingContext,
        _patch_index: &PatchIndex,
        rng: &mut Rng,
    ) -> Result<[isize; 3], SamplingError> {
        Ok(sample_anywhere(context.mapping.shape, self.patch.0, rng).map(|start| start as isize))
    }
}

/// Samples where a patch starts, all positions being equally likely.
pub(super) fn sample_anywhere(volume: [usize; 3], patch: [usize; 3], rng: &mut Rng) -> [usize; 3] {
    std::array::from_fn(|axis| rng.below((volume[axis] - patch[axis] + 1) as u64) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};

    #[test]
    fn every_position_is_sampled_and_none_outside() {
        let mut rng = Seed(0).stream(Purpose::Sample, 0, "", 0);
        let mut seen = [[false; 3]; 2];
        for _ in 0..200 {
            let [x, y, z] = sample_anywhere([4, 3, 5], [2, 2, 5], &mut rng);
            assert_eq!(z, 0);
            seen[y][x] = true;
        }
        assert_eq!(seen, [[true; 3]; 2]);
    }
}
