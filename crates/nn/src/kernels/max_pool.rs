//! Max pooling with a 2x2x2 window and stride 2.

use rayon::prelude::*;

/// Computes the maxima of volumes with planes of `[y, z]`; NaN counts as the largest value.
pub fn forward(input: &[f32], [y, z]: [usize; 2]) -> Vec<f32> {
    let mut output = vec![0.0; input.len() / 8];
    let planes = output.par_chunks_exact_mut(y / 2 * (z / 2)).zip(input.par_chunks_exact(2 * y * z));
    planes.for_each(|(output, pair)| {
        for (row, output) in output.chunks_exact_mut(z / 2).enumerate() {
            let rows = row_starts([y, z], row).map(|start| pair[start..start + z].as_chunks::<2>().0);
            for (index, output) in output.iter_mut().enumerate() {
                *output = maximum(rows.map(|row| row[index])).1;
            }
        }
    });
    output
}

/// Computes the gradient of the input: each value goes to the first of equal maxima, in the order x, y, z.
pub fn backward(input: &[f32], [y, z]: [usize; 2], gradient: &[f32]) -> Vec<f32> {
    let mut input_gradient = vec![0.0; input.len()];
    let planes = input_gradient.par_chunks_exact_mut(2 * y * z).zip(input.par_chunks_exact(2 * y * z));
    planes.zip(gradient.par_chunks_exact(y / 2 * (z / 2))).for_each(|((input_gradient, pair), gradient)| {
        for (row, gradient) in gradient.chunks_exact(z / 2).enumerate() {
            let starts = row_starts([y, z], row);
            let rows = starts.map(|start| pair[start..start + z].as_chunks::<2>().0);
            for (index, gradient) in gradient.iter().enumerate() {
                let (corner, _) = maximum(rows.map(|row| row[index]));
                input_gradient[starts[corner / 2] + 2 * index + corner % 2] = *gradient;
            }
        }
    });
    input_gradient
}

/// Returns the offsets, in a pair of planes, of the four rows that are pooled into `row`.
fn row_starts([y, z]: [usize; 2], row: usize) -> [usize; 4] {
    [0, z, y * z, (y + 1) * z].map(|start| start + 2 * row * z)
}

/// Returns the index of the first maximum of eight values, and the maximum.
#[inline(always)]
fn maximum(pairs: [[f32; 2]; 4]) -> (usize, f32) {
    let mut maximum = (0, pairs[0][0]);
    for (index, value) in pairs.as_flattened().iter().enumerate().skip(1) {
        if *value > maximum.1 || value.is_nan() {
            maximum = (index, *value);
        }
    }
    maximum
}
