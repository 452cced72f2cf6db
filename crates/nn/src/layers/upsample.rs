//! Up-sampling of volumes, which burn lacks.

use burn::tensor::{Device, Tensor, TensorData};

#[cfg(feature = "flex")]
use crate::kernels;
use crate::onnx::{GraphBuilder, Value, builder};

/// Trilinear up-sampling with aligned corners, as PyTorch's `Upsample(scale_factor=factors, mode="trilinear",
/// align_corners=True)`.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`
/// - output: `[batch, channel, x * factor, y * factor, z * factor]`, with the factor of each axis
pub fn trilinear(input: Tensor<5>, factors: [usize; 3]) -> Tensor<5> {
    #[cfg(feature = "flex")]
    if factors == [2; 3] && kernels::support(&input) {
        return kernels::trilinear(input);
    }
    trilinear_by_matrices(input, factors)
}

/// Adds trilinear up-sampling with aligned corners to an ONNX graph.
pub(crate) fn add_trilinear(graph: &mut GraphBuilder, input: &Value, factors: [usize; 3]) -> Value {
    let aligned = builder::text("coordinate_transformation_mode", "align_corners");
    add_resize(graph, input, factors, vec![builder::text("mode", "linear"), aligned])
}

/// Adds nearest-neighbour up-sampling to an ONNX graph.
pub(crate) fn add_nearest(graph: &mut GraphBuilder, input: &Value, factors: [usize; 3]) -> Value {
    let coordinates = builder::text("coordinate_transformation_mode", "asymmetric");
    let attributes = vec![builder::text("mode", "nearest"), coordinates, builder::text("nearest_mode", "floor")];
    add_resize(graph, input, factors, attributes)
}

fn add_resize(
    graph: &mut GraphBuilder,
    input: &Value,
    factors: [usize; 3],
    attributes: Vec<crate::onnx::messages::Attribute>,
) -> Value {
    let [x, y, z] = factors.map(|factor| factor as f32);
    let scales = graph.floats("scales", &[5], &[1.0, 1.0, x, y, z]);
    graph.node("Resize", "upsample", &[Some(input), None, Some(&scales)], attributes)
}

/// Trilinear up-sampling in burn's operations: a product with a constant matrix for each axis, on views that copy no voxel.
pub(crate) fn trilinear_by_matrices(input: Tensor<5>, factors: [usize; 3]) -> Tensor<5> {
    let [batch, channel, x, y, z] = input.dims();
    let [new_x, new_y, new_z] = [x * factors[0], y * factors[1], z * factors[2]];
    let device = input.device().inner();
    // The array grows with every product, so z comes last: its rows are contiguous, which is cheapest.
    let along_x = input.reshape([1, batch * channel, x, y * z]);
    let along_x = interpolation([x, new_x], &device).reshape([1, 1, new_x, x]).matmul(along_x);
    let along_y = along_x.reshape([1, batch * channel * new_x, y, z]);
    let along_y = interpolation([y, new_y], &device).reshape([1, 1, new_y, y]).matmul(along_y);
    let along_z = along_y.reshape([batch * channel * new_x * new_y, z]);
    let along_z = along_z.matmul(interpolation([z, new_z], &device).transpose());
    along_z.reshape([batch, channel, new_x, new_y, new_z])
}

/// Returns the matrix `[new, size]` that interpolates a row linearly to a new length with aligned corners.
fn interpolation([size, new]: [usize; 2], device: &Device) -> Tensor<2> {
    let mut matrix = vec![0.0f32; new * size];
    for (row, weights) in matrix.chunks_exact_mut(size).enumerate() {
        let position = row as f64 * (size as f64 - 1.0) / (new as f64 - 1.0).max(1.0);
        let low = (position as usize).min(size - 1);
        let high_weight = position - low as f64;
        weights[low] += (1.0 - high_weight) as f32;
        weights[(low + 1).min(size - 1)] += high_weight as f32;
    }
    Tensor::from_data(TensorData::new(matrix, [new, size]), device)
}

/// Nearest-neighbour up-sampling: each voxel is repeated by the factor of each axis.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`
/// - output: `[batch, channel, x * factor, y * factor, z * factor]`, with the factor of each axis
pub fn nearest(input: Tensor<5>, factors: [usize; 3]) -> Tensor<5> {
    let [batch, channel, x, y, z] = input.dims();
    let [new_x, new_y, new_z] = [x * factors[0], y * factors[1], z * factors[2]];
    let spread = input.reshape([batch * channel, x, 1, y, 1, z, 1]);
    let repeated = spread.expand([batch * channel, x, factors[0], y, factors[1], z, factors[2]]);
    repeated.reshape([batch, channel, new_x, new_y, new_z])
}
