//! Up-sampling of volumes, which burn lacks.

use burn::tensor::{Device, Tensor, TensorData};

#[cfg(feature = "flex")]
use crate::kernels;

/// Trilinear up-sampling to twice the size with aligned corners, as PyTorch's `Upsample(scale_factor=2, mode="trilinear",
/// align_corners=True)`.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`
/// - output: `[batch, channel, 2x, 2y, 2z]`
pub fn trilinear(input: Tensor<5>) -> Tensor<5> {
    #[cfg(feature = "flex")]
    if kernels::support(&input) {
        return kernels::trilinear(input);
    }
    trilinear_by_matrices(input)
}

/// Trilinear up-sampling in burn's operations: a product with a constant matrix for each axis, on views that copy no voxel.
pub(crate) fn trilinear_by_matrices(input: Tensor<5>) -> Tensor<5> {
    let [batch, channel, x, y, z] = input.dims();
    let device = input.device().inner();
    // The array grows with every product, so z comes last: its rows are contiguous, which is cheapest.
    let along_x = input.reshape([1, batch * channel, x, y * z]);
    let along_x = interpolation(x, &device).reshape([1, 1, 2 * x, x]).matmul(along_x); // [1, batch * channel, 2x, y * z]
    let along_y = along_x.reshape([1, batch * channel * 2 * x, y, z]);
    let along_y = interpolation(y, &device).reshape([1, 1, 2 * y, y]).matmul(along_y); // [1, batch * channel * 2x, 2y, z]
    let along_z = along_y.reshape([batch * channel * 4 * x * y, z]);
    let along_z = along_z.matmul(interpolation(z, &device).transpose()); // [batch * channel * 2x * 2y, 2z]
    along_z.reshape([batch, channel, 2 * x, 2 * y, 2 * z])
}

/// Returns the matrix `[2 size, size]` that interpolates a row linearly to twice its length with aligned corners.
fn interpolation(size: usize, device: &Device) -> Tensor<2> {
    let doubled = 2 * size;
    let mut matrix = vec![0.0f32; doubled * size];
    for (row, weights) in matrix.chunks_exact_mut(size).enumerate() {
        let position = row as f64 * (size as f64 - 1.0) / (doubled as f64 - 1.0);
        let low = (position as usize).min(size - 1);
        let high_weight = position - low as f64;
        weights[low] += (1.0 - high_weight) as f32;
        weights[(low + 1).min(size - 1)] += high_weight as f32;
    }
    Tensor::from_data(TensorData::new(matrix, [doubled, size]), device)
}

/// Nearest-neighbour up-sampling to twice the size: each voxel is repeated eight times.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`
/// - output: `[batch, channel, 2x, 2y, 2z]`
pub fn nearest(input: Tensor<5>) -> Tensor<5> {
    let [batch, channel, x, y, z] = input.dims();
    let spread = input.reshape([batch * channel, x, 1, y, 1, z, 1]);
    let repeated = spread.expand([batch * channel, x, 2, y, 2, z, 2]);
    repeated.reshape([batch, channel, 2 * x, 2 * y, 2 * z])
}
