//! `runner report`: compares runs.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::Execute;
use crate::output_paths::check_folder;
use crate::terminal::table::table;
use crate::terminal::{CliError, Exit, output, run_error};
use engine::experiment::problem::nearest;
use report::Report;
use report::comparison::{Compared, ComparedEpoch, Group, Subject};
use report::tables::{self, TextTable};
use report::verdict::Verdict;

/// Compare runs: table, statistics, plots and an HTML page.
///
/// Runs with the same data and metrics are compared; repetitions with other seeds or folds are summarized together.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner report runs
  runner report runs --metric hd95
  runner report runs/learning_rates --out report --epoch last")]
pub struct ReportArgs {
    /// Folder that contains run folders, at any depth.
    runs: PathBuf,
    /// Output folder [default: RUNS/report].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Epoch of each run to compare: the best one by the monitored metric, or the last one with metrics.
    #[arg(long, value_enum, default_value_t)]
    epoch: Which,
    /// Metric to compare, such as hd95, which the runs declare [default: dice, or else that of the monitor].
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
}

/// Which epoch of a run is compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Which {
    #[default]
    Best,
    Last,
}

/// How much is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// The tables of runs and settings, and the conclusions.
    Full,
    /// The table of settings and the conclusions.
    Verdict,
}

impl Execute for ReportArgs {
    /// Writes the report and prints its table.
    fn execute(&self) -> Result<Exit, CliError> {
        let out = self.out.clone().unwrap_or_else(|| self.runs.join("report"));
        let epoch = match self.epoch {
            Which::Best => ComparedEpoch::Best,
            Which::Last => ComparedEpoch::Last,
        };
        let compared = Compared { epoch, metric: self.metric.clone(), ..Compared::default() };
        write(&self.runs, &out, compared, Detail::Full)?;
        Ok(Exit::Done)
    }
}

/// Compares the runs below a folder, writes the report and prints its conclusions.
pub(super) fn write(runs: &Path, out: &Path, compared: Compared, detail: Detail) -> Result<(), CliError> {
    if ["manifest.json", "metrics.csv"].iter().any(|name| out.join(name).exists()) {
        let message = format!("{} is the folder of a run; a report would overwrite its files", out.display());
        return Err(CliError::problem(message, "name another folder with --out"));
    }
    check_folder(out)?;
    let metric = compared.metric.clone();
    let report = Report::read(runs, compared).map_err(|error| {
        CliError::problem(format!("cannot read {}: {error}", runs.display()), "name a folder that contains runs")
    })?;
    for (name, reason) in &report.unreadable {
        eprintln!("warning: {} cannot be read: {reason}", runs.join(name).display());
    }
    if report.groups.is_empty() {
        let message = format!("{} contains no runs", runs.display());
        return Err(CliError::problem(message, "name a folder that contains runs, such as `runs`"));
    }
    if let Some(metric) = metric {
        check_metric(&metric, &report)?;
    }
    finish(&report, out, &title(runs), detail)
}

/// Checks that a run has scores of the requested metric.
pub(super) fn check_metric(metric: &str, report: &Report) -> Result<(), CliError> {
    let names = report.metric_names();
    if names.iter().any(|name| name == metric) {
        return Ok(());
    }
    let near = nearest(metric, names.iter().map(String::as_str));
    let near = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    let help = match names.is_empty() {
        true => "no run has scored whole volumes".to_owned(),
        false => format!("{near}the runs have scores of {}", names.join(", ")),
    };
    Err(CliError::problem(format!("no run has scores of the metric {metric}"), help))
}

/// Writes a report and prints its conclusions.
pub(super) fn finish(report: &Report, out: &Path, title: &str, detail: Detail) -> Result<(), CliError> {
    report.write(out, title).map_err(run_error)?;
    for (number, (group, verdict)) in report.groups.iter().enumerate() {
        if report.groups.len() > 1 {
            print_group_title(number, group);
        }
        print(group, verdict, detail);
    }
    outln!("report: {}", out.join("report.html").display());
    Ok(())
}

/// Returns the name of a folder, which may be given as `.`.
fn title(runs: &Path) -> String {
    let canonical = runs.canonicalize().unwrap_or_else(|_| runs.to_owned());
    canonical.file_name().map_or_else(|| "runs".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn print_group_title(number: usize, group: &Group) {
    match group.subject {
        Subject::Runs => outln!("Group {}: {}", number + 1, group.title()),
        Subject::Predictions | Subject::Candidates => outln!("{}", group.title()),
    }
    if !group.differences.is_empty() {
        outln!("Not comparable with group 1: {}", group.differences.join("; "));
    }
    outln!("");
}

fn print(group: &Group, verdict: &Verdict, detail: Detail) {
    if detail == Detail::Full {
        show(&tables::runs(group));
    }
    if group.settings.len() > 1 || detail == Detail::Verdict {
        show(&tables::settings(group));
    }
    outln!("{}", verdict.headline);
    for sentence in &verdict.sentences {
        outln!("- {sentence}");
    }
    for warning in &verdict.warnings {
        outln!("Note: {warning}");
    }
    outln!("");
}

fn show(cells: &TextTable) {
    if !cells.rows.is_empty() {
        output::text(table(&cells.header, &cells.rows));
        outln!("");
    }
}
