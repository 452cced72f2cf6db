//! Soft Dice plus cross-entropy.

use burn::tensor::Tensor;
use burn::tensor::activation::log_softmax;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use values::{NonNegative, Positive};

/// The sum of soft Dice and cross-entropy, nnU-Net's loss.
///
/// ```yaml
/// dice_cross_entropy: { dice_weight: 1, cross_entropy_weight: 1 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiceCrossEntropy {
    /// The share of soft Dice in the sum.
    #[serde(default = "one")]
    pub dice_weight: NonNegative,
    /// The share of cross-entropy in the sum.
    #[serde(default = "one")]
    pub cross_entropy_weight: NonNegative,
    /// Keeps Dice defined where a class is absent.
    #[serde(default = "super::dice::default_smooth")]
    pub smooth: Positive,
    /// Whether the sums of Dice run over the whole batch rather than over each patch.
    #[serde(default)]
    pub batch: bool,
    /// Whether the background counts as a class in Dice.
    #[serde(default)]
    pub background: bool,
    /// A factor for each class in both terms, background first; `null` weighs all alike.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}

fn one() -> NonNegative {
    NonNegative::new(1.0).expect("1 is not negative")
}

impl super::Objective for DiceCrossEntropy {
    /// Both terms share one softmax.
    fn forward(&self, logits: Tensor<5>, target: Tensor<5>) -> Tensor<1> {
        let log_probabilities = log_softmax(logits, 1);
        let dice = super::Dice {
            smooth: self.smooth,
            batch: self.batch,
            background: self.background,
            class_weights: self.class_weights.clone(),
        };
        let dice = dice.of_probabilities(log_probabilities.clone().exp(), target.clone());
        let cross_entropy =
            super::cross_entropy::of_log_probabilities(log_probabilities, target, self.class_weights.as_deref());
        dice.mul_scalar(self.dice_weight.get()).add(cross_entropy.mul_scalar(self.cross_entropy_weight.get()))
    }
}
