//! The most probable class.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Gives each voxel its most probable class, background included; of equally probable ones the first. Needs not be written.
///
/// ```yaml
/// - argmax: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Argmax {}

/// The first of the largest scores.
pub(super) fn largest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (class, &score) in scores.iter().enumerate() {
        if score > scores[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_scores_the_first_wins() {
        assert_eq!(largest(&[0.2, 0.4, 0.4]), 1);
        assert_eq!(largest(&[0.5, 0.5, 0.0]), 0);
    }
}
