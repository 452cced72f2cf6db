//! `runner compare`: folders of predicted label maps, by any tools, compared with each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::Args;
use serde_json::json;

use super::Execute;
use super::evaluate::Missing;
use super::evaluate::folders::{present, score};
use super::evaluate::pairs::{Files, check_different, few, label_maps};
use super::predict::unfinished_notes;
use super::report::{Detail, check_metric, finish};
use crate::output_paths::check_folder;
use crate::terminal::signals::{stop_flag, stop_on_signals};
use crate::terminal::{CliError, Exit};
use dataset::split::Parts;
use engine::experiment::metrics_file::MetricsFile;
use engine::experiment::problem::nearest;
use metrics::{CaseScores, Class, Metric, defaults, summarize_all};
use report::Report;
use report::comparison::{Compared, Subject};
use report::format::count;
use report::runs::{Cases, Run};
use run_folder::table::Table;
use volume::Label;
use volume::io;

/// Compare folders of predicted label maps, by any tools: statistics over cases, plots and an HTML page.
///
/// Each folder is scored against the same label maps, as by `runner evaluate`, and the folders are compared case by case, as
/// settings are by `runner report`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner compare nnunet ours --labels labelsTs
  runner compare a b c --labels labelsTs --metric hd95 --out comparison")]
pub struct CompareArgs {
    /// Folders of predictions with the file names of their label maps.
    #[arg(value_name = "DIR", num_args = 2.., required = true)]
    predictions: Vec<PathBuf>,
    /// Folder of reference label maps.
    #[arg(long, value_name = "DIR")]
    labels: PathBuf,
    /// Output folder.
    #[arg(long, value_name = "DIR", default_value = "comparison")]
    out: PathBuf,
    /// Metric to compare, such as hd95 [default: all].
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// YAML file with `metrics: [...]` and optionally `labels: {1: liver}` [default: dice, jaccard, precision, recall, hd95
    /// and assd].
    #[arg(long, value_name = "FILE.yaml")]
    metrics: Option<PathBuf>,
    /// What to do if a folder has no prediction of a label map.
    #[arg(long, value_enum, default_value_t)]
    missing: Missing,
    /// Print only results, warnings and errors.
    #[arg(long)]
    quiet: bool,
}

/// A folder of predictions.
struct Folder {
    name: String,
    /// The files of each case with a prediction.
    pairs: BTreeMap<String, Files>,
    /// The label maps of the cases without a prediction.
    missing: BTreeMap<String, PathBuf>,
}

impl Execute for CompareArgs {
    /// Scores the folders, writes the report and prints its conclusions.
    fn execute(&self) -> Result<Exit, CliError> {
        check_folder(&self.out)?;
        let given: Vec<&Path> = self.predictions.iter().chain([&self.labels]).map(PathBuf::as_path).collect();
        check_different(&given)?;
        let file = self.metrics.as_deref().map(|path| MetricsFile::load(path, None)).transpose()?;
        let file = file.unwrap_or_else(|| MetricsFile::of_metrics(defaults()));
        let requested = self.requested(&file.metrics)?;
        let folders = self.folders()?;
        let mut notes = missing_cases(&folders, self.missing)?;
        for Folder { name, pairs, .. } in &folders {
            let predictions = pairs.values().filter_map(|files| files.prediction.as_ref());
            notes.extend(unfinished_notes(predictions).into_iter().map(|note| format!("{name}: {note}.")));
        }
        stop_on_signals()?;
        let classes = match file.classes() {
            Some(classes) => classes,
            None => classes_of(&folders, file.ignore_label)?,
        };
        let mut runs = Vec::new();
        for folder in &folders {
            let Some(cases) = self.score(folder, &file, &classes)? else {
                outln!("stopped; nothing is written");
                return Ok(Exit::Stopped);
            };
            runs.push(scored(&folder.name, &file.metrics, &classes, &cases));
        }
        let report = self.report(&runs, &requested, &notes)?;
        let names: Vec<&str> = folders.iter().map(|folder| folder.name.as_str()).collect();
        finish(&report, &self.out, &names.join(" and "), Detail::Verdict)?;
        Ok(Exit::Done)
    }
}

