//! Average pooling of volumes, which burn lacks.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use crate::kernels;
use crate::onnx::{GraphBuilder, Value, builder};

/// Average pooling with a window that is its stride.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`, each axis a multiple of the window
/// - output: `[batch, channel, x / window, y / window, z / window]`
pub fn average_pool(input: Tensor<5>, window: [usize; 3]) -> Tensor<5> {
    if window == [1; 3] {
        return input;
    }
    #[cfg(feature = "flex")]
    if kernels::support(&input) {
        return kernels::average_pool(input, window);
    }
    average_pool_by_means(input, window)
}

/// Adds the pooling to an ONNX graph.
pub(crate) fn add_average_pool(graph: &mut GraphBuilder, input: &Value, window: [usize; 3]) -> Value {
    if window == [1; 3] {
        return input.clone();
    }
    let attributes = vec![builder::ints("kernel_shape", window), builder::ints("strides", window)];
    graph.node("AveragePool", "average_pool", &[Some(input)], attributes)
}

/// Average pooling in burn's operations: the mean over three axes of a view.
pub(crate) fn average_pool_by_means(input: Tensor<5>, window: [usize; 3]) -> Tensor<5> {
    let [batch, channel, x, y, z] = input.dims();
    let [x, y, z] = [x / window[0], y / window[1], z / window[2]];
    let blocks = input.reshape([batch * channel, x, window[0], y, window[1], z, window[2]]);
    blocks.mean_dim(6).mean_dim(4).mean_dim(2).reshape([batch, channel, x, y, z])
}
