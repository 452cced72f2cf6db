//! The labels that occur in the label maps of a dataset.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::SubjectFingerprint;
use volume::Label;

/// The maximum number of subjects that are named for a label.
const MAX_NAMED: usize = 3;

/// A label, and the subjects whose label maps have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelOccurrence {
    /// The label, above 0.
    pub label: Label,
    /// The number of subjects whose label maps have it.
    pub subjects: usize,
    /// The names of the first of these subjects.
    pub first: Vec<String>,
}

/// Returns the labels above 0 of a label map.
pub(super) fn labels_in(map: &[Label]) -> BTreeSet<Label> {
    // Neighbouring voxels mostly have the same label.
    map.chunk_by(|a, b| a == b).map(|run| run[0]).filter(|label| *label > 0).collect()
}

/// Counts the subjects of each label; `subjects` are sorted by name.
pub(super) fn occurrences<'a>(
    subjects: impl IntoIterator<Item = (&'a SubjectFingerprint, &'a BTreeSet<Label>)>,
) -> Vec<LabelOccurrence> {
    let mut all: BTreeMap<Label, LabelOccurrence> = BTreeMap::new();
    for (subject, labels) in subjects {
        for label in labels {
            let new = || LabelOccurrence { label: *label, subjects: 0, first: Vec::new() };
            let one = all.entry(*label).or_insert_with(new);
            one.subjects += 1;
            one.first.extend((one.first.len() < MAX_NAMED).then(|| subject.name.clone()));
        }
    }
    all.into_values().collect()
}
