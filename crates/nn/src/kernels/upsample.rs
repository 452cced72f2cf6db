//! Trilinear interpolation to twice the size with aligned corners.

use pulp::Arch;
use rayon::prelude::*;

/// Between which voxels of an axis each new one lies.
struct Axis(Vec<Between>);

#[derive(Clone, Copy)]
struct Between {
    low: usize,
    high: usize,
    /// Of the higher one.
    share: f32,
}

impl Axis {
    fn doubled(size: usize) -> Self {
        let place = |new: usize| {
            let position = new as f64 * (size as f64 - 1.0) / (2.0 * size as f64 - 1.0);
            let low = (position as usize).min(size - 1);
            Between { low, high: (low + 1).min(size - 1), share: (position - low as f64) as f32 }
        };
        Self((0..2 * size).map(place).collect())
    }
}

/// Volumes `[x, y, z]` at twice their size.
pub fn forward(input: &[f32], grid: [usize; 3]) -> Vec<f32> {
    let ([x, y, z], arch, axes) = (grid, Arch::new(), grid.map(Axis::doubled));
    let mut output = vec![0.0; 8 * input.len()];
    let volumes = output.par_chunks_exact_mut(8 * x * y * z).zip(input.par_chunks_exact(x * y * z));
    volumes.for_each_init(Default::default, |[plane, row]: &mut [Vec<f32>; 2], (output, input)| {
        plane.resize(y * z, 0.0);
        row.resize(z, 0.0);
        for (output, place) in output.chunks_exact_mut(4 * y * z).zip(&axes[0].0) {
            mix(arch, *place, input, plane);
            for (output, place) in output.chunks_exact_mut(2 * z).zip(&axes[1].0) {
                mix(arch, *place, plane, row);
                for (output, Between { low, high, share }) in output.iter_mut().zip(&axes[2].0) {
                    *output = row[*low] * (1.0 - share) + row[*high] * share;
                }
            }
        }
    });
    output
}

/// The gradient by volumes `[x, y, z]`, from that by what is twice their size.
pub fn back(gradient: &[f32], grid: [usize; 3]) -> Vec<f32> {
    let ([x, y, z], arch, axes) = (grid, Arch::new(), grid.map(Axis::doubled));
    let mut found = vec![0.0; gradient.len() / 8];
    let volumes = found.par_chunks_exact_mut(x * y * z).zip(gradient.par_chunks_exact(8 * x * y * z));
    volumes.for_each_init(Default::default, |[plane, row]: &mut [Vec<f32>; 2], (found, gradient)| {
        plane.resize(y * z, 0.0);
        row.resize(z, 0.0);
        for (gradient, place) in gradient.chunks_exact(4 * y * z).zip(&axes[0].0) {
            plane.fill(0.0);
            for (gradient, place) in gradient.chunks_exact(2 * z).zip(&axes[1].0) {
                row.fill(0.0);
                for (gradient, Between { low, high, share }) in gradient.iter().zip(&axes[2].0) {
                    row[*low] += gradient * (1.0 - share);
                    row[*high] += gradient * share;
                }
                spread(arch, *place, row, plane);
            }
            spread(arch, *place, plane, found);
        }
    });
    found
}

/// Mixes two of the lines that follow one another in `lines`.
fn mix(arch: Arch, Between { low, high, share }: Between, lines: &[f32], out: &mut [f32]) {
    let size = out.len();
    let (low, high) = (&lines[low * size..][..size], &lines[high * size..][..size]);
    arch.dispatch(|| {
        for ((out, low), high) in out.iter_mut().zip(low).zip(high) {
            *out = low * (1.0 - share) + high * share;
        }
    });
}

/// Adds a line to the two of `lines` that it was mixed of.
fn spread(arch: Arch, Between { low, high, share }: Between, line: &[f32], lines: &mut [f32]) {
    for (place, share) in [(low, 1.0 - share), (high, share)] {
        let out = &mut lines[place * line.len()..][..line.len()];
        arch.dispatch(|| {
            for (out, value) in out.iter_mut().zip(line) {
                *out += value * share;
            }
        });
    }
}
