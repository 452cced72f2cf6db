//! Boundary loss plus Dice.

use burn::tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DiceLoss, LossFunction, Target, distance_map, reduction};
use crate::Diagnostic;
use values::{NonNegative, Positive};

/// Weighted sum of Dice loss and boundary loss (Kervadec et al. 2019), for small structures. Boundary loss is the mean over voxels
/// and classes of the probability times the signed distance to the true boundary in voxels, which is negative inside; it equals
/// MONAI's `BoundaryLoss`. Probabilities are the softmax, or the sigmoids of regions.
///
/// Distances are computed within the patch; a class that is absent from the patch, or fills it, has no boundary and adds 0.
/// For distances, ignored voxels are outside.
///
/// ```yaml
/// boundary: { boundary_weight: 0.01 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoundaryLoss {
    /// Weight of the Dice loss in the sum. Default: 1.
    #[serde(default = "super::default_term_weight")]
    pub dice_weight: NonNegative,
    /// Weight of the boundary loss in the sum; without Dice, training may collapse to empty predictions. Default: 0.01.
    #[serde(default = "default_boundary_weight")]
    pub boundary_weight: NonNegative,
    /// Added to numerator and denominator of Dice, so that it is defined where a class is absent. Default: `1.0e-5`.
    #[serde(default = "super::dice::default_smooth")]
    pub smooth: Positive,
    /// Batch Dice: if true, the sums of Dice extend over the whole batch instead of each patch. Default: false.
    #[serde(default)]
    pub batch: bool,
    /// If true, the background counts as a class in both terms. Default: false.
    #[serde(default)]
    pub background: bool,
}

fn default_boundary_weight() -> NonNegative {
    NonNegative::new(0.01).expect("0.01 is not negative")
}

impl LossFunction for BoundaryLoss {
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        let probabilities = target.probabilities(logits);
        let dice =
            DiceLoss { smooth: self.smooth, batch: self.batch, background: self.background, class_weights: None };
        let dice = dice.on_probabilities(probabilities.clone(), &target);
        let boundary = self.boundary(probabilities, &target);
        dice.mul_scalar(self.dice_weight.get()).add(boundary.mul_scalar(self.boundary_weight.get()))
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

    fn check(&self) -> Vec<Diagnostic> {
        let are_zero = self.dice_weight.get() == 0.0 && self.boundary_weight.get() == 0.0;
        let problem = || {
            let message = "both terms of the loss have weight 0";
            Diagnostic::problem("boundary_weight", message, "give one of them a weight above 0")
        };
        are_zero.then(problem).into_iter().collect()
    }
}

impl BoundaryLoss {
    fn boundary(&self, probabilities: Tensor<5>, target: &Target) -> Tensor<1> {
        let first = usize::from(target.excludes_first(self.background));
        let [batch, classes, x, y, z] = probabilities.dims();
        let counted = |values: Tensor<5>| values.slice([0..batch, first..classes, 0..x, 0..y, 0..z]);
        let distances = distance_map::signed(counted(target.classes.clone()));
        let product = counted(probabilities).mul(distances);
        match target.weights {
            Some(_) => target.mean_over_voxels(product).div_scalar((classes - first) as f64),
            None => reduction::mean(product),
        }
    }
}
