//! Outputs of a convolution, box by box.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::super::convolution::VolumeConvolution;
use super::block::{Block, Frame};
use super::boxes::Cells;
use super::product::{PANEL, Panel};

/// The minimum number of parallel tasks, where there is enough work.
const MIN_TASKS: usize = 8;

/// A way to compute the outputs of a box of cells from its inputs.
pub trait Algorithm: Sync {
    /// Returns the cells.
    fn cells(&self) -> Cells;

    /// Returns the voxels of the cells that are read and those that are computed.
    fn frames(&self) -> [Frame; 2];

    /// Computes the outputs of a box, without activation.
    fn compute<S: Simd>(&self, simd: S, job: Job<'_>);
}

/// The computation of the outputs of a box.
pub struct Job<'a> {
    pub input: Block,
    pub inputs: &'a [f32],
    pub output: Block,
    pub outputs: &'a mut [f32],
    /// The output channels.
    pub channels: Range<usize>,
    /// The bias of each panel.
    pub bias: &'a [Panel],
    /// Buffers of the algorithm.
    pub buffers: &'a mut [Vec<f32>; 2],
}

impl Job<'_> {
    /// Returns the range of panels of output channels.
    pub fn panels(&self) -> Range<usize> {
        self.channels.start / PANEL..self.channels.end.div_ceil(PANEL)
    }
}

/// Buffers that a thread uses again.
#[derive(Default)]
struct Scratch {
    inputs: Vec<f32>,
    outputs: Vec<f32>,
    buffers: [Vec<f32>; 2],
}

/// Returns the first values of a buffer, which grows if necessary.
pub fn sized(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}

/// Computes the outputs of a convolution, split along the channel axis into maps with the given numbers of channels.
pub fn compute(convolution: &VolumeConvolution, algorithm: &impl Algorithm, channels: &[usize]) -> Vec<Vec<f32>> {
    let [input, output] = algorithm.frames();
    let cells = algorithm.cells();
    let (boxes, voxels) = (cells.boxes(), output.grid.iter().product::<usize>());
    let num_inputs = convolution.inputs.iter().map(|maps| maps.channels).sum::<usize>();
    let num_outputs: usize = channels.iter().sum();
    let panels = num_outputs.div_ceil(PANEL);
    let of_group = panels.div_ceil(MIN_TASKS.div_ceil(boxes.len()).clamp(1, panels)) * PANEL;
    let groups = num_outputs.div_ceil(of_group);
    let mut outputs: Vec<_> = channels.iter().map(|count| vec![0.0; convolution.batch * count * voxels]).collect();
    let mut bias = vec![[0.0; PANEL]; panels];
    bias.as_flattened_mut().iter_mut().zip(convolution.bias).for_each(|(bias, value)| *bias = *value);
    let tasks = tasks(cells, output, &mut outputs, channels, of_group);
    let arch = Arch::new();
    tasks.into_par_iter().enumerate().for_each_init(Scratch::default, |scratch, (task, mut pieces)| {
        let (cells, first) = (boxes[task / groups], task % groups * of_group);
        let channels = first..num_outputs.min(first + of_group);
        let [input, output] = [input.block(cells, num_inputs), output.block(cells, channels.len())];
        let Scratch { inputs, outputs, buffers } = scratch;
        let [inputs, outputs] = [sized(inputs, input.len()), sized(outputs, output.len())];
        input.fill(convolution.inputs, 0..num_inputs, inputs);
        let bias = &bias[first / PANEL..channels.end.div_ceil(PANEL)];
        let job = Job { input, inputs, output, outputs, channels: channels.clone(), bias, buffers };
        arch.dispatch(Dispatched(algorithm, job));
        if convolution.slope != 1.0 {
            arch.dispatch(Activation { outputs: &mut *outputs, slope: convolution.slope });
        }
        output.read(outputs, channels.len(), &mut pieces);
    });
    outputs
}

/// Divides the output into the parts of each box and group of channels: rows of planes, in the order of patch, channel
/// and x.
fn tasks<'a>(
    cells: Cells,
    output: Frame,
    outputs: &'a mut [Vec<f32>],
    channels: &[usize],
    of_group: usize,
) -> Vec<Vec<&'a mut [f32]>> {
    let ([size, num_boxes], [x, y, z]) = ([cells.box_size(), cells.num_boxes()], output.grid);
    let groups = channels.iter().sum::<usize>().div_ceil(of_group);
    let mut tasks: Vec<Vec<_>> = (0..num_boxes.iter().product::<usize>() * groups).map(|_| Vec::new()).collect();
    let patch_len = |count: usize| (count * x * y * z).max(1);
    let maps = outputs.iter_mut().zip(channels);
    let mut patches: Vec<_> = maps.map(|(map, count)| map.chunks_exact_mut(patch_len(*count))).collect();
    let mut patch = 0;
    while let Some(maps) = patches.iter_mut().map(Iterator::next).collect::<Option<Vec<_>>>() {
        for (index, plane) in maps.into_iter().flat_map(|map| map.chunks_exact_mut(y * z)).enumerate() {
            let (channel, plane_x) = (index / x, index % x);
            let first_box = (patch / size[0] * num_boxes[1] + plane_x / output.cell[0] / size[1]) * num_boxes[2];
            for (box_y, piece) in plane.chunks_mut(size[2] * output.cell[1] * z).enumerate() {
                tasks[(first_box + box_y) * groups + channel / of_group].push(piece);
            }
        }
        patch += 1;
    }
    tasks
}

/// The activation of the outputs of a box.
struct Activation<'a> {
    outputs: &'a mut [f32],
    slope: f32,
}

impl WithSimd for Activation<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for value in self.outputs {
            *value = if *value > 0.0 { *value } else { *value * self.slope };
        }
    }
}

/// A computation with the registers of the processor.
struct Dispatched<'a, A>(&'a A, Job<'a>);

impl<A: Algorithm> WithSimd for Dispatched<'_, A> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.compute(simd, self.1);
    }
}
