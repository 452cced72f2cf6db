//! Winograd's transforms of tiles of two outputs per axis and kernels of three values, with exact coefficients 0, 1 and
//! -1 for voxels and 1/2 for weights.

use pulp::Simd;

/// The points of an axis with a kernel of three values.
pub const POINTS: usize = 4;

/// Transforms input voxels along one axis: four to four points, or one to one.
#[inline(always)]
pub fn input<S: Simd, const N: usize>(simd: S, d: [S::f32s; N]) -> [S::f32s; N] {
    let mut points = d;
    if N == POINTS {
        points[0] = simd.sub_f32s(d[0], d[2]);
        points[1] = simd.add_f32s(d[1], d[2]);
        points[2] = simd.sub_f32s(d[2], d[1]);
        points[3] = simd.sub_f32s(d[1], d[3]);
    }
    points
}

/// Transforms points along one axis to output voxels: four to two, or one to one.
#[inline(always)]
pub fn output<S: Simd, const N: usize, const M: usize>(simd: S, m: [S::f32s; N]) -> [S::f32s; M] {
    let mut voxels = [m[0]; M];
    if N == POINTS {
        voxels[0] = simd.add_f32s(simd.add_f32s(m[0], m[1]), m[2]);
        voxels[1] = simd.sub_f32s(simd.sub_f32s(m[1], m[2]), m[3]);
    }
    voxels
}

/// Transforms gradients of output voxels along one axis to gradients of the points: two to four, or one to one.
#[inline(always)]
pub fn output_gradient<S: Simd, const N: usize, const M: usize>(simd: S, y: [S::f32s; M]) -> [S::f32s; N] {
    let mut points = [y[0]; N];
    if N == POINTS {
        points[1] = simd.add_f32s(y[0], y[1]);
        points[2] = simd.sub_f32s(y[0], y[1]);
        points[3] = simd.neg_f32s(y[1]);
    }
    points
}

/// Transforms the kernel's values along one axis, three to four points.
#[inline(always)]
pub fn kernel<S: Simd>(simd: S, [a, b, c]: [S::f32s; 3]) -> [S::f32s; POINTS] {
    let half = simd.splat_f32s(0.5);
    let outer = simd.add_f32s(a, c);
    [a, simd.mul_f32s(simd.add_f32s(outer, b), half), simd.mul_f32s(simd.sub_f32s(outer, b), half), c]
}

/// Transforms the gradients of points along one axis to those of the kernel's values, four to three.
#[inline(always)]
pub fn kernel_gradient<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; POINTS]) -> [S::f32s; 3] {
    let half = simd.splat_f32s(0.5);
    let sum = simd.mul_f32s(simd.add_f32s(b, c), half);
    let difference = simd.mul_f32s(simd.sub_f32s(b, c), half);
    [simd.add_f32s(a, sum), difference, simd.add_f32s(sum, d)]
}
