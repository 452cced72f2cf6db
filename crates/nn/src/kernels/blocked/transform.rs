//! Winograd's transforms of tiles of two outputs per axis and kernels of three values, with exact coefficients 0, 1 and
//! -1 for voxels and 1/2 for weights.

use pulp::Simd;

/// The points of an axis with a kernel of three values.
pub const POINTS: usize = 4;

/// A transform of the values along one axis, of which there may also be one, which it keeps.
///
/// Transforms are types and not closures, because closures are compiled without the features of the processor unless
/// they are inlined.
pub trait AxisTransform<S: Simd, const FROM: usize, const TO: usize> {
    /// Transforms the values.
    fn apply(simd: S, values: [S::f32s; FROM]) -> [S::f32s; TO];
}

/// From four input voxels to four points.
pub struct Input;

impl<S: Simd, const N: usize> AxisTransform<S, N, N> for Input {
    #[inline(always)]
    fn apply(simd: S, d: [S::f32s; N]) -> [S::f32s; N] {
        let mut points = d;
        if N == POINTS {
            points[0] = simd.sub_f32s(d[0], d[2]);
            points[1] = simd.add_f32s(d[1], d[2]);
            points[2] = simd.sub_f32s(d[2], d[1]);
            points[3] = simd.sub_f32s(d[1], d[3]);
        }
        points
    }
}

/// From four points to two output voxels.
pub struct Output;

impl<S: Simd, const N: usize, const M: usize> AxisTransform<S, N, M> for Output {
    #[inline(always)]
    fn apply(simd: S, m: [S::f32s; N]) -> [S::f32s; M] {
        let mut voxels = [m[0]; M];
        if N == POINTS {
            voxels[0] = simd.add_f32s(simd.add_f32s(m[0], m[1]), m[2]);
            voxels[1] = simd.sub_f32s(simd.sub_f32s(m[1], m[2]), m[3]);
        }
        voxels
    }
}

/// From the gradients of two output voxels to those of four points.
pub struct OutputGradient;

impl<S: Simd, const M: usize, const N: usize> AxisTransform<S, M, N> for OutputGradient {
    #[inline(always)]
    fn apply(simd: S, y: [S::f32s; M]) -> [S::f32s; N] {
        let mut points = [y[0]; N];
        if N == POINTS {
            points[1] = simd.add_f32s(y[0], y[1]);
            points[2] = simd.sub_f32s(y[0], y[1]);
            points[3] = simd.neg_f32s(y[1]);
        }
        points
    }
}

/// From the kernel's three values to four points.
pub struct Kernel;

impl<S: Simd> AxisTransform<S, 3, POINTS> for Kernel {
    #[inline(always)]
    fn apply(simd: S, [a, b, c]: [S::f32s; 3]) -> [S::f32s; POINTS] {
        let half = simd.splat_f32s(0.5);
        let outer = simd.add_f32s(a, c);
        [a, simd.mul_f32s(simd.add_f32s(outer, b), half), simd.mul_f32s(simd.sub_f32s(outer, b), half), c]
    }
}

/// From the gradients of four points to those of the kernel's three values.
pub struct KernelGradient;

impl<S: Simd> AxisTransform<S, POINTS, 3> for KernelGradient {
    #[inline(always)]
    fn apply(simd: S, [a, b, c, d]: [S::f32s; POINTS]) -> [S::f32s; 3] {
        let half = simd.splat_f32s(0.5);
        let sum = simd.mul_f32s(simd.add_f32s(b, c), half);
        let difference = simd.mul_f32s(simd.sub_f32s(b, c), half);
        [simd.add_f32s(a, sum), difference, simd.add_f32s(sum, d)]
    }
}

/// Transforms the columns of a plane of registers `[y][z]`, then its rows.
#[inline(always)]
pub fn plane<S: Simd, T, const NY: usize, const NZ: usize, const MY: usize, const MZ: usize>(
    simd: S,
    values: [[S::f32s; NZ]; NY],
) -> [[S::f32s; MZ]; MY]
where
    T: AxisTransform<S, NY, MY> + AxisTransform<S, NZ, MZ>,
{
    let mut columns = [[simd.splat_f32s(0.0); NZ]; MY];
    for z in 0..NZ {
        let column: [S::f32s; MY] = <T as AxisTransform<S, NY, MY>>::apply(simd, values.map(|row| row[z]));
        for y in 0..MY {
            columns[y][z] = column[y];
        }
    }
    let mut transformed = [[simd.splat_f32s(0.0); MZ]; MY];
    for y in 0..MY {
        transformed[y] = <T as AxisTransform<S, NZ, MZ>>::apply(simd, columns[y]);
    }
    transformed
}
