//! Convolution of volumes with kernels of 3x3x3, directly: no columns of patches are made.
//!
//! Four output channels by three registers of places are summed at once, over input channels and the 27 shifts of the
//! kernel; a processor with fused multiply-add then does little else. Each sum is made in one order, whatever the
//! number of threads.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::slab::{Maps, Slab, volumes_of};

/// The shifts of a kernel.
pub const SHIFTS: usize = 27;
/// Output channels that are summed at once.
const BLOCK: usize = 4;
/// Registers of places that are summed at once.
const REGISTERS: usize = 3;
/// Places of a slab, about: few enough that a slab stays in the processor's cache, enough that its border costs little.
const SLAB_PLACES: usize = 1 << 15;
/// Places that all output channels are made of before the next.
const PASS_PLACES: usize = 960;
/// Input channels of a pass: its weights and places stay in the first caches.
const PASS_CHANNELS: usize = 32;
/// Tasks that there are at least, where there is so much to do.
const LEAST_TASKS: usize = 16;

/// Kernels as `[output, input, 27]`.
#[derive(Clone, Copy, Debug)]
pub struct Kernels<'a> {
    /// The weights.
    pub weights: &'a [f32],
    /// Output channels.
    pub outputs: usize,
    /// Input channels.
    pub inputs: usize,
}

impl Kernels<'_> {
    /// The weights `[input, output, 27]` of the convolution that undoes the shifts of this one: it takes gradients of
    /// the output to gradients of the input.
    pub fn turned(&self) -> Vec<f32> {
        let mut turned = vec![0.0; self.weights.len()];
        for (index, kernel) in self.weights.chunks_exact(SHIFTS).enumerate() {
            let (output, input) = (index / self.inputs, index % self.inputs);
            let out = &mut turned[(input * self.outputs + output) * SHIFTS..][..SHIFTS];
            out.iter_mut().zip(kernel.iter().rev()).for_each(|(out, weight)| *out = *weight);
        }
        turned
    }

    /// The weights as they are read: for each block of outputs and each input, the shifts, each of all the block.
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

/// What is convolved: maps side by side, as if their channels were joined.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a> {
    /// Patches.
    pub batch: usize,
    /// `[x, y, z]`.
    pub grid: [usize; 3],
    /// The maps.
    pub inputs: &'a [Maps<'a>],
    /// The kernels.
    pub kernels: Kernels<'a>,
    /// Added to each output channel; empty for none.
    pub bias: &'a [f32],
    /// Numbers below 0 are multiplied by it; 1 leaves them.
    pub slope: f32,
}

