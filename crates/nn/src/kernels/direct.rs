//! Direct convolution of volumes with any stencil, without a column matrix (im2col).
//!
//! Four output channels by three registers of positions are accumulated together, over input channels and the taps of the
//! kernel, so that fused multiply-adds keep the processor busy. Each sum has a fixed order, so the result does not depend on
//! the number of threads.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::convolution::{Direction, Kernels, VolumeConvolution};
use super::slab::{Lattice, Slab, patch_volumes};
use super::stencil::Phase;

/// Output channels that are accumulated together.
const BLOCK: usize = 4;
/// Registers of positions that are accumulated together.
const REGISTERS: usize = 3;
/// The approximate number of positions of a slab: few enough that a slab stays in the cache, enough that its padding costs
/// little.
const SLAB_POSITIONS: usize = 1 << 15;
/// Positions for which all output channels are computed before the next ones.
const PASS_POSITIONS: usize = 960;
/// The approximate number of products whose sum is added to the total at once, so that rounding errors grow with the square
/// root of this number instead of that of all products.
const SUM_PRODUCTS: usize = 64;
/// Input channels of a pass; its weights and values stay in the L1 and L2 caches.
const PASS_CHANNELS: usize = 32;
/// The minimum number of parallel tasks, where there is enough work.
const MIN_TASKS: usize = 16;

/// Input phases that are summed into one output phase.
///
/// The *inputs* of a sum are the channels of its first input phase, then those of the second, and so on.
struct Sum {
    output: Lattice,
    inputs: Vec<InputPhase>,
    /// Per block of outputs and per input, the values of each tap for the block's outputs.
    weights: Vec<[f32; BLOCK]>,
}

/// The channels of an input phase, and the offsets of its taps in a padded channel.
struct InputPhase {
    lattice: Lattice,
    offsets: Vec<usize>,
}

/// The part of the output that one thread computes.
struct Task<'a> {
    patch: usize,
    /// The index of the first coarse plane.
    first: usize,
    /// The layout of its coarse planes.
    slab: Slab,
    /// Blocks of output channels.
    blocks: Range<usize>,
    /// The output: the planes of one channel after those of another.
    planes: Vec<&'a mut [f32]>,
}

