//! Direct 3x3x3 convolution of volumes, without a column matrix (im2col).
//!
//! Four output channels by three registers of positions are accumulated together, over input channels and the 27 shifts of
//! the kernel, so that fused multiply-adds keep the processor busy. Each sum has a fixed order, so the result does not
//! depend on the number of threads.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::slab::{Maps, Slab, patch_volumes};

/// The shifts of a kernel.
pub const SHIFTS: usize = 27;
/// Output channels that are accumulated together.
const BLOCK: usize = 4;
/// Registers of positions that are accumulated together.
const REGISTERS: usize = 3;
/// The approximate number of positions of a slab: few enough that a slab stays in the cache, enough that its padding costs
/// little.
const SLAB_POSITIONS: usize = 1 << 15;
/// Positions for which all output channels are computed before the next ones.
const PASS_POSITIONS: usize = 960;
/// Input channels of a pass; its weights and values stay in the L1 and L2 caches.
const PASS_CHANNELS: usize = 32;
/// The minimum number of parallel tasks, where there is enough work.
const MIN_TASKS: usize = 16;

/// A convolution weight, `[output, input, 27]`.
#[derive(Clone, Copy, Debug)]
pub struct Kernels<'a> {
    /// The values.
    pub weights: &'a [f32],
    /// Output channels.
    pub outputs: usize,
    /// Input channels.
    pub inputs: usize,
}

impl Kernels<'_> {
    /// Returns the flipped and transposed weight `[input, output, 27]`, which maps gradients of the output to gradients of
    /// the input.
    pub fn flipped_transposed(&self) -> Vec<f32> {
        let mut flipped = vec![0.0; self.weights.len()];
        for (index, kernel) in self.weights.chunks_exact(SHIFTS).enumerate() {
            let (output, input) = (index / self.inputs, index % self.inputs);
            let out = &mut flipped[(input * self.outputs + output) * SHIFTS..][..SHIFTS];
            out.iter_mut().zip(kernel.iter().rev()).for_each(|(out, weight)| *out = *weight);
        }
        flipped
    }

    /// Returns the weight in the order of access: for each block of outputs and each input, the shifts, each with the values
    /// of the block.
    fn packed(&self) -> Vec<[f32; BLOCK]> {
        let per_output = self.inputs * SHIFTS;
        let mut packed = vec![[0.0; BLOCK]; self.outputs.div_ceil(BLOCK) * per_output];
        for (output, weights) in self.weights.chunks_exact(per_output).enumerate() {
            let block = &mut packed[output / BLOCK * per_output..][..per_output];
            block.iter_mut().zip(weights).for_each(|(packed, weight)| packed[output % BLOCK] = *weight);
        }
        packed
    }
}

/// A convolution of the concatenation of some maps along the channel axis.
#[derive(Clone, Copy, Debug)]
pub struct DirectConvolution<'a> {
    /// The number of patches.
    pub batch: usize,
    /// `[x, y, z]`.
    pub grid: [usize; 3],
    /// The input maps.
    pub inputs: &'a [Maps<'a>],
    /// The weight.
    pub kernels: Kernels<'a>,
    /// The bias of each output channel; empty for none.
    pub bias: &'a [f32],
    /// The slope of the activation below 0; 1 for no activation.
    pub slope: f32,
}

/// The part of the output that one thread computes.
struct Task<'a> {
    patch: usize,
    /// The index of the first plane.
    first: usize,
    num_planes: usize,
    /// Blocks of output channels.
    blocks: Range<usize>,
    /// The output: the planes of one channel after those of another.
    planes: Vec<&'a mut [f32]>,
}

