//! Post-processing: from probabilities to the final label map.
//!
//! A list of steps starts with the decision rule ([`Argmax`] unless another is named; for regions, a threshold of 0.5); the others change the label map.
//! To add a step: its file, with [`PostprocessStep`] implemented, and its line in the registry below.

use crate::experiment::targets::Targets;
use volume::{Grid, Label};

mod argmax;
mod decision;
mod fill_holes;
mod keep_largest;
mod remove_small;
mod threshold;
mod tumour_inside_liver;

pub use argmax::Argmax;
pub use decision::{DecisionRule, Sufficient};
pub use fill_holes::FillHoles;
pub use keep_largest::KeepLargestComponent;
pub use remove_small::RemoveSmall;
pub use threshold::Threshold;
pub use tumour_inside_liver::TumourInsideLiver;

/// A step of the post-processing.
pub trait PostprocessStep {
    /// Returns the decision rule that the step is, for these classes, or `None` if it changes a label map. A decision rule
    /// can only be the first step.
    fn decision_rule(&self, _targets: &Targets) -> Option<DecisionRule> {
        None
    }

    /// Returns why a decision rule cannot choose regions, which overlap, and what to write instead.
    fn unsuitable_for_regions(&self) -> Option<(&'static str, &'static str)> {
        None
    }

    /// Returns the labels that the step names, which the experiment must declare.
    fn labels(&self) -> Vec<Label> {
        Vec::new()
    }

    /// Returns a label that the step names more than once.
    fn repeated_label(&self) -> Option<Label> {
        let labels = self.labels();
        (1..labels.len()).find(|index| labels[..*index].contains(&labels[*index])).map(|index| labels[index])
    }

    /// Changes a label map `[x, y, z]` in place.
    fn apply(&self, _map: &mut [Label], _grid: &Grid) {}
}

values::registry! {
    /// A step from probabilities to the final label map.
    pub enum Postprocess: PostprocessStep {
        /// The most probable class. The default decision rule.
        argmax::Argmax,
        /// Labels whose probability reaches a threshold.
        threshold::Threshold,
        /// Keeps the largest connected component of each label.
        #[serde(rename = "keep_largest")]
        keep_largest::KeepLargestComponent,
        /// Fills holes: background that a label encloses.
        fill_holes::FillHoles,
        /// Removes small connected components.
        remove_small::RemoveSmall,
        /// Removes tumour that touches no liver.
        tumour_inside_liver::TumourInsideLiver,
    }
}

/// Returns the labels that a step applies to: those that it names, or all in the map.
fn selected_labels(named: Option<&[Label]>, map: &[Label]) -> Vec<Label> {
    match named {
        Some(labels) => labels.to_vec(),
        None => {
            let mut is_present = vec![false; usize::from(Label::MAX) + 1];
            map.iter().for_each(|label| is_present[usize::from(*label)] = true);
            (1..=Label::MAX).filter(|label| is_present[usize::from(*label)]).collect()
        }
    }
}
