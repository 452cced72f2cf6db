//! Dice loss.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overlap::{Sums, mean_over_classes};
use super::{LossFunction, Target};
use values::{NonNegative, Positive};

/// Dice loss: one minus the soft Dice coefficient of the softmax, or of the sigmoids of regions, averaged over classes.
///
/// The Dice coefficient of a class is `(2 Σ p t + smooth) / (Σ p + Σ t + smooth)`, as in nnU-Net.
///
/// ```yaml
/// dice: { smooth: 1.0e-5 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiceLoss {
    /// Added to numerator and denominator, so that the loss is defined where a class is absent. Default: `1.0e-5`.
    #[serde(default = "default_smooth")]
    pub smooth: Positive,
    /// Batch Dice: if true, sums extend over the whole batch instead of each patch. Default: false.
    #[serde(default)]
    pub batch: bool,
    /// If true, the background counts as a class. Default: false.
    #[serde(default)]
    pub background: bool,
    /// Weight of each class, background first, or of each region. Default: `null`, the same weight for all. Example: `[0, 1, 5]`.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}

/// Returns nnU-Net's value.
pub(super) fn default_smooth() -> Positive {
    Positive::new(1e-5).expect("1e-5 is above 0")
}

impl LossFunction for DiceLoss {
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        self.on_probabilities(target.probabilities(logits), &target)
    }

    fn sums_over_batch(&self) -> bool {
        self.batch
    }

    fn allows_regions(&self) -> bool {
        true
    }

    fn counts_background(&self) -> Option<bool> {
        Some(self.background)
    }

    fn class_weights(&self) -> Option<&[NonNegative]> {
        self.class_weights.as_deref()
    }
}

impl DiceLoss {
    /// Computes the loss on probabilities `[batch, class, x, y, z]`.
    pub(super) fn on_probabilities(&self, probabilities: Tensor<5>, target: &Target) -> Tensor<1> {
        let Sums { intersection, predicted, actual } = Sums::new(probabilities, target, self.batch);
        let total = predicted.add(actual);
        let smooth = self.smooth.get();
        let dice = intersection.mul_scalar(2.0).add_scalar(smooth).div(total.add_scalar(smooth)); // [batch or 1, class]
        mean_over_classes(dice, self.class_weights(), target.excludes_first(self.background)).neg().add_scalar(1.0)
    }
}
