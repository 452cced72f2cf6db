//! Weights as points, and gradients of points as gradients of weights.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::super::convolution::{Direction, Kernels};
use super::product::{PANEL, Panel};
use super::transform::{AxisTransform, Kernel, KernelGradient, POINTS};

/// Transforms weights for Winograd's algorithm: for each panel of output channels, point and input channel, the values
/// of the panel.
pub fn points(kernels: Kernels, direction: Direction, kernel: [usize; 3]) -> Vec<Panel> {
    let (inputs, outputs) = kernels.channels(direction);
    let (taps, num_points) = (kernel.iter().product(), num_points(kernel));
    let of_panel = num_points * point_len(inputs);
    let mut points = vec![[0.0; PANEL]; outputs.div_ceil(PANEL) * of_panel];
    let arch = Arch::new();
    points.par_chunks_exact_mut(of_panel).enumerate().for_each(|(panel, points)| {
        let mut values = weights_of_panel(kernels, direction, taps, panel);
        for (input, values) in values.chunks_exact_mut(taps).enumerate() {
            if direction == Direction::Scatter {
                values.reverse();
            }
            arch.dispatch(ToPoints { kernel, values, points, point_len: point_len(inputs), input });
        }
    });
    points
}

/// Returns the weights of some of the `num_taps` taps: for each panel of output channels, panel of input channels, tap
/// and input channel, the values of the panel.
pub fn packed(kernels: Kernels, direction: Direction, num_taps: usize, taps: &[usize]) -> Vec<Panel> {
    let (inputs, outputs) = kernels.channels(direction);
    let mut packed = vec![[0.0; PANEL]; outputs.div_ceil(PANEL) * taps.len() * inputs];
    packed.par_chunks_exact_mut(taps.len() * inputs).enumerate().for_each(|(panel, packed)| {
        let values = weights_of_panel(kernels, direction, num_taps, panel);
        let panels = values.chunks(PANEL * num_taps).zip(packed.chunks_mut(PANEL * taps.len()));
        for (values, packed) in panels {
            for (tap, packed) in taps.iter().zip(packed.chunks_exact_mut(values.len() / num_taps)) {
                let values = values.iter().skip(*tap).step_by(num_taps);
                packed.iter_mut().zip(values).for_each(|(packed, value)| *packed = *value);
            }
        }
    });
    packed
}

/// Returns the weights of a panel of output channels for each input channel and tap.
fn weights_of_panel(kernels: Kernels, direction: Direction, taps: usize, panel: usize) -> Vec<Panel> {
    let (inputs, outputs) = kernels.channels(direction);
    let first = panel * PANEL;
    let columns = PANEL.min(outputs - first);
    let mut values = vec![[0.0; PANEL]; inputs * taps];
    match direction {
        Direction::Gather => {
            let source = &kernels.weights[first * inputs * taps..];
            simd::transpose(source, inputs * taps, [columns, inputs * taps], values.as_flattened_mut(), PANEL);
        }
        Direction::Scatter => {
            for (input, values) in values.chunks_exact_mut(taps).enumerate() {
                let source = &kernels.weights[(input * outputs + first) * taps..];
                simd::transpose(source, taps, [columns, taps], values.as_flattened_mut(), PANEL);
            }
        }
    }
    values
}

/// Transforms the gradients of points, in the order of [`points`], to those of the weights `[output, input, kernel]`.
pub fn gradient(points: &[Panel], [outputs, inputs]: [usize; 2], kernel: [usize; 3]) -> Vec<f32> {
    let taps: usize = kernel.iter().product();
    let num_points = num_points(kernel);
    let mut gradient = vec![0.0; outputs * inputs * taps];
    let arch = Arch::new();
    let panels = gradient.par_chunks_mut(PANEL * inputs * taps).zip(points.par_chunks_exact(num_points * inputs));
    panels.for_each(|(gradient, points)| {
        let mut values = vec![[0.0; PANEL]; inputs * taps];
        for (input, values) in values.chunks_exact_mut(taps).enumerate() {
            arch.dispatch(FromPoints { kernel, points, values, inputs, input });
        }
        let columns = gradient.len() / (inputs * taps);
        simd::transpose(values.as_flattened(), PANEL, [inputs * taps, columns], gradient, inputs * taps);
    });
    gradient
}

