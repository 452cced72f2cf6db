//! Max pooling of volumes, which burn lacks.

use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

#[cfg(feature = "flex")]
use crate::kernels;
use crate::onnx::{GraphBuilder, Value, builder};

/// Max pooling with a window that is its stride; the gradient goes to the first of equal maxima in the order x, y, z, as in
/// PyTorch.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`, each axis a multiple of the window
/// - output: `[batch, channel, x / window, y / window, z / window]`
pub fn max_pool(input: Tensor<5>, window: [usize; 3]) -> Tensor<5> {
    #[cfg(feature = "flex")]
    if window == [2; 3] && kernels::support(&input) {
        return kernels::max_pool(input);
    }
    max_pool_by_planes(input, window)
}

/// Adds the pooling to an ONNX graph.
pub(crate) fn add_max_pool(graph: &mut GraphBuilder, input: &Value, window: [usize; 3]) -> Value {
    let attributes = vec![builder::ints("kernel_shape", window), builder::ints("strides", window)];
    graph.node("MaxPool", "max_pool", &[Some(input)], attributes)
}

/// Max pooling in burn's operations: two 2-D poolings on views that copy no voxel. First x joins the channels while y and z
/// are pooled, then y and z are flattened into one axis while x is pooled.
pub(crate) fn max_pool_by_planes(input: Tensor<5>, window: [usize; 3]) -> Tensor<5> {
    let [batch, channel, x, y, z] = input.dims();
    let [pooled_x, pooled_y, pooled_z] = [x / window[0], y / window[1], z / window[2]];
    let planes = input.reshape([batch, channel * x, y, z]);
    let pooled = max_pool2d(planes, MaxPoolOptions::new([window[1], window[2]])); // [batch, channel * x, y, z], pooled
    let columns = pooled.reshape([batch, channel, x, pooled_y * pooled_z]);
    let pooled = max_pool2d(columns, MaxPoolOptions::new([window[0], 1])); // [batch, channel, x, y * z], pooled
    pooled.reshape([batch, channel, pooled_x, pooled_y, pooled_z])
}
