//! Dice loss plus binary cross-entropy.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{BinaryCrossEntropyLoss, DiceLoss, LossFunction, OutputActivation, Target, reduction};
use crate::Diagnostic;
use values::{NonNegative, Positive};

/// Weighted sum of Dice loss and binary cross-entropy, both on the sigmoid of each class: nnU-Net's loss for regions, which
/// overlap.
///
/// Binary cross-entropy is the mean over voxels and classes. With `data.ignore_label` it is the sum over classes, averaged
/// over the annotated voxels, as in nnU-Net.
///
/// ```yaml
/// dice_binary_cross_entropy: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiceBinaryCrossEntropyLoss {
    /// Weight of the Dice loss in the sum. Default: 1.
    #[serde(default = "super::default_term_weight")]
    pub dice_weight: NonNegative,
    /// Weight of binary cross-entropy in the sum. Default: 1.
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
    /// Weight of each class in both terms, background first, or of each region. Default: `null`, the same weight for all.
    /// Example: `[1, 2, 5]`.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}

impl LossFunction for DiceBinaryCrossEntropyLoss {
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        let dice = DiceLoss {
            smooth: self.smooth,
            batch: self.batch,
            background: self.background,
            class_weights: self.class_weights.clone(),
        };
        let dice = dice.on_probabilities(sigmoid(logits.clone()), &target);
        let cross_entropy = BinaryCrossEntropyLoss { class_weights: self.class_weights.clone() };
        let cross_entropy = cross_entropy.per_voxel(logits, &target);
        // As in nnU-Net, classes are averaged only where all voxels count alike, and else summed.
        let cross_entropy = match target.weights {
            Some(_) => target.mean_over_voxels(cross_entropy),
            None => reduction::mean(cross_entropy),
        };
        dice.mul_scalar(self.dice_weight.get()).add(cross_entropy.mul_scalar(self.cross_entropy_weight.get()))
    }

    fn sums_over_batch(&self) -> bool {
        self.batch
    }

    fn output_activation(&self) -> OutputActivation {
        OutputActivation::Sigmoid
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
