//! Gradients of weights of any stencil: sums of products of coarse voxels with those under the kernel.

use pulp::Simd;

use super::super::slab::Maps;
use super::super::stencil::Stencil;
use super::block::Frame;
use super::boxes::Cells;
use super::filter;
use super::gather;
use super::product::{self, Addend, PANEL, Rows, RowsMut};
use super::sums::{self, Job, Products};

/// Products of taps, whose sums are the gradients of the weights.
pub struct TapProducts {
    stencil: Stencil,
    cells: Cells,
    frames: [Frame; 2],
}

impl TapProducts {
    /// Prepares the products of a number of fine channels and coarse channels.
    pub fn new(batch: usize, coarse: [usize; 3], stencil: Stencil, channels: [usize; 2]) -> Self {
        let frames = gather::frames(stencil, coarse);
        Self { stencil, cells: gather::cells(batch, coarse, &frames, channels), frames }
    }

    /// Computes the gradient of the weight, `[coarse, fine, kernel]`.
    pub fn gradient(&self, fine: &[Maps], coarse: Maps) -> Vec<f32> {
        let channels = [coarse.channels, fine.iter().map(|maps| maps.channels).sum()];
        filter::unpacked(&sums::compute(self, fine, coarse), channels, self.stencil.len())
    }
}

impl Products for TapProducts {
    fn cells(&self) -> Cells {
        self.cells
    }

    fn frames(&self) -> [Frame; 2] {
        self.frames
    }

    fn len(&self) -> usize {
        self.stencil.len()
    }

    #[inline(always)]
    fn add<S: Simd>(&self, simd: S, job: Job<'_>) {
        let Job { input, inputs, output, gradients, channels: [num_inputs, num_outputs], sums, .. } = job;
        let starts = input.starts();
        let sum_starts: [usize; PANEL] = std::array::from_fn(|row| row * PANEL);
        let gradients = gradients.as_chunks::<PANEL>().0.chunks_exact(output.panel_len() / PANEL);
        let shifts = gather::shifts(self.stencil);
        let panels = sums.chunks_exact_mut(shifts.len() * num_inputs).zip(gradients).enumerate();
        for (output_panel, (sums, right)) in panels {
            let columns = (num_outputs - output_panel * PANEL).min(PANEL);
            for (shift, sums) in shifts.iter().zip(sums.chunks_exact_mut(num_inputs)) {
                for (sums, values) in sums.chunks_mut(PANEL).zip(inputs.chunks_exact(input.panel_len())) {
                    let out = RowsMut {
                        starts: &sum_starts[..sums.len()],
                        values: sums.as_flattened_mut(),
                        addend: Addend::Values,
                    };
                    let left = Rows { values, starts: &starts };
                    product::multiply_transposed(simd, left, input.offset(*shift), right, columns, out);
                }
            }
        }
    }
}
