//! Sums over voxels that losses of the Dice family compare, and the mean of a loss over classes.

use burn::tensor::{Tensor, TensorData};

use super::Target;
use values::NonNegative;

/// Sums over the voxels of each patch, or of the whole batch, `[batch or 1, class]`.
pub(super) struct Sums {
    /// The sum of probability times target.
    pub intersection: Tensor<2>,
    /// The sum of probabilities.
    pub predicted: Tensor<2>,
    /// The sum of the target.
    pub actual: Tensor<2>,
}

impl Sums {
    /// Computes the sums of probabilities `[batch, class, x, y, z]` and a target, each voxel times its weight; over the whole
    /// batch if `batch` is true.
    pub fn new(probabilities: Tensor<5>, target: &Target, batch: bool) -> Self {
        let probabilities = target.weighted(probabilities);
        let intersection = per_class(probabilities.clone().mul(target.classes.clone()), batch);
        let actual = per_class(target.weighted(target.classes.clone()), batch);
        Self { intersection, predicted: per_class(probabilities, batch), actual }
    }
}

/// Returns the sum of each class, `[batch or 1, class]`.
pub(super) fn per_class(values: Tensor<5>, batch: bool) -> Tensor<2> {
    let [patches, classes, x, y, z] = values.dims();
    let sums = values.reshape([patches, classes, x * y * z]).sum_dim(2).reshape([patches, classes]);
    if batch { sums.sum_dim(0) } else { sums }
}

/// Returns the weighted mean of values `[row, class]`; without the first class if `excludes_first` is true.
pub(super) fn mean_over_classes(
    values: Tensor<2>,
    class_weights: Option<&[NonNegative]>,
    excludes_first: bool,
) -> Tensor<1> {
    let [rows, classes] = values.dims();
    let mut weights: Vec<f64> = match class_weights {
        Some(weights) => weights.iter().map(|weight| weight.get()).collect(),
        None => vec![1.0; classes],
    };
    if excludes_first {
        weights[0] = 0.0;
    }
    let sum: f64 = weights.iter().sum::<f64>() * rows as f64;
    let weights: Vec<f32> = weights.iter().map(|weight| (weight / sum) as f32).collect();
    let weights = Tensor::<2>::from_data(TensorData::new(weights, [1, classes]), &values.device().inner());
    values.mul(weights).sum()
}
