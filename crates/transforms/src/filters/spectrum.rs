//! Discrete Fourier transforms.

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

/// The Fourier transform of lines of one length, and its inverse.
pub(crate) struct Line {
    forward: std::sync::Arc<dyn Fft<f32>>,
    backward: std::sync::Arc<dyn Fft<f32>>,
    values: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
}

impl Line {
    pub(crate) fn new(length: usize) -> Self {
        let mut planner = FftPlanner::new();
        let (forward, backward) = (planner.plan_fft_forward(length), planner.plan_fft_inverse(length));
        let scratch = forward.get_inplace_scratch_len().max(backward.get_inplace_scratch_len());
        Self { forward, backward, values: vec![Complex::default(); length], scratch: vec![Complex::default(); scratch] }
    }

    /// Returns the spectrum of a line in FFT order, frequency 0 first.
    pub(crate) fn spectrum(&mut self, line: &[f32]) -> &mut [Complex<f32>] {
        self.values.iter_mut().zip(line).for_each(|(value, real)| *value = Complex::new(*real, 0.0));
        self.forward.process_with_scratch(&mut self.values, &mut self.scratch);
        &mut self.values
    }

    /// Writes the real part of the inverse transform of the last spectrum, which may have been changed.
    pub(crate) fn restore(&mut self, line: &mut [f32]) {
        self.backward.process_with_scratch(&mut self.values, &mut self.scratch);
        let scale = 1.0 / self.values.len() as f32;
        line.iter_mut().zip(&self.values).for_each(|(real, value)| *real = value.re * scale);
    }
}

/// Returns the index in FFT order of an index of the shifted spectrum, which has frequency 0 in the centre.
pub(crate) fn unshifted(index: usize, length: usize) -> usize {
    (index + length - length / 2) % length
}

/// Returns the spectrum of a volume `[x, y, z]` in FFT order.
pub(crate) fn fft_3d(values: &[f32], shape: [usize; 3]) -> Vec<Complex<f32>> {
    let mut spectrum: Vec<Complex<f32>> = values.iter().map(|value| Complex::new(*value, 0.0)).collect();
    let mut planner = FftPlanner::new();
    for axis in 0..3 {
        let transform = planner.plan_fft_forward(shape[axis]);
        let stride: usize = shape[axis + 1..].iter().product();
        let mut line = vec![Complex::default(); shape[axis]];
        let mut scratch = vec![Complex::default(); transform.get_inplace_scratch_len()];
        for slab in spectrum.chunks_exact_mut(shape[axis] * stride) {
            for first in 0..stride {
                line.iter_mut().zip(slab[first..].iter().step_by(stride)).for_each(|(value, from)| *value = *from);
                transform.process_with_scratch(&mut line, &mut scratch);
                slab[first..].iter_mut().step_by(stride).zip(&line).for_each(|(to, value)| *to = *value);
            }
        }
    }
    spectrum
}

/// Returns the largest magnitude of a spectrum.
pub(crate) fn peak(spectrum: &[Complex<f32>]) -> f32 {
    spectrum.iter().map(|value| value.norm()).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inverse_restores_a_line() {
        let values = [1.0, -2.0, 3.5, 0.25, 7.0];
        let mut line = Line::new(5);
        let sum = line.spectrum(&values)[0];
        assert!((sum.re - 9.75).abs() < 1e-5 && sum.im == 0.0);
        let mut restored = [0.0; 5];
        line.restore(&mut restored);
        assert!(restored.iter().zip(values).all(|(a, b)| (a - b).abs() < 1e-5), "{restored:?}");
    }

    #[test]
    fn the_centre_of_the_shifted_spectrum_is_frequency_zero() {
        assert_eq!([0, 1, 2, 3, 4].map(|index| unshifted(index, 5)), [3, 4, 0, 1, 2]);
        assert_eq!([0, 1, 2, 3].map(|index| unshifted(index, 4)), [2, 3, 0, 1]);
    }

    #[test]
    fn the_peak_of_a_constant_volume_is_its_sum() {
        assert!((peak(&fft_3d(&[2.0; 24], [2, 3, 4])) - 48.0).abs() < 1e-4);
    }
}
