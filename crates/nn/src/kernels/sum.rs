//! The activation of a sum, as at the end of residual blocks.

use rayon::prelude::*;

/// Returns the sum of two slices, followed by a leaky ReLU; the first one's memory is reused.
pub fn forward(mut first: Vec<f32>, second: &[f32], slope: f32) -> Vec<f32> {
    first.par_iter_mut().zip(second).for_each(|(first, second)| {
        let sum = *first + second;
        *first = if sum > 0.0 { sum } else { sum * slope };
    });
    first
}

/// Multiplies the gradient by the slope of a leaky ReLU, whose output has the sign of its input.
pub fn backward(gradient: &mut [f32], output: &[f32], slope: f32) {
    gradient.par_iter_mut().zip(output).for_each(|(gradient, output)| {
        *gradient = if *output > 0.0 { *gradient } else { *gradient * slope };
    });
}
