//! Loss functions: the trait and the registry.
//!
//! To add a loss, write a file with its keys and a [`LossFunction`], and add a line to the registry. `reduction` has sums
//! over voxels, `class_weights` the key of that name, which most losses have.

use burn::tensor::Tensor;

use crate::Diagnostic;
use values::NonNegative;

mod binary_cross_entropy;
mod boundary;
mod class_weights;
mod cldice;
mod cross_entropy;
mod deep_supervision;
mod dice;
mod dice_binary_cross_entropy;
mod dice_cross_entropy;
mod distance_map;
mod focal;
mod generalized_dice;
mod overlap;
mod patch_weights;
mod reduction;
mod target;
mod top_k;
mod tversky;

pub use binary_cross_entropy::BinaryCrossEntropyLoss;
pub use boundary::BoundaryLoss;
pub use cldice::CldiceLoss;
pub use cross_entropy::CrossEntropyLoss;
pub use dice::DiceLoss;
pub use dice_binary_cross_entropy::DiceBinaryCrossEntropyLoss;
pub use dice_cross_entropy::DiceCrossEntropyLoss;
pub use focal::FocalLoss;
pub use generalized_dice::GeneralizedDiceLoss;
pub use target::Target;
pub use tversky::TverskyLoss;

values::registry! {
    /// Loss function.
    pub enum Loss: LossFunction {
        /// Binary cross-entropy of each class's sigmoid.
        BinaryCrossEntropy(binary_cross_entropy::BinaryCrossEntropyLoss),
        /// Dice loss plus boundary loss: distances to the true boundary, for small structures.
        Boundary(boundary::BoundaryLoss),
        /// Dice loss plus soft clDice: the overlap of skeletons, for tubular structures.
        Cldice(cldice::CldiceLoss),
        /// Cross-entropy of the softmax.
        CrossEntropy(cross_entropy::CrossEntropyLoss),
        /// Dice loss: one minus the soft Dice coefficient of the softmax.
        Dice(dice::DiceLoss),
        /// Dice loss plus binary cross-entropy of each class's sigmoid: nnU-Net's loss for regions.
        DiceBinaryCrossEntropy(dice_binary_cross_entropy::DiceBinaryCrossEntropyLoss),
        /// Dice loss plus cross-entropy: nnU-Net's loss.
        DiceCrossEntropy(dice_cross_entropy::DiceCrossEntropyLoss),
        /// Focal loss: cross-entropy with larger weights for hard voxels.
        Focal(focal::FocalLoss),
        /// Generalized Dice loss: Dice over all classes, weighted by the inverse square of their volumes.
        GeneralizedDice(generalized_dice::GeneralizedDiceLoss),
        /// Tversky loss: Dice loss with weights for false positives and false negatives; with `gamma`, focal Tversky loss.
        Tversky(tversky::TverskyLoss),
    }
}

/// A loss function with its settings.
pub trait LossFunction {
    /// Computes the loss of a batch.
    ///
    /// # Shapes
    /// - logits: `[batch, class, x, y, z]`
    /// - output: `[1]`
    fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1>;

    /// Returns the function that maps the logits of a network trained with this loss on labels to probabilities.
    fn output_activation(&self) -> OutputActivation {
        OutputActivation::Softmax
    }

    /// Returns whether classes may be regions, which overlap and have a sigmoid each.
    fn allows_regions(&self) -> bool {
        self.output_activation() == OutputActivation::Sigmoid
    }

    /// Returns the weight of each class, background first; `None` if all classes have the same weight.
    fn class_weights(&self) -> Option<&[NonNegative]> {
        None
    }

    /// Returns whether the loss compares sums over the whole batch, so that its patches have no loss of their own.
    fn sums_over_batch(&self) -> bool {
        false
    }

    /// Returns the key `background`: whether the background counts as a class; `None` for a loss without this key.
    fn counts_background(&self) -> Option<bool> {
        None
    }

    /// Validates the keys against one another, beyond the rules that [`Loss::check`] applies to every loss.
    fn check(&self) -> Vec<Diagnostic> {
        Vec::new()
    }
}

/// Returns the default weight of a term in a sum of two losses.
fn default_term_weight() -> NonNegative {
    NonNegative::new(1.0).expect("1 is not negative")
}

/// Returns a problem if both terms of a sum of two losses have weight 0.
fn check_term_weights(dice: NonNegative, cross_entropy: NonNegative) -> Option<Diagnostic> {
    (dice.get() == 0.0 && cross_entropy.get() == 0.0).then(|| {
        let message = "both terms of the loss have weight 0";
        Diagnostic::problem("dice_weight", message, "give one of them a weight above 0")
    })
}

/// The function that maps logits to probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputActivation {
    /// The sigmoid of each class separately.
    Sigmoid,
    /// The softmax over all classes.
    Softmax,
}

impl Loss {
    /// Computes the loss of a batch; see [`LossFunction::forward`].
    pub fn forward(&self, logits: Tensor<5>, target: Target) -> Tensor<1> {
        self.component().forward(logits, target)
    }

    /// Computes the loss of a batch on logits at several resolutions: deep supervision.
    ///
    /// # Shapes
    /// - logits: `[batch, class, x / n, y / n, z / n]`, from the full resolution down, with a factor `n` for each axis
    /// - target: at the full resolution
    /// - output: `[1]`
    pub fn forward_supervised(&self, logits: Vec<Tensor<5>>, target: Target) -> Tensor<1> {
        deep_supervision::forward(self, logits, target)
    }

    /// Computes the mean over patches of the loss of each patch times its weight; without weights, the loss of the batch.
    ///
    /// # Shapes
    /// - logits, target and output: as for [`forward_supervised`](Self::forward_supervised)
    /// - weights: one per patch, or none
    ///
    /// # Panics
    /// When there are weights, but not one per patch.
    pub fn forward_weighted(&self, logits: Vec<Tensor<5>>, target: Target, weights: &[f64]) -> Tensor<1> {
        patch_weights::forward(self, logits, target, weights)
    }

    /// Validates the keys against one another.
    pub fn check(&self) -> Vec<Diagnostic> {
        let loss = self.component();
        let mut diagnostics: Vec<Diagnostic> =
            loss.class_weights().and_then(class_weights::check_sum).into_iter().collect();
        diagnostics.extend(loss.check());
        diagnostics
    }

    /// Validates the keys for classes that are labels, or regions if `has_background` is false.
    pub fn check_classes(&self, has_background: bool) -> Option<Diagnostic> {
        let loss = self.component();
        match (has_background, loss.counts_background()) {
            (true, Some(false)) => class_weights::check_without_background(loss.class_weights()),
            (false, Some(true)) => {
                let message = "data.regions has no background class, and every region counts";
                Some(Diagnostic::problem("background", message, "remove the key"))
            }
            _ => None,
        }
    }

    /// Validates the number of class weights against the number of classes, including the background if there is one.
    pub fn check_num_classes(&self, num_classes: usize, has_background: bool) -> Option<Diagnostic> {
        class_weights::check_count(self.component().class_weights()?, num_classes, has_background)
    }

    /// Returns the names of the losses that can train regions.
    pub fn names_for_regions() -> Vec<&'static str> {
        let allows_regions = |name: &&&str| {
            let with_defaults = serde_json::json!({ (**name): {} });
            serde_json::from_value::<Self>(with_defaults).is_ok_and(|loss| loss.component().allows_regions())
        };
        Self::NAMES.iter().filter(allows_regions).copied().collect()
    }
}
