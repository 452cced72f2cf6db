//! Soft Dice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::value::{NonNegative, Positive};

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