impl CompareArgs {
    /// Matches the files of each folder with the label maps.
    fn folders(&self) -> Result<Vec<Folder>, CliError> {
        let names = distinct_names(&self.predictions);
        let truths = label_maps(&self.labels)?;
        self.predictions.iter().zip(names).map(|(path, name)| folder(path, name, &self.labels, &truths)).collect()
    }

    /// Scores the cases of a folder; returns `None` if the stop flag was set.
    fn score(
        &self,
        folder: &Folder,
        file: &MetricsFile,
        classes: &[Class],
    ) -> Result<Option<BTreeMap<String, Vec<CaseScores>>>, CliError> {
        let mut cases = BTreeMap::new();
        for (name, files) in &folder.pairs {
            if stop_flag().load(Ordering::Relaxed) {
                return Ok(None);
            }
            // A case that one folder lacks would make the means incomparable.
            let scores = score(files, &file.metrics, classes, file.ignore_label)
                .map_err(|message| CliError::Failure(format!("{}, case {name}: {message}", folder.name)))?;
            cases.insert(name.clone(), scores);
        }
        for (name, truth) in &folder.missing {
            let files = Files { prediction: None, truth: truth.clone() };
            let scores = score(&files, &file.metrics, classes, file.ignore_label)
                .map_err(|message| CliError::Failure(format!("{}, case {name}: {message}", folder.name)))?;
            cases.insert(name.clone(), scores);
        }
        if !self.quiet {
            eprintln!("{}: {} cases scored", folder.name, cases.len());
        }
        Ok(Some(cases))
    }

    /// Returns the names of the metrics to compare: the requested one, which must be computed, or all.
    fn requested(&self, metrics: &[Metric]) -> Result<Vec<String>, CliError> {
        let names: Vec<String> = metrics.iter().map(|metric| metric.name().to_owned()).collect();
        let Some(metric) = &self.metric else { return Ok(names) };
        if names.contains(metric) {
            return Ok(vec![metric.clone()]);
        }
        let near = nearest(metric, names.iter().map(String::as_str));
        let help = match near {
            Some(near) => format!("did you mean {near}?"),
            None => "name one of these, or declare it in a file for --metrics".to_owned(),
        };
        let message = format!("--metric {metric} is not computed; the metrics are {}", names.join(", "));
        Err(CliError::problem(message, help))
    }

    /// Compares the folders by each of some metrics.
    fn report(&self, runs: &[Run], requested: &[String], notes: &[String]) -> Result<Report, CliError> {
        let mut report = Report { groups: Vec::new(), unreadable: Vec::new() };
        for metric in requested {
            let compared =
                Compared { metric: Some(metric.clone()), subject: Subject::Predictions, ..Compared::default() };
            let of_metric = Report::of(runs.to_vec(), compared);
            check_metric(metric, &of_metric)?;
            report.groups.extend(of_metric.groups);
        }
        for (_, verdict) in &mut report.groups {
            verdict.warnings.splice(0..0, notes.iter().cloned());
        }
        Ok(report)
    }
}

/// Matches the files of a folder with the label maps, and warns about files without one.
fn folder(path: &Path, name: String, labels: &Path, truths: &BTreeMap<String, PathBuf>) -> Result<Folder, CliError> {
    let mut predictions = label_maps(path)?;
    let mut folder = Folder { name, pairs: BTreeMap::new(), missing: BTreeMap::new() };
    for (case, truth) in truths {
        match predictions.remove(case) {
            Some(prediction) => {
                folder.pairs.insert(case.clone(), Files { prediction: Some(prediction), truth: truth.clone() });
            }
            None => drop(folder.missing.insert(case.clone(), truth.clone())),
        }
    }
    if folder.pairs.is_empty() {
        return Err(CliError::problem(
            format!("no file name in {} matches one in {}", path.display(), labels.display()),
            format!("give a prediction the file name of its label map, with the ending {}", io::endings()),
        ));
    }
    if !predictions.is_empty() {
        let names: Vec<String> = predictions.into_keys().collect();
        eprintln!("warning: {} in {} without a label map: {}", count(names.len(), "file"), path.display(), few(&names));
    }
    Ok(folder)
}

