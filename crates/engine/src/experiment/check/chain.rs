//! Rules for the chains of transforms.

use super::Diagnostics;
use crate::experiment::problem::Problem;
use transforms::{ITSELF, KeyProblem, Region, Step, Transform};

pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    for (index, step) in experiment.preprocess.iter().enumerate() {
        let path = format!("preprocess.{index}");
        check_fixed(diagnostics, step, &path);
        check_step(diagnostics, step, &path);
        check_fitted(diagnostics, step.nested_steps(), &path);
        warn_of_label_leak(diagnostics, step, &path);
    }
    for (index, step) in experiment.augment.iter().enumerate() {
        let path = format!("augment.{index}");
        check_step(diagnostics, step, &path);
        check_fitted(diagnostics, std::slice::from_ref(step), &path);
        check_patchwise(diagnostics, step, &path);
    }
    let position =
        |condition: fn(&dyn Step) -> bool| experiment.preprocess.iter().position(|step| condition(step.component()));
    let limited = position(|step| step.limits_intensities());
    let sensitive = position(|step| step.is_sensitive_to_outliers());
    if let Some(index) = sensitive.filter(|index| limited.is_none_or(|limited| limited > *index)) {
        let name = experiment.preprocess[index].name();
        diagnostics.warning(format!("{name} maps the full range without a clamp before it: a metal artefact in CT rescales the whole volume; put `- clamp: {{ min: -200, max: 250 }}` before it"));
    }
}

/// Checks that a preprocessing transform is not random, since it is applied once.
fn check_fixed(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    let keys = step.component().random_keys();
    if let Some(nested) = step.component().nested().filter(|nested| !nested.is_choice || keys.is_empty()) {
        for (index, inner) in nested.steps.iter().enumerate() {
            check_fixed(diagnostics, inner, &format!("{path}.{}.{index}", nested.key));
        }
    }
    for key in keys {
        diagnostics.problem(
            &key_path(step, path, key),
            "expected a deterministic transform in `preprocess`, got a random one",
            "move it to `augment`, or use ranges of width 0",
        );
    }
}

/// Returns the path of a transform's key; [`ITSELF`] is the transform.
fn key_path(step: &Transform, path: &str, key: &str) -> String {
    let step = format!("{path}.{}", step.name());
    if key == ITSELF { step } else { format!("{step}.{key}") }
}

/// Checks that a transform that is fitted to the training subjects is not nested and not in `augment`.
fn check_fitted(diagnostics: &mut Diagnostics, steps: &[Transform], path: &str) {
    for step in steps {
        if step.component().needs_fit() {
            let message = format!("{} is fitted to the training subjects, so it cannot be random", step.name());
            diagnostics.problem(
                path,
                message,
                "put it into `preprocess`, outside of `maybe` and `one_of`, or set its parameters",
            );
        }
        check_fitted(diagnostics, step.nested_steps(), path);
    }
}

/// Checks that an augmentation does not need the whole volume or label map.
fn check_patchwise(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    if step.component().relabels() || step.component().resolves_from_volume() {
        let message = format!(
            "{} needs the whole volume and is the same in every epoch, so it belongs in `preprocess`",
            step.name()
        );
        diagnostics.problem(path, message, "move it to `preprocess`");
    }
    if step.component().extension().is_some() {
        let message = format!("{}: this `fill` pads from image content and needs the whole volume", step.name());
        diagnostics.problem(path, message, "move it to `preprocess`, or set `fill` to a number");
    }
    for inner in step.nested_steps() {
        check_patchwise(diagnostics, inner, path);
    }
}

/// Warns about a region given by labels, since validation scores are optimistic: new images have no labels.
fn warn_of_label_leak(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    if step.component().region().is_some_and(Region::needs_labels) {
        diagnostics.warning(format!(
            "{path}.{} reads the true labels, in validation too: scores are optimistic, and images without labels cannot be predicted; give the region by intensity, such as `above: -500`",
            step.name()
        ));
    }
    step.nested_steps().iter().for_each(|inner| warn_of_label_leak(diagnostics, inner, path));
}

/// Checks the keys of a transform and of those nested in it.
fn check_step(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    for KeyProblem { key, message, help } in step.component().validate() {
        let path = key_path(step, path, key);
        let document = diagnostics.document;
        let location = if key == ITSELF { document.key_location(&path) } else { document.location(&path) };
        let problem = Problem::at(Some(location), message);
        diagnostics.problems.push(match help {
            Some(help) => problem.help(help),
            None => problem,
        });
    }
    if let Some(nested) = step.component().nested() {
        for (index, inner) in nested.steps.iter().enumerate() {
            check_step(diagnostics, inner, &format!("{path}.{}.{index}", nested.key));
        }
    }
}
