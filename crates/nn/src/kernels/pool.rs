//! The largest of each 2x2x2 voxels.

use rayon::prelude::*;

/// The largest of each 2x2x2 voxels of volumes with planes of `[y, z]`; what is no number counts as largest.
pub fn forward(input: &[f32], [y, z]: [usize; 2]) -> Vec<f32> {
    let mut output = vec![0.0; input.len() / 8];
    let planes = output.par_chunks_exact_mut(y / 2 * (z / 2)).zip(input.par_chunks_exact(2 * y * z));
    planes.for_each(|(output, pair)| {
        for (row, output) in output.chunks_exact_mut(z / 2).enumerate() {
            let corners = corners([y, z], row).map(|corner| pair[corner..corner + z].as_chunks::<2>().0);
            for (place, output) in output.iter_mut().enumerate() {
                *output = largest(corners.map(|corner| corner[place])).1;
            }
        }
    });
    output
}

/// The gradient by the input: each goes to the first of the largest, in the order of x, y, z.
pub fn back(input: &[f32], [y, z]: [usize; 2], gradient: &[f32]) -> Vec<f32> {
    let mut found = vec![0.0; input.len()];
    let planes = found.par_chunks_exact_mut(2 * y * z).zip(input.par_chunks_exact(2 * y * z));
    planes.zip(gradient.par_chunks_exact(y / 2 * (z / 2))).for_each(|((found, pair), gradient)| {
        for (row, gradient) in gradient.chunks_exact(z / 2).enumerate() {
            let starts = corners([y, z], row);
            let corners = starts.map(|corner| pair[corner..corner + z].as_chunks::<2>().0);
            for (place, gradient) in gradient.iter().enumerate() {
                let (which, _) = largest(corners.map(|corner| corner[place]));
                found[starts[which / 2] + 2 * place + which % 2] = *gradient;
            }
        }
    });
    found
}

/// Where the four rows that become a `row` begin in two planes.
fn corners([y, z]: [usize; 2], row: usize) -> [usize; 4] {
    [0, z, y * z, (y + 1) * z].map(|corner| corner + 2 * row * z)
}

/// The number of the first of the largest of eight, and its value.
#[inline(always)]
fn largest(pairs: [[f32; 2]; 4]) -> (usize, f32) {
    let mut best = (0, pairs[0][0]);
    for (number, value) in pairs.as_flattened().iter().enumerate().skip(1) {
        if *value > best.1 || value.is_nan() {
            best = (number, *value);
        }
    }
    best
}
