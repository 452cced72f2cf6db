//! Patches of a regular grid in order.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{PatchIndex, PatchSampler, SamplingContext, SamplingError};
use random::Rng;
use values::{Diagnostic, Overlap, Shape};

/// Takes the patches of a regular grid in order, as TorchIO's `GridSampler`; an epoch continues where the previous one
/// ended.
///
/// ```yaml
/// grid: { patch: [64, 64, 64], overlap: [16, 16, 16] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GridSampler {
    /// Shape of a patch: voxels along x, y and z, such as `[64, 64, 64]`.
    pub patch: Shape,
    /// Overlap of neighbouring patches in voxels along x, y and z, even and smaller than the patch; default 0. The last patch along an axis ends at the border of the volume and may overlap more.
    #[serde(default)]
    pub overlap: Overlap,
}

impl PatchSampler for GridSampler {
    fn patch(&self) -> [usize; 3] {
        self.patch.0
    }

    fn sample_start(
        &self,
        context: &SamplingContext,
        patch_index: &PatchIndex,
        _rng: &mut Rng,
    ) -> Result<[isize; 3], SamplingError> {
        Ok(self.start(context.mapping.shape, patch_index.number).map(|start| start as isize))
    }

    fn counts_patches(&self) -> bool {
        true
    }

    fn check(&self, _batch_size: usize) -> Vec<Diagnostic> {
        let is_too_large = |axis: &usize| self.overlap.0[*axis] >= self.patch.0[*axis];
        let problem = |axis: usize| {
            let (patch, overlap) = (self.patch.0[axis], self.overlap.0[axis]);
            let message = format!("expected an overlap below the patch's {patch} voxels, got {overlap}");
            Diagnostic::problem(format!("overlap.{axis}"), message, format!("half of the patch is {}", patch / 4 * 2))
        };
        (0..3).filter(is_too_large).map(problem).collect()
    }
}

impl GridSampler {
    /// Returns where the n-th patch starts: positions in ascending order with z fastest, repeated without end.
    fn start(&self, volume: [usize; 3], n: u64) -> [usize; 3] {
        let counts: [u64; 3] = std::array::from_fn(|axis| self.count(volume, axis) as u64);
        let index = n % counts.iter().product::<u64>();
        let along = [index / (counts[1] * counts[2]), index / counts[2] % counts[1], index % counts[2]];
        // The last patch along an axis ends at the border.
        std::array::from_fn(|axis| (along[axis] as usize * self.step(axis)).min(volume[axis] - self.patch.0[axis]))
    }

    fn step(&self, axis: usize) -> usize {
        self.patch.0[axis] - self.overlap.0[axis]
    }

    /// Returns the number of patches along an axis.
    fn count(&self, volume: [usize; 3], axis: usize) -> usize {
        (volume[axis] - self.patch.0[axis]).div_ceil(self.step(axis)) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(sampler: &str, volume: [usize; 3], count: u64) -> Vec<[usize; 3]> {
        let sampler: GridSampler = serde_yaml::from_str(sampler).unwrap();
        (0..count).map(|n| sampler.start(volume, n)).collect()
    }

    #[test]
    fn the_example_in_torchios_source_has_the_same_positions() {
        // 10 voxels, patches of 5 that overlap by 2: they start at 0, 3 and 5.
        let starts = starts("{patch: [1, 1, 5], overlap: [0, 0, 2]}", [1, 1, 10], 3);
        assert_eq!(starts, [[0, 0, 0], [0, 0, 3], [0, 0, 5]]);
    }

    #[test]
    fn positions_have_z_fastest_and_repeat_after_the_last() {
        let starts = starts("{patch: [4, 4, 4], overlap: [2, 0, 0]}", [6, 5, 8], 10);
        let row = |x, y| [[x, y, 0], [x, y, 4]];
        let expected = [row(0, 0), row(0, 1), row(2, 0), row(2, 1), row(0, 0)].concat();
        assert_eq!(starts, expected);
    }

    #[test]
    fn a_patch_as_large_as_the_volume_has_one_position() {
        assert_eq!(starts("{patch: [4, 4, 4]}", [4, 4, 4], 3), [[0; 3]; 3]);
    }

    #[test]
    fn every_voxel_is_in_some_patch() {
        for size in 5..30 {
            let count = (size - 5usize).div_ceil(3) as u64 + 1;
            let starts = starts("{patch: [5, 1, 1], overlap: [2, 0, 0]}", [size, 1, 1], count);
            let is_covered = |x| starts.iter().any(|[start, _, _]| (*start..start + 5).contains(&x));
            assert!((0..size).all(is_covered), "{size} voxels");
            assert_eq!(starts.last(), Some(&[size - 5, 0, 0]));
        }
    }

    #[test]
    fn an_overlap_as_large_as_the_patch_is_a_problem() {
        let sampler: GridSampler = serde_yaml::from_str("{patch: [8, 4, 8], overlap: [6, 4, 0]}").unwrap();
        let [Diagnostic::Problem { key, .. }] = &sampler.check(2)[..] else { panic!("expected one problem") };
        assert_eq!(key, "overlap.1");
    }
}
