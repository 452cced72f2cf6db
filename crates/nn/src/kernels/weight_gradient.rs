//! The gradient of a convolution by its kernels and bias.
//!
//! For each pair of an output and an input channel, 27 sums of products over all voxels. Slabs follow one another, and
//! sums over each are added in that order, so the number of threads changes no bit.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::convolution::SHIFTS;
use super::slab::{Maps, Slab, volumes_of};

/// Output channels that are summed at once.
const BLOCK: usize = 4;
/// Places of a slab, about; sums in single precision are made over so many.
const SLAB_PLACES: usize = 1 << 15;
/// Places that all shifts are summed over before the next, so that they stay in the first cache.
const PASS_PLACES: usize = 1024;

/// The gradient by the kernels, `[output, input, 27]`, of maps side by side, from that by the output.
pub fn by_kernels(batch: usize, grid: [usize; 3], inputs: &[Maps], gradient: Maps) -> Vec<f32> {
    let voxels = grid.iter().product();
    let num_inputs: usize = inputs.iter().map(|maps| maps.channels).sum();
    let blocks = gradient.channels.div_ceil(BLOCK);
    let mut sums = vec![[[0.0f32; SHIFTS]; BLOCK]; blocks * num_inputs];
    let (arch, slab_planes) = (Arch::new(), Slab::planes_of(grid, SLAB_PLACES));
    let (mut bordered, mut bare) = (Vec::new(), Vec::new());
    for patch in 0..batch {
        let volumes: Vec<_> = volumes_of(inputs, patch, voxels).collect();
        for first in (0..grid[0]).step_by(slab_planes) {
            let slab = Slab::new(grid, slab_planes.min(grid[0] - first));
            zeros(&mut bordered, num_inputs * slab.bordered());
            zeros(&mut bare, blocks * BLOCK * slab.bare());
            bordered
                .par_chunks_exact_mut(slab.bordered())
                .zip(&volumes)
                .for_each(|(out, volume)| slab.fill_bordered(volume, first, out));
            bare.par_chunks_exact_mut(slab.bare()).take(gradient.channels).enumerate().for_each(|(channel, out)| {
                slab.fill_bare(gradient.volume(patch, channel, voxels), first, out);
            });
            sums.par_iter_mut().enumerate().for_each(|(index, sums)| {
                let (block, input) = (index / num_inputs, index % num_inputs);
                arch.dispatch(Products {
                    slab,
                    channel: &bordered[input * slab.bordered()..][..slab.bordered()],
                    gradients: &bare[block * BLOCK * slab.bare()..][..BLOCK * slab.bare()],
                    sums,
                });
            });
        }
    }
    let pairs = (0..gradient.channels).flat_map(|output| (0..num_inputs).map(move |input| (output, input)));
    pairs.flat_map(|(output, input)| sums[output / BLOCK * num_inputs + input][output % BLOCK]).collect()
}

/// The gradient by the bias: its sum over each channel.
pub fn by_bias(batch: usize, voxels: usize, gradient: Maps) -> Vec<f32> {
    let of_channel = |channel| {
        let volumes = (0..batch).map(|patch| gradient.volume(patch, channel, voxels));
        volumes.flat_map(|volume| volume.chunks(PASS_PLACES)).map(|piece| f64::from(sum(piece))).sum::<f64>() as f32
    };
    (0..gradient.channels).into_par_iter().map(of_channel).collect()
}

/// The sum of a few numbers, eight at a time.
fn sum(values: &[f32]) -> f32 {
    let (eights, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for eight in eights {
        sums.iter_mut().zip(eight).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().chain(rest).sum()
}

fn zeros(values: &mut Vec<f32>, length: usize) {
    values.clear();
    values.resize(length, 0.0);
}

/// Sums of products of one input channel with a block of gradients.
struct Products<'a> {
    slab: Slab,
    /// With border.
    channel: &'a [f32],
    /// Of each output, without border.
    gradients: &'a [f32],
    sums: &'a mut [[f32; SHIFTS]; BLOCK],
}

impl WithSimd for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { slab, channel, gradients, sums } = self;
        // Three shifts along z of each of nine lines.
        let mut lines = [[[simd.splat_f32s(0.0); 3]; BLOCK]; SHIFTS / 3];
        for start in (0..slab.places()).step_by(PASS_PLACES) {
            let steps = (slab.places() - start).min(PASS_PLACES).div_ceil(S::F32_LANES);
            let gradient = |output| &S::as_simd_f32s(&gradients[output * slab.bare() + start..]).0[..steps];
            let gradients: [_; BLOCK] = std::array::from_fn(gradient);
            for (number, line) in lines.iter_mut().enumerate() {
                let from = start + slab.offset(number / 3, number % 3);
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
        for (number, line) in lines.iter().enumerate() {
            for (sums, line) in sums.iter_mut().zip(line) {
                for (sum, register) in sums[3 * number..].iter_mut().zip(line) {
                    *sum += simd.reduce_sum_f32s(*register);
                }
            }
        }
    }
}
