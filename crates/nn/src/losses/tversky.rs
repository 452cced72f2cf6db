//! Tversky loss.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overlap::{Sums, mean_over_classes};
use super::{LossFunction, Target};
use crate::Diagnostic;
use values::{NonNegative, Positive};

/// Tversky loss (Salehi et al. 2017): Dice loss with separate weights for false positives and false negatives, on the
/// softmax or the sigmoids of regions, averaged over classes; equal to MONAI's `TverskyLoss`.
///
/// The Tversky index of a class is `(TP + smooth) / (TP + false_positives FP + false_negatives FN + smooth)`; with a `gamma`
/// other than 1 the loss is the focal Tversky loss `(1 - index)^gamma` (Abraham and Khan 2019, who use 0.75).
///
/// ```yaml
/// tversky: { false_positives: 0.3, false_negatives: 0.7 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TverskyLoss {
    /// Weight of false positives, the α of the paper. Default: 0.5.
    #[serde(default = "half")]
    pub false_positives: NonNegative,
    /// Weight of false negatives, the β of the paper; above that of false positives it favours sensitivity. Default: 0.5.
    #[serde(default = "half")]
    pub false_negatives: NonNegative,
    /// Exponent of the focal Tversky loss; below 1 it emphasizes classes with a low index. Default: 1.
    #[serde(default = "one")]
    pub gamma: Positive,
    /// Added to numerator and denominator, so that the loss is defined where a class is absent. Default: `1.0e-5`.
    #[serde(default = "super::dice::default_smooth")]
    pub smooth: Positive,
    /// If true, sums extend over the whole batch instead of each patch. Default: false.
    #[serde(default)]
    pub batch: bool,
    /// If true, the background counts as a class. Default: false.
    #[serde(default)]
    pub background: bool,
    /// Weight of each class, background first, or of each region. Default: `null`, the same weight for all. Example: `[0, 1, 5]`.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}

fn half() -> NonNegative {
    NonNegative::new(0.5).expect("0.5 is not negative")
}

fn one() -> Positive {
    Positive::new(1.0).expect("1 is above 0")
}

impl LossFunction for TverskyLoss {
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        let Sums { intersection, predicted, actual } = Sums::new(target.probabilities(logits), &target, self.batch);
        let false_positives = predicted.sub(intersection.clone()).mul_scalar(self.false_positives.get());
        let false_negatives = actual.sub(intersection.clone()).mul_scalar(self.false_negatives.get());
        let numerator = intersection.add_scalar(self.smooth.get());
        let index = numerator.clone().div(numerator.add(false_positives).add(false_negatives));
        // Rounding may raise an index above 1; a power of the negative complement would be not a number.
        let complement = index.neg().add_scalar(1.0);
        let loss = match self.gamma.get() {
            1.0 => complement,
            gamma => complement.clamp_min(1e-7).powf_scalar(gamma),
        };
        mean_over_classes(loss, self.class_weights(), target.excludes_first(self.background))
    }

    fn sums_over_batch(&self) -> bool {
        self.batch
    }

    fn class_weights(&self) -> Option<&[NonNegative]> {
        self.class_weights.as_deref()
    }

    fn allows_regions(&self) -> bool {
        true
    }

    fn counts_background(&self) -> Option<bool> {
        Some(self.background)
    }

    fn check(&self) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        if self.false_positives.get() == 0.0 && self.false_negatives.get() == 0.0 {
            let message = "false positives and false negatives have weight 0, so every prediction has a loss of 0";
            diagnostics.push(Diagnostic::problem("false_negatives", message, "for example false_negatives: 0.7"));
        }
        diagnostics
    }
}
