//! Soft Dice.

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use values::{NonNegative, Positive};

/// One minus the soft Dice of the softmax, averaged over classes.
///
/// Per class, Dice is `(2 Σ p t + smooth) / (Σ p + Σ t + smooth)`, as in nnU-Net.
///
/// ```yaml
/// dice: { smooth: 1.0e-5 }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dice {
    /// Keeps the quotient defined where a class is absent.
    #[serde(default = "default_smooth")]
    pub smooth: Positive,
    /// Whether sums run over the whole batch rather than over each patch.
    #[serde(default)]
    pub batch: bool,
    /// Whether the background counts as a class.
    #[serde(default)]
    pub background: bool,
    /// A factor for each class, background first; `null` weighs all alike.
    #[serde(default)]
    pub class_weights: Option<Vec<NonNegative>>,
}

/// nnU-Net's value.
pub(super) fn default_smooth() -> Positive {
    Positive::new(1e-5).expect("1e-5 is above 0")
}

impl super::Objective for Dice {
    fn forward(&self, logits: Tensor<5>, target: Tensor<5>) -> Tensor<1> {
        self.of_probabilities(softmax(logits, 1), target)
    }
}

impl Dice {
    /// The loss from probabilities `[batch, class, x, y, z]`.
    pub(super) fn of_probabilities(&self, probabilities: Tensor<5>, target: Tensor<5>) -> Tensor<1> {
        let [batch, classes, x, y, z] = target.dims();
        let per_class = |values: Tensor<5>| {
            let sums = values.reshape([batch, classes, x * y * z]).sum_dim(2).reshape([batch, classes]);
            if self.batch { sums.sum_dim(0) } else { sums }
        };
        let common = per_class(probabilities.clone().mul(target.clone()));
        let total = per_class(probabilities).add(per_class(target));
        let smooth = self.smooth.get();
        let dice = common.mul_scalar(2.0).add_scalar(smooth).div(total.add_scalar(smooth)); // [batch or 1, class]
        let [rows, _] = dice.dims();
        let mut shares: Vec<f64> = match &self.class_weights {
            Some(weights) => weights.iter().map(|weight| weight.get()).collect(),
            None => vec![1.0; classes],
        };
        if !self.background {
            shares[0] = 0.0;
        }
        let sum: f64 = shares.iter().sum::<f64>() * rows as f64;
        let shares: Vec<f32> = shares.iter().map(|share| (share / sum) as f32).collect();
        let shares = Tensor::<2>::from_data(TensorData::new(shares, [1, classes]), &dice.device().inner());
        dice.mul(shares).sum().neg().add_scalar(1.0)
    }
}
