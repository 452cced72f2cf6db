//! The tables of a comparison: texts for the terminal, the page and Markdown, and CSV files.

use crate::comparison::{ComparedEpoch, ComparedRun, Estimate, Group, Setting, Subject};
use crate::format::truncate;
use crate::runs::ComparedMetric;

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
    header.extend(group.labels.iter().map(|label| group.metric.header(label)));
    header.push(group.metric.header("mean"));
    header.extend((group.epoch == ComparedEpoch::Best).then(|| last_mean_header(group)));
    let rows = (0..group.runs.len()).map(|run| run_row(group, run, &optional)).collect();
    TextTable { header, rows }
}

/// Returns the header of the mean at the last scored epoch.
fn last_mean_header(group: &Group) -> String {
    format!("{}, last epoch", group.metric.header("mean"))
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
    let score = |score: Option<f64>| score.map(|score| group.metric.number(score)).unwrap_or_default();
    cells.extend((0..group.labels.len()).map(|label| score(scores.and_then(|scores| scores.labels[label].mean))));
    cells.push(score(run.mean()));
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

/// Returns the settings of a group with their means and confidence intervals, best first.
pub fn settings(group: &Group) -> TextTable {
    let are_abbreviated = group.settings.iter().any(Setting::is_abbreviated);
    let mut header: Vec<String> = are_abbreviated.then(String::new).into_iter().collect();
    let has_runs = has_several_runs(group);
    header.push(group.setting_noun().to_owned());
    header.extend((group.subject == Subject::Runs).then(|| "runs".to_owned()));
    header.push("cases".to_owned());
    header.extend(group.labels.iter().map(|label| group.metric.header(label)));
    header.push(group.metric.header("mean"));
    header.extend(has_runs.then(|| group.metric.header("mean per run")));
    let labels_with_misses = labels_with_misses(group);
    header.extend(labels_with_misses.iter().map(|label| missed_header(group, &group.labels[*label])));
    let rows = group.settings.iter().map(|setting| {
        let mut cells: Vec<String> = are_abbreviated.then(|| setting.short_name.clone()).into_iter().collect();
        cells.push(setting.name.clone());
        cells.extend((group.subject == Subject::Runs).then(|| setting.runs.len().to_string()));
        cells.push(setting.cases.len().to_string());
        cells.extend(setting.labels.iter().chain([&setting.mean]).map(|mean| estimate(&group.metric, mean)));
        cells.extend(has_runs.then(|| means_of_runs(&group.metric, &setting.means())));
        cells.extend(labels_with_misses.iter().map(|label| percent(setting.missed_fractions[*label])));
        cells
    });
    TextTable { header, rows: rows.collect() }
}

/// Returns whether a setting has several runs, so that the mean of a setting is not that of its run.
pub(crate) fn has_several_runs(group: &Group) -> bool {
    group.settings.iter().any(|setting| setting.runs.len() > 1)
}

/// Returns the labels that some setting missed in some case. A mean hides a missed lesion, so these have a column.
pub(crate) fn labels_with_misses(group: &Group) -> Vec<usize> {
    let is_missed = |fraction: Option<f64>| fraction.is_some_and(|fraction| fraction > 0.0);
    let has_misses = |label: &usize| group.settings.iter().any(|setting| is_missed(setting.missed_fractions[*label]));
    (0..group.labels.len()).filter(has_misses).collect()
}

/// Returns the header of the column with the fraction of missed cases: `Dice tumour = 0`, or `HD95 tumour undefined`.
pub(crate) fn missed_header(group: &Group, label: &str) -> String {
    let what = if group.metric.is_higher_better() { "= 0" } else { "undefined" };
    format!("{} {label} {what}", group.metric.title)
}

fn percent(fraction: Option<f64>) -> String {
    fraction.map(|fraction| format!("{:.1} %", 100.0 * fraction)).unwrap_or_default()
}

/// Lists up to three means, and gives the range of more.
fn means_of_runs(metric: &ComparedMetric, means: &[f64]) -> String {
    match means {
        [first, .., last] if means.len() > 3 => format!("{} to {}", metric.number(*first), metric.number(*last)),
        few => few.iter().map(|mean| metric.number(*mean)).collect::<Vec<_>>().join(", "),
    }
}

/// Formats an estimate as in `0.842 [0.801, 0.871]`.
pub fn estimate(metric: &ComparedMetric, estimate: &Estimate) -> String {
    match (estimate.mean, estimate.interval) {
        (Some(mean), Some(interval)) => {
            let [mean, low, high] = [mean, interval.low, interval.high].map(|value| metric.number(value));
            format!("{mean} [{low}, {high}]")
        }
        (Some(mean), None) => metric.number(mean),
        (None, _) => String::new(),
    }
}
