//! Consecutive label values.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Component, Incoming, LabelTransform, NoParams};
use random::Rng;
use volume::Label;

/// Renumbers the labels of each volume 0, 1, 2, … in ascending order, as TorchIO's SequentialLabels.
///
/// The new value of a label depends on the other labels of the volume; for the same values in all volumes use
/// `remap_labels`.
///
/// ```yaml
/// - sequential_labels: {}
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SequentialLabels {}

impl Component for SequentialLabels {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["SequentialLabels"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl LabelTransform for SequentialLabels {
    fn relabel(&self, _: &NoParams, labels: &mut [Label], _: [usize; 3]) {
        let mut values: BTreeMap<Label, Label> = labels.iter().map(|label| (*label, 0)).collect();
        values.values_mut().zip(0..).for_each(|(value, index)| *value = index);
        labels.iter_mut().for_each(|label| *label = values[label]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_consecutive_from_zero() {
        let relabelled = |mut labels: [Label; 4]| {
            SequentialLabels {}.relabel(&NoParams, &mut labels, [1, 1, 4]);
            labels
        };
        assert_eq!(relabelled([0, 10, 5, 0]), [0, 2, 1, 0]);
        assert_eq!(relabelled([99, 7, 11, 7]), [2, 0, 1, 0]);
    }
}
