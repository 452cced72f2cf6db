//! Rules for the network, the loss, and the shapes of patch and window.

use super::Diagnostics;
use nn::Diagnostic;
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
    let sizes = model.input_sizes();
    let sampler = format!("sampler.{}.patch", experiment.sampler.name());
    check_shape(diagnostics, &sampler, "patch", experiment.sampler.patch(), &sizes);
    if let Some(window) = experiment.inference.window {
        check_shape(diagnostics, "inference.window", "window", window.0, &sizes);
    }
    let training = model.check_training(experiment.sampler.patch(), experiment.train.batch_size.get());
    diagnostics.component(&format!("model.{name}"), training);
}

/// Checks that the network can process a shape.
fn check_shape(diagnostics: &mut Diagnostics, path: &str, name: &str, shape: [usize; 3], sizes: &InputSizes) {
    let InputSizes { multiple_of, reason, remedy } = sizes;
    for (axis, size) in shape.into_iter().enumerate().filter(|(_, size)| size % multiple_of != 0) {
        let near = ((size + multiple_of / 2) / multiple_of).max(1) * multiple_of;
        let message = format!("expected {name} sizes divisible by {multiple_of}, since {reason}, got {size}");
        diagnostics.problem(&format!("{path}.{axis}"), message, format!("use {near}, or {remedy}"));
    }
}

fn check_loss(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    if let Some(labels) = &experiment.data.labels {
        check_class_weights(diagnostics, labels.len());
    }
    diagnostics.component(&format!("loss.{}", experiment.loss.name()), experiment.loss.check());
}

/// Checks the number of class weights against the number of classes.
pub(super) fn check_class_weights(diagnostics: &mut Diagnostics, num_labels: usize) {
    let loss = &diagnostics.document.experiment.loss;
    let problem: Vec<Diagnostic> = loss.check_num_classes(num_labels + 1).into_iter().collect();
    diagnostics.component(&format!("loss.{}", loss.name()), problem);
}