/// Returns sums in the order of [`packed`], with one panel of input channels, as `[output, input, tap]`.
pub fn unpacked(sums: &[Panel], [outputs, inputs]: [usize; 2], taps: usize) -> Vec<f32> {
    let mut unpacked = vec![0.0; outputs * inputs * taps];
    let panels = unpacked.par_chunks_mut(PANEL * inputs * taps).zip(sums.par_chunks_exact(taps * inputs));
    panels.for_each(|(unpacked, sums)| {
        let mut values = vec![[0.0; PANEL]; inputs * taps];
        for (tap, sums) in sums.chunks_exact(inputs).enumerate() {
            values.iter_mut().skip(tap).step_by(taps).zip(sums).for_each(|(value, sum)| *value = *sum);
        }
        let columns = unpacked.len() / (inputs * taps);
        simd::transpose(values.as_flattened(), PANEL, [inputs * taps, columns], unpacked, inputs * taps);
    });
    unpacked
}

/// Returns the number of rows of a point in [`points`]: an odd number keeps the same row of all points from competing
/// for the same lines of the cache.
pub fn point_len(inputs: usize) -> usize {
    inputs | 1
}

/// Returns the number of points of a kernel.
pub fn num_points(kernel: [usize; 3]) -> usize {
    kernel.iter().map(|size| if *size == 3 { POINTS } else { 1 }).product()
}

/// The values of one input channel's kernels or points, of which there are at most as many as points of three axes.
type Values<S> = [<S as Simd>::f32s; POINTS * POINTS * POINTS];

/// Applies a transform of `FROM` values to `TO` along each axis whose kernel has three values, in place.
#[inline(always)]
fn along_axes<S: Simd, T: AxisTransform<S, FROM, TO>, const FROM: usize, const TO: usize>(
    simd: S,
    kernel: [usize; 3],
    values: &mut Values<S>,
) {
    let mut size = kernel.map(|size| if size == 3 { FROM } else { 1 });
    for axis in 0..3 {
        if kernel[axis] != 3 {
            continue;
        }
        let inner: usize = size[axis + 1..].iter().product();
        let outer: usize = size[..axis].iter().product();
        for step in 0..outer {
            // If there are more values after the transform, from the last on, so that none is overwritten before it is read.
            let outer = if TO > FROM { outer - 1 - step } else { step };
            for index in 0..inner {
                let start = outer * FROM * inner + index;
                let transformed = T::apply(simd, std::array::from_fn(|value| values[start + value * inner]));
                for (value, transformed) in transformed.into_iter().enumerate() {
                    values[(outer * TO + value) * inner + index] = transformed;
                }
            }
        }
        size[axis] = TO;
    }
}

/// The transform of one input channel's kernels.
struct ToPoints<'a> {
    kernel: [usize; 3],
    /// The values of each tap.
    values: &'a [Panel],
    /// The points of all inputs.
    points: &'a mut [Panel],
    point_len: usize,
    input: usize,
}

impl WithSimd for ToPoints<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kernel, values, points, point_len, input } = self;
        for register in 0..PANEL / S::F32_LANES {
            let mut current = [simd.splat_f32s(0.0); POINTS * POINTS * POINTS];
            for (current, value) in current.iter_mut().zip(values) {
                *current = S::as_simd_f32s(value).0[register];
            }
            along_axes::<S, Kernel, 3, POINTS>(simd, kernel, &mut current);
            for (point, value) in current[..num_points(kernel)].iter().enumerate() {
                S::as_mut_simd_f32s(&mut points[point * point_len + input]).0[register] = *value;
            }
        }
    }
}

/// The transform of the gradients of one input channel's points.
struct FromPoints<'a> {
    kernel: [usize; 3],
    points: &'a [Panel],
    values: &'a mut [Panel],
    inputs: usize,
    input: usize,
}

impl WithSimd for FromPoints<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kernel, points, values, inputs, input } = self;
        for register in 0..PANEL / S::F32_LANES {
            let mut current = [simd.splat_f32s(0.0); POINTS * POINTS * POINTS];
            for (point, current) in current[..num_points(kernel)].iter_mut().enumerate() {
                *current = S::as_simd_f32s(&points[point * inputs + input]).0[register];
            }
            along_axes::<S, KernelGradient, POINTS, 3>(simd, kernel, &mut current);
            for (value, current) in values.iter_mut().zip(&current) {
                S::as_mut_simd_f32s(value).0[register] = *current;
            }
        }
    }
}
