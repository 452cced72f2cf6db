//! What samplers choose patches by: labels or regions, without ignored voxels.

use volume::Label;

/// What counts as foreground for samplers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foreground {
    /// The unions of labels that are classes; empty if each label above 0 is one.
    pub regions: Vec<Vec<Label>>,
    /// The label of voxels that nobody annotated, which are not foreground.
    pub ignore: Option<Label>,
}

impl Foreground {
    /// Returns whether voxels of a label are foreground.
    pub(super) fn includes(&self, label: Label) -> bool {
        label > 0 && self.is_annotated(label)
    }

    /// Returns whether somebody annotated voxels of a label.
    pub(super) fn is_annotated(&self, label: Label) -> bool {
        self.ignore != Some(label)
    }

    /// Returns the labels of each class of which a volume with these labels above 0 may have voxels.
    pub(super) fn classes(&self, labels: impl Iterator<Item = Label>) -> Vec<Vec<Label>> {
        let present = labels.filter(|label| self.includes(*label));
        if self.regions.is_empty() {
            return present.map(|label| vec![label]).collect();
        }
        let present: Vec<Label> = present.collect();
        let is_present = |region: &&Vec<Label>| region.iter().any(|label| present.contains(label));
        self.regions.iter().filter(is_present).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_label_or_a_region_and_never_ignored() {
        let labels = Foreground { ignore: Some(9), ..Foreground::default() };
        assert_eq!(labels.classes([1, 2, 9].into_iter()), [[1], [2]]);
        let regions = Foreground { regions: vec![vec![1, 2], vec![2], vec![3]], ignore: Some(9) };
        assert_eq!(regions.classes([1, 9].into_iter()), [vec![1, 2]]);
        assert_eq!(regions.classes([2].into_iter()), [vec![1, 2], vec![2]]);
    }
}
