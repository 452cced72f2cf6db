//! Results of an evaluation: a table of cases, a summary and plots, and their output on the terminal.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::pairs::few;
use crate::output_paths::{check_file, check_folder, make_folder, make_folder_of};
use crate::terminal::table::table;
use crate::terminal::{CliError, run_error};
use metrics::{CaseScores, Class, Metric, ScoreColumn, summarize_all, with_unit};
use report::format::{count, decimals};
use report::plots::BoxPlot;
use report::statistics::{ScoreSummary, ScoreTable};
use run_folder::folder::write_atomically;
use volume::Label;

/// Maximum number of cases that are printed.
const MAX_PRINTED: usize = 10;
/// With more scores than this, cases are printed with those of the first metric only.
const MAX_COLUMNS: usize = 8;

/// The scores of some cases.
pub(super) struct Evaluation {
    /// The metrics.
    pub metrics: Vec<Metric>,
    /// The classes.
    pub classes: Vec<Class>,
    /// The names of labels, for pictures.
    pub names: BTreeMap<Label, String>,
    /// The cases and their scores for each metric.
    pub cases: Vec<(String, Vec<CaseScores>)>,
    /// The names of the cases that have no prediction and were scored as empty.
    pub missing: Vec<String>,
}

/// Output paths of an evaluation.
pub(super) struct Outputs {
    /// The table with a row for each case.
    pub cases: PathBuf,
    /// The table with a row for each score.
    pub summary: PathBuf,
    /// The folder of plots.
    pub plots: PathBuf,
    /// The folder of pictures of the worst cases.
    pub worst: PathBuf,
}

/// Statistics of an evaluation.
pub(super) struct Results<'a> {
    /// The evaluation.
    pub evaluation: &'a Evaluation,
    /// The scores, worst case first.
    scores: ScoreTable,
    /// Summary statistics of each column.
    summaries: Vec<ScoreSummary>,
    /// Scores of all cases together that are not the mean of a column, such as the mean over labels.
    overall: Vec<(String, Option<f64>)>,
}

impl Outputs {
    /// Returns the paths next to a table of cases.
    pub fn next_to(out: &Path) -> Self {
        let name = out.file_stem().unwrap_or_default().to_string_lossy();
        let next = |suffix: &str| out.with_file_name(format!("{name}_{suffix}"));
        Self { cases: out.to_owned(), summary: next("summary.csv"), plots: next("plots"), worst: next("worst") }
    }

    /// Checks that everything can be written.
    pub fn check(&self) -> Result<(), CliError> {
        [&self.cases, &self.summary].into_iter().try_for_each(|path| check_file(path))?;
        [&self.plots, &self.worst].into_iter().try_for_each(|path| check_folder(path))
    }

