//! The largest connected component.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Component, Incoming, LabelTransform, NoParams};
use random::Rng;
use volume::connected_components::connected_components;
use volume::{Label, unravel_index};

/// Keeps the largest connected component of the union of some labels and sets the rest of them to 0, as TorchIO's
/// KeepLargestComponent. Voxels are connected by faces. Of equally large components the first is kept, in the order x, y, z.
///
/// ```yaml
/// - keep_largest: { labels: [1, 2] }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepLargest {
    /// The labels, such as `[1, 2]`; an empty list (default) means every label above 0.
    #[serde(default)]
    pub labels: Vec<Label>,
}

impl Component for KeepLargest {
    type Params = NoParams;

    fn aliases() -> &'static [&'static str] {
        &["KeepLargestComponent", "KeepLargestConnectedComponent"]
    }

    fn sample_params(&self, _: &mut Rng, _: &Incoming) -> NoParams {
        NoParams
    }
}

impl LabelTransform for KeepLargest {
    fn relabel(&self, _: &NoParams, labels: &mut [Label], shape: [usize; 3]) {
        let belongs = |label: Label| if self.labels.is_empty() { label > 0 } else { self.labels.contains(&label) };
        let components = connected_components(shape, |voxel| belongs(labels[voxel]));
        let Some(max) = components.sizes.iter().max() else { return };
        let is_largest = |id: u32| id != 0 && components.sizes[id as usize - 1] == *max;
        // ITK scans x first, then y, then z.
        let largest = components.ids.iter().enumerate().filter(|(_, id)| is_largest(**id));
        let first = largest.min_by_key(|(index, _)| {
            let [x, y, z] = unravel_index(shape, *index);
            [z, y, x]
        });
        let largest = first.map(|(_, id)| *id);
        for (label, id) in labels.iter_mut().zip(&components.ids) {
            if *id != 0 && Some(*id) != largest {
                *label = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::offset;

    #[test]
    fn touching_labels_form_one_component() {
        let kept = |yaml: &str| {
            let mut labels = [1, 0, 1, 2, 0, 3, 3, 3];
            serde_yaml::from_str::<KeepLargest>(yaml).unwrap().relabel(&NoParams, &mut labels, [1, 1, 8]);
            labels
        };
        assert_eq!(kept("labels: [1, 2]"), [0, 0, 1, 2, 0, 3, 3, 3]);
        assert_eq!(kept("{}"), [0, 0, 0, 0, 0, 3, 3, 3]);
        assert_eq!(kept("labels: [7]"), [1, 0, 1, 2, 0, 3, 3, 3]);
    }

    #[test]
    fn of_equally_large_components_the_first_along_x_is_kept() {
        // Expected by TorchIO 1.2.1.
        let mut labels = [0; 4 * 4 * 2];
        let shape = [4, 4, 2];
        labels[offset(shape, [3, 0, 0])] = 1;
        labels[offset(shape, [0, 3, 0])] = 1;
        KeepLargest { labels: Vec::new() }.relabel(&NoParams, &mut labels, shape);
        let kept: Vec<usize> = (0..labels.len()).filter(|voxel| labels[*voxel] > 0).collect();
        assert_eq!(kept, [offset(shape, [3, 0, 0])]);
    }
}
