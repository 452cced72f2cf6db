//! Labels of the label maps compared with those that the dataset declares.

use std::collections::BTreeMap;

use planner::LabelOccurrence;
use volume::Label;

/// The labels that a dataset declares.
#[derive(Debug, Default)]
pub(super) struct DatasetLabels {
    /// The names of the labels, the background included; `None` if the dataset declares none.
    pub names: Option<BTreeMap<Label, String>>,
    /// The label of voxels that nobody annotated.
    pub ignore: Option<Label>,
}

impl DatasetLabels {
    /// Returns a sentence for each label that occurs but is not declared, and for each that is declared but does not occur;
    /// `found` are the labels of `total` label maps.
    pub fn contradictions(&self, found: &[LabelOccurrence], total: usize) -> Vec<String> {
        // Fingerprints of earlier versions do not say which labels occur.
        let Some(names) = self.names.as_ref().filter(|_| !found.is_empty()) else { return Vec::new() };
        let is_declared = |label: Label| names.contains_key(&label) || self.ignore == Some(label);
        let undeclared = found.iter().filter(|one| !is_declared(one.label)).map(|one| {
            let LabelOccurrence { label, subjects, first } = one;
            let more = if *subjects > first.len() { ", ..." } else { "" };
            let maps = if total == 1 { "label map" } else { "label maps" };
            format!(
                "label {label} occurs in {subjects} of {total} {maps} ({}{more}), but the dataset does not declare it, so \
                 training fails at the first patch that contains it; declare it, or correct the label maps",
                first.join(", ")
            )
        });
        let absent = names.iter().filter(|(label, _)| **label > 0 && found.iter().all(|one| one.label != **label));
        let absent = absent.map(|(label, name)| format!("label {label} ({name}) is declared, but no label map has it"));
        undeclared.chain(absent).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence(label: Label, subjects: usize, first: &[&str]) -> LabelOccurrence {
        LabelOccurrence { label, subjects, first: first.iter().map(|name| (*name).to_owned()).collect() }
    }

    #[test]
    fn labels_that_are_not_declared_and_declared_ones_that_do_not_occur_are_named() {
        let names = [(0, "background"), (1, "liver"), (2, "tumour")].map(|(label, name)| (label, name.to_owned()));
        let labels = DatasetLabels { names: Some(names.into()), ignore: Some(4) };
        let found = [occurrence(1, 5, &["a", "b", "c"]), occurrence(3, 4, &["a", "b", "c"]), occurrence(4, 1, &["a"])];
        let notes = labels.contradictions(&found, 5);
        assert!(notes[0].starts_with("label 3 occurs in 4 of 5 label maps (a, b, c, ...), but"), "{notes:?}");
        assert_eq!(notes[1..], ["label 2 (tumour) is declared, but no label map has it"]);
        assert_eq!(DatasetLabels::default().contradictions(&found, 5), [""; 0]);
        assert_eq!(labels.contradictions(&[], 5), [""; 0]);
    }
}
