//! The key `class_weights`, which most losses have.

use burn::tensor::{Tensor, TensorData};

use crate::Diagnostic;
use values::NonNegative;

const KEY: &str = "class_weights";

/// Returns class weights as a tensor `[1, class, 1, 1, 1]` on the device of `like`, without autodiff.
pub(super) fn tensor(weights: &[NonNegative], like: &Tensor<5>) -> Tensor<5> {
    let values: Vec<f32> = weights.iter().map(|weight| weight.get() as f32).collect();
    let shape = [1, values.len(), 1, 1, 1];
    Tensor::from_data(TensorData::new(values, shape), &like.device().inner())
}

/// Returns a problem if the number of weights differs from the number of classes.
pub(super) fn check_count(weights: &[NonNegative], num_classes: usize, has_background: bool) -> Option<Diagnostic> {
    let message = format!("expected {num_classes} class weights, got {}", weights.len());
    let help = match has_background {
        true => "give one for the background and one for each label of data.labels",
        false => "give one for each region of data.regions; there is no background class",
    };
    (weights.len() != num_classes).then(|| Diagnostic::problem(KEY, message, help))
}

/// Returns a problem if all weights are 0.
pub(super) fn check_sum(weights: &[NonNegative]) -> Option<Diagnostic> {
    let are_zero = weights.iter().all(|weight| weight.get() == 0.0);
    are_zero.then(|| {
        let message = "expected a class weight above 0, got none";
        Diagnostic::problem(KEY, message, "the loss is undefined if all weights are 0")
    })
}

/// Returns a problem if only the background has a weight in a Dice loss that excludes the background.
pub(super) fn check_without_background(weights: Option<&[NonNegative]>) -> Option<Diagnostic> {
    let [background, rest @ ..] = weights? else { return None };
    let has_none = background.get() > 0.0 && rest.iter().all(|weight| weight.get() == 0.0);
    has_none.then(|| {
        let message = "only the background has a weight, and the Dice loss excludes it";
        Diagnostic::problem(KEY, message, "give a label a weight, or set `background: true`")
    })
}
