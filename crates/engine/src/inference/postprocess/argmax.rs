//! Decision rule: the most probable class.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DecisionRule, PostprocessStep};
use crate::experiment::targets::Targets;

/// Argmax: each voxel gets its most probable class, background included; of equally probable classes, the first. This is the default for labels, so it need not be written.
///
/// ```yaml
/// - argmax: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Argmax {}

impl PostprocessStep for Argmax {
    fn decision_rule(&self, targets: &Targets) -> Option<DecisionRule> {
        Some(DecisionRule::argmax(targets))
    }

    fn unsuitable_for_regions(&self) -> Option<(&'static str, &'static str)> {
        let message = "argmax chooses one class per voxel, but regions may overlap";
        Some((message, "remove it: a voxel is in each region whose probability is above 0.5"))
    }
}

/// Returns the index of the largest score, the first of equal ones.
pub(super) fn argmax(scores: &[f32]) -> usize {
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
        assert_eq!(argmax(&[0.2, 0.4, 0.4]), 1);
        assert_eq!(argmax(&[0.5, 0.5, 0.0]), 0);
    }
}
