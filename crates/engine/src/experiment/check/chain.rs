//! Rules for the chains of transforms.

use super::Diagnostics;
use crate::experiment::median_spacing;
use crate::experiment::problem::Problem;
use crate::experiment::tree::{Node, Value};
use transforms::{ITSELF, KeyProblem, Region, Step, Transform};
use values::format_number;

pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    for (index, step) in experiment.preprocess.iter().enumerate() {
        let path = format!("preprocess.{index}");
        check_fixed(diagnostics, step, &path);
        check_step(diagnostics, step, &path);
        check_fitted(diagnostics, step.nested_steps(), &path);
        warn_of_label_leak(diagnostics, step, &path);
        if index > 0 {
            check_replacement(diagnostics, step, &path);
        } else {
            step.nested_steps().iter().for_each(|inner| check_replacement(diagnostics, inner, &path));
        }
    }
    let paths = |key, chain: &'_ [Transform]| (0..chain.len()).map(move |index| format!("{key}.{index}"));
    let of_volumes = experiment.augment.iter().zip(paths("augment", &experiment.augment));
    let of_patches = experiment.patch_augment.iter().zip(paths("patch_augment", &experiment.patch_augment));
    for (step, path) in of_volumes.chain(of_patches) {
        check_step(diagnostics, step, &path);
        check_fitted(diagnostics, std::slice::from_ref(step), &path);
        check_patchwise(diagnostics, step, &path);
        check_replacement(diagnostics, step, &path);
        warn_of_constants(diagnostics, step, &path);
    }
    for (step, path) in experiment.patch_augment.iter().zip(paths("patch_augment", &experiment.patch_augment)) {
        if median_spacing::is_used(step) {
            let message = format!(
                "{}: `spacing_mm: median` is the median of whole volumes, and every patch has the spacing of its volume",
                step.name()
            );
            diagnostics.problem(&path, message, "move it to `preprocess`, which resamples all volumes to one spacing");
        }
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

/// Warns about a single number where TorchIO reads a range around a centre.
fn warn_of_constants(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    for (key, centre) in step.component().symmetric_ranges() {
        let path = key_path(step, path, key);
        let Some((number, range, constant)) =
            diagnostics.document.node(&path).and_then(|node| constant_as_range(node, *centre))
        else {
            continue;
        };
        diagnostics.warning(format!(
            "{path}: {number} is a constant, so it is the same for every patch; write {range} to sample from a range, as TorchIO does, or {constant} if the constant is meant"
        ));
    }
    if let Some(nested) = step.component().nested() {
        for (index, inner) in nested.steps.iter().enumerate() {
            warn_of_constants(diagnostics, inner, &format!("{path}.{}.{index}", nested.key));
        }
    }
}

/// Returns the first single number in a value that is not the centre, and the value with ranges around the centre and with
/// ranges of width zero instead of numbers; `None` if there is no such number.
fn constant_as_range(node: &Node, centre: f64) -> Option<(String, String, String)> {
    let items: Vec<&Node> = match &node.value {
        Value::List(items) if items.len() == 3 => items.iter().collect(),
        Value::List(_) => return None,
        _ => vec![node],
    };
    let number = |node: &Node| match node.value {
        Value::Unsigned(value) => Some(value as f64),
        Value::Signed(value) => Some(value as f64),
        Value::Float(value) => Some(value),
        _ => None,
    };
    let first = items.iter().filter_map(|item| number(item)).find(|value| *value != centre)?;
    // A scale may be written as a factor, such as 1.1, or as TorchIO's distance from 1, such as 0.1.
    let distance = |value: f64| if centre == 0.0 || value <= 0.5 { value.abs() } else { (value - centre).abs() };
    let range = |low: f64, high: f64| format!("[{}, {}]", format_number(low), format_number(high));
    let each = |item: &&Node, of: &dyn Fn(f64) -> String| match (number(item), &item.value) {
        (Some(value), _) => of(value),
        (None, Value::List(bounds)) => match bounds.iter().filter_map(number).collect::<Vec<_>>()[..] {
            [low, high] => range(low, high),
            _ => String::new(),
        },
        (None, _) => String::new(),
    };
    let written = |of: &dyn Fn(f64) -> String| {
        let each: Vec<String> = items.iter().map(|item| each(item, of)).collect();
        if each.len() == 1 { each[0].clone() } else { format!("[{}]", each.join(", ")) }
    };
    let around = |value| range(centre - distance(value), centre + distance(value));
    Some((format_number(first), written(&around), written(&|value| range(value, value))))
}

/// Checks that a step that replaces values that are not finite is the first one.
fn check_replacement(diagnostics: &mut Diagnostics, step: &Transform, path: &str) {
    if step.component().accepts_not_finite() {
        let message =
            format!("{} must be the first step of `preprocess`: every other step requires finite values", step.name());
        diagnostics.problem(path, message, "move it to the start of `preprocess`");
    }
    step.nested_steps().iter().for_each(|inner| check_replacement(diagnostics, inner, path));
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
    if step.component().zooms() {
        let message = format!("{}: `convention: nnunet` resamples whole volumes", step.name());
        diagnostics.problem(path, message, "move it to `preprocess`, or use `convention: torchio`");
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

#[cfg(test)]
mod tests {
    use crate::experiment::check::check_document;
    use crate::experiment::load::parse;

    /// Returns the warnings about `augment`, or the first problem.
    fn checked(chains: &str) -> Result<Vec<String>, String> {
        let text = format!(
            "data: {{ source: {{ phantom: {{}} }} }}\n{chains}\nsampler: {{ uniform: {{ patch: [8, 8, 8] }} }}\n\
             model: {{ unet: {{ widths: [4] }} }}\nloss: {{ dice: {{}} }}\noptimizer: {{ adam: {{ learning_rate: 1e-4 }} }}\n\
             train: {{ epochs: 20 }}\n"
        );
        match check_document(&parse("a.yaml", &text).unwrap()) {
            Ok(warnings) => Ok(warnings.into_iter().filter(|text| text.starts_with("augment")).collect()),
            Err(problems) => Err(problems.0[0].message.clone()),
        }
    }

    #[test]
    fn a_constant_where_torchio_reads_a_range_is_a_warning_with_both_spellings() {
        let one = |step: &str| {
            let warnings = checked(&format!("augment: [{step}]")).unwrap();
            assert_eq!(warnings.len(), 1, "{step}: {warnings:?}");
            warnings[0].clone()
        };
        let advice = one("{ affine: { degrees: 10 } }");
        assert!(advice.starts_with("augment.0.affine.degrees: 10 is a constant"), "{advice}");
        assert!(advice.contains("write [-10, 10] to sample") && advice.contains("or [10, 10] if"), "{advice}");
        for (step, range, constant) in [
            ("{ affine: { degrees: -10 } }", "[-10, 10]", "[-10, -10]"),
            ("{ affine: { degrees: [0, 0, 15] } }", "[[0, 0], [0, 0], [-15, 15]]", "[[0, 0], [0, 0], [15, 15]]"),
            (
                "{ affine: { degrees: [[-5, 5], 0, 15] } }",
                "[[-5, 5], [0, 0], [-15, 15]]",
                "[[-5, 5], [0, 0], [15, 15]]",
            ),
            ("{ affine: { scales: 0.1 } }", "[0.9, 1.1]", "[0.1, 0.1]"),
            ("{ affine: { scales: 1.2 } }", "[0.8, 1.2]", "[1.2, 1.2]"),
            ("{ affine: { translation_mm: 5 } }", "[-5, 5]", "[5, 5]"),
            ("{ noise: { mean: 0.5, std: [0, 1] } }", "[-0.5, 0.5]", "[0.5, 0.5]"),
            ("{ gamma: { log_gamma: 0.3 } }", "[-0.3, 0.3]", "[0.3, 0.3]"),
            ("{ bias_field: { coefficients: 0.5 } }", "[-0.5, 0.5]", "[0.5, 0.5]"),
            ("{ motion: { degrees: 10 } }", "[-10, 10]", "[10, 10]"),
            (
                "{ maybe: { probability: 0.5, steps: [{ one_of: [{ flip: { probabilities: [1, 1, 1] } }, { affine: { degrees: 7 } }] }] } }",
                "[-7, 7]",
                "[7, 7]",
            ),
        ] {
            let advice = one(step);
            assert!(
                advice.contains(&format!("write {range} to")) && advice.contains(&format!("or {constant} if")),
                "{advice}"
            );
        }
    }

    #[test]
    fn ranges_and_constants_without_effect_cause_no_warning() {
        for step in [
            "{ affine: { degrees: [-10, 10], scales: 1, translation_mm: 0 } }",
            "{ affine: { degrees: [10, 10], scales: [[1, 1], [0.9, 1.1], [1, 1]] } }",
            "{ affine: { degrees: [0, 0, 0] } }",
            "{ noise: { std: 0.1 } }",
            "{ blur: { std_mm: 1 } }",
        ] {
            assert_eq!(checked(&format!("augment: [{step}]")), Ok(Vec::new()), "{step}");
        }
        assert_eq!(checked("preprocess: [{ affine: { degrees: 10 } }]"), Ok(Vec::new()));
    }

    #[test]
    fn patches_are_not_resampled_to_the_median_spacing() {
        let median = "[{ resample: { spacing_mm: median } }]";
        assert!(checked(&format!("preprocess: {median}")).is_ok());
        let problem = checked(&format!("patch_augment: [{{ one_of: {median} }}]")).unwrap_err();
        assert!(problem.contains("every patch has the spacing of its volume"), "{problem}");
    }

    #[test]
    fn only_the_first_preprocessing_step_may_replace_values_that_are_not_finite() {
        let replace = "{ replace_non_finite: { with: 0 } }";
        assert!(checked(&format!("preprocess: [{replace}, {{ z_normalize: {{}} }}]")).is_ok());
        for chains in [
            format!("preprocess: [{{ z_normalize: {{}} }}, {replace}]"),
            format!("preprocess: [{{ maybe: {{ probability: 1, steps: [{replace}] }} }}]"),
            format!("augment: [{replace}]"),
        ] {
            let problem = checked(&chains).unwrap_err();
            assert!(problem.contains("must be the first step of `preprocess`"), "{chains}: {problem}");
        }
    }
}
