//! Sums and means over voxels whose bits do not depend on the number of threads.

use burn::tensor::Tensor;

/// Returns the sum of all values of `[batch, class, x, y, z]`.
///
/// Each plane is summed first, then the sums of planes. A single long sum would be split over threads (by flex from four
/// million values on) in an order that depends on their number, and so would the bits of a run.
pub(super) fn sum(values: Tensor<5>) -> Tensor<1> {
    let [batch, classes, x, y, z] = values.dims();
    values.reshape([batch * classes * x, y * z]).sum_dim(1).sum()
}

/// Returns the mean of all values of `[batch, class, x, y, z]`, added in the order of [`sum`].
pub(super) fn mean(values: Tensor<5>) -> Tensor<1> {
    let count = values.dims().iter().product::<usize>();
    sum(values).div_scalar(count as f64)
}
