//! Trilinear up-sampling to twice the size with aligned corners.

use pulp::Arch;
use rayon::prelude::*;

/// The interpolation of each new voxel along an axis.
struct Axis(Vec<Interpolation>);

/// A linear interpolation between two voxels.
#[derive(Clone, Copy)]
struct Interpolation {
    low: usize,
    high: usize,
    high_weight: f32,
}

impl Axis {
    fn doubled(size: usize) -> Self {
        let interpolation = |new: usize| {
            let position = new as f64 * (size as f64 - 1.0) / (2.0 * size as f64 - 1.0);
            let low = (position as usize).min(size - 1);
            Interpolation { low, high: (low + 1).min(size - 1), high_weight: (position - low as f64) as f32 }
        };
        Self((0..2 * size).map(interpolation).collect())
    }
}

/// Up-samples volumes `[x, y, z]`.
pub fn forward(input: &[f32], grid: [usize; 3]) -> Vec<f32> {
    let ([x, y, z], arch, axes) = (grid, Arch::new(), grid.map(Axis::doubled));
    let mut output = vec![0.0; 8 * input.len()];
    let volumes = output.par_chunks_exact_mut(8 * x * y * z).zip(input.par_chunks_exact(x * y * z));
    volumes.for_each_init(Default::default, |[plane, row]: &mut [Vec<f32>; 2], (output, input)| {
        plane.resize(y * z, 0.0);
        row.resize(z, 0.0);
        for (output, along_x) in output.chunks_exact_mut(4 * y * z).zip(&axes[0].0) {
            interpolate(arch, *along_x, input, plane);
            for (output, along_y) in output.chunks_exact_mut(2 * z).zip(&axes[1].0) {
                interpolate(arch, *along_y, plane, row);
                for (output, Interpolation { low, high, high_weight }) in output.iter_mut().zip(&axes[2].0) {
                    *output = row[*low] * (1.0 - high_weight) + row[*high] * high_weight;
                }
            }
        }
    });
    output
}

/// Computes the gradient of input volumes `[x, y, z]` from that of the output.
pub fn backward(gradient: &[f32], grid: [usize; 3]) -> Vec<f32> {
    let ([x, y, z], arch, axes) = (grid, Arch::new(), grid.map(Axis::doubled));
    let mut input_gradient = vec![0.0; gradient.len() / 8];
    let volumes = input_gradient.par_chunks_exact_mut(x * y * z).zip(gradient.par_chunks_exact(8 * x * y * z));
    volumes.for_each_init(Default::default, |[plane, row]: &mut [Vec<f32>; 2], (input_gradient, gradient)| {
        plane.resize(y * z, 0.0);
        row.resize(z, 0.0);
        for (gradient, along_x) in gradient.chunks_exact(4 * y * z).zip(&axes[0].0) {
            plane.fill(0.0);
            for (gradient, along_y) in gradient.chunks_exact(2 * z).zip(&axes[1].0) {
                row.fill(0.0);
                for (gradient, Interpolation { low, high, high_weight }) in gradient.iter().zip(&axes[2].0) {
                    row[*low] += gradient * (1.0 - high_weight);
                    row[*high] += gradient * high_weight;
                }
                scatter(arch, *along_y, row, plane);
            }
            scatter(arch, *along_x, plane, input_gradient);
        }
    });
    input_gradient
}

/// Interpolates between two of the consecutive arrays in `input`, each as long as `out`.
fn interpolate(arch: Arch, Interpolation { low, high, high_weight }: Interpolation, input: &[f32], out: &mut [f32]) {
    let size = out.len();
    let (low, high) = (&input[low * size..][..size], &input[high * size..][..size]);
    arch.dispatch(|| {
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            *out = low * (1.0 - high_weight) + high * high_weight;
        }
    });
}

/// Adds the gradient of an interpolated array to those of the two arrays in `out` that it was interpolated from.
fn scatter(arch: Arch, Interpolation { low, high, high_weight }: Interpolation, gradient: &[f32], out: &mut [f32]) {
    for (index, weight) in [(low, 1.0 - high_weight), (high, high_weight)] {
        let out = &mut out[index * gradient.len()..][..gradient.len()];
        arch.dispatch(|| {
            for (out, value) in out.iter_mut().zip(gradient) {
                *out += value * weight;
            }
        });
    }
}
