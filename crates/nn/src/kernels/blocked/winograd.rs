//! Winograd's algorithm F(2, 3): a convolution without stride computes tiles of two output voxels per axis as products
//! of four points, transforms of four input voxels and of three weights. Along three axes there are 64 multiplications
//! for 8 voxels instead of 216. Coefficients are 0, 1, -1 and 1/2, so that rounding errors hardly grow.

use pulp::Simd;

use super::super::convolution::VolumeConvolution;
use super::super::stencil::Stencil;
use super::block::Frame;
use super::boxes::Cells;
use super::filter;
use super::outputs::{Algorithm, Job, sized};
use super::points::Tiles;
use super::product::{self, Addend, PANEL, Panel, Rows, RowsMut};
use super::transform::POINTS;

/// The approximate number of values of the transformed input of a box for one point along x.
const BOX_VALUES: usize = 1 << 16;
/// The bounds of the number of tiles of a box.
const BOX_TILES: [usize; 2] = [16, 192];

/// The number of tiles that take as long as the transform of the weights.
const PREPARATION: usize = 30;

/// A convolution by Winograd's algorithm.
pub struct Winograd {
    tiling: Tiling,
    cells: Cells,
    num_inputs: usize,
    weights: Vec<Panel>,
}

/// Tiles of output voxels: two along an axis whose kernel has three values, one along the others.
#[derive(Clone, Copy, Debug)]
pub struct Tiling {
    batch: usize,
    grid: [usize; 3],
    kernel: [usize; 3],
}

impl Tiling {
    /// Returns the tiling of a convolution; `None` if Winograd's algorithm does not apply.
    pub fn new(batch: usize, grid: [usize; 3], stencil: Stencil) -> Option<Self> {
        let applies = stencil.stride == [1; 3]
            && stencil.kernel.iter().all(|size| [1, 3].contains(size))
            && stencil.padding == stencil.kernel.map(|size| size / 2);
        applies.then_some(Self { batch, grid, kernel: stencil.kernel })
    }

    /// Returns whether there are clearly fewer multiplications than taps and voxels, in spite of the transforms.
    pub fn saves_time(&self) -> bool {
        let [tile, points] = [self.tile(), self.points()];
        let tiles = (0..3).map(|axis| self.grid[axis].div_ceil(tile[axis])).product::<usize>() * self.batch;
        let voxels = self.grid.iter().product::<usize>() * self.batch;
        let (taps, points): (usize, usize) = (self.kernel.iter().product(), points.iter().product());
        5 * points * (tiles + PREPARATION) < 4 * taps * voxels
    }

    /// Returns the kernel.
    pub fn kernel(&self) -> [usize; 3] {
        self.kernel
    }

    /// Divides the tiles into boxes of at most about `of_box` tiles.
    pub fn cells(&self, of_box: usize) -> Cells {
        let tile = self.tile();
        let [x, y, z] = std::array::from_fn(|axis| self.grid[axis].div_ceil(tile[axis]));
        Cells::new([self.batch, x, y, z], of_box)
    }

    /// Returns the points of each axis.
    pub fn points(&self) -> [usize; 3] {
        self.kernel.map(|size| if size == 3 { POINTS } else { 1 })
    }

    /// Returns the voxels of a tile along each axis.
    fn tile(&self) -> [usize; 3] {
        self.kernel.map(|size| if size == 3 { 2 } else { 1 })
    }

    /// Returns the input voxels and output voxels of the tiles.
    pub fn frames(&self) -> [Frame; 2] {
        let margin = self.kernel.map(|size| size / 2);
        let output = Frame { grid: self.grid, cell: self.tile(), before: [0; 3], after: [0; 3] };
        [Frame { before: margin, after: margin, ..output }, output]
    }
}

impl Winograd {
    /// Prepares a convolution.
    pub fn new(tiling: Tiling, convolution: &VolumeConvolution) -> Self {
        let weights = filter::points(convolution.kernels, convolution.direction, tiling.kernel);
        let num_inputs: usize = convolution.inputs.iter().map(|maps| maps.channels).sum();
        let cells = tiling.cells((BOX_VALUES / (16 * num_inputs)).clamp(BOX_TILES[0], BOX_TILES[1]));
        Self { tiling, cells, num_inputs, weights }
    }

    #[inline(always)]
    fn sum<S: Simd, const NY: usize, const NZ: usize, const MY: usize, const MZ: usize>(&self, simd: S, job: Job<'_>) {
        let panels = job.panels();
        let Job { input, inputs, output, outputs, channels, bias, buffers: [points, products] } = job;
        let (input_starts, output_starts) = (input.starts(), output.starts());
        let count = input_starts.len();
        let point_starts: Vec<usize> = (0..count).map(|tile| tile * PANEL).collect();
        let segments = product::segments(self.num_inputs, count * PANEL);
        let points_x = self.tiling.points()[0];
        let input_tiles = Tiles { block: input, starts: &input_starts, points_x };
        let output_tiles = Tiles { block: output, starts: &output_starts, points_x };
        let [point_len, product_len] = [input_tiles.point_len(), output_tiles.point_len()];
        let [points, products] = [sized(points, NY * NZ * point_len), sized(products, NY * NZ * product_len)];
        for x in 0..points_x {
            input_tiles.input::<S, NY, NZ>(simd, x, inputs, points);
            let of_points = points.chunks_exact(point_len).zip(products.chunks_exact_mut(product_len));
            for (point, (left, products)) in of_points.enumerate() {
                for (panel, values) in panels.clone().zip(products.chunks_exact_mut(count * PANEL)) {
                    let right = ((panel * points_x + x) * NY * NZ + point) * filter::point_len(self.num_inputs);
                    product::multiply(
                        simd,
                        Rows { values: left, starts: &point_starts },
                        &segments,
                        &self.weights[right..right + self.num_inputs],
                        (channels.end - panel * PANEL).min(PANEL),
                        RowsMut { values, starts: &point_starts, addend: Addend::Row(&[0.0; PANEL]) },
                    );
                }
            }
            output_tiles.output::<S, NY, NZ, MY, MZ>(simd, x, bias, products, outputs);
        }
    }
}

impl Algorithm for Winograd {
    fn cells(&self) -> Cells {
        self.cells
    }

    fn frames(&self) -> [Frame; 2] {
        self.tiling.frames()
    }

    #[inline(always)]
    fn compute<S: Simd>(&self, simd: S, job: Job<'_>) {
        match self.tiling.points() {
            [_, 4, 4] => self.sum::<S, 4, 4, 2, 2>(simd, job),
            [_, 4, 1] => self.sum::<S, 4, 1, 2, 1>(simd, job),
            [_, 1, 4] => self.sum::<S, 1, 4, 1, 2>(simd, job),
            _ => self.sum::<S, 1, 1, 1, 1>(simd, job),
        }
    }
}
