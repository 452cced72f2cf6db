//! Rules on the chains of transforms.

use super::Diagnostics;
use crate::experiment::problem::Problem;
use transforms::{Region, Transform};

pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    for (index, step) in experiment.preprocess.iter().enumerate() {
        let path = format!("preprocess.{index}");
        check_fixed(diagnostics, step, &path);
        check_step(diagnostics, step, &path);
        check_learned(diagnostics, step.inner(), &path);
        warn_of_truth(diagnostics, step, &path);
    }
    for (index, step) in experiment.augment.iter().enumerate() {
        let path = format!("augment.{index}");
        check_step(diagnostics, step, &path);
        check_learned(diagnostics, std::slice::from_ref(step), &path);
        check_late(diagnostics, step, &path);
    }
    let clamp = experiment.preprocess.iter().position(|step| matches!(step, Transform::Clamp(_)));
    let rescale = experiment.preprocess.iter().position(|step| match step {
        Transform::RescaleIntensity(rescale) => {
            rescale.percentiles[0].get() == 0.0 && rescale.percentiles[1].get() == 100.0 && rescale.from.is_none()
        }
        _ => false,
    });
    if rescale.is_some_and(|rescale| clamp.is_none_or(|clamp| clamp > rescale)) {
        diagnostics.warning("rescale_intensity maps the full range without a clamp before it: on CT one metal artefact rescales the whole volume; put `- clamp: { min: -200, max: 250 }` before it");
    }
}

/// Steps of preprocess run once, so nothing in them may be left to chance.
fn check_fixed(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    let help = "move the step to `augment`, or give it ranges of width zero";
    let random = |key: &str| format!("{path}.{key}");
    let wide: Vec<String> = match step {
        Transform::OneOf(steps) if steps.len() > 1 => vec![random("one_of")],
        Transform::OneOf(steps) => {
            for (index, inner) in steps.iter().enumerate() {
                check_fixed(diagnostics, inner, &random(&format!("one_of.{index}")));
            }
            Vec::new()
        }
        Transform::Maybe(maybe) => {
            for (index, inner) in maybe.steps.iter().enumerate() {
                check_fixed(diagnostics, inner, &random(&format!("maybe.steps.{index}")));
            }
            let fixed = [0.0, 1.0].contains(&maybe.probability.get());
            if fixed { Vec::new() } else { vec![random("maybe.probability")] }
        }
        step => step.random_keys().into_iter().map(random).collect(),
    };
    for path in wide {
        diagnostics.problem(&path, "expected a step without chance in `preprocess`, got a random one", help);
    }
}

/// Steps whose numbers come from all training subjects stand in preprocess itself, where they are learnt once.
fn check_learned(diagnostics: &mut Diagnostics, steps: &[Transform], path: &str) {
    for step in steps {
        if step.needs_fit() {
            let message =
                format!("{} learns from the training subjects, so it cannot be applied at random", step.name());
            diagnostics.problem(
                path,
                message,
                "put it into `preprocess`, outside of `maybe` and `one_of`, or give its numbers",
            );
        }
        check_learned(diagnostics, step.inner(), path);
    }
}

/// Steps that need the whole volume or label map leave nothing to chance, so they are computed once, before.
fn check_late(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    if step.label_transform().is_some() || step.resolves_from_volume() {
        let message = format!(
            "{} looks at the whole volume and is the same in every epoch, so it belongs to `preprocess`",
            step.name()
        );
        diagnostics.problem(path, message, "move it to `preprocess`");
    }
    if step.extension().is_some() {
        let message =
            format!("{} goes on with the volume's own voxels here, which takes the whole volume", step.name());
        diagnostics.problem(path, message, "move it to `preprocess`, or give `fill` an intensity");
    }
    for inner in step.inner() {
        check_late(diagnostics, inner, path);
    }
}

/// A region that labels give makes the score of validation look better than that of new images, which have none.
fn warn_of_truth(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    let region = match step {
        Transform::CropOrPad(crop) => crop.mask.as_ref(),
        Transform::Mask(mask) => Some(&mask.keep),
        Transform::RescaleIntensity(rescale) => rescale.mask.as_ref(),
        Transform::ZNormalize(normalize) => normalize.mask.as_ref(),
        Transform::HistogramStandardization(histogram) => histogram.mask.as_ref(),
        _ => None,
    };
    if region.is_some_and(Region::needs_labels) {
        diagnostics.warning(format!(
            "{path}.{} looks at the true labels, in validation too: scores come out too good, and an image without labels cannot be predicted; give the region by intensity, such as `above: -500`",
            step.name()
        ));
    }
    step.inner().iter().for_each(|inner| warn_of_truth(diagnostics, inner, path));
}

/// Rules between the keys of one step.
fn check_step(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    let before = diagnostics.problems.len();
    check_keys(diagnostics, step, path);
    if let Some(message) = step.problem().filter(|_| diagnostics.problems.len() == before) {
        let location = diagnostics.document.location(path);
        diagnostics.problems.push(Problem::at(Some(location), message));
    }
}

/// Rules whose mark falls on one key of a step.
fn check_keys(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    match step {
        Transform::Clamp(clamp) => match (clamp.min, clamp.max) {
            (None, None) => diagnostics.key_problem(
                &format!("{path}.clamp"),
                "clamp has no limit, so it does nothing",
                "give `min`, `max` or both",
            ),
            (Some(min), Some(max)) if min >= max => {
                diagnostics.problem(
                    &format!("{path}.clamp.max"),
                    format!("expected max above min {min}, got {max}"),
                    "swap them",
                );
            }
            _ => {}
        },
        Transform::RescaleIntensity(rescale) => {
            let [low, high] = rescale.percentiles.map(|percentile| percentile.get());
            if low >= high {
                let message = format!("expected percentiles [low, high] with low < high, got [{low}, {high}]");
                diagnostics.problem(&format!("{path}.rescale_intensity.percentiles"), message, "swap them");
            }
            if rescale.from.is_some_and(|from| from.is_fixed()) {
                diagnostics.problem(
                    &format!("{path}.rescale_intensity.from"),
                    "expected a range above width zero",
                    "give [low, high] with low < high",
                );
            }
        }
        Transform::Affine(affine) => {
            if let Some(message) = affine.problem() {
                diagnostics.problem(
                    &format!("{path}.affine.scales"),
                    message,
                    "1 leaves the size, 0.9 makes it a tenth smaller",
                );
            }
            if affine.isotropic && affine.scales.0.iter().any(|range| *range != affine.scales.0[0]) {
                diagnostics.problem(
                    &format!("{path}.affine.scales"),
                    "expected one range for all axes, since `isotropic` is true",
                    "write scales: [low, high]",
                );
            }
        }
        Transform::OneOf(steps) => {
            if steps.is_empty() {
                diagnostics.key_problem(
                    &format!("{path}.one_of"),
                    "expected at least one step, got none",
                    "add steps or remove this one",
                );
            }
            for (index, inner) in steps.iter().enumerate() {
                check_step(diagnostics, inner, &format!("{path}.one_of.{index}"));
            }
        }
        Transform::Maybe(maybe) => {
            for (index, inner) in maybe.steps.iter().enumerate() {
                check_step(diagnostics, inner, &format!("{path}.maybe.steps.{index}"));
            }
        }
        _ => {}
    }
}
