//! Random swaps of blocks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::validation::{keys_where, require};
use crate::{Component, Incoming, IntensityTransform, KeyProblem, VolumeStatistics, Window};
use random::Rng;
use values::Shape;
use volume::{Grid, offset};

/// Swaps pairs of random blocks of the image, as TorchIO's RandomSwap. Labels are unchanged. A block larger than the volume
/// is cropped to it. Overlapping blocks are both read before either is written; the result in TorchIO 1.2.1 is undefined.
///
/// ```yaml
/// - swap: { patch: [15, 15, 15], num_iterations: 100 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Swap {
    /// Size of a block along x, y and z in voxels, default `[15, 15, 15]`.
    #[serde(default = "fifteen")]
    pub patch: Shape,
    /// Number of swaps, up to 1000000, default 100.
    #[serde(default = "hundred")]
    pub num_iterations: usize,
}

fn fifteen() -> Shape {
    Shape([15; 3])
}

fn hundred() -> usize {
    100
}

/// The first voxels of the two blocks of each swap, in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SwapParams(pub Vec<[[usize; 3]; 2]>);

/// Maximum number of swaps.
const MAX_ITERATIONS: usize = 1_000_000;

/// Maximum number of attempts to sample a second block other than the first.
const MAX_TRIES: usize = 1000;

impl Component for Swap {
    type Params = SwapParams;

    fn aliases() -> &'static [&'static str] {
        &["RandomSwap", "RandCoarseShuffle"]
    }

    fn sample_params(&self, rng: &mut Rng, incoming: &Incoming) -> SwapParams {
        let (volume, patch) = (incoming.grid.shape, self.size(incoming.grid.shape));
        let mut start = || -> [usize; 3] {
            // As in TorchIO the last possible start is never sampled, unless it is the only one.
            std::array::from_fn(|axis| rng.below((volume[axis] - patch[axis]).max(1) as u64) as usize)
        };
        let mut pair = || {
            let first = start();
            let second = (0..MAX_TRIES).map(|_| start()).find(|second| *second != first);
            [first, second.unwrap_or(first)]
        };
        SwapParams((0..self.num_iterations).map(|_| pair()).collect())
    }

    fn random_keys(&self) -> Vec<&'static str> {
        keys_where(&[("num_iterations", self.num_iterations > 0)])
    }

    fn validate(&self) -> Vec<KeyProblem> {
        let count = self.num_iterations;
        let message = || format!("expected at most {MAX_ITERATIONS} iterations, got {count}");
        require(count <= MAX_ITERATIONS, "num_iterations", message).into_iter().collect()
    }

    fn validate_params(&self, params: &Self::Params, incoming: &Incoming) -> Result<(), String> {
        let shape = incoming.grid.shape;
        let last: [usize; 3] = std::array::from_fn(|axis| shape[axis] - self.size(shape)[axis]);
        let is_outside = |start: &&[usize; 3]| (0..3).any(|axis| start[axis] > last[axis]);
        match params.0.as_flattened().iter().find(is_outside) {
            None => Ok(()),
            Some(start) => Err(format!("expected blocks that start at {last:?} or before, got {start:?}")),
        }
    }
}

impl IntensityTransform for Swap {
    fn halo(&self, _: &SwapParams, _: &Grid) -> [usize; 3] {
        [usize::MAX; 3]
    }

    fn apply(&self, params: &SwapParams, _: &VolumeStatistics, window: &mut Window) {
        let (shape, patch) = (window.shape, self.size(window.shape));
        let mut first = vec![0.0; patch.iter().product()];
        let mut second = first.clone();
        for channel in 0..window.channels {
            let values = window.channel_mut(channel);
            for [a, b] in &params.0 {
                for_rows(shape, patch, *a, &mut |from, to| first[to].copy_from_slice(&values[from]));
                for_rows(shape, patch, *b, &mut |from, to| second[to].copy_from_slice(&values[from]));
                for_rows(shape, patch, *b, &mut |to, from| values[to].copy_from_slice(&first[from]));
                for_rows(shape, patch, *a, &mut |to, from| values[to].copy_from_slice(&second[from]));
            }
        }
    }

    fn needs_whole_volume(&self) -> bool {
        true
    }
}

type Row = std::ops::Range<usize>;

/// Calls `visit` with the range of each row of a block in the volume, and in the block.
fn for_rows(shape: [usize; 3], patch: [usize; 3], start: [usize; 3], visit: &mut dyn FnMut(Row, Row)) {
    for x in 0..patch[0] {
        for y in 0..patch[1] {
            let (in_volume, in_block) =
                (offset(shape, [start[0] + x, start[1] + y, start[2]]), (x * patch[1] + y) * patch[2]);
            visit(in_volume..in_volume + patch[2], in_block..in_block + patch[2]);
        }
    }
}

impl Swap {
    /// Returns the size of a block in a volume.
    pub(crate) fn size(&self, volume: [usize; 3]) -> [usize; 3] {
        std::array::from_fn(|axis| self.patch.0[axis].min(volume[axis]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use random::{Purpose, Seed};
    use volume::Affine;

    #[test]
    fn two_blocks_are_swapped() {
        let mut values = [1.0, 2.0, 3.0, 4.0, 5.0];
        let spec: Swap = serde_yaml::from_str("patch: [1, 1, 2]").unwrap();
        spec.apply(
            &SwapParams(vec![[[0, 0, 0], [0, 0, 3]]]),
            VolumeStatistics::none(),
            &mut Window::single_row(&mut values),
        );
        assert_eq!(values, [4.0, 5.0, 3.0, 1.0, 2.0]);
    }

    #[test]
    fn blocks_are_inside_the_volume() {
        let grid = Grid { shape: [5, 6, 7], affine: Affine::IDENTITY };
        let spec: Swap = serde_yaml::from_str("patch: [2, 9, 3]").unwrap();
        let mut rng = Seed(0).stream(Purpose::Augment, 0, "", 0);
        let params = spec.sample_params(&mut rng, &Incoming { grid, channels: 1 });
        let before: Vec<f32> = (0..grid.num_voxels()).map(|i| i as f32).collect();
        let mut values = before.clone();
        spec.apply(&params, VolumeStatistics::none(), &mut Window::whole(&mut values, grid));
        assert_ne!(values, before);
        let step = |spec: &Swap| spec.size(grid.shape);
        assert_eq!(step(&spec), [2, 6, 3]);
        assert!(
            params
                .0
                .iter()
                .flatten()
                .all(|start| (0..3).all(|axis| start[axis] + step(&spec)[axis] <= grid.shape[axis]))
        );
    }
}