impl DirectConvolution<'_> {
    /// Computes the outputs, split along the channel axis into maps with the given numbers of channels.
    pub fn compute(&self, channels: &[usize]) -> Vec<Vec<f32>> {
        let Self { batch, grid, .. } = *self;
        let voxels: usize = grid.iter().product();
        let mut outputs: Vec<Vec<f32>> = channels.iter().map(|count| vec![0.0; batch * count * voxels]).collect();
        let slab_planes = Slab::num_planes(grid, SLAB_POSITIONS);
        let slabs = grid[0].div_ceil(slab_planes);
        let blocks = self.kernels.outputs.div_ceil(BLOCK);
        let per_group = blocks.div_ceil((MIN_TASKS / (batch * slabs)).clamp(1, blocks));
        let groups = blocks.div_ceil(per_group);

        let mut task_planes: Vec<Vec<&mut [f32]>> = (0..batch * slabs * groups).map(|_| Vec::new()).collect();
        let mut before = 0;
        for (output, count) in outputs.iter_mut().zip(channels) {
            for (index, plane) in output.chunks_exact_mut(grid[1] * grid[2]).enumerate() {
                let (patch, channel, x) = (index / grid[0] / count, index / grid[0] % count, index % grid[0]);
                let group = (before + channel) / BLOCK / per_group;
                task_planes[(patch * slabs + x / slab_planes) * groups + group].push(plane);
            }
            before += count;
        }
        let (arch, packed) = (Arch::new(), self.kernels.packed());
        task_planes.into_par_iter().enumerate().for_each_init(Default::default, |scratch, (task, planes)| {
            let (slab, group) = (task / groups, task % groups);
            let (patch, first) = (slab / slabs, slab % slabs * slab_planes);
            let blocks = group * per_group..((group + 1) * per_group).min(blocks);
            let num_planes = slab_planes.min(grid[0] - first);
            self.compute_task(arch, &packed, Task { patch, first, num_planes, blocks, planes }, scratch);
        });
        outputs
    }

    fn compute_task(
        &self,
        arch: Arch,
        packed: &[[f32; BLOCK]],
        Task { patch, first, num_planes, blocks, mut planes }: Task,
        [padded, sums]: &mut [Vec<f32>; 2],
    ) {
        let slab = Slab::new(self.grid, num_planes);
        self.fill_padded(slab, patch, first, padded);
        let unpadded_len = slab.unpadded_len();
        sums.clear();
        sums.resize(blocks.len() * BLOCK * unpadded_len, 0.0);
        let inputs = self.kernels.inputs;
        for from in (0..inputs).step_by(PASS_CHANNELS) {
            let channels = from..(from + PASS_CHANNELS).min(inputs);
            for start in (0..slab.num_positions()).step_by(PASS_POSITIONS) {
                for (block, sums) in blocks.clone().zip(sums.chunks_exact_mut(BLOCK * unpadded_len)) {
                    let bias = |output| self.bias.get(block * BLOCK + output).copied().unwrap_or(0.0);
                    arch.dispatch(BlockSums {
                        slab,
                        channels: &padded[channels.start * slab.padded_len()..channels.end * slab.padded_len()],
                        weights: &packed[(block * inputs + channels.start) * SHIFTS..][..channels.len() * SHIFTS],
                        positions: start..(start + PASS_POSITIONS).min(slab.num_positions()),
                        bias: (from == 0).then(|| std::array::from_fn(bias)),
                        sums,
                    });
                }
            }
        }
        for (index, plane) in planes.iter_mut().enumerate() {
            let channel = &sums[index / num_planes * unpadded_len..][..unpadded_len];
            slab.read_plane(channel, index % num_planes, plane);
            if self.slope != 1.0 {
                plane.iter_mut().for_each(|value| *value = if *value > 0.0 { *value } else { *value * self.slope });
            }
        }
    }

    /// Copies the planes of all input channels into padded channels.
    fn fill_padded(&self, slab: Slab, patch: usize, first: usize, padded: &mut Vec<f32>) {
        padded.clear();
        padded.resize(self.kernels.inputs * slab.padded_len(), 0.0);
        let voxels = self.grid.iter().product();
        let channels = padded.chunks_exact_mut(slab.padded_len());
        for (volume, channel) in patch_volumes(self.inputs, patch, voxels).zip(channels) {
            slab.fill_padded(volume, first, channel);
        }
    }
}

/// The sums of a block of outputs at some positions over some input channels.
struct BlockSums<'a> {
    slab: Slab,
    /// Padded input channels.
    channels: &'a [f32],
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
        let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; BLOCK];
        for (output, sums) in sums.iter_mut().enumerate() {
            match self.bias {
                Some(bias) => *sums = [simd.splat_f32s(bias[output]); REGISTERS],
                None => {
                    let previous = &self.sums[output * unpadded_len + position..][..width];
                    sums.copy_from_slice(S::as_simd_f32s(previous).0);
                }
            }
        }
        let (kernels, _) = self.weights.as_chunks::<SHIFTS>();
        for (kernel, channel) in kernels.iter().zip(self.channels.chunks_exact(self.slab.padded_len())) {
            let (lines, _) = kernel.as_chunks::<3>();
            for (index, weights) in lines.iter().enumerate() {
                let from = position + self.slab.offset(index / 3, index % 3);
                let line = &channel[from..from + width + 2];
                for (shift, weights) in weights.iter().enumerate() {
                    let (values, _) = S::as_simd_f32s(&line[shift..shift + width]);
                    for (sums, weight) in sums.iter_mut().zip(weights) {
                        let weight = simd.splat_f32s(*weight);
                        for register in 0..REGISTERS {
                            sums[register] = simd.mul_add_e_f32s(weight, values[register], sums[register]);
                        }
                    }
                }
            }
        }
        for (output, sums) in sums.iter().enumerate() {
            let out = &mut self.sums[output * unpadded_len + position..][..width];
            S::as_mut_simd_f32s(out).0.copy_from_slice(sums);
        }
    }
}
