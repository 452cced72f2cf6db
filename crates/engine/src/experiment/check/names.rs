//! Rules for labels and names.

use std::collections::BTreeMap;

use super::{Diagnostics, scores};
use volume::Label;

/// Returns the column name of a label: lower case, with `_` instead of spaces.
pub(in crate::experiment) fn column_name(name: &str) -> String {
    name.trim().to_lowercase().replace(' ', "_")
}

/// Returns whether a name is a valid folder name.
pub fn is_folder_name(name: &str) -> bool {
    values::is_file_name(name)
}

/// Which folder names are valid.
pub const NAME_HELP: &str = "use letters, digits, `_` and `-`";

pub(super) fn check(diagnostics: &mut Diagnostics) {
    let experiment = &diagnostics.document.experiment;
    if experiment.name.as_deref().is_some_and(|name| !is_folder_name(name)) {
        diagnostics.problem("name", "expected a valid folder name", NAME_HELP);
    }
    if let Some(labels) = &experiment.data.labels {
        check_label_names(diagnostics, labels);
        let regions = experiment.data.regions.iter().flat_map(|regions| regions.iter());
        let regions: Vec<String> = regions.map(|(name, _)| column_name(name)).collect();
        check_uses(diagnostics, labels, &regions, experiment.data.ignore_label);
    }
    diagnostics.violations("metrics", scores::repeated_metrics(&experiment.metrics));
}

fn check_label_names(diagnostics: &mut Diagnostics, labels: &BTreeMap<Label, String>) {
    if labels.is_empty() {
        diagnostics.problem(
            "data.labels",
            "expected at least one label, got none",
            "add a label, such as `{ 1: liver }`, or remove the key",
        );
    }
    diagnostics.violations("data.labels", scores::label_names(labels));
}

/// Checks that the labels of other sections are declared, and that their names are not those of trained regions. A sampler may also
/// choose the ignored label.
pub(super) fn check_uses(
    diagnostics: &mut Diagnostics,
    labels: &BTreeMap<Label, String>,
    regions: &[String],
    ignore: Option<Label>,
) {
    let experiment = &diagnostics.document.experiment;
    let declared = scores::declared(labels);
    let sampler = &experiment.sampler;
    if let Some((key, chosen)) = sampler.component().chosen_labels() {
        let is_unknown = |value: &Label| *value != 0 && Some(*value) != ignore && !labels.contains_key(value);
        for value in chosen.into_iter().filter(is_unknown) {
            diagnostics.key_problem(
                &format!("sampler.{}.{key}.{value}", sampler.name()),
                format!("label {value} is not declared"),
                format!("data.labels declares {declared}"),
            );
        }
    }
    let violations = scores::labels_of_metrics(&experiment.metrics, labels, regions, "data.labels");
    diagnostics.violations("metrics", violations);
}
