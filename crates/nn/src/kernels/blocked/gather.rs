//! Convolutions of any stencil: each output voxel is a row of a matrix product, whose other factor is the weight. The
//! rows of that product are gathered from the voxels under the kernel, so that no column matrix is built.

use pulp::Simd;

use super::super::convolution::{Direction, VolumeConvolution};
use super::super::stencil::{Phase, Stencil, Tap};
use super::block::Frame;
use super::boxes::Cells;
use super::filter;
use super::outputs::{Algorithm, Job};
use super::product::{self, Addend, PANEL, Panel, Rows, RowsMut, Segment};

/// The approximate number of values of a box, inputs and outputs together.
const BOX_VALUES: usize = 1 << 17;
/// The minimum number of coarse voxels of a box.
const MIN_CELLS: usize = 32;

/// A convolution that gathers rows of its input.
pub struct Gather {
    cells: Cells,
    frames: [Frame; 2],
    num_inputs: usize,
    sums: Vec<Sum>,
}

/// The sum of the taps of one phase of the output; its cells are coarse voxels.
struct Sum {
    /// The shift of the output's voxel within its cell.
    output: [usize; 3],
    /// The shifts of the input's voxels relative to the first voxel of the cell's block.
    inputs: Vec<[usize; 3]>,
    /// For each panel of outputs, panel of inputs and tap, the weights of each input.
    weights: Vec<Panel>,
}

/// Returns the fine voxels that the taps of coarse voxels cover, and the coarse voxels.
pub fn frames(stencil: Stencil, coarse: [usize; 3]) -> [Frame; 2] {
    let Stencil { kernel, stride, padding } = stencil;
    let after = std::array::from_fn(|axis| kernel[axis].saturating_sub(padding[axis] + stride[axis]));
    let covered = Frame { grid: stencil.fine(coarse), cell: stride, before: padding, after };
    [covered, Frame { grid: coarse, cell: [1; 3], before: [0; 3], after: [0; 3] }]
}

/// Returns the shift of each tap relative to the first voxel that the taps of a coarse voxel cover.
pub fn shifts(stencil: Stencil) -> Vec<[usize; 3]> {
    let [_, y, z] = stencil.kernel;
    (0..stencil.len()).map(|index| [index / (y * z), index / z % y, index % z]).collect()
}

/// Divides the coarse voxels into boxes whose values stay in the cache; `channels` are those of the two frames.
pub fn cells(batch: usize, [x, y, z]: [usize; 3], frames: &[Frame; 2], channels: [usize; 2]) -> Cells {
    let values = frames.iter().zip(channels).map(|(frame, channels)| frame.cell.iter().product::<usize>() * channels);
    Cells::new([batch, x, y, z], (BOX_VALUES / values.sum::<usize>()).max(MIN_CELLS))
}

impl Gather {
    /// Prepares a convolution.
    pub fn new(convolution: &VolumeConvolution) -> Self {
        let VolumeConvolution { batch, coarse, stencil, direction, kernels, .. } = *convolution;
        let [covered, coarse_frame] = frames(stencil, coarse);
        let (num_inputs, num_outputs) = kernels.channels(direction);
        let packed = |taps: &[usize]| filter::packed(kernels, direction, stencil.len(), taps);
        let (frames, sums) = match direction {
            Direction::Gather => {
                let taps: Vec<usize> = (0..stencil.len()).collect();
                let sum = Sum { output: [0; 3], inputs: shifts(stencil), weights: packed(&taps) };
                ([covered, coarse_frame], vec![sum])
            }
            Direction::Scatter => {
                let reach = stencil.reach();
                let sum = |Phase { remainder, taps }: Phase| {
                    let shift =
                        |tap: &Tap| std::array::from_fn(|axis| reach[axis].wrapping_add_signed(-tap.shift[axis]));
                    let indices: Vec<usize> = taps.iter().map(|tap| tap.index).collect();
                    Sum { output: remainder, inputs: taps.iter().map(shift).collect(), weights: packed(&indices) }
                };
                let sums = stencil.phases().into_iter().map(sum).collect();
                let fine = Frame { before: [0; 3], after: [0; 3], ..covered };
                ([Frame { before: reach, after: reach, ..coarse_frame }, fine], sums)
            }
        };
        let cells = cells(batch, coarse, &frames, [num_inputs, num_outputs]);
        Self { cells, frames, num_inputs, sums }
    }
}

impl Algorithm for Gather {
    fn cells(&self) -> Cells {
        self.cells
    }

    fn frames(&self) -> [Frame; 2] {
        self.frames
    }

    #[inline(always)]
    fn compute<S: Simd>(&self, simd: S, job: Job<'_>) {
        let panels = job.panels();
        let Job { input, inputs, output, outputs, channels, bias, .. } = job;
        if self.sums.len() < self.frames[1].cell.iter().product() {
            // Some voxels of a cell have no tap.
            outputs.fill(0.0);
        }
        let (input_starts, output_starts) = (input.starts(), output.starts());
        for Sum { output: shift, inputs: shifts, weights } in &self.sums {
            let segments: Vec<Segment> = product::segments(self.num_inputs, input.panel_len())
                .into_iter()
                .flat_map(|Segment { offset, depth }| {
                    shifts.iter().map(move |shift| Segment { offset: offset + input.offset(*shift), depth })
                })
                .collect();
            let per_panel = shifts.len() * self.num_inputs;
            let panels = panels.clone().zip(bias).zip(outputs.chunks_exact_mut(output.panel_len()));
            for ((panel, bias), values) in panels {
                product::multiply(
                    simd,
                    Rows { values: inputs, starts: &input_starts },
                    &segments,
                    &weights[panel * per_panel..][..per_panel],
                    (channels.end - panel * PANEL).min(PANEL),
                    RowsMut {
                        values: &mut values[output.offset(*shift)..],
                        starts: &output_starts,
                        addend: Addend::Row(bias),
                    },
                );
            }
        }
    }
}
