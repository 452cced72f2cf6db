//! Gradients of weights by Winograd's algorithm: sums of products of points, transformed.

use pulp::Simd;

use super::super::slab::Maps;
use super::block::Frame;
use super::boxes::Cells;
use super::filter;
use super::outputs::sized;
use super::points::Tiles;
use super::product::{self, Addend, PANEL, Rows, RowsMut};
use super::sums::{self, Job, Products};
use super::winograd::Tiling;

/// The approximate number of values of the transformed voxels of a box for one point along x.
const BOX_VALUES: usize = 1 << 18;
/// The bounds of the number of tiles of a box.
const BOX_TILES: [usize; 2] = [64, 256];

/// Products of points, whose sums are the gradients of the transformed weights.
pub struct PointProducts {
    tiling: Tiling,
    cells: Cells,
}

impl PointProducts {
    /// Prepares the products of a number of input and output channels.
    pub fn new(tiling: Tiling, channels: usize) -> Self {
        let cells = tiling.cells((BOX_VALUES / (16 * channels)).clamp(BOX_TILES[0], BOX_TILES[1]));
        Self { tiling, cells }
    }

    /// Computes the gradient of the weight, `[output, input, kernel]`.
    pub fn gradient(&self, inputs: &[Maps], gradient: Maps) -> Vec<f32> {
        let channels = [gradient.channels, inputs.iter().map(|maps| maps.channels).sum()];
        filter::gradient(&sums::compute(self, inputs, gradient), channels, self.tiling.kernel())
    }

    #[inline(always)]
    fn sum<S: Simd, const NY: usize, const NZ: usize, const MY: usize, const MZ: usize>(&self, simd: S, job: Job<'_>) {
        let Job { input, inputs, output, gradients, channels, sums, buffers: [points, gradient_points] } = job;
        let (input_starts, output_starts) = (input.starts(), output.starts());
        let count = input_starts.len();
        let point_starts: Vec<usize> = (0..count).map(|tile| tile * PANEL).collect();
        let sum_starts: [usize; PANEL] = std::array::from_fn(|row| row * PANEL);
        let points_x = self.tiling.points()[0];
        let input_tiles = Tiles { block: input, starts: &input_starts, points_x };
        let output_tiles = Tiles { block: output, starts: &output_starts, points_x };
        let [point_len, gradient_len] = [input_tiles.point_len(), output_tiles.point_len()];
        let points = sized(points, NY * NZ * point_len);
        let gradient_points = sized(gradient_points, NY * NZ * gradient_len);
        for x in 0..points_x {
            input_tiles.input::<S, NY, NZ>(simd, x, inputs, points);
            output_tiles.output_gradient::<S, NY, NZ, MY, MZ>(simd, x, gradients, gradient_points);
            let of_points = points.chunks_exact(point_len).zip(gradient_points.chunks_exact(gradient_len));
            for (point, (left, right)) in of_points.enumerate() {
                for (output_panel, right) in right.as_chunks().0.chunks_exact(count).take(output.panels()).enumerate() {
                    let row = ((output_panel * points_x + x) * NY * NZ + point) * channels[0];
                    let sums = sums[row..row + channels[0]].chunks_mut(PANEL);
                    for (sums, left) in sums.zip(left.chunks_exact(count * PANEL)) {
                        product::multiply_transposed(
                            simd,
                            Rows { values: left, starts: &point_starts },
                            0,
                            right,
                            (channels[1] - output_panel * PANEL).min(PANEL),
                            RowsMut {
                                starts: &sum_starts[..sums.len()],
                                values: sums.as_flattened_mut(),
                                addend: Addend::Values,
                            },
                        );
                    }
                }
            }
        }
    }
}

impl Products for PointProducts {
    fn cells(&self) -> Cells {
        self.cells
    }

    fn frames(&self) -> [Frame; 2] {
        self.tiling.frames()
    }

    fn len(&self) -> usize {
        self.tiling.points().iter().product()
    }

    #[inline(always)]
    fn add<S: Simd>(&self, simd: S, job: Job<'_>) {
        match self.tiling.points() {
            [_, 4, 4] => self.sum::<S, 4, 4, 2, 2>(simd, job),
            [_, 4, 1] => self.sum::<S, 4, 1, 2, 1>(simd, job),
            [_, 1, 4] => self.sum::<S, 1, 4, 1, 2>(simd, job),
            _ => self.sum::<S, 1, 1, 1, 1>(simd, job),
        }
    }
}
