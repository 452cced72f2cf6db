//! The tables of a comparison: texts for the terminal, the page and Markdown, and CSV files.

use crate::comparison::{ComparedEpoch, ComparedRun, Estimate, Group, Setting};
use crate::format::{three_decimals, truncate};

mod csv_files;

pub use csv_files::{write_cases, write_comparisons, write_summary};

/// The maximum length of a value; `summary.csv` has the full values.
const MAX_VALUE_LENGTH: usize = 60;

/// A table of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextTable {
    /// The names of the columns.
    pub header: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

/// Returns the runs of a group with their varying keys, epochs and scores, best first.
pub fn runs(group: &Group) -> TextTable {
    let optional = OptionalColumns::of(group);
    let mut header = vec!["run".to_owned()];
    if optional.status {
        header.push("status".to_owned());
    }
    header.extend(group.varying_keys.iter().map(|key| key.path.clone()));
    header.extend(optional.seed.then(|| "seed".to_owned()));
    header.extend(optional.fold.then(|| "fold".to_owned()));
    let epoch = if group.epoch == ComparedEpoch::Best { "best epoch" } else { "last epoch" };
    header.extend(["epochs", epoch].map(str::to_owned));
    header.extend(group.labels.iter().map(|label| format!("Dice {label}")));
    header.push("Dice mean".to_owned());
    header.extend((group.epoch == ComparedEpoch::Best).then(|| "last Dice mean".to_owned()));
    let rows = (0..group.runs.len()).map(|run| run_row(group, run, &optional)).collect();
    TextTable { header, rows }
}

/// Columns that a table has only if they distinguish runs.
struct OptionalColumns {
    status: bool,
    seed: bool,
    fold: bool,
}

impl OptionalColumns {
    fn of(group: &Group) -> Self {
        Self {
            status: group.runs.iter().any(|run| run.exclusion.is_some()),
            seed: group.num_seeds() > 1,
            fold: group.has_folds(),
        }
    }
}

fn run_row(group: &Group, index: usize, optional: &OptionalColumns) -> Vec<String> {
    let run = &group.runs[index];
    let mut cells = vec![run.run.name.clone()];
    if optional.status {
        cells.push(status(run));
    }
    cells.extend(group.values(index).map(|value| truncate(value, MAX_VALUE_LENGTH)));
    cells.extend(optional.seed.then(|| integer(run.run.seed())));
    cells.extend(optional.fold.then(|| integer(run.fold)));
    cells.push(run.run.epochs().to_string());
    let scores = run.scores.as_ref();
    cells.push(scores.map(|scores| scores.epoch.to_string()).unwrap_or_default());
    cells.extend((0..group.labels.len()).map(|label| score(scores.and_then(|scores| scores.labels[label].mean))));
    cells.push(score(run.mean_dice()));
    cells.extend((group.epoch == ComparedEpoch::Best).then(|| score(scores.and_then(|scores| scores.last_mean))));
    cells
}

/// Returns the status of a run, or why it is excluded from all means.
fn status(run: &ComparedRun) -> String {
    match (&run.exclusion, &run.run.reason) {
        (Some(exclusion), Some(reason)) => truncate(&format!("{exclusion}: {reason}"), MAX_VALUE_LENGTH),
        (Some(exclusion), None) => exclusion.clone(),
        (None, _) => "done".to_owned(),
    }
}

fn integer(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn score(score: Option<f64>) -> String {
    score.map(|score| format!("{score:.4}")).unwrap_or_default()
}

/// Returns the settings of a group with their means and confidence intervals, best first.
pub fn settings(group: &Group) -> TextTable {
    let has_letters = group.settings.iter().any(Setting::has_letter);
    let mut header: Vec<String> = has_letters.then(String::new).into_iter().collect();
    header.extend(["setting", "runs", "cases"].map(str::to_owned));
    header.extend(group.labels.iter().map(|label| format!("Dice {label}")));
    header.extend(["Dice mean", "Dice mean per run"].map(str::to_owned));
    // A mean hides a missed lesion, so labels with zeros have a column.
    let has_zeros = |label: &usize| {
        group.settings.iter().any(|setting| setting.zero_fractions[*label].is_some_and(|fraction| fraction > 0.0))
    };
    let labels_with_zeros: Vec<usize> = (0..group.labels.len()).filter(has_zeros).collect();
    header.extend(labels_with_zeros.iter().map(|label| format!("Dice {} = 0", group.labels[*label])));
    let rows = group.settings.iter().map(|setting| {
        let mut cells: Vec<String> = has_letters.then(|| setting.short_name.clone()).into_iter().collect();
        cells.extend([setting.name.clone(), setting.runs.len().to_string(), setting.cases.len().to_string()]);
        cells.extend(setting.labels.iter().chain([&setting.mean]).map(estimate));
        cells.push(means_of_runs(&setting.means()));
        cells.extend(labels_with_zeros.iter().map(|label| percent(setting.zero_fractions[*label])));
        cells
    });
    TextTable { header, rows: rows.collect() }
}

fn percent(fraction: Option<f64>) -> String {
    fraction.map(|fraction| format!("{:.1} %", 100.0 * fraction)).unwrap_or_default()
}

/// Lists up to three means, and gives the range of more.
fn means_of_runs(means: &[f64]) -> String {
    match means {
        [first, .., last] if means.len() > 3 => format!("{} to {}", three_decimals(*first), three_decimals(*last)),
        few => few.iter().copied().map(three_decimals).collect::<Vec<_>>().join(", "),
    }
}

/// Formats an estimate as in `0.842 [0.801, 0.871]`.
pub fn estimate(estimate: &Estimate) -> String {
    match (estimate.mean, estimate.interval) {
        (Some(mean), Some(interval)) => {
            format!("{} [{}, {}]", three_decimals(mean), three_decimals(interval.low), three_decimals(interval.high))
        }
        (Some(mean), None) => three_decimals(mean),
        (None, _) => String::new(),
    }
}
