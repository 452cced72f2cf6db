//! Soft clDice plus Dice.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::overlap::per_class;
use super::{DiceLoss, LossFunction, Target};
use values::{NonNegative, Positive, Probability};

/// Weighted sum of Dice loss and soft clDice loss (Shit et al. 2021), for tubular structures such as vessels. clDice measures the
/// overlap of each soft skeleton with the other mask, so broken and missing branches count whatever their width. Probabilities are
/// the softmax, or the sigmoids of regions; equal to MONAI's `SoftDiceclDiceLoss`.
///
/// Skeletons are computed within the patch. The time grows with `iterations`.
///
/// ```yaml
/// cldice: { cldice_weight: 0.5 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CldiceLoss {
    /// Weight of clDice in the sum, from 0 to 1; Dice has 1 minus this weight. Default: 0.5.
    #[serde(default = "half")]
    pub cldice_weight: Probability,
    /// Iterations of the soft skeleton: at least the largest radius of the structures in voxels. Default: 3.
    #[serde(default = "three")]
    pub iterations: u32,
    /// Added to numerators and denominators of both terms. Default: 1.
    #[serde(default = "one")]
    pub smooth: Positive,
    /// Added to the denominator of the harmonic mean of clDice. Default: `1.0e-4`.
    #[serde(default = "default_epsilon")]
    pub epsilon: NonNegative,
    /// If true, the background counts as a class. Default: false.
    #[serde(default)]
    pub background: bool,
}

fn half() -> Probability {
    Probability::new(0.5).expect("0.5 is a probability")
}

fn three() -> u32 {
    3
}

fn one() -> Positive {
    Positive::new(1.0).expect("1 is above 0")
}

fn default_epsilon() -> NonNegative {
    NonNegative::new(1e-4).expect("1e-4 is not negative")
}

impl LossFunction for CldiceLoss {
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        let probabilities = target.probabilities(logits);
        let weight = self.cldice_weight.get();
        let dice = DiceLoss { smooth: self.smooth, batch: false, background: self.background, class_weights: None };
        let dice = dice.on_probabilities(probabilities.clone(), &target);
        dice.mul_scalar(1.0 - weight).add(self.cldice(probabilities, &target).mul_scalar(weight))
    }

    fn allows_regions(&self) -> bool {
        true
    }

    fn counts_background(&self) -> Option<bool> {
        Some(self.background)
    }
}

impl CldiceLoss {
    /// Computes clDice of each patch, over all classes together, and averages it.
    fn cldice(&self, probabilities: Tensor<5>, target: &Target) -> Tensor<1> {
        let first = usize::from(target.excludes_first(self.background));
        let counted = |values: Tensor<5>| {
            let [batch, classes, x, y, z] = values.dims();
            // Ignored voxels are in no structure.
            target.weighted(values.slice([0..batch, first..classes, 0..x, 0..y, 0..z]))
        };
        let (predicted, actual) = (counted(probabilities), counted(target.classes.clone()));
        let smooth = self.smooth.get();
        let overlap = |skeleton: Tensor<5>, mask: Tensor<5>| {
            let common = per_patch(skeleton.clone().mul(mask)).add_scalar(smooth);
            common.div(per_patch(skeleton).add_scalar(smooth))
        };
        let precision = overlap(skeleton(predicted.clone(), self.iterations), actual.clone());
        let sensitivity = overlap(skeleton(actual, self.iterations), predicted);
        let product = precision.clone().mul(sensitivity.clone()).mul_scalar(2.0);
        let harmonic = product.div(precision.add(sensitivity).add_scalar(self.epsilon.get()));
        harmonic.neg().add_scalar(1.0).mean()
    }
}

/// Returns the sum over classes and voxels of each patch, `[batch, 1]`.
fn per_patch(values: Tensor<5>) -> Tensor<2> {
    per_class(values, false).sum_dim(1)
}

/// Returns the soft skeleton: what openings of ever more eroded masks remove.
fn skeleton(mut mask: Tensor<5>, iterations: u32) -> Tensor<5> {
    let mut skeleton = relu(mask.clone().sub(opened(mask.clone())));
    for _ in 0..iterations {
        mask = eroded(mask);
        let removed = relu(mask.clone().sub(opened(mask.clone())));
        skeleton = skeleton.clone().add(relu(removed.clone().sub(skeleton.mul(removed))));
    }
    skeleton
}

fn opened(mask: Tensor<5>) -> Tensor<5> {
    let eroded = eroded(mask);
    (2..5).fold(eroded, |mask, axis| along(mask, axis, Tensor::max_pair))
}

/// Returns the minimum over each voxel and its six face neighbours.
fn eroded(mask: Tensor<5>) -> Tensor<5> {
    let along_axis = |axis| along(mask.clone(), axis, Tensor::min_pair);
    along_axis(2).min_pair(along_axis(3)).min_pair(along_axis(4))
}

/// Combines each voxel with its two neighbours along an axis; at the border there is one.
fn along(values: Tensor<5>, axis: usize, combine: fn(Tensor<5>, Tensor<5>) -> Tensor<5>) -> Tensor<5> {
    let size = values.dims()[axis];
    if size == 1 {
        return values;
    }
    let part = |start, length| values.clone().narrow(axis, start, length);
    let next = Tensor::cat(vec![part(1, size - 1), part(size - 1, 1)], axis);
    let previous = Tensor::cat(vec![part(0, 1), part(0, size - 1)], axis);
    combine(combine(values, next), previous)
}
