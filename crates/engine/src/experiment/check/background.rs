//! Rules for steps that mask the background of patches.

use super::Diagnostics;
use transforms::lazy::background_step;
use transforms::{Step, Transform};

/// Checks that such steps are in `patch_augment`, and that `preprocess` defines the background and keeps it marked.
pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    for (key, chain) in [("preprocess", &experiment.preprocess), ("augment", &experiment.augment)] {
        if let Some((index, name)) = find(chain, |step| step.needs_background()) {
            diagnostics.problem(
                &format!("{key}.{index}"),
                format!("{name} masks patches, so it belongs in `patch_augment`"),
                "move it to the end of `patch_augment`",
            );
        }
    }
    let Some((index, name)) = find(&experiment.patch_augment, |step| step.needs_background()) else { return };
    let Some(crop) = background_step(&experiment.preprocess) else {
        return diagnostics.problem(
            &format!("patch_augment.{index}"),
            format!("{name} masks voxels outside the mask of `crop_to_nonzero`, which `preprocess` does not have"),
            "start `preprocess` with `- crop_to_nonzero: {}`, or remove this step",
        );
    };
    let after = &experiment.preprocess[crop + 1..];
    if let Some((index, reader)) = find(after, |step| step.needs_labels() || step.relabels()) {
        diagnostics.problem(
            &format!("preprocess.{}", crop + 1 + index),
            format!("{reader} reads or changes labels after `crop_to_nonzero`, which marks the background in them for {name}"),
            format!("move it before `crop_to_nonzero`, or remove {name} from `patch_augment`"),
        );
    }
}

/// Returns the index of the first step of a chain with a property, and the name of the step, itself or inside it, that has it.
fn find(chain: &[Transform], has_property: fn(&dyn Step) -> bool) -> Option<(usize, &'static str)> {
    chain.iter().enumerate().find_map(|(index, step)| Some((index, name_of(step, has_property)?)))
}

fn name_of(step: &Transform, has_property: fn(&dyn Step) -> bool) -> Option<&'static str> {
    if has_property(step.component()) {
        return Some(step.name());
    }
    step.nested_steps().iter().find_map(|inner| name_of(inner, has_property))
}

#[cfg(test)]
mod tests {
    use crate::experiment::check::check_document;
    use crate::experiment::load::parse;

    fn message(chains: &str) -> Option<String> {
        let text = format!(
            "data: {{ source: {{ phantom: {{}} }} }}\n{chains}\nsampler: {{ uniform: {{ patch: [8, 8, 8] }} }}\n\
             model: {{ unet: {{ widths: [4] }} }}\nloss: {{ dice: {{}} }}\noptimizer: {{ adam: {{ learning_rate: 1e-4 }} }}\n\
             train: {{ epochs: 20 }}\n"
        );
        check_document(&parse("a.yaml", &text).unwrap()).err().map(|problems| problems.0[0].message.clone())
    }

    #[test]
    fn masking_requires_a_background_that_stays_marked() {
        let chains =
            |preprocess: &str| format!("preprocess: [{preprocess}]\npatch_augment: [{{ mask_background: {{}} }}]");
        let crop = "{ crop_to_nonzero: {} }";
        assert_eq!(message(&chains(&format!("{crop}, {{ z_normalize: {{}} }}"))), None);
        let keep_largest = "{ keep_largest: { labels: [1] } }";
        assert_eq!(message(&chains(&format!("{keep_largest}, {crop}"))), None);
        let problem = message(&chains("")).unwrap();
        assert!(problem.contains("`preprocess` does not have"), "{problem}");
        for (step, name) in [
            (keep_largest, "keep_largest"),
            ("{ maybe: { probability: 1, steps: [{ z_normalize: { mask: { labels: [] } } }] } }", "z_normalize"),
        ] {
            let problem = message(&chains(&format!("{crop}, {step}"))).unwrap();
            assert!(problem.starts_with(&format!("{name} reads or changes labels after")), "{problem}");
        }
    }

    #[test]
    fn only_patches_are_masked() {
        for key in ["preprocess", "augment"] {
            let problem =
                message(&format!("{key}: [{{ maybe: {{ probability: 1, steps: [{{ mask_background: {{}} }}] }} }}]"));
            assert!(problem.unwrap().contains("belongs in `patch_augment`"), "{key}");
        }
    }
}
