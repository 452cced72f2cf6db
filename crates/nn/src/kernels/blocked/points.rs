//! Voxels of tiles as points, and points as voxels.
//!
//! Points are stored for one coordinate along the first axis at a time, `[y point, z point, panel, tile, channel]`.

use pulp::Simd;

use super::block::Block;
use super::product::{PANEL, Panel};
use super::transform;

/// Tiles of a block.
#[derive(Clone, Copy, Debug)]
pub struct Tiles<'a> {
    pub block: Block,
    /// The index of the first value of each tile in the first panel.
    pub starts: &'a [usize],
    /// The number of points along the first axis.
    pub points_x: usize,
}

/// A transform between the voxels and the points of one tile, for the channels of one register.
trait Transform<S: Simd> {
    /// Transforms the tile whose first voxel and whose first point are the given registers; `register` is that of the
    /// channels.
    fn transform(&mut self, simd: S, voxel: usize, point: usize, register: usize);
}

impl Tiles<'_> {
    /// Transforms all tiles.
    #[inline(always)]
    fn transform<S: Simd>(&self, simd: S, mut transform: impl Transform<S>) {
        let registers = PANEL / S::F32_LANES;
        for panel in 0..self.block.panels() {
            for (tile, start) in self.starts.iter().enumerate() {
                let voxel = (panel * self.block.panel_len() + start) / S::F32_LANES;
                let point = (panel * self.starts.len() + tile) * registers;
                for register in 0..registers {
                    transform.transform(simd, voxel + register, point + register, panel * registers + register);
                }
            }
        }
    }

    /// Returns the distances in registers between neighbouring voxels along each axis, and between points.
    fn strides<S: Simd>(&self) -> ([usize; 3], usize) {
        let [_, strides @ ..] = self.block.strides().map(|stride| stride / S::F32_LANES);
        (strides, self.point_len() / S::F32_LANES)
    }

    /// Returns the number of values of a point, with padding: an odd number of cache lines keeps the same value of all
    /// points from competing for the same lines of the cache.
    pub fn point_len(&self) -> usize {
        ((self.block.panels() * self.starts.len()) | 1) * PANEL
    }

    /// Transforms input voxels to the points with coordinate `x` along the first axis.
    #[inline(always)]
    pub fn input<S: Simd, const NY: usize, const NZ: usize>(
        &self,
        simd: S,
        x: usize,
        voxels: &[f32],
        points: &mut [f32],
    ) {
        let (strides, point_stride) = self.strides::<S>();
        let (voxels, points) = (S::as_simd_f32s(voxels).0, S::as_mut_simd_f32s(points).0);
        let (planes, sign) = [([0, 2], -1.0), ([1, 2], 1.0), ([2, 1], -1.0), ([1, 3], -1.0)][x];
        let sign = (self.points_x > 1).then(|| simd.splat_f32s(sign));
        self.transform(simd, Input::<S, NY, NZ> { voxels, points, strides, point_stride, planes, sign });
    }

    /// Transforms gradients of output voxels to those of the points with coordinate `x` along the first axis.
    #[inline(always)]
    pub fn output_gradient<S: Simd, const NY: usize, const NZ: usize, const MY: usize, const MZ: usize>(
        &self,
        simd: S,
        x: usize,
        voxels: &[f32],
        points: &mut [f32],
    ) {
        let (strides, point_stride) = self.strides::<S>();
        let (voxels, points) = (S::as_simd_f32s(voxels).0, S::as_mut_simd_f32s(points).0);
        let x = (self.points_x > 1).then_some(x);
        self.transform(simd, OutputGradient::<S, NY, NZ, MY, MZ> { voxels, points, strides, point_stride, x });
    }

    /// Transforms points with coordinate `x` along the first axis to output voxels, and adds these to the bias of each
    /// panel, or to those of the points before.
    #[inline(always)]
    pub fn output<S: Simd, const NY: usize, const NZ: usize, const MY: usize, const MZ: usize>(
        &self,
        simd: S,
        x: usize,
        bias: &[Panel],
        points: &[f32],
        voxels: &mut [f32],
    ) {
        let (strides, point_stride) = self.strides::<S>();
        let (points, voxels) = (S::as_simd_f32s(points).0, S::as_mut_simd_f32s(voxels).0);
        let bias = S::as_simd_f32s(bias.as_flattened()).0;
        self.transform(simd, Output::<S, NY, NZ, MY, MZ> { voxels, points, strides, point_stride, x, bias });
    }
}

/// The transform of input voxels.
struct Input<'a, S: Simd, const NY: usize, const NZ: usize> {
    voxels: &'a [S::f32s],
    points: &'a mut [S::f32s],
    strides: [usize; 3],
    point_stride: usize,
    /// The planes of which the point along the first axis is the sum.
    planes: [usize; 2],
    /// The factor of the second plane, if there are two.
    sign: Option<S::f32s>,
}

/// Returns the registers of voxels along the last axis.
#[inline(always)]
fn row_of<S: Simd, const N: usize>(voxels: &[S::f32s], start: usize) -> [S::f32s; N] {
    let step = PANEL / S::F32_LANES;
    let row = &voxels[start..start + (N - 1) * step + 1];
    std::array::from_fn(|z| row[z * step])
}

