//! Replacement of label values.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Component, Incoming, LabelTransform, NoParams};
use random::Rng;
use volume::Label;

/// Replaces label values, all at the same time, as TorchIO's RemapLabels; other labels are unchanged. Mapping a label to 0
/// removes it.
///
/// Ground truth for scoring is mapped likewise, so `data.labels` must name the new values.
///
/// ```yaml
/// - remap_labels: { map: { 2: 1 } }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemapLabels {
    /// New value by old value, such as `{ 2: 1 }`.
    pub map: BTreeMap<Label, Label>,
}

impl Component for RemapLabels {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["RemapLabels", "RemoveLabels", "MapLabelValue", "RemoveLabelTransform"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl LabelTransform for RemapLabels {
    fn relabel(&self, _: &NoParams, labels: &mut [Label], _: [usize; 3]) {
        for label in labels {
            *label = self.map.get(label).copied().unwrap_or(*label);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_can_be_swapped() {
        let spec: RemapLabels = serde_yaml::from_str("map: {1: 2, 2: 1, 3: 1, 4: 7, 9: 0}").unwrap();
        let mut labels = [0, 1, 2, 3, 4, 5, 9];
        spec.relabel(&NoParams, &mut labels, [1, 1, 7]);
        assert_eq!(labels, [0, 2, 1, 1, 7, 5, 0]);
    }
}
