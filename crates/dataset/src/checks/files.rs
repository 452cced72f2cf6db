//! Missing files, and label maps without an image.

use super::summary::Summary;
use super::{Dataset, Finding, Severity};
use crate::alignment::Role;
use crate::sources::Incomplete;

/// Reports subjects without an image or a label map, and label maps that belong to no image.
pub(super) fn check(_: &[Summary], dataset: &Dataset) -> Vec<Finding> {
    let missing = dataset.listing.incomplete.iter().map(|incomplete| missing(incomplete, dataset));
    let unused = dataset.listing.unused_labels.iter().map(|path| {
        let text = format!("label map {} belongs to no image of the dataset", path.display());
        Finding::shared(Severity::Note, "label maps that belong to no image", text)
    });
    missing.chain(unused).collect()
}

fn missing(Incomplete { subject, role, reason }: &Incomplete, dataset: &Dataset) -> Finding {
    match role {
        Role::Image => Finding::fault("missing image files", subject, format!("an image is missing: {reason}")),
        Role::LabelMap if dataset.parts.train.contains(subject) || dataset.parts.val.contains(subject) => {
            let text = format!("it is used for training or validation, but has no label map: {reason}");
            Finding::fault("training and validation subjects without a label map", subject, text)
        }
        Role::LabelMap | Role::Prediction | Role::WeightMap => {
            let text = format!("it has no label map, so it is predicted, but not scored: {reason}");
            Finding::note("subjects without a label map", subject, text)
        }
    }
}
