//! Average pooling with a window that is its stride.

use rayon::prelude::*;

/// Pools volumes `[x, y, z]`, whose axes are multiples of the window.
pub fn forward(input: &[f32], grid: [usize; 3], window: [usize; 3]) -> Vec<f32> {
    let factor = 1.0 / window.iter().product::<usize>() as f32;
    let pooled: [usize; 3] = std::array::from_fn(|axis| grid[axis] / window[axis]);
    let plane = grid[1] * grid[2];
    let mut output = vec![0.0; input.len() / window.iter().product::<usize>()];
    let planes = output.par_chunks_exact_mut(pooled[1] * pooled[2]).zip(input.par_chunks_exact(window[0] * plane));
    planes.for_each(|(output, input)| {
        for (output, index) in output.chunks_exact_mut(pooled[2]).zip(0..) {
            for row in rows_of(input, plane, grid[2], window, index) {
                for (output, values) in output.iter_mut().zip(row.chunks_exact(window[2])) {
                    *output += values.iter().sum::<f32>();
                }
            }
            output.iter_mut().for_each(|value| *value *= factor);
        }
    });
    output
}

/// Computes the gradient of input volumes `[x, y, z]` from that of the output.
pub fn backward(gradient: &[f32], grid: [usize; 3], window: [usize; 3]) -> Vec<f32> {
    let factor = 1.0 / window.iter().product::<usize>() as f32;
    let pooled: [usize; 3] = std::array::from_fn(|axis| grid[axis] / window[axis]);
    let plane = grid[1] * grid[2];
    let mut input_gradient = vec![0.0; gradient.len() * window.iter().product::<usize>()];
    let planes =
        input_gradient.par_chunks_exact_mut(window[0] * plane).zip(gradient.par_chunks_exact(pooled[1] * pooled[2]));
    planes.for_each(|(input_gradient, gradient)| {
        for (index, row) in input_gradient.chunks_exact_mut(grid[2]).enumerate() {
            let gradient = &gradient[index % grid[1] / window[1] * pooled[2]..][..pooled[2]];
            for (values, gradient) in row.chunks_exact_mut(window[2]).zip(gradient) {
                values.fill(gradient * factor);
            }
        }
    });
    input_gradient
}

/// Returns the rows of some planes that are pooled into the row `index` of the output.
fn rows_of(
    planes: &[f32],
    plane: usize,
    length: usize,
    window: [usize; 3],
    index: usize,
) -> impl Iterator<Item = &[f32]> {
    let rows = index * window[1] * length..(index + 1) * window[1] * length;
    planes.chunks_exact(plane).flat_map(move |plane| plane[rows.clone()].chunks_exact(length))
}
