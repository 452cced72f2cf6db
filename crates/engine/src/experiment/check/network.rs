//! Rules for the network, the loss, and the shape of the window.

use super::patch::nearest_multiple;
use super::{Diagnostics, targets};
use crate::experiment::targets::Targets;
use nn::Diagnostic;
use nn::losses::Loss;
use nn::networks::InputSizes;

pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    check_loss(diagnostics);
    let name = experiment.model.name();
    let model = experiment.model.component();
    let keys = model.check();
    if !keys.is_empty() {
        diagnostics.component(&format!("model.{name}"), keys);
        return;
    }
    if let Some(window) = experiment.inference.window {
        check_window(diagnostics, window.0, &model.input_sizes());
    }
    let training = model.check_training(experiment.sampler.patch(), experiment.train.batch_size.get());
    diagnostics.component(&format!("model.{name}"), training);
}

/// Checks that the network can process the window.
fn check_window(diagnostics: &mut Diagnostics, window: [usize; 3], sizes: &InputSizes) {
    let InputSizes { multiple_of, reason, remedy } = sizes;
    let sizes = window.into_iter().zip(*multiple_of).enumerate();
    for (axis, (size, multiple_of)) in sizes.filter(|(_, (size, multiple_of))| size % multiple_of != 0) {
        let near = nearest_multiple(size, multiple_of);
        let message = format!("expected window sizes divisible by {multiple_of}, since {reason}, got {size}");
        diagnostics.problem(&format!("inference.window.{axis}"), message, format!("use {near}, or {remedy}"));
    }
}

fn check_loss(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    if let Some(targets) = targets::of_document(diagnostics) {
        check_targets(diagnostics, &targets);
    }
    diagnostics.component(&format!("loss.{}", experiment.loss.name()), experiment.loss.check());
}

/// Checks the loss against the classes.
pub(super) fn check_targets(diagnostics: &mut Diagnostics, targets: &Targets) {
    let loss = &diagnostics.document.experiment.loss;
    let path = format!("loss.{}", loss.name());
    if !targets.has_background() && !loss.component().allows_regions() {
        let message = format!("{} needs exactly one class per voxel, but regions may overlap", loss.name());
        let help = format!("use one of {}", Loss::names_for_regions().join(", "));
        diagnostics.key_problem(&path, message, help);
        return;
    }
    let count = loss.check_num_classes(targets.num_classes(), targets.has_background());
    let classes = loss.check_classes(targets.has_background());
    let problems: Vec<Diagnostic> = count.into_iter().chain(classes).collect();
    diagnostics.component(&path, problems);
}