impl VolumeConvolution<'_> {
    /// Computes the outputs, split along the channel axis into maps with the given numbers of channels, position by position.
    pub fn compute_directly(&self, channels: &[usize]) -> Vec<Vec<f32>> {
        let Self { batch, coarse, .. } = *self;
        let grid = self.output_grid();
        let ratio = grid[0] / coarse[0];
        let voxels: usize = grid.iter().product();
        let mut outputs: Vec<Vec<f32>> = channels.iter().map(|count| vec![0.0; batch * count * voxels]).collect();
        let reach = self.stencil.reach();
        let slab_planes = Slab::num_planes(coarse, reach, SLAB_POSITIONS);
        let slabs = coarse[0].div_ceil(slab_planes);
        let blocks = self.outputs().div_ceil(BLOCK);
        let per_group = blocks.div_ceil((MIN_TASKS / (batch * slabs)).clamp(1, blocks));
        let groups = blocks.div_ceil(per_group);

        let mut task_planes: Vec<Vec<&mut [f32]>> = (0..batch * slabs * groups).map(|_| Vec::new()).collect();
        let mut before = 0;
        for (output, count) in outputs.iter_mut().zip(channels) {
            for (index, plane) in output.chunks_exact_mut(grid[1] * grid[2]).enumerate() {
                let (patch, channel, x) = (index / grid[0] / count, index / grid[0] % count, index % grid[0] / ratio);
                let group = (before + channel) / BLOCK / per_group;
                task_planes[(patch * slabs + x / slab_planes) * groups + group].push(plane);
            }
            before += count;
        }
        let full_slab = Slab::new(coarse, slab_planes, reach);
        let sums = self.sums(full_slab);
        let arch = Arch::new();
        task_planes.into_par_iter().enumerate().for_each_init(Default::default, |scratch, (task, planes)| {
            let (slab, group) = (task / groups, task % groups);
            let (patch, first) = (slab / slabs, slab % slabs * slab_planes);
            let blocks = group * per_group..((group + 1) * per_group).min(blocks);
            let slab = full_slab.with_planes(slab_planes.min(coarse[0] - first));
            self.compute_task(arch, &sums, Task { patch, first, slab, blocks, planes }, scratch);
        });
        outputs
    }

    fn compute_task(
        &self,
        arch: Arch,
        sums: &[Sum],
        Task { patch, first, slab, blocks, mut planes }: Task,
        [padded, totals]: &mut [Vec<f32>; 2],
    ) {
        let unpadded_len = slab.unpadded_len();
        // Output planes per coarse plane.
        let ratio = self.output_grid()[0] / self.coarse[0];
        for (index, sum) in sums.iter().enumerate() {
            // All sums of a convolution to the fine grid have the same input.
            if index == 0 {
                self.fill_padded(slab, &sum.inputs, patch, first, padded);
            }
            totals.clear();
            totals.resize(blocks.len() * BLOCK * unpadded_len, 0.0);
            self.accumulate(arch, slab, sum, &blocks, padded, totals);
            for (index, plane) in planes.iter_mut().enumerate() {
                let per_channel = ratio * slab.planes();
                let (channel, x) = (index / per_channel, index % per_channel);
                if x % ratio != sum.output.remainder[0] {
                    continue;
                }
                slab.read_plane(&totals[channel * unpadded_len..][..unpadded_len], x / ratio, sum.output, plane);
            }
        }
        if self.slope != 1.0 {
            for value in planes.iter_mut().flat_map(|plane| plane.iter_mut()) {
                *value = if *value > 0.0 { *value } else { *value * self.slope };
            }
        }
    }

    /// Adds all inputs of a sum for some blocks of outputs.
    fn accumulate(&self, arch: Arch, slab: Slab, sum: &Sum, blocks: &Range<usize>, padded: &[f32], totals: &mut [f32]) {
        let unpadded_len = slab.unpadded_len();
        let taps_of_inputs: Vec<&[usize]> = self.taps_of_inputs(sum);
        let weights_per_block: usize = taps_of_inputs.iter().map(|offsets| offsets.len()).sum();
        let mut weights_before = 0;
        for (pass, taps) in taps_of_inputs.chunks(PASS_CHANNELS).enumerate() {
            let channels = &padded[pass * PASS_CHANNELS * slab.padded_len()..][..taps.len() * slab.padded_len()];
            let max_taps = taps.iter().map(|offsets| offsets.len()).max().unwrap_or(0);
            let num_weights: usize = taps.iter().map(|offsets| offsets.len()).sum();
            for start in (0..slab.num_positions()).step_by(PASS_POSITIONS) {
                for (block, sums) in blocks.clone().zip(totals.chunks_exact_mut(BLOCK * unpadded_len)) {
                    let bias = |output| self.bias.get(block * BLOCK + output).copied().unwrap_or(0.0);
                    arch.dispatch(BlockSums {
                        slab,
                        channels,
                        taps,
                        channels_of_sum: (SUM_PRODUCTS / max_taps.max(1)).max(1),
                        weights: &sum.weights[block * weights_per_block + weights_before..][..num_weights],
                        positions: start..(start + PASS_POSITIONS).min(slab.num_positions()),
                        bias: (pass == 0).then(|| std::array::from_fn(bias)),
                        sums,
                    });
                }
            }
            weights_before += num_weights;
        }
    }

    /// Returns the offsets of the taps of each input of a sum.
    fn taps_of_inputs<'a>(&self, sum: &'a Sum) -> Vec<&'a [usize]> {
        let offsets = sum.inputs.iter().map(|phase| phase.offsets.as_slice());
        offsets.flat_map(|offsets| std::iter::repeat_n(offsets, self.inputs())).collect()
    }

    /// Copies the planes of all inputs of a sum into padded channels.
    fn fill_padded(&self, slab: Slab, inputs: &[InputPhase], patch: usize, first: usize, padded: &mut Vec<f32>) {
        padded.clear();
        padded.resize(inputs.len() * self.inputs() * slab.padded_len(), 0.0);
        let voxels = self.input_grid().iter().product();
        let volumes = inputs
            .iter()
            .flat_map(|phase| patch_volumes(self.inputs, patch, voxels).map(move |volume| (phase.lattice, volume)));
        for ((lattice, volume), channel) in volumes.zip(padded.chunks_exact_mut(slab.padded_len())) {
            slab.fill_padded(volume, lattice, first, channel);
        }
    }

    /// Returns the sums, one for each phase of the output; the offsets are the same for slabs of any number of planes.
    fn sums(&self, slab: Slab) -> Vec<Sum> {
        let phases = self.stencil.phases();
        let lattice = |phase: &Phase| Lattice { stride: self.stencil.stride, remainder: phase.remainder };
        match self.direction {
            Direction::Gather => {
                let inputs = phases.iter().map(|phase| InputPhase {
                    lattice: lattice(phase),
                    offsets: phase.taps.iter().map(|tap| slab.offset(*tap, 1)).collect(),
                });
                let indices: Vec<Vec<usize>> =
                    phases.iter().map(|phase| phase.taps.iter().map(|tap| tap.index).collect()).collect();
                vec![Sum { output: Lattice::WHOLE, inputs: inputs.collect(), weights: self.packed(&indices) }]
            }
            Direction::Scatter => {
                let sum = |phase: &Phase| {
                    // The shifts ascend here too.
                    let taps = phase.taps.iter().rev();
                    let offsets = taps.clone().map(|tap| slab.offset(*tap, -1)).collect();
                    let indices = vec![taps.map(|tap| tap.index).collect()];
                    let inputs = vec![InputPhase { lattice: Lattice::WHOLE, offsets }];
                    Sum { output: lattice(phase), inputs, weights: self.packed(&indices) }
                };
                phases.iter().map(sum).collect()
            }
        }
    }

    /// Returns the weights in the order of access: for each block of outputs, each input phase and each of its channels, the
    /// taps with the given indices in the kernel, each with the values of the block.
    fn packed(&self, indices: &[Vec<usize>]) -> Vec<[f32; BLOCK]> {
        let Kernels { weights, fine, .. } = self.kernels;
        let weight = |output: usize, input: usize, index: usize| {
            let (coarse, of_fine) = match self.direction {
                Direction::Gather => (output, input),
                Direction::Scatter => (input, output),
            };
            weights[(coarse * fine + of_fine) * self.stencil.len() + index]
        };
        let mut packed = Vec::new();
        for block in 0..self.outputs().div_ceil(BLOCK) {
            let outputs = block * BLOCK..((block + 1) * BLOCK).min(self.outputs());
            for (indices, input) in indices.iter().flat_map(|indices| (0..self.inputs()).map(move |i| (indices, i))) {
                packed.extend(indices.iter().map(|index| {
                    let mut values = [0.0; BLOCK];
                    let outputs = values.iter_mut().zip(outputs.clone());
                    outputs.for_each(|(value, output)| *value = weight(output, input, *index));
                    values
                }));
            }
        }
        packed
    }
}

