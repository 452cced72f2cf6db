//! What logits are compared with.

use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, softmax};

use super::reduction;

/// The smallest sum of weights that is divided by, so that a batch without a voxel that counts has a loss of 0; nnU-Net's.
const MIN_SUM: f64 = 1e-8;

/// What logits are compared with: the true classes of each voxel, and how much the voxel counts.
#[derive(Clone, Debug)]
pub struct Target {
    /// 1 for the true classes of a voxel and 0 for the others, `[batch, class, x, y, z]`.
    pub classes: Tensor<5>,
    /// The weight of each voxel, `[batch, 1, x, y, z]`: 0 where nobody annotated. `None` if all voxels count alike.
    pub weights: Option<Tensor<5>>,
    /// If true, the first class is the background and every voxel has exactly one class, whose probability is a softmax. If
    /// false, the classes are regions, which may overlap and have a sigmoid each.
    pub has_background: bool,
}

impl Target {
    /// Creates a target from one-hot classes, background first, with the same weight for all voxels.
    pub fn one_hot(classes: Tensor<5>) -> Self {
        Self { classes, weights: None, has_background: true }
    }

    /// Moves the tensors to the autodiff device; gradients with respect to them are not computed.
    #[must_use]
    pub fn autodiff(self) -> Self {
        self.map(Tensor::autodiff)
    }

    /// Applies a function of single voxels or whole planes to classes and weights alike.
    pub(super) fn map(self, convert: impl Fn(Tensor<5>) -> Tensor<5>) -> Self {
        Self { classes: convert(self.classes), weights: self.weights.map(convert), ..self }
    }

    /// Converts logits to the probability of each class.
    pub(super) fn probabilities(&self, logits: Tensor<5>) -> Tensor<5> {
        if self.has_background { softmax(logits, 1) } else { sigmoid(logits) }
    }

    /// Returns whether a loss with this value of the key `background` leaves the first class out.
    pub(super) fn excludes_first(&self, background: bool) -> bool {
        self.has_background && !background
    }

    /// Multiplies values `[batch, channel, x, y, z]` by the weights of their voxels.
    pub(super) fn weighted(&self, values: Tensor<5>) -> Tensor<5> {
        match &self.weights {
            Some(weights) => values.mul(weights.clone()),
            None => values,
        }
    }

    /// Returns the weighted mean over voxels of the sum over channels of values `[batch, channel, x, y, z]`.
    pub(super) fn mean_over_voxels(&self, values: Tensor<5>) -> Tensor<1> {
        let [batch, _, x, y, z] = values.dims();
        let sum = reduction::sum(self.weighted(values));
        match &self.weights {
            Some(weights) => sum.div(at_least_min(reduction::sum(weights.clone()))),
            None => sum.div_scalar((batch * x * y * z) as f64),
        }
    }

    /// Returns a sum of weights as a divisor; one that may be 0 because no voxel counts is raised to a small number.
    pub(super) fn divisor(&self, sum: Tensor<1>) -> Tensor<1> {
        if self.weights.is_some() { at_least_min(sum) } else { sum }
    }
}

fn at_least_min(sum: Tensor<1>) -> Tensor<1> {
    sum.clamp_min(MIN_SUM)
}
