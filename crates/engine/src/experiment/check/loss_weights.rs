//! Rules for the weights of subjects in the loss.

use super::Diagnostics;
use crate::experiment::problem::nearest;
use dataset::sources::Listing;
use dataset::split::Parts;

/// Checks the subjects that have a weight, against those of the dataset.
pub(super) fn check(diagnostics: &mut Diagnostics, listing: &Listing, parts: &Parts) {
    let experiment = &diagnostics.document.experiment;
    let Some(weights) = experiment.train.loss_weights.as_ref().filter(|weights| !weights.subjects.is_empty()) else {
        return;
    };
    const KEY: &str = "train.loss_weights.subjects";
    let names = || listing.subjects.iter().map(|subject| subject.name.as_str());
    for name in weights.subjects.keys().filter(|name| !names().any(|known| known == *name)) {
        let help = match nearest(name, names()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "subjects are named as in `split.json` of a run and in `runner check --data`".to_owned(),
        };
        diagnostics.problem(&format!("{KEY}.{name}"), format!("the dataset has no subject `{name}`"), help);
    }
    if !parts.train.is_empty() && parts.train.iter().all(|name| weights.of_subject(name) == 0.0) {
        diagnostics.problem(
            KEY,
            "all training subjects have weight 0, so nothing would be learned",
            "give some a weight above 0; subjects that are not listed have weight 1",
        );
    }
    let loss = &experiment.loss;
    if loss.component().sums_over_batch() {
        diagnostics.problem(
            KEY,
            format!(
                "with loss.{}.batch, the loss is computed from sums over the whole batch, not for each patch",
                loss.name()
            ),
            "remove `batch: true` from the loss, or the weights of subjects; `loss_weights.map` can be used with both",
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::experiment::check::summarize_dataset;
    use crate::experiment::load::parse;

    fn messages(loss: &str, subjects: &str) -> Vec<String> {
        let text = format!(
            "data: {{ source: {{ phantom: {{ subjects: 3, shape: [16, 16, 16] }} }}, split: {{ first: 2 }} }}\n\
             sampler: {{ uniform: {{ patch: [8, 8, 8] }} }}\nmodel: {{ unet: {{ widths: [2, 4] }} }}\n\
             loss: {{ {loss} }}\noptimizer: {{ adam: {{ learning_rate: 1e-4 }} }}\n\
             train: {{ epochs: 2, loss_weights: {{ subjects: {subjects} }} }}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        match summarize_dataset(&parse("a.yaml", &text).unwrap(), folder.path()) {
            Ok(_) => Vec::new(),
            Err(problems) => problems.0.into_iter().map(|problem| problem.message).collect(),
        }
    }

    #[test]
    fn unknown_subjects_weights_that_are_all_zero_and_batch_losses_are_problems() {
        const DICE: &str = "dice: {}";
        assert_eq!(messages(DICE, "{ phantom_000: 0.5 }"), Vec::<String>::new());
        assert_eq!(messages(DICE, "{ phantom_00: 0.5 }"), ["the dataset has no subject `phantom_00`"]);
        assert!(messages(DICE, "{ phantom_000: 0, phantom_001: 0 }")[0].contains("nothing would be learned"));
        assert!(messages("dice: { batch: true }", "{ phantom_000: 0.5 }")[0].contains("sums over the whole batch"));
    }
}