    /// Removes the tables of an earlier evaluation, which would not match the new predictions.
    pub fn clear(&self) -> Result<(), CliError> {
        for path in [&self.cases, &self.summary] {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(CliError::failure(&error)),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Evaluation {
    /// Computes the statistics over all cases.
    pub fn results(&self) -> Results<'_> {
        let scores = self.scores();
        let overall = self.overall(&scores.columns);
        Results { evaluation: self, summaries: scores.summaries(), scores, overall }
    }

    /// Returns the scores as a table, worst case first by the mean over labels of the first metric.
    fn scores(&self) -> ScoreTable {
        let columns = self.metrics.iter().flat_map(|metric| metric.case_columns(&self.classes)).collect();
        let row = |scores: &[CaseScores]| scores.iter().flat_map(|metric| metric.scores.iter().copied()).collect();
        let cases = self.cases.iter().map(|(name, scores)| (name.clone(), row(scores))).collect();
        let mut scores = ScoreTable { columns, cases };
        let Some(first) = self.metrics.first() else { return scores };
        let ranking = first.ranking_columns(&self.classes);
        let lower = ranking.first().is_some_and(|column| metrics::lower_is_better(&scores.columns[*column]));
        let order = scores.worst_first(&ranking, lower);
        scores.cases = order.into_iter().map(|index| scores.cases[index].clone()).collect();
        scores
    }

    /// Returns the scores of all cases together that are not the mean of a column, such as the mean over labels.
    fn overall(&self, columns: &[String]) -> Vec<(String, Option<f64>)> {
        let cases: Vec<Vec<CaseScores>> = self.cases.iter().map(|(_, scores)| scores.clone()).collect();
        let names = self.metrics.iter().flat_map(|metric| metric.summary_columns(&self.classes));
        let values = summarize_all(&self.metrics, &cases, &self.classes);
        names.zip(values).filter(|(name, _)| !columns.contains(name)).collect()
    }
}

impl Results<'_> {
    /// Returns the names of the cases, worst first.
    pub fn worst_first(&self) -> Vec<&str> {
        self.scores.cases.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Writes both tables and a plot for each metric.
    pub fn write(&self, outputs: &Outputs) -> Result<(), CliError> {
        let scores = &self.scores;
        let header = std::iter::once("subject".to_owned()).chain(scores.columns.iter().cloned()).collect();
        let row = |(name, scores): &(String, Vec<Option<f64>>)| {
            std::iter::once(name.clone()).chain(scores.iter().map(|score| cell(*score))).collect()
        };
        make_folder_of(&outputs.cases)?;
        write_csv(&outputs.cases, header, scores.cases.iter().map(row))?;
        self.write_summary(&outputs.summary)?;
        self.draw(&outputs.plots)
    }

    fn write_summary(&self, path: &Path) -> Result<(), CliError> {
        let header = ["score", "mean", "sd", "median", "low", "high", "min", "max", "cases", "undefined", "missing"];
        let missing = self.evaluation.missing.len();
        let row = |summary: &ScoreSummary| {
            let interval = [summary.interval.map(|i| i.low), summary.interval.map(|i| i.high)];
            let numbers = [
                summary.mean,
                summary.standard_deviation,
                summary.median,
                interval[0],
                interval[1],
                summary.min,
                summary.max,
            ];
            let counts = [summary.cases, summary.undefined, missing].map(|count| count.to_string());
            std::iter::once(summary.name.clone()).chain(numbers.map(cell)).chain(counts).collect::<Vec<_>>()
        };
        let overall = self.overall.iter().map(|(name, value)| {
            let mut row = vec![name.clone(), cell(*value)];
            row.resize(header.len(), String::new());
            row
        });
        let rows = self.summaries.iter().map(row).chain(overall);
        write_csv(path, header.map(str::to_owned).to_vec(), rows)
    }

    fn draw(&self, folder: &Path) -> Result<(), CliError> {
        make_folder(folder)?;
        let (scores, classes) = (&self.scores, &self.evaluation.classes);
        let mut first = 0;
        for metric in &self.evaluation.metrics {
            let columns = metric.case_columns(classes);
            let described = columns.first().and_then(|column| ScoreColumn::of(column, &self.evaluation.metrics));
            let (title, y_name) = match &described {
                Some(column) => (column.title, column.axis_name()),
                None => (metric.name(), metric.name().to_owned()),
            };
            let finite = |index: usize| scores.column(first + index).into_iter().flatten().filter(|s| s.is_finite());
            let label = |(index, column): (usize, &String)| {
                let label = column.strip_prefix(&format!("{}_", metric.name())).unwrap_or(column);
                (label.replace('_', " "), finite(index).collect::<Vec<f64>>())
            };
            let labels: Vec<_> = columns.iter().enumerate().map(label).collect();
            let is_fraction = labels.iter().flat_map(|(_, scores)| scores).all(|score| (0.0..=1.0).contains(score));
            let title = format!("{title} of {}", count(scores.cases.len(), "case"));
            let boxes = BoxPlot { title, y_name, labels, is_fraction };
            boxes.draw(folder, metric.name()).map_err(|error| CliError::failure(&error))?;
            first += columns.len();
        }
        Ok(())
    }

    /// Prints the summary, and the worst cases first.
    pub fn print(&self) {
        let (scores, evaluation) = (&self.scores, self.evaluation);
        let column =
            |name: &str| ScoreColumn::of(name, &evaluation.metrics).map(|column| column.unit).unwrap_or_default();
        let short = |name: &str, value: Option<f64>| {
            value.map(|value| decimals(value, column(name).decimals())).unwrap_or_default()
        };
        let named = |name: &String| with_unit(name, column(name));
        let header = ["score", "mean", "sd", "median", "95 % interval", "cases", "undefined"].map(str::to_owned);
        let row = |summary: &ScoreSummary| {
            let short = |value| short(&summary.name, value);
            let interval = summary.interval.map(|i| format!("{} to {}", short(Some(i.low)), short(Some(i.high))));
            let interval = interval.unwrap_or_default();
            let numbers = [summary.mean, summary.standard_deviation, summary.median].map(short);
            let counts = [interval, summary.cases.to_string(), summary.undefined.to_string()];
            std::iter::once(named(&summary.name)).chain(numbers).chain(counts).collect::<Vec<_>>()
        };
        let mut rows: Vec<Vec<String>> = self.summaries.iter().map(row).collect();
        rows.extend(self.overall.iter().map(|(name, value)| {
            let mut row = vec![named(name), short(name, *value)];
            row.resize(header.len(), String::new());
            row
        }));
        outln!("{}", table(&header, &rows));
        let first = evaluation.metrics.first().map_or(0, |metric| metric.case_columns(&evaluation.classes).len());
        let shown = if scores.columns.len() > MAX_COLUMNS { first } else { scores.columns.len() };
        let header: Vec<String> =
            std::iter::once("worst first".to_owned()).chain(scores.columns[..shown].iter().map(named)).collect();
        let worst = scores.cases.iter().take(MAX_PRINTED);
        let shown_columns = &scores.columns[..shown];
        let rows: Vec<Vec<String>> = worst
            .map(|(name, scores)| {
                let cells = shown_columns.iter().zip(scores).map(|(column, score)| short(column, *score));
                std::iter::once(name.clone()).chain(cells).collect()
            })
            .collect();
        outln!("{}", table(&header, &rows));
        if !evaluation.missing.is_empty() {
            let names: Vec<&str> = evaluation.missing.iter().map(String::as_str).collect();
            let (count, total) = (names.len(), evaluation.cases.len());
            let verb = if count == 1 { "has" } else { "have" };
            outln!("{count} of {total} cases {verb} no prediction and were scored as empty: {}", few(&names));
        }
    }
}

fn write_csv(path: &Path, header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Result<(), CliError> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    std::iter::once(header)
        .chain(rows)
        .try_for_each(|row| writer.write_record(row))
        .expect("writing to memory does not fail");
    let bytes = writer.into_inner().expect("writing to memory does not fail");
    write_atomically(path, &bytes).map_err(run_error)
}

/// Formats a score as the shortest text that parses to the same number; empty if it is undefined.
fn cell(value: Option<f64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}
