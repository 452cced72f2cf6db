//! What makes a label map of probabilities and mends it before it is scored or written: the closed list of steps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use volume::{Grid, Label};

mod argmax;
mod fill_holes;
mod keep_largest;
mod remove_small;
mod threshold;
mod tumour_inside_liver;

pub use argmax::Argmax;
pub use fill_holes::FillHoles;
pub use keep_largest::KeepLargest;
pub use remove_small::RemoveSmall;
pub use threshold::Threshold;
pub use tumour_inside_liver::TumourInsideLiver;

/// One step from probabilities to the final label map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Postprocess {
    /// Takes the most probable class; what happens where the list does not begin with another choice.
    Argmax(Argmax),
    /// Takes classes that are probable enough.
    Threshold(Threshold),
    /// Keeps the largest connected component of each label.
    KeepLargest(KeepLargest),
    /// Fills background that a label encloses.
    FillHoles(FillHoles),
    /// Removes components that are too small.
    RemoveSmall(RemoveSmall),
    /// Removes tumour that touches no liver.
    TumourInsideLiver(TumourInsideLiver),
}

impl Postprocess {
    /// The name under which an experiment file knows the step.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Argmax(_) => "argmax",
            Self::Threshold(_) => "threshold",
            Self::KeepLargest(_) => "keep_largest",
            Self::FillHoles(_) => "fill_holes",
            Self::RemoveSmall(_) => "remove_small",
            Self::TumourInsideLiver(_) => "tumour_inside_liver",
        }
    }

    /// Whether the step chooses labels from probabilities, so that it can only be the first.
    pub fn chooses(&self) -> bool {
        matches!(self, Self::Argmax(_) | Self::Threshold(_))
    }

    /// The labels that the step names.
    pub fn labels(&self) -> Vec<Label> {
        match self {
            Self::Argmax(_) => Vec::new(),
            Self::Threshold(step) => step.labels.iter().flat_map(|labels| labels.keys().copied()).collect(),
            Self::KeepLargest(KeepLargest { labels })
            | Self::FillHoles(FillHoles { labels })
            | Self::RemoveSmall(RemoveSmall { labels, .. }) => labels.clone().unwrap_or_default(),
            Self::TumourInsideLiver(step) => vec![step.liver, step.tumour],
        }
    }

    /// Changes a label map `[x, y, z]` in place; a step that chooses labels has done its work before.
    pub fn apply(&self, map: &mut [Label], grid: &Grid) {
        match self {
            Self::Argmax(_) | Self::Threshold(_) => {}
            Self::KeepLargest(step) => step.apply(map, grid.shape),
            Self::FillHoles(step) => step.apply(map, grid.shape),
            Self::RemoveSmall(step) => step.apply(map, grid),
            Self::TumourInsideLiver(step) => step.apply(map, grid.shape),
        }
    }
}

/// How a label is chosen from the probabilities of a voxel.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The value of each class above background.
    labels: Vec<Label>,
    /// The least probability of each of them; without these the most probable class wins.
    thresholds: Option<Vec<f32>>,
}

impl Choice {
    /// The choice that a list of steps begins with; `labels[k]` is the value of class `k + 1`.
    pub fn new(steps: &[Postprocess], labels: &[Label]) -> Self {
        let thresholds = match steps.first() {
            Some(Postprocess::Threshold(step)) => Some(labels.iter().map(|label| step.of(*label)).collect()),
            _ => None,
        };
        Self { labels: labels.to_vec(), thresholds }
    }

    /// The label of a voxel, from the probability of each class, background first.
    pub fn label(&self, scores: &[f32]) -> Label {
        let class = match &self.thresholds {
            None => argmax::largest(scores),
            Some(thresholds) => threshold::chosen(&scores[1..], thresholds),
        };
        if class == 0 { 0 } else { self.labels[class - 1] }
    }
}

/// The labels that a step applies to: those that it names, or all that a map has.
fn labels_of(named: Option<&[Label]>, map: &[Label]) -> Vec<Label> {
    match named {
        Some(labels) => labels.to_vec(),
        None => {
            let mut is_present = vec![false; usize::from(Label::MAX) + 1];
            map.iter().for_each(|label| is_present[usize::from(*label)] = true);
            (1..=Label::MAX).filter(|label| is_present[usize::from(*label)]).collect()
        }
    }
}
