//! Dice loss plus cross-entropy.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DiceLoss, LossFunction, Target, cross_entropy};
use crate::Diagnostic;
use values::{NonNegative, Positive, PositiveFraction};

/// Weighted sum of Dice loss and cross-entropy: nnU-Net's loss.
///
/// ```yaml
/// dice_cross_entropy: { dice_weight: 1, cross_entropy_weight: 1 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiceCrossEntropyLoss {
    /// Weight of the Dice loss in the sum. Default: 1.
    #[serde(default = "super::default_term_weight")]
    pub dice_weight: NonNegative,
    /// Weight of cross-entropy in the sum. Default: 1.
    #[serde(default = "super::default_term_weight")]
    pub cross_entropy_weight: NonNegative,
    /// Added to numerator and denominator of Dice, so that it is defined where a class is absent. Default: `1.0e-5`.
    #[serde(default = "super::dice::default_smooth")]
    pub smooth: Positive,
    /// Batch Dice: if true, the sums of Dice extend over the whole batch instead of each patch. Default: false.
    #[serde(default)]
    pub batch: bool,
    /// If true, the background counts as a class in the Dice loss. Default: false.
    #[serde(default)]
    pub background: bool,
    /// Weight of each class in both terms, background first. Default: `null`, the same weight for all. Example: `[1, 2, 5]`.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
    /// Top-k: only this fraction of the batch's voxels counts in cross-entropy, those with the largest losses. Default:
    /// `null`, all voxels. Example: `0.1`, as nnU-Net's `DC_and_topk_loss` with `k: 10`.
    #[serde(default)]
    pub top_k: Option<PositiveFraction>,
}

impl LossFunction for DiceCrossEntropyLoss {
    /// Computes both terms from one softmax.
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        let log_probabilities = log_softmax(logits, 1);
        let dice = DiceLoss {
            smooth: self.smooth,
            batch: self.batch,
            background: self.background,
            class_weights: self.class_weights.clone(),
        };
        let dice = dice.on_probabilities(log_probabilities.clone().exp(), &target);
        let cross_entropy =
            cross_entropy::from_log_probabilities(log_probabilities, target, self.class_weights.as_deref(), self.top_k);
        dice.mul_scalar(self.dice_weight.get()).add(cross_entropy.mul_scalar(self.cross_entropy_weight.get()))
    }

    fn sums_over_batch(&self) -> bool {
        self.batch
    }

    fn class_weights(&self) -> Option<&[NonNegative]> {
        self.class_weights.as_deref()
    }

    fn counts_background(&self) -> Option<bool> {
        Some(self.background)
    }

    fn check(&self) -> Vec<Diagnostic> {
        super::check_term_weights(self.dice_weight, self.cross_entropy_weight).into_iter().collect()
    }
}
