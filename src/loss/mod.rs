//! What training makes small: the trait, and the closed list of losses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod binary_cross_entropy;
mod cross_entropy;
mod dice;
mod dice_cross_entropy;
mod focal;

pub use binary_cross_entropy::BinaryCrossEntropy;
pub use cross_entropy::CrossEntropy;
pub use dice::Dice;
pub use dice_cross_entropy::DiceCrossEntropy;
pub use focal::Focal;

/// The loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Loss {
    /// Binary cross-entropy of each class's sigmoid.
    BinaryCrossEntropy(BinaryCrossEntropy),
    /// Cross-entropy of the softmax.
    CrossEntropy(CrossEntropy),
    /// One minus the soft Dice of the softmax.
    Dice(Dice),
    /// Soft Dice plus cross-entropy.
    DiceCrossEntropy(DiceCrossEntropy),
    /// Cross-entropy that weighs hard voxels more.
    Focal(Focal),
}
