//! Gradients of weights, box by box.
//!
//! The gradient of a tap, or of a point of Winograd's algorithm, is a sum of products over all cells. Tasks sum parts
//! of the cells for groups of channels; the parts, whose number does not depend on that of the threads, are added in
//! order.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::super::slab::Maps;
use super::block::{Block, Frame};
use super::boxes::Cells;
use super::outputs::sized;
use super::product::{PANEL, Panel};

/// The number of parallel tasks, where there is enough work.
const TASKS: usize = 8;
/// The maximum number of values that all tasks together accumulate, unless one task accumulates more.
const MAX_SUMS: usize = 1 << 22;
/// Panels of channels that a task has at least.
const MIN_PANELS: usize = 2;

/// A way to add the products of inputs with gradients of outputs over a box of cells.
pub trait Products: Sync {
    /// Returns the cells.
    fn cells(&self) -> Cells;

    /// Returns the voxels of the cells: those of the inputs, and those of the outputs.
    fn frames(&self) -> [Frame; 2];

    /// Returns the number of taps or points.
    fn len(&self) -> usize;

    /// Adds the products of a box.
    fn add<S: Simd>(&self, simd: S, job: Job<'_>);
}

/// The addition of the products of a box.
pub struct Job<'a> {
    pub input: Block,
    pub inputs: &'a [f32],
    pub output: Block,
    pub gradients: &'a [f32],
    /// The number of input channels and that of output channels.
    pub channels: [usize; 2],
    /// For each panel of output channels, tap or point and input channel, the sums of the panel.
    pub sums: &'a mut [Panel],
    /// Buffers of the algorithm.
    pub buffers: &'a mut [Vec<f32>; 2],
}

/// Buffers that a thread uses again.
#[derive(Default)]
struct Scratch {
    inputs: Vec<f32>,
    gradients: Vec<f32>,
    buffers: [Vec<f32>; 2],
}

/// The division of the sums into tasks.
struct Division {
    /// Parts of the cells.
    parts: usize,
    /// The number of input channels and that of output channels.
    channels: [usize; 2],
    /// The same of a task.
    task_channels: [usize; 2],
    /// The number of taps or points.
    len: usize,
}

/// A part of the cells, with ranges of channels.
struct Task {
    part: usize,
    inputs: Range<usize>,
    outputs: Range<usize>,
}

/// Computes the sums of all taps or points: for each panel of output channels, tap or point and input channel, those of
/// the panel.
pub fn compute(products: &impl Products, inputs: &[Maps], gradient: Maps) -> Vec<Panel> {
    let channels = [inputs.iter().map(|maps| maps.channels).sum(), gradient.channels];
    let ([input, output], boxes) = (products.frames(), products.cells().boxes());
    let division = Division::new(boxes.len(), products.len(), channels);
    let arch = Arch::new();
    let sums = division.tasks().into_par_iter().map_init(Scratch::default, |scratch, task| {
        let channels = [task.inputs.len(), task.outputs.len()];
        let mut sums = vec![[0.0; PANEL]; channels[1].div_ceil(PANEL) * products.len() * channels[0]];
        let [first, end] = [task.part, task.part + 1].map(|part| part * boxes.len() / division.parts);
        for cells in &boxes[first..end] {
            let [input, output] = [input.block(*cells, channels[0]), output.block(*cells, channels[1])];
            let Scratch { inputs: values, gradients, buffers } = &mut *scratch;
            let [values, gradients] = [sized(values, input.len()), sized(gradients, output.len())];
            input.fill(inputs, task.inputs.clone(), values);
            output.fill(&[gradient], task.outputs.clone(), gradients);
            let job = Job { input, inputs: values, output, gradients, channels, sums: &mut sums, buffers };
            arch.dispatch(Dispatched(products, job));
        }
        sums
    });
    division.join(&sums.collect::<Vec<_>>())
}

impl Division {
    fn new(boxes: usize, len: usize, channels: [usize; 2]) -> Self {
        let parts = (MAX_SUMS / (len * channels[0] * channels[1])).clamp(1, TASKS.min(boxes));
        let task_channels = channels.map(|count| count.next_multiple_of(PANEL));
        let mut division = Self { parts, channels, task_channels, len };
        while division.tasks().len() < TASKS {
            let axis = usize::from(division.task_channels[1] > division.task_channels[0]);
            let panels = division.task_channels[axis] / PANEL;
            if panels <= MIN_PANELS {
                break;
            }
            division.task_channels[axis] = panels.div_ceil(2) * PANEL;
        }
        division
    }

    /// Returns the tasks, in the order of output channels, input channels and parts.
    fn tasks(&self) -> Vec<Task> {
        let ranges = |axis: usize| {
            let (count, of_task) = (self.channels[axis], self.task_channels[axis]);
            (0..count).step_by(of_task).map(move |first| first..(first + of_task).min(count))
        };
        let channels = ranges(1).flat_map(|outputs| ranges(0).map(move |inputs| (inputs, outputs.clone())));
        let tasks = channels.flat_map(|(inputs, outputs)| {
            (0..self.parts).map(move |part| Task { part, inputs: inputs.clone(), outputs: outputs.clone() })
        });
        tasks.collect()
    }

    /// Adds the parts and joins the groups of channels.
    fn join(&self, sums: &[Vec<Panel>]) -> Vec<Panel> {
        let [inputs, outputs] = self.channels;
        let mut all = vec![[0.0; PANEL]; outputs.div_ceil(PANEL) * self.len * inputs];
        let input_groups = inputs.div_ceil(self.task_channels[0]);
        let panels = self.task_channels[1] / PANEL;
        all.par_chunks_exact_mut(inputs).enumerate().for_each(|(row, all)| {
            let (panel, tap) = (row / self.len, row % self.len);
            for (group, all) in all.chunks_mut(self.task_channels[0]).enumerate() {
                let first = (panel / panels * input_groups + group) * self.parts;
                let start = (panel % panels * self.len + tap) * all.len();
                for part in &sums[first..first + self.parts] {
                    let part = part[start..start + all.len()].as_flattened();
                    all.as_flattened_mut().iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
                }
            }
        });
        all
    }
}

/// A computation with the registers of the processor.
struct Dispatched<'a, P>(&'a P, Job<'a>);

impl<P: Products> WithSimd for Dispatched<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.add(simd, self.1);
    }
}
