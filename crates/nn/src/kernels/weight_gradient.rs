//! The gradients of a convolution's weight and bias.
//!
//! For each pair of a coarse and a fine channel there is a sum of products over all voxels for each value of the kernel.
//! They are computed slab by slab and added in that order, so the result does not depend on the number of threads.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::blocked;
use super::slab::{Lattice, Maps, Slab, patch_volumes};
use super::stencil::Stencil;

/// Coarse channels that are computed together.
const BLOCK: usize = 4;
/// Taps that are computed together.
const TAPS: usize = 3;
/// The approximate number of positions of a slab.
const SLAB_POSITIONS: usize = 1 << 15;
/// Positions over which all taps are summed before the next ones, so that they stay in the L1 cache. The sums over a slab
/// add those of its passes, so that rounding errors hardly grow with the number of positions.
const PASS_POSITIONS: usize = 1024;

/// The channels of one phase of the fine grid.
struct FinePhase {
    lattice: Lattice,
    /// The offsets of its taps in a padded channel.
    offsets: Vec<usize>,
    /// The indices of its taps in the kernel.
    indices: Vec<usize>,
}

/// Computes the gradient of the weight, `[coarse, fine, kernel]`.
///
/// For a convolution the fine maps are its inputs, concatenated along the channel axis, and the coarse maps the gradient of
/// its output; for a transposed convolution they are the gradient of its output and its input.
pub fn weight(batch: usize, coarse: [usize; 3], stencil: Stencil, fine_maps: &[Maps], coarse_maps: Maps) -> Vec<f32> {
    let [fine_voxels, coarse_voxels] = [stencil.fine(coarse), coarse].map(|grid| grid.iter().product());
    let num_fine: usize = fine_maps.iter().map(|maps| maps.channels).sum();
    if blocked::supports([num_fine, coarse_maps.channels]) {
        return blocked::weight_gradient(batch, coarse, stencil, fine_maps, coarse_maps);
    }
    let reach = stencil.reach();
    let slab_planes = Slab::num_planes(coarse, reach, SLAB_POSITIONS);
    let phases = phases(stencil, Slab::new(coarse, slab_planes, reach));
    let num_inputs = phases.len() * num_fine;
    let blocks = coarse_maps.channels.div_ceil(BLOCK);
    let mut sums: Vec<Vec<[f64; BLOCK]>> = (0..blocks * num_inputs)
        .map(|index| vec![[0.0; BLOCK]; phases[index % num_inputs / num_fine].offsets.len()])
        .collect();
    let arch = Arch::new();
    let (mut padded, mut unpadded) = (Vec::new(), Vec::new());
    for patch in 0..batch {
        let volumes: Vec<_> = patch_volumes(fine_maps, patch, fine_voxels).collect();
        for first in (0..coarse[0]).step_by(slab_planes) {
            let slab = Slab::new(coarse, slab_planes.min(coarse[0] - first), reach);
            fill_zeros(&mut padded, num_inputs * slab.padded_len());
            fill_zeros(&mut unpadded, blocks * BLOCK * slab.unpadded_len());
            padded.par_chunks_exact_mut(slab.padded_len()).enumerate().for_each(|(input, out)| {
                slab.fill_padded(volumes[input % num_fine], phases[input / num_fine].lattice, first, out);
            });
            unpadded.par_chunks_exact_mut(slab.unpadded_len()).take(coarse_maps.channels).enumerate().for_each(
                |(channel, out)| {
                    slab.fill_unpadded(coarse_maps.volume(patch, channel, coarse_voxels), Lattice::WHOLE, first, out);
                },
            );
            sums.par_iter_mut().enumerate().for_each(|(index, sums)| {
                let (block, input) = (index / num_inputs, index % num_inputs);
                arch.dispatch(SlabProducts {
                    slab,
                    channel: &padded[input * slab.padded_len()..][..slab.padded_len()],
                    offsets: &phases[input / num_fine].offsets,
                    coarse: &unpadded[block * BLOCK * slab.unpadded_len()..][..BLOCK * slab.unpadded_len()],
                    sums,
                });
            });
        }
    }
    let mut gradient = vec![0.0; coarse_maps.channels * num_fine * stencil.len()];
    for (pair, kernel) in gradient.chunks_exact_mut(stencil.len()).enumerate() {
        let (coarse, fine) = (pair / num_fine, pair % num_fine);
        for (index, phase) in phases.iter().enumerate() {
            let sums = &sums[coarse / BLOCK * num_inputs + index * num_fine + fine];
            for (tap, sums) in phase.indices.iter().zip(sums) {
                kernel[*tap] = sums[coarse % BLOCK] as f32;
            }
        }
    }
    gradient
}