/// Writes the points of a tile for the channels of one register.
#[inline(always)]
fn write_points<S: Simd, const NY: usize, const NZ: usize>(
    values: [[S::f32s; NZ]; NY],
    points: &mut [S::f32s],
    first: usize,
    stride: usize,
) {
    for (y, row) in values.into_iter().enumerate() {
        for (z, value) in row.into_iter().enumerate() {
            points[first + (y * NZ + z) * stride] = value;
        }
    }
}

impl<S: Simd, const NY: usize, const NZ: usize> Transform<S> for Input<'_, S, NY, NZ> {
    #[inline(always)]
    fn transform(&mut self, simd: S, voxel: usize, point: usize, _: usize) {
        let [plane, row, _] = self.strides;
        let mut values = [[simd.splat_f32s(0.0); NZ]; NY];
        for (y, values) in values.iter_mut().enumerate() {
            let first = row_of::<S, NZ>(self.voxels, voxel + y * row + self.planes[0] * plane);
            let Some(sign) = self.sign else {
                *values = first;
                continue;
            };
            let second = row_of::<S, NZ>(self.voxels, voxel + y * row + self.planes[1] * plane);
            for (value, (first, second)) in values.iter_mut().zip(first.into_iter().zip(second)) {
                *value = simd.mul_add_e_f32s(sign, second, first);
            }
        }
        let points = transform::plane::<S, transform::Input, NY, NZ, NY, NZ>(simd, values);
        write_points::<S, NY, NZ>(points, self.points, point, self.point_stride);
    }
}

/// The transform of gradients of output voxels.
struct OutputGradient<'a, S: Simd, const NY: usize, const NZ: usize, const MY: usize, const MZ: usize> {
    voxels: &'a [S::f32s],
    points: &'a mut [S::f32s],
    strides: [usize; 3],
    point_stride: usize,
    /// The point of the first axis, if it has several.
    x: Option<usize>,
}

impl<S: Simd, const NY: usize, const NZ: usize, const MY: usize, const MZ: usize> Transform<S>
    for OutputGradient<'_, S, NY, NZ, MY, MZ>
{
    #[inline(always)]
    fn transform(&mut self, simd: S, voxel: usize, point: usize, _: usize) {
        let [plane, row, step] = self.strides;
        let mut values = [[simd.splat_f32s(0.0); MZ]; MY];
        for (y, values) in values.iter_mut().enumerate() {
            for (z, value) in values.iter_mut().enumerate() {
                let at = voxel + y * row + z * step;
                *value = match self.x {
                    None | Some(0) => self.voxels[at],
                    Some(1) => simd.add_f32s(self.voxels[at], self.voxels[at + plane]),
                    Some(2) => simd.sub_f32s(self.voxels[at], self.voxels[at + plane]),
                    Some(_) => simd.neg_f32s(self.voxels[at + plane]),
                };
            }
        }
        let points = transform::plane::<S, transform::OutputGradient, MY, MZ, NY, NZ>(simd, values);
        write_points::<S, NY, NZ>(points, self.points, point, self.point_stride);
    }
}

/// The transform of points to output voxels.
struct Output<'a, S: Simd, const NY: usize, const NZ: usize, const MY: usize, const MZ: usize> {
    points: &'a [S::f32s],
    voxels: &'a mut [S::f32s],
    strides: [usize; 3],
    point_stride: usize,
    x: usize,
    bias: &'a [S::f32s],
}

impl<S: Simd, const NY: usize, const NZ: usize, const MY: usize, const MZ: usize> Transform<S>
    for Output<'_, S, NY, NZ, MY, MZ>
{
    #[inline(always)]
    fn transform(&mut self, simd: S, voxel: usize, point: usize, register: usize) {
        let [plane, row, step] = self.strides;
        let points: [[S::f32s; NZ]; NY] =
            std::array::from_fn(|y| std::array::from_fn(|z| self.points[point + (y * NZ + z) * self.point_stride]));
        let values = transform::plane::<S, transform::Output, NY, NZ, MY, MZ>(simd, points);
        for (y, values) in values.into_iter().enumerate() {
            for (z, value) in values.into_iter().enumerate() {
                let at = voxel + y * row + z * step;
                let next = at + plane;
                // The first voxel is the sum of points 0, 1 and 2, the second that of 1, -2 and -3.
                match self.x {
                    0 => self.voxels[at] = simd.add_f32s(self.bias[register], value),
                    1 => {
                        self.voxels[at] = simd.add_f32s(self.voxels[at], value);
                        self.voxels[next] = simd.add_f32s(self.bias[register], value);
                    }
                    2 => {
                        self.voxels[at] = simd.add_f32s(self.voxels[at], value);
                        self.voxels[next] = simd.sub_f32s(self.voxels[next], value);
                    }
                    _ => self.voxels[next] = simd.sub_f32s(self.voxels[next], value),
                }
            }
        }
    }
}
