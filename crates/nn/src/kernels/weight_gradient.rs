//! The gradients of a convolution's weight and bias.
//!
//! For each pair of an output and an input channel there are 27 sums of products over all voxels. They are computed slab by
//! slab and added in that order, so the result does not depend on the number of threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::convolution::SHIFTS;
use super::slab::{Maps, Slab, patch_volumes};

/// Output channels that are computed together.
const BLOCK: usize = 4;
/// The approximate number of positions of a slab, over which sums are made in single precision.
const SLAB_POSITIONS: usize = 1 << 15;
/// Positions over which all shifts are summed before the next ones, so that they stay in the L1 cache.
const PASS_POSITIONS: usize = 1024;

/// Computes the gradient of the weight, `[output, input, 27]`, from concatenated input maps and the gradient of the output.
pub fn weight(batch: usize, grid: [usize; 3], inputs: &[Maps], gradient: Maps) -> Vec<f32> {
    let voxels = grid.iter().product();
    let num_inputs: usize = inputs.iter().map(|maps| maps.channels).sum();
    let blocks = gradient.channels.div_ceil(BLOCK);
    let mut sums = vec![[[0.0f32; SHIFTS]; BLOCK]; blocks * num_inputs];
    let (arch, slab_planes) = (Arch::new(), Slab::num_planes(grid, SLAB_POSITIONS));
    let (mut padded, mut unpadded) = (Vec::new(), Vec::new());
    for patch in 0..batch {
        let volumes: Vec<_> = patch_volumes(inputs, patch, voxels).collect();
        for first in (0..grid[0]).step_by(slab_planes) {
            let slab = Slab::new(grid, slab_planes.min(grid[0] - first));
            fill_zeros(&mut padded, num_inputs * slab.padded_len());
            fill_zeros(&mut unpadded, blocks * BLOCK * slab.unpadded_len());
            padded
                .par_chunks_exact_mut(slab.padded_len())
                .zip(&volumes)
                .for_each(|(out, volume)| slab.fill_padded(volume, first, out));
            unpadded
                .par_chunks_exact_mut(slab.unpadded_len())
                .take(gradient.channels)
                .enumerate()
                .for_each(|(channel, out)| slab.fill_unpadded(gradient.volume(patch, channel, voxels), first, out));
            sums.par_iter_mut().enumerate().for_each(|(index, sums)| {
                let (block, input) = (index / num_inputs, index % num_inputs);
                arch.dispatch(SlabProducts {
                    slab,
                    channel: &padded[input * slab.padded_len()..][..slab.padded_len()],
                    gradients: &unpadded[block * BLOCK * slab.unpadded_len()..][..BLOCK * slab.unpadded_len()],
                    sums,
                });
            });
        }
    }
    let pairs = (0..gradient.channels).flat_map(|output| (0..num_inputs).map(move |input| (output, input)));
    pairs.flat_map(|(output, input)| sums[output / BLOCK * num_inputs + input][output % BLOCK]).collect()
}

/// Computes the gradient of the bias: the sum over each output channel.
pub fn bias(batch: usize, voxels: usize, gradient: Maps) -> Vec<f32> {
    let channel_sum = |channel| {
        let volumes = (0..batch).map(|patch| gradient.volume(patch, channel, voxels));
        volumes.flat_map(|volume| volume.chunks(PASS_POSITIONS)).map(|piece| f64::from(sum(piece))).sum::<f64>() as f32
    };
    (0..gradient.channels).into_par_iter().map(channel_sum).collect()
}

/// Returns the sum of a few values, in eight partial sums.
fn sum(values: &[f32]) -> f32 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().chain(rest).sum()
}

fn fill_zeros(values: &mut Vec<f32>, length: usize) {
    values.clear();
    values.resize(length, 0.0);
}

/// The sums of products of one input channel with a block of output gradients over a slab.
struct SlabProducts<'a> {
    slab: Slab,
    /// The padded input channel.
    channel: &'a [f32],
    /// The unpadded gradients of the block's outputs.
    gradients: &'a [f32],
    sums: &'a mut [[f32; SHIFTS]; BLOCK],
}

impl WithSimd for SlabProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { slab, channel, gradients, sums } = self;
        // The three shifts along z of each of the nine shifts along x and y.
        let mut lines = [[[simd.splat_f32s(0.0); 3]; BLOCK]; SHIFTS / 3];
        for start in (0..slab.num_positions()).step_by(PASS_POSITIONS) {
            let steps = (slab.num_positions() - start).min(PASS_POSITIONS).div_ceil(S::F32_LANES);
            let gradient = |output| &S::as_simd_f32s(&gradients[output * slab.unpadded_len() + start..]).0[..steps];
            let gradients: [_; BLOCK] = std::array::from_fn(gradient);
            for (index, line) in lines.iter_mut().enumerate() {
                let from = start + slab.offset(index / 3, index % 3);
                let values: [_; 3] = std::array::from_fn(|shift| &S::as_simd_f32s(&channel[from + shift..]).0[..steps]);
                // A copy, which the compiler keeps in registers.
                let mut sums = *line;
                for step in 0..steps {
                    for (sums, gradient) in sums.iter_mut().zip(gradients) {
                        for shift in 0..3 {
                            sums[shift] = simd.mul_add_e_f32s(gradient[step], values[shift][step], sums[shift]);
                        }
                    }
                }
                *line = sums;
            }
        }
        for (index, line) in lines.iter().enumerate() {
            for (sums, line) in sums.iter_mut().zip(line) {
                for (sum, register) in sums[3 * index..].iter_mut().zip(line) {
                    *sum += simd.reduce_sum_f32s(*register);
                }
            }
        }
    }
}