/// Returns the names of folders: their last parts if these are distinct, or else the paths as given.
fn distinct_names(folders: &[PathBuf]) -> Vec<String> {
    let last = |path: &PathBuf| {
        let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
        canonical.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
    };
    let is_distinct = |names: &[String]| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    let names: Vec<String> = folders.iter().map(last).collect();
    let paths: Vec<String> = folders.iter().map(|path| path.display().to_string()).collect();
    if is_distinct(&names) { names } else { paths }
}

/// Returns a note for each folder that lacks cases, which are scored as empty.
///
/// # Errors
/// When cases are missing and that is to be refused.
fn missing_cases(folders: &[Folder], missing: Missing) -> Result<Vec<String>, CliError> {
    let mut notes = Vec::new();
    for Folder { name, pairs, missing } in folders {
        let absent: Vec<String> = missing.keys().cloned().collect();
        let (number, total) = (absent.len(), absent.len() + pairs.len());
        if number > 0 {
            notes.push(format!("{name} has no prediction of {number} of {total} cases: {}", few(&absent)));
        }
    }
    if notes.is_empty() || missing == Missing::ScoreAsEmpty {
        return Ok(notes.into_iter().map(|note| format!("{note}. They are scored as empty.")).collect());
    }
    Err(CliError::problem(
        notes.join("; "),
        "predict them, give --labels a folder with the common cases only, or pass --missing score-as-empty to score them as if nothing had been predicted",
    ))
}

/// Returns the labels that occur in any of the maps, but for the ignored one.
fn classes_of(folders: &[Folder], ignore: Option<Label>) -> Result<Vec<Class>, CliError> {
    let mut classes: BTreeMap<Vec<Label>, Class> = BTreeMap::new();
    for folder in folders {
        classes.extend(present(&folder.pairs, ignore)?.into_iter().map(|class| (class.labels.clone(), class)));
    }
    Ok(classes.into_values().collect())
}

/// Returns the scores of predictions in the form of a run with one epoch, which the report compares.
pub(super) fn scored(
    name: &str,
    metrics: &[Metric],
    classes: &[Class],
    cases: &BTreeMap<String, Vec<CaseScores>>,
) -> Run {
    let summary = summarize_all(metrics, &cases.values().cloned().collect::<Vec<_>>(), classes);
    let summary_columns = metrics.iter().flat_map(|metric| metric.summary_columns(classes));
    let names = ["epoch".to_owned()].into_iter().chain(summary_columns.map(|column| format!("val_{column}")));
    let row = [Some(1.0)].into_iter().chain(summary);
    let finite = |score: &Option<f64>| score.filter(|score| score.is_finite());
    let scores = |(case, scores): (&String, &Vec<CaseScores>)| {
        (case.clone(), scores.iter().flat_map(|metric| metric.scores.iter().map(finite)).collect::<Vec<_>>())
    };
    Run {
        name: name.to_owned(),
        plan: json!({ "predictions": name, "metrics": metrics }),
        declared: metrics.to_vec(),
        parts: Some(Parts { train: vec![], val: cases.keys().cloned().collect(), test: vec![] }),
        metrics: Table { names: names.collect(), rows: vec![row.collect()] },
        cases: Cases {
            columns: metrics.iter().flat_map(|metric| metric.case_columns(classes)).collect(),
            epochs: [(1, cases.iter().map(scores).collect())].into(),
        },
        ..Run::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_by_their_last_part_if_that_is_distinct() {
        let names = |paths: &[&str]| distinct_names(&paths.iter().map(PathBuf::from).collect::<Vec<_>>());
        assert_eq!(names(&["x/nnunet", "y/ours/"]), ["nnunet", "ours"]);
        assert_eq!(names(&["x/pred", "y/pred"]), ["x/pred", "y/pred"]);
    }
}
