//! Weights of the patches of a batch.

use burn::tensor::Tensor;

use super::{Loss, Target};

/// Returns the mean over patches of the loss of each patch times its weight; of the whole batch if there are no weights.
///
/// # Shapes
/// - logits: `[batch, class, x / n, y / n, z / n]`, as for [`Loss::forward_supervised`]
/// - weights: one per patch, or none
/// - output: `[1]`
///
/// # Panics
/// When there are weights, but not one per patch.
pub(super) fn forward(loss: &Loss, logits: Vec<Tensor<5>>, target: Target, weights: &[f64]) -> Tensor<1> {
    if weights.is_empty() {
        return loss.forward_supervised(logits, target);
    }
    assert_eq!(target.classes.dims()[0], weights.len(), "every patch has a weight");
    let weighted = weights.iter().enumerate().map(|(patch, weight)| {
        let logits = logits.iter().map(|logits| select(logits.clone(), patch)).collect();
        let target = target.clone().map(|values| select(values, patch));
        loss.forward_supervised(logits, target).mul_scalar(*weight / weights.len() as f64)
    });
    weighted.reduce(Tensor::add).expect("a batch has at least one patch")
}

/// Returns one element of a batch, as a batch.
fn select(values: Tensor<5>, index: usize) -> Tensor<5> {
    let [_, channels, x, y, z] = values.dims();
    values.slice([index..index + 1, 0..channels, 0..x, 0..y, 0..z])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;

    /// Logits of two patches of four voxels, with two classes, and their target.
    fn batch() -> (Tensor<5>, Target) {
        let device = Device::flex();
        let tensor = |values: Vec<f32>| Tensor::<5>::from_data(TensorData::new(values, [2, 2, 2, 2, 1]), &device);
        let logits = (0..16).map(|index| (index as f32 * 1.7).sin() * 2.0).collect();
        let foreground = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0];
        let classes = foreground
            .chunks(4)
            .flat_map(|patch| patch.iter().map(|value| 1.0 - value).chain(patch.iter().copied()).collect::<Vec<f32>>());
        (tensor(logits), Target::one_hot(tensor(classes.collect())))
    }

    fn value(loss: &str, weights: &[f64]) -> f32 {
        let loss: Loss = serde_json::from_str(loss).unwrap();
        let (logits, target) = batch();
        forward(&loss, vec![logits], target, weights).into_scalar()
    }

    #[test]
    fn equal_weights_of_1_change_nothing() {
        for loss in [r#"{"cross_entropy": {}}"#, r#"{"dice_cross_entropy": {}}"#, r#"{"focal": {}}"#] {
            assert!((value(loss, &[]) - value(loss, &[1.0, 1.0])).abs() < 1e-6, "{loss}");
        }
    }

    #[test]
    fn the_loss_of_each_patch_is_multiplied_by_its_weight() {
        let loss = r#"{"dice_cross_entropy": {}}"#;
        let (first, second) = (2.0 * value(loss, &[1.0, 0.0]), 2.0 * value(loss, &[0.0, 1.0]));
        assert!((first - second).abs() > 1e-2);
        assert!((value(loss, &[0.25, 3.0]) - (0.25 * first + 3.0 * second) / 2.0).abs() < 1e-6);
    }
}
