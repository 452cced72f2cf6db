//! Rules for inference and post-processing.

use std::collections::BTreeMap;

use super::{Diagnostics, scores};
use volume::Label;

pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    let mirror = &experiment.inference.mirror;
    for (index, axis) in mirror.iter().enumerate() {
        if mirror[..index].contains(axis) {
            diagnostics.problem(&format!("inference.mirror.{index}"), "duplicate axis", "remove it");
        }
    }
    for (index, step) in experiment.postprocess.iter().enumerate().skip(1) {
        if step.component().decision_rule(&[]).is_some() {
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
    if let Some(labels) = &experiment.data.labels {
        check_labels(diagnostics, labels);
    }
}

/// Checks that the labels of post-processing are declared.
pub(super) fn check_labels(diagnostics: &mut Diagnostics, labels: &BTreeMap<Label, String>) {
    let declared = scores::declared(labels);
    for (index, step) in diagnostics.document.experiment.postprocess.iter().enumerate() {
        for value in step.component().labels().into_iter().filter(|value| !labels.contains_key(value)) {
            let message = format!("{} uses label {value}, which is not declared", step.name());
            diagnostics.problem(&format!("postprocess.{index}"), message, format!("data.labels declares {declared}"));
        }
    }
}
