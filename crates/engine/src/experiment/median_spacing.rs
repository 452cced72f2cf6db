//! Replaces the spacing `median` of a preprocessing step by the median spacing of the training subjects.

use super::spec::Experiment;
use transforms::lazy;
use transforms::{Incoming, Transform};
use values::Spacing;
use volume::Grid;

/// Returns whether a step of a chain resamples to a median spacing that has not been computed.
pub fn is_pending(experiment: &Experiment) -> bool {
    experiment.chains().into_iter().flat_map(|(_, steps)| steps).any(|step| is_pending_in(&mut step.clone()))
}

/// Returns whether a step, or one inside it, resamples to the median spacing.
pub(super) fn is_used(step: &Transform) -> bool {
    step.clone().component_mut().median_spacing_mut().is_some() || step.nested_steps().iter().any(is_used)
}

fn is_pending_in(step: &mut Transform) -> bool {
    step.component_mut().median_spacing_mut().is_some_and(|median| median.is_none())
        || step.component_mut().nested_mut().iter_mut().any(is_pending_in)
}

/// Computes the median spacings of an experiment whose training subjects have these grids in their files, each as it is
/// when it enters the step.
pub(super) fn resolve(experiment: &mut Experiment, channels: usize, mut grids: Vec<Grid>) {
    let num_reorienting = experiment.preprocess_chain().len() - experiment.preprocess.len();
    let mut reorienting = experiment.preprocess_chain();
    reorienting.truncate(num_reorienting);
    for step in reorienting.iter_mut().chain(experiment.chains_mut().into_iter().flat_map(|(_, steps)| steps)) {
        grids = resolve_step(step, channels, &grids);
    }
}

/// Computes the median spacings of a step and of those nested in it; returns the grids after it.
fn resolve_step(step: &mut Transform, channels: usize, grids: &[Grid]) -> Vec<Grid> {
    if let Some(median) = step.component_mut().median_spacing_mut() {
        median.get_or_insert_with(|| median_spacing(grids));
    }
    if let Some(is_choice) = step.component().nested().map(|nested| nested.is_choice) {
        let mut after = grids.to_vec();
        for inner in step.component_mut().nested_mut() {
            after = resolve_step(inner, channels, if is_choice { grids } else { &after });
        }
        return after;
    }
    let step = std::slice::from_ref(step);
    let outgoing = |grid: &Grid| {
        let incoming = Incoming { grid: *grid, channels };
        lazy::output_grid(step, &lazy::fixed_params(step, &incoming), grid)
    };
    grids.iter().map(outgoing).collect()
}

/// Returns the median of the spacings along each axis; of an even number, the mean of the two in the middle.
fn median_spacing(grids: &[Grid]) -> Spacing {
    Spacing(std::array::from_fn(|axis| {
        let mut along: Vec<f64> = grids.iter().map(|grid| grid.spacing()[axis]).collect();
        along.sort_by(f64::total_cmp);
        let middle = along.len() / 2;
        match along.len() {
            0 => 1.0,
            count if count % 2 == 1 => along[middle],
            _ => (along[middle - 1] + along[middle]) / 2.0,
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::load::parse;
    use volume::Affine;

    fn experiment(preprocess: &str, orientation: &str) -> Experiment {
        let text = format!(
            "data: {{ source: {{ phantom: {{}} }}, orientation: {orientation} }}\npreprocess: {preprocess}\n\
             sampler: {{ uniform: {{ patch: [8, 8, 8] }} }}\nmodel: {{ unet: {{ widths: [4] }} }}\nloss: {{ dice: {{}} }}\n\
             optimizer: {{ adam: {{ learning_rate: 1e-4 }} }}\ntrain: {{ epochs: 1 }}\n"
        );
        parse("a.yaml", &text).unwrap().experiment
    }

    fn grids(spacings: &[[f64; 3]]) -> Vec<Grid> {
        spacings.iter().map(|mm| Grid { shape: [20; 3], affine: Affine::scale_and_shift(*mm, [0.0; 3]) }).collect()
    }

    fn written(experiment: &Experiment) -> serde_json::Value {
        serde_json::to_value(&experiment.preprocess).unwrap()
    }

    #[test]
    fn each_axis_has_its_own_median() {
        let mut of_three = experiment("[{ resample: { spacing_mm: median } }]", "reorient");
        assert!(is_pending(&of_three));
        let mut of_two = of_three.clone();
        resolve(&mut of_three, 1, grids(&[[1.0, 3.0, 5.0], [2.0, 2.0, 1.0], [9.0, 1.0, 2.5]]));
        assert_eq!(written(&of_three)[0]["resample"]["spacing_mm"], serde_json::json!({ "median": [2.0, 2.0, 2.5] }));
        resolve(&mut of_two, 1, grids(&[[1.0, 3.0, 5.0], [2.0, 2.0, 1.0]]));
        assert_eq!(written(&of_two)[0]["resample"]["spacing_mm"], serde_json::json!({ "median": [1.5, 2.5, 3.0] }));
        assert!(!is_pending(&of_two));
        // A median that has been computed stays.
        resolve(&mut of_two, 1, grids(&[[9.0; 3]]));
        assert_eq!(written(&of_two)[0]["resample"]["spacing_mm"], serde_json::json!({ "median": [1.5, 2.5, 3.0] }));
    }

    #[test]
    fn the_spacing_is_that_after_the_steps_before_and_in_ras_orientation() {
        let mut own = experiment(
            "[{ resize: { shape: [10, null, null] } }, { maybe: { probability: 1, steps: [{ resample: { spacing_mm: median } }] } }]",
            "reorient",
        );
        // Along the file's axes x is superior, so it becomes z.
        let permuted = Affine::from_parts([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [3.0, 0.0, 0.0]], [0.0; 3]);
        resolve(&mut own, 1, vec![Grid { shape: [20; 3], affine: permuted }]);
        let step = &written(&own)[1]["maybe"]["steps"][0];
        assert_eq!(step["resample"]["spacing_mm"], serde_json::json!({ "median": [2.0, 1.0, 3.0] }));
    }
}