/// The sums of a block of outputs at some positions over some inputs.
struct BlockSums<'a> {
    slab: Slab,
    /// Padded inputs.
    channels: &'a [f32],
    /// The offsets of the taps of each input.
    taps: &'a [&'a [usize]],
    /// The inputs whose products are summed before they are added to the total.
    channels_of_sum: usize,
    weights: &'a [[f32; BLOCK]],
    positions: Range<usize>,
    /// Initial values; `None` to add to the sums of the previous pass.
    bias: Option<[f32; BLOCK]>,
    /// The unpadded output channels.
    sums: &'a mut [f32],
}

impl WithSimd for BlockSums<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for position in self.positions.clone().step_by(REGISTERS * S::F32_LANES) {
            self.accumulate(simd, position);
        }
    }
}

impl BlockSums<'_> {
    /// Computes the sums at as many positions as fit into the registers.
    #[inline(always)]
    fn accumulate<S: Simd>(&mut self, simd: S, position: usize) {
        let width = REGISTERS * S::F32_LANES;
        let unpadded_len = self.slab.unpadded_len();
        let mut bias = self.bias;
        let mut weights = self.weights;
        let channels = self.channels.chunks(self.channels_of_sum * self.slab.padded_len());
        for (taps, channels) in self.taps.chunks(self.channels_of_sum).zip(channels) {
            let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; BLOCK];
            for (offsets, channel) in taps.iter().zip(channels.chunks_exact(self.slab.padded_len())) {
                let (of_channel, rest) = weights.split_at(offsets.len());
                weights = rest;
                let channel = &channel[position..];
                for (offset, weights) in offsets.iter().zip(of_channel) {
                    let (values, _) = S::as_simd_f32s(&channel[*offset..*offset + width]);
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        let weight = simd.splat_f32s(*weight);
                        for register in 0..REGISTERS {
                            sums[register] = simd.mul_add_e_f32s(weight, values[register], sums[register]);
                        }
                    }
                }
            }
            for (output, sums) in sums.iter().enumerate() {
                let totals = S::as_mut_simd_f32s(&mut self.sums[output * unpadded_len + position..][..width]).0;
                for (total, sum) in totals.iter_mut().zip(sums) {
                    let before = bias.map_or(*total, |bias| simd.splat_f32s(bias[output]));
                    *total = simd.add_f32s(before, *sum);
                }
            }
            bias = None;
        }
    }
}
