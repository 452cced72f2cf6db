//! Generalized Dice loss.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overlap::Sums;
use super::{LossFunction, Target};
use values::Positive;

/// Generalized Dice loss (Sudre et al. 2017): one Dice coefficient over all classes, each weighted by the inverse square of
/// its volume, on the softmax or the sigmoids of regions; equal to MONAI's `GeneralizedDiceLoss`.
///
/// A class that is absent has the largest weight of the classes that are present.
///
/// ```yaml
/// generalized_dice: { background: true }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GeneralizedDiceLoss {
    /// Added to numerator and denominator, so that the loss is defined where all classes are absent. Default: `1.0e-5`.
    #[serde(default = "super::dice::default_smooth")]
    pub smooth: Positive,
    /// If true, sums extend over the whole batch instead of each patch. Default: false.
    #[serde(default)]
    pub batch: bool,
    /// If true, the background counts as a class. Default: false.
    #[serde(default)]
    pub background: bool,
}

impl LossFunction for GeneralizedDiceLoss {
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        let first = usize::from(target.excludes_first(self.background));
        let Sums { intersection, predicted, actual } = Sums::new(target.probabilities(logits), &target, self.batch);
        let [rows, classes] = actual.dims();
        let [intersection, predicted, actual] =
            [intersection, predicted, actual].map(|sums| sums.slice([0..rows, first..classes]));
        let weights = weights(actual.clone().inner());
        let weighted = |sums: Tensor<2>| sums.mul(weights.clone()).sum_dim(1); // [batch or 1, 1]
        let smooth = self.smooth.get();
        let numerator = weighted(intersection).mul_scalar(2.0).add_scalar(smooth);
        let denominator = weighted(predicted.add(actual)).add_scalar(smooth);
        numerator.div(denominator).mean().neg().add_scalar(1.0)
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
}

/// Returns the weight of each class, `[batch or 1, class]`, from its volume.
fn weights(volumes: Tensor<2>) -> Tensor<2> {
    let is_absent = volumes.clone().equal_elem(0.0);
    let weights = volumes.square().recip().mask_fill(is_absent.clone(), 0.0);
    let largest = weights.clone().max_dim(1); // [batch or 1, 1]
    let [rows, classes] = weights.dims();
    weights.mask_where(is_absent, largest.expand([rows, classes]))
}
