//! The largest component of labels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Labelling;
use crate::components::components;
use crate::data::volume::Label;

/// Keeps the largest connected component of some labels taken together and sets the rest of them to 0; voxels touch by
/// their faces, as in TorchIO's KeepLargestComponent. Of equally large components the first stays.
///
/// ```yaml
/// - keep_largest: { labels: [1, 2] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepLargest {
    /// The labels; an empty list means every label above 0.
    #[serde(default)]
    pub labels: Vec<Label>,
}

impl Labelling for KeepLargest {
    fn relabel(&self, labels: &mut [Label], shape: [usize; 3]) {
        let belongs = |label: Label| if self.labels.is_empty() { label > 0 } else { self.labels.contains(&label) };
        let found = components(shape, |voxel| belongs(labels[voxel]));
        let largest = found.sizes.iter().max().and_then(|most| found.sizes.iter().position(|size| size == most));
        let Some(largest) = largest else { return };
        for (label, id) in labels.iter_mut().zip(&found.ids) {
            if *id != 0 && *id as usize != largest + 1 {
                *label = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_that_touch_count_together() {
        let kept = |yaml: &str| {
            let mut labels = [1, 0, 1, 2, 0, 3, 3, 3];
            serde_yaml::from_str::<KeepLargest>(yaml).unwrap().relabel(&mut labels, [1, 1, 8]);
            labels
        };
        assert_eq!(kept("labels: [1, 2]"), [0, 0, 1, 2, 0, 3, 3, 3]);
        assert_eq!(kept("{}"), [0, 0, 0, 0, 0, 3, 3, 3]);
        assert_eq!(kept("labels: [7]"), [1, 0, 1, 2, 0, 3, 3, 3]);
    }
}
