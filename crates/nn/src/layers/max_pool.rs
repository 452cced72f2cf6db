//! Max pooling of volumes, which burn lacks.

use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

#[cfg(feature = "flex")]
use crate::kernels;

/// Max pooling with a 2x2x2 window and stride 2; the gradient goes to the first of equal maxima in the order x, y, z, as in
/// PyTorch.
///
/// # Shapes
/// - input: `[batch, channel, x, y, z]`, each axis even
/// - output: `[batch, channel, x / 2, y / 2, z / 2]`
pub fn max_pool(input: Tensor<5>) -> Tensor<5> {
    #[cfg(feature = "flex")]
    if kernels::support(&input) {
        return kernels::max_pool(input);
    }
    max_pool_by_planes(input)
}

/// Max pooling in burn's operations: two 2-D poolings on views that copy no voxel. First x joins the channels while y and z
/// are halved, then y and z are flattened into one axis while x is halved.
pub(crate) fn max_pool_by_planes(input: Tensor<5>) -> Tensor<5> {
    let [batch, channel, x, y, z] = input.dims();
    let planes = input.reshape([batch, channel * x, y, z]);
    let halved = max_pool2d(planes, MaxPoolOptions::new([2, 2])); // [batch, channel * x, y / 2, z / 2]
    let columns = halved.reshape([batch, channel, x, (y / 2) * (z / 2)]);
    let halved = max_pool2d(columns, MaxPoolOptions::new([2, 1])); // [batch, channel, x / 2, y / 2 * z / 2]
    halved.reshape([batch, channel, x / 2, y / 2, z / 2])
}
