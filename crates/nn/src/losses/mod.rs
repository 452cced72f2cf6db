//! What training makes small: the trait, and the closed list of losses.

use burn::tensor::{Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod binary_cross_entropy;
mod cross_entropy;
mod dice;
mod dice_cross_entropy;
mod focal;

pub use binary_cross_entropy::BinaryCrossEntropy;
pub use cross_entropy::CrossEntropy;
pub use dice::Dice;
pub use dice_cross_entropy::DiceCrossEntropy;
pub use focal::Focal;

use values::NonNegative;

/// The loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Binary cross-entropy of each class's sigmoid.
    BinaryCrossEntropy(BinaryCrossEntropy),
    /// Cross-entropy of the softmax.
    CrossEntropy(CrossEntropy),
    /// One minus the soft Dice of the softmax.
    Dice(Dice),
    /// Soft Dice plus cross-entropy.
    DiceCrossEntropy(DiceCrossEntropy),
    /// Cross-entropy that weighs hard voxels more.
    Focal(Focal),
}

/// A loss on logits.
pub trait Objective {
    /// The loss of a batch, one number.
    ///
    /// # Shapes
    /// - logits: `[batch, class, x, y, z]`
    /// - target: 1 for the true class and 0 for the others, `[batch, class, x, y, z]`
    /// - output: `[1]`
    fn forward(&self, logits: Tensor<5>, target: Tensor<5>) -> Tensor<1>;
}

impl Loss {
    /// The loss of a batch; see [`Objective::forward`].
    pub fn forward(&self, logits: Tensor<5>, target: Tensor<5>) -> Tensor<1> {
        match self {
            Loss::BinaryCrossEntropy(loss) => loss.forward(logits, target),
            Loss::CrossEntropy(loss) => loss.forward(logits, target),
            Loss::Dice(loss) => loss.forward(logits, target),
            Loss::DiceCrossEntropy(loss) => loss.forward(logits, target),
            Loss::Focal(loss) => loss.forward(logits, target),
        }
    }

    /// The factor of each class, background first, where there are any.
    pub fn class_weights(&self) -> Option<&[NonNegative]> {
        match self {
            Loss::BinaryCrossEntropy(loss) => loss.class_weights.as_deref(),
            Loss::CrossEntropy(loss) => loss.class_weights.as_deref(),
            Loss::Dice(loss) => loss.class_weights.as_deref(),
            Loss::DiceCrossEntropy(loss) => loss.class_weights.as_deref(),
            Loss::Focal(loss) => loss.class_weights.as_deref(),
        }
    }
}

/// The sum of all values of `[batch, class, x, y, z]`.
///
/// Planes are summed first and their sums then: a backend that deals one long sum out to threads (flex does so from
/// four million values on) adds in an order that their number decides, and the same run would give other bits.
fn sum(values: Tensor<5>) -> Tensor<1> {
    let [batch, classes, x, y, z] = values.dims();
    values.reshape([batch * classes * x, y * z]).sum_dim(1).sum()
}

/// The mean of all values of `[batch, class, x, y, z]`, in the order of [`sum`].
fn mean(values: Tensor<5>) -> Tensor<1> {
    let count = values.dims().iter().product::<usize>();
    sum(values).div_scalar(count as f64)
}

/// Class weights as a tensor `[1, class, 1, 1, 1]` on the device of `like`, outside autodiff.
fn weights_like(weights: &[NonNegative], like: &Tensor<5>) -> Tensor<5> {
    let values: Vec<f32> = weights.iter().map(|weight| weight.get() as f32).collect();
    let shape = [1, values.len(), 1, 1, 1];
    Tensor::from_data(TensorData::new(values, shape), &like.device().inner())
}
