//! Rules for inference and post-processing.

use std::collections::BTreeMap;

use super::{Diagnostics, scores, targets};
use crate::experiment::targets::Targets;
use crate::inference::options::{Blend, Inference, WindowConvention};
use volume::Label;

pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    let Inference { mirror, blend, convention, .. } = &experiment.inference;
    if (*blend, *convention) == (Blend::Crop, WindowConvention::Nnunet) {
        diagnostics.problem(
            "inference.blend",
            "windows that are spread evenly overlap by different numbers of voxels, so they cannot be cropped",
            "use `gaussian` or `constant`, as nnU-Net, or `convention: monai`",
        );
    }
    for (index, axis) in mirror.iter().enumerate() {
        if mirror[..index].contains(axis) {
            diagnostics.problem(&format!("inference.mirror.{index}"), "duplicate axis", "remove it");
        }
    }
    for (index, step) in experiment.postprocess.iter().enumerate().skip(1) {
        if step.component().decision_rule(&Targets::default()).is_some() {
            let name = step.name();
            let message = format!("{name} selects labels from probabilities, so it must be the first step");
            diagnostics.problem(
                &format!("postprocess.{index}"),
                message,
                format!("move {name} to the start, or remove it"),
            );
        }
    }
    for (index, step) in experiment.postprocess.iter().enumerate() {
        if let Some(value) = step.component().repeated_label() {
            let message = format!("{} names label {value} twice", step.name());
            diagnostics.problem(&format!("postprocess.{index}"), message, "name different labels");
        }
    }
    if let Some(labels) = &experiment.data.labels
        && let Some(targets) = targets::of_document(diagnostics)
    {
        check_targets(diagnostics, labels, &targets);
    }
}

/// Checks that the labels of post-processing are declared, and that its decision rule suits regions if these are trained.
pub(super) fn check_targets(diagnostics: &mut Diagnostics, labels: &BTreeMap<Label, String>, targets: &Targets) {
    let declared = scores::declared(labels);
    let first = diagnostics.document.experiment.postprocess.first();
    if let Some(step) = first.filter(|_| !targets.has_background())
        && let Some((message, help)) = step.component().unsuitable_for_regions()
    {
        diagnostics.problem("postprocess.0", message, help);
    }
    for (index, step) in diagnostics.document.experiment.postprocess.iter().enumerate() {
        for value in step.component().labels().into_iter().filter(|value| !labels.contains_key(value)) {
            let message = format!("{} uses label {value}, which is not declared", step.name());
            diagnostics.problem(&format!("postprocess.{index}"), message, format!("data.labels declares {declared}"));
        }
    }
}