/// Computes the gradient of the bias: the sum over each output channel.
pub fn bias(batch: usize, voxels: usize, gradient: Maps) -> Vec<f32> {
    let channel_sum = |channel| {
        let volumes = (0..batch).map(|patch| gradient.volume(patch, channel, voxels));
        volumes.flat_map(|volume| volume.chunks(PASS_POSITIONS)).map(|piece| f64::from(sum(piece))).sum::<f64>() as f32
    };
    (0..gradient.channels).into_par_iter().map(channel_sum).collect()
}

/// Returns the phases of the fine grid with the offsets of their taps, which are the same for slabs of any number of planes.
fn phases(stencil: Stencil, slab: Slab) -> Vec<FinePhase> {
    let phases = stencil.phases().into_iter().map(|phase| FinePhase {
        lattice: Lattice { stride: stencil.stride, remainder: phase.remainder },
        offsets: phase.taps.iter().map(|tap| slab.offset(*tap, 1)).collect(),
        indices: phase.taps.iter().map(|tap| tap.index).collect(),
    });
    phases.collect()
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

/// The sums of products of one fine channel with a block of coarse channels over a slab.
struct SlabProducts<'a> {
    slab: Slab,
    /// The padded fine channel.
    channel: &'a [f32],
    /// The offsets of the taps.
    offsets: &'a [usize],
    /// The unpadded coarse channels of the block.
    coarse: &'a [f32],
    /// The sums of each tap.
    sums: &'a mut [[f64; BLOCK]],
}

impl WithSimd for SlabProducts<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { slab, channel, offsets, coarse, sums } = self;
        let mut groups = vec![[[simd.splat_f32s(0.0); TAPS]; BLOCK]; offsets.len().div_ceil(TAPS)];
        for start in (0..slab.num_positions()).step_by(PASS_POSITIONS) {
            let steps = (slab.num_positions() - start).min(PASS_POSITIONS).div_ceil(S::F32_LANES);
            let coarse = |channel| &S::as_simd_f32s(&coarse[channel * slab.unpadded_len() + start..]).0[..steps];
            let coarse: [_; BLOCK] = std::array::from_fn(coarse);
            let channel = &channel[start..];
            for (group, offsets) in groups.iter_mut().zip(offsets.chunks(TAPS)) {
                match *offsets {
                    [a, b, c] => add_products(simd, [a, b, c], channel, coarse, steps, group),
                    [a, b] => add_products(simd, [a, b], channel, coarse, steps, group),
                    [a] => add_products(simd, [a], channel, coarse, steps, group),
                    _ => unreachable!("chunks have one to three offsets"),
                }
            }
        }
        for (sums, group) in sums.chunks_mut(TAPS).zip(&groups) {
            for (tap, sums) in sums.iter_mut().enumerate() {
                for (sum, registers) in sums.iter_mut().zip(group) {
                    *sum += f64::from(simd.reduce_sum_f32s(registers[tap]));
                }
            }
        }
    }
}

/// Adds the products of a few taps of one fine channel with a block of coarse channels.
#[inline(always)]
fn add_products<S: Simd, const N: usize>(
    simd: S,
    offsets: [usize; N],
    channel: &[f32],
    coarse: [&[S::f32s]; BLOCK],
    steps: usize,
    group: &mut [[S::f32s; TAPS]; BLOCK],
) {
    let values = offsets.map(|offset| &S::as_simd_f32s(&channel[offset..]).0[..steps]);
    let mut sums = [[simd.splat_f32s(0.0); N]; BLOCK];
    for step in 0..steps {
        for (sums, coarse) in sums.iter_mut().zip(coarse) {
            for tap in 0..N {
                sums[tap] = simd.mul_add_e_f32s(coarse[step], values[tap][step], sums[tap]);
            }
        }
    }
    for (group, sums) in group.iter_mut().zip(sums) {
        group.iter_mut().zip(sums).for_each(|(group, sum)| *group = simd.add_f32s(*group, sum));
    }
}
