//! Patches in order over a regular grid.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use values::{Overlap, Shape};

/// Takes the places of a regular grid in turn, as TorchIO's GridSampler; an epoch goes on where the one before ended.
///
/// ```yaml
/// grid: { patch: [64, 64, 64], overlap: [16, 16, 16] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GridSampler {
    /// Voxels along x, y and z.
    pub patch: Shape,
    /// Voxels that neighbouring patches share along x, y and z: even numbers below the patch's; the last patch of a row ends at the border and may share more.
    #[serde(default)]
    pub overlap: Overlap,
}

impl GridSampler {
    /// Where the patch of a number starts: the places in rising order of x, then y, then z, over and over.
    pub(super) fn start_of(&self, volume: [usize; 3], number: u64) -> [usize; 3] {
        let counts: [u64; 3] = std::array::from_fn(|axis| self.count(volume, axis) as u64);
        let place = number % counts.iter().product::<u64>();
        let along = [place / (counts[1] * counts[2]), place / counts[2] % counts[1], place % counts[2]];
        // The last place along an axis ends at the border, wherever the step would put it.
        std::array::from_fn(|axis| (along[axis] as usize * self.step(axis)).min(volume[axis] - self.patch.0[axis]))
    }

    fn step(&self, axis: usize) -> usize {
        self.patch.0[axis] - self.overlap.0[axis]
    }

    /// Places along an axis.
    fn count(&self, volume: [usize; 3], axis: usize) -> usize {
        (volume[axis] - self.patch.0[axis]).div_ceil(self.step(axis)) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(sampler: &str, volume: [usize; 3], count: u64) -> Vec<[usize; 3]> {
        let sampler: GridSampler = serde_yaml::from_str(sampler).unwrap();
        (0..count).map(|number| sampler.start_of(volume, number)).collect()
    }

    #[test]
    fn the_example_of_torchio_gives_its_places() {
        // Its source's own: 10 voxels, patches of 5 that share 2, start at 0, 3 and 5.
        let starts = starts("{patch: [1, 1, 5], overlap: [0, 0, 2]}", [1, 1, 10], 3);
        assert_eq!(starts, [[0, 0, 0], [0, 0, 3], [0, 0, 5]]);
    }

    #[test]
    fn places_come_with_z_fastest_and_begin_again_after_the_last() {
        let starts = starts("{patch: [4, 4, 4], overlap: [2, 0, 0]}", [6, 5, 8], 10);
        let row = |x, y| [[x, y, 0], [x, y, 4]];
        let expected = [row(0, 0), row(0, 1), row(2, 0), row(2, 1), row(0, 0)].concat();
        assert_eq!(starts, expected);
    }

    #[test]
    fn a_patch_as_large_as_the_volume_has_one_place() {
        assert_eq!(starts("{patch: [4, 4, 4]}", [4, 4, 4], 3), [[0; 3]; 3]);
    }

    #[test]
    fn every_voxel_lies_in_some_patch() {
        for size in 5..30 {
            let count = (size - 5usize).div_ceil(3) as u64 + 1;
            let starts = starts("{patch: [5, 1, 1], overlap: [2, 0, 0]}", [size, 1, 1], count);
            let is_covered = |x| starts.iter().any(|[start, _, _]| (*start..start + 5).contains(&x));
            assert!((0..size).all(is_covered), "{size} voxels");
            assert_eq!(starts.last(), Some(&[size - 5, 0, 0]));
        }
    }
}