impl Convolution<'_> {
    /// Computes the outputs, whose channels lie side by side in maps of so many `channels`.
    pub fn compute(&self, channels: &[usize]) -> Vec<Vec<f32>> {
        let Self { batch, grid, .. } = *self;
        let voxels: usize = grid.iter().product();
        let mut outputs: Vec<Vec<f32>> = channels.iter().map(|count| vec![0.0; batch * count * voxels]).collect();
        let slab_planes = Slab::planes_of(grid, SLAB_PLACES);
        let slabs = grid[0].div_ceil(slab_planes);
        let blocks = self.kernels.outputs.div_ceil(BLOCK);
        let per_group = blocks.div_ceil((LEAST_TASKS / (batch * slabs)).clamp(1, blocks));
        let groups = blocks.div_ceil(per_group);

        // Each task has the planes that it writes, of one output after the other.
        let mut tasks: Vec<Vec<&mut [f32]>> = (0..batch * slabs * groups).map(|_| Vec::new()).collect();
        let mut before = 0;
        for (output, count) in outputs.iter_mut().zip(channels) {
            for (index, plane) in output.chunks_exact_mut(grid[1] * grid[2]).enumerate() {
                let (patch, channel, x) = (index / grid[0] / count, index / grid[0] % count, index % grid[0]);
                let group = (before + channel) / BLOCK / per_group;
                tasks[(patch * slabs + x / slab_planes) * groups + group].push(plane);
            }
            before += count;
        }
        let (arch, packed) = (Arch::new(), self.kernels.packed());
        tasks.into_par_iter().enumerate().for_each_init(Default::default, |scratch, (task, planes)| {
            let (slab, group) = (task / groups, task % groups);
            let (patch, first) = (slab / slabs, slab % slabs * slab_planes);
            let blocks = group * per_group..((group + 1) * per_group).min(blocks);
            self.slab(arch, &packed, patch, first, slab_planes.min(grid[0] - first), blocks, planes, scratch);
        });
        outputs
    }

    /// Computes some planes of the outputs of some blocks.
    #[expect(clippy::too_many_arguments, reason = "a closure's body, and its captures by name")]
    fn slab(
        &self,
        arch: Arch,
        packed: &[[f32; BLOCK]],
        patch: usize,
        first: usize,
        num_planes: usize,
        blocks: Range<usize>,
        mut planes: Vec<&mut [f32]>,
        [bordered, sums]: &mut [Vec<f32>; 2],
    ) {
        let slab = Slab::new(self.grid, num_planes);
        self.fill(slab, patch, first, bordered);
        let bare = slab.bare();
        sums.clear();
        sums.resize(blocks.len() * BLOCK * bare, 0.0);
        let inputs = self.kernels.inputs;
        for from in (0..inputs).step_by(PASS_CHANNELS) {
            let channels = from..(from + PASS_CHANNELS).min(inputs);
            for start in (0..slab.places()).step_by(PASS_PLACES) {
                for (block, sums) in blocks.clone().zip(sums.chunks_exact_mut(BLOCK * bare)) {
                    let bias = |output| self.bias.get(block * BLOCK + output).copied().unwrap_or(0.0);
                    arch.dispatch(Pass {
                        slab,
                        channels: &bordered[channels.start * slab.bordered()..channels.end * slab.bordered()],
                        weights: &packed[(block * inputs + channels.start) * SHIFTS..][..channels.len() * SHIFTS],
                        places: start..(start + PASS_PLACES).min(slab.places()),
                        bias: (from == 0).then(|| std::array::from_fn(bias)),
                        sums,
                    });
                }
            }
        }
        for (index, plane) in planes.iter_mut().enumerate() {
            let channel = &sums[index / num_planes * bare..][..bare];
            slab.read_bare(channel, index % num_planes, plane);
            if self.slope != 1.0 {
                plane.iter_mut().for_each(|value| *value = if *value > 0.0 { *value } else { *value * self.slope });
            }
        }
    }

    /// The planes of all input channels, with their borders.
    fn fill(&self, slab: Slab, patch: usize, first: usize, bordered: &mut Vec<f32>) {
        bordered.clear();
        bordered.resize(self.kernels.inputs * slab.bordered(), 0.0);
        let voxels = self.grid.iter().product();
        for (volume, channel) in volumes_of(self.inputs, patch, voxels).zip(bordered.chunks_exact_mut(slab.bordered()))
        {
            slab.fill_bordered(volume, first, channel);
        }
    }
}

/// The sums of a block of outputs at some places, over some channels.
struct Pass<'a> {
    slab: Slab,
    /// With borders.
    channels: &'a [f32],
    weights: &'a [[f32; BLOCK]],
    places: Range<usize>,
    /// What sums begin with; `None` for what is there.
    bias: Option<[f32; BLOCK]>,
    /// Of each output, without borders.
    sums: &'a mut [f32],
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for place in self.places.clone().step_by(REGISTERS * S::F32_LANES) {
            self.tile(simd, place);
        }
    }
}

impl Pass<'_> {
    /// The sums at as many places as the registers hold.
    #[inline(always)]
    fn tile<S: Simd>(&mut self, simd: S, place: usize) {
        let width = REGISTERS * S::F32_LANES;
        let bare = self.slab.bare();
        let mut sums = [[simd.splat_f32s(0.0); REGISTERS]; BLOCK];
        for (output, sums) in sums.iter_mut().enumerate() {
            match self.bias {
                Some(bias) => *sums = [simd.splat_f32s(bias[output]); REGISTERS],
                None => sums.copy_from_slice(S::as_simd_f32s(&self.sums[output * bare + place..][..width]).0),
            }
        }
        let (kernels, _) = self.weights.as_chunks::<SHIFTS>();
        for (kernel, channel) in kernels.iter().zip(self.channels.chunks_exact(self.slab.bordered())) {
            let (lines, _) = kernel.as_chunks::<3>();
            for (number, weights) in lines.iter().enumerate() {
                let from = place + self.slab.offset(number / 3, number % 3);
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
            S::as_mut_simd_f32s(&mut self.sums[output * bare + place..][..width]).0.copy_from_slice(sums);
        }
    }
}
