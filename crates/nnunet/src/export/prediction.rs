//! Which stages, sliding windows and decisions nnU-Net has.

use super::refusals::{CHANGE_PLAN, Refusals, differences};
use crate::document::inference_rules;
use crate::flow::flow;
use engine::experiment::spec::Experiment;
use engine::inference::options::Inference;
use engine::inference::postprocess::Postprocess;

/// Refuses the second stage of a cascade.
pub(super) fn check_stages(experiment: &Experiment, refusals: &mut Refusals) {
    if experiment.data.previous.is_some() {
        let message = "only runs without previous runs can be exported";
        refusals.add(
            "data.previous",
            message,
            "export the runs of the first stage, or train an experiment without this key",
        );
    }
}

/// Refuses other windows than nnU-Net's.
pub(super) fn check_windows(experiment: &Experiment, refusals: &mut Refusals) {
    // The shape of windows, mirroring and the number of windows at a time are free.
    let Inference { window, mirror, batch_size, .. } = experiment.inference.clone();
    let rules: Option<Inference> = serde_json::from_value(inference_rules()).ok();
    let expected = rules.map(|rules| Inference { window, mirror, batch_size, ..rules });
    let json = |inference: &Inference| serde_json::to_value(inference).unwrap_or_default();
    let expected = expected.map(|expected| json(&expected)).unwrap_or_default();
    for (key, value) in differences(&json(&experiment.inference), &expected) {
        let value = flow(&value);
        let message = format!("nnU-Net predicts with `{key}: {value}`");
        refusals.add(
            format!("inference.{key}"),
            message,
            format!("write `{key}: {value}` into plan.yaml; {CHANGE_PLAN}"),
        );
    }
}

/// Refuses post-processing, which nnU-Net's model folders lack, unless it is left out; returns a note if it is.
pub(super) fn check_postprocess(steps: &[Postprocess], is_left_out: bool, refusals: &mut Refusals) -> Option<String> {
    let others = steps.iter().enumerate().filter(|(_, step)| !matches!(step, Postprocess::Argmax(_)));
    let names: Vec<&str> = others.clone().map(|(_, step)| step.name()).collect();
    if is_left_out {
        let names = names.join(", ");
        return (!names.is_empty())
            .then(|| format!("post-processing is left out, so label maps are those before {names}"));
    }
    for (index, step) in others {
        let name = step.name();
        let message = format!("nnU-Net's model folders have no post-processing such as `{name}`");
        let help = "export with --without-postprocess, and apply the step to nnU-Net's label maps by other means";
        refusals.add(format!("postprocess.{index}.{name}"), message, help);
    }
    None
}
