//! Scoring one folder of label maps against another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::EvaluateArgs;
use super::record::{Evaluation, Outputs};
use crate::terminal::signals::{stop_flag, stop_on_signals};
use crate::terminal::{CliError, Exit};
use crate::volume_files::make_folder;
use dataset::alignment::{Role, align};
use engine::experiment::metrics_file::MetricsFile;
use metrics::{CaseScores, Metric, Pair, defaults, score_all};
use volume::io;
use volume::{Grid, Label, Voxels};

/// Scores the cases that both folders contain.
pub(super) fn evaluate(predictions: &Path, truths: &Path, arguments: &EvaluateArgs) -> Result<Exit, CliError> {
    let file = arguments.metrics.as_deref().map(|path| MetricsFile::load(path, None)).transpose()?;
    let file = file.unwrap_or_else(|| MetricsFile { metrics: defaults(), labels: None });
    let pairs = pairs(predictions, truths)?;
    // Reports a folder that cannot be created before scoring rather than afterwards.
    if let Some(folder) =
        arguments.out.as_deref().and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty())
    {
        make_folder(folder)?;
    }
    stop_on_signals()?;
    let labels = match file.labels {
        Some(labels) => labels.into_iter().collect(),
        None => present(&pairs)?,
    };
    let mut evaluation = Evaluation { metrics: file.metrics, labels, cases: Vec::new() };
    let mut failed = Vec::new();
    for (done, (name, files)) in pairs.iter().enumerate() {
        if stop_flag().load(Ordering::Relaxed) {
            outln!("stopped; {done} of {} cases were scored, and nothing is written", pairs.len());
            return Ok(Exit::Stopped);
        }
        match score(files, &evaluation.metrics, &evaluation.labels) {
            Ok(scores) => evaluation.cases.push((name.clone(), scores)),
            Err(message) => {
                eprintln!("error: {name}: {message}");
                failed.push(name.clone());
            }
        }
    }
    let results = evaluation.results();
    results.print();
    if let Some(out) = &arguments.out {
        results.write(&outputs_next_to(out))?;
        outln!("{}", out.display());
    }
    if failed.is_empty() {
        return Ok(Exit::Done);
    }
    Err(CliError::Failure(format!(
        "{} of {} cases could not be scored: {}",
        failed.len(),
        pairs.len(),
        failed.join(", ")
    )))
}

/// Maximum number of labels; files with more are not label maps of classes, but images or instance maps.
const MAX_LABELS: usize = 256;

/// A prediction and its reference label map.
pub(in crate::commands) struct Files {
    pub prediction: PathBuf,
    pub truth: PathBuf,
}

/// Returns the cases that both folders contain, by name, and warns about those that only one contains.
fn pairs(predictions: &Path, truths: &Path) -> Result<BTreeMap<String, Files>, CliError> {
    let (mut prediction_files, truth_files) = (label_maps(predictions)?, label_maps(truths)?);
    let mut pairs = BTreeMap::new();
    let mut missing = Vec::new();
    for (name, truth) in truth_files {
        match prediction_files.remove(&name) {
            Some(prediction) => {
                pairs.insert(name, Files { prediction, truth });
            }
            None => missing.push(name),
        }
    }
    if pairs.is_empty() {
        return Err(CliError::problem(
            format!("no file name in {} matches one in {}", predictions.display(), truths.display()),
            format!("give a prediction the file name of its label map, with the ending {}", io::endings()),
        ));
    }
    for (names, kind) in [(missing, "prediction"), (prediction_files.into_keys().collect(), "label map")] {
        if !names.is_empty() {
            let cases = if names.len() == 1 { "1 case has".to_owned() } else { format!("{} cases have", names.len()) };
            eprintln!("warning: {cases} no {kind}, skipped: {}", few(&names));
        }
    }
    Ok(pairs)
}

/// Formats the first of some names.
pub(in crate::commands) fn few(names: &[String]) -> String {
    const MAX_SHOWN: usize = 5;
    let more = names.len().saturating_sub(MAX_SHOWN);
    let shown = names[..names.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// Returns the image files of a folder, by case name.
pub(in crate::commands) fn label_maps(folder: &Path) -> Result<BTreeMap<String, PathBuf>, CliError> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        CliError::problem(format!("cannot read {}: {error}", folder.display()), "name a folder of label maps")
    })?;
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in entries {
        let path = entry.map_err(|error| CliError::failure(&error))?.path();
        if io::is_image(&path)
            && let Some(other) = files.insert(io::case_name(&path), path.clone())
        {
            let message = format!("{} and {} are the same case", other.display(), path.display());
            return Err(CliError::problem(message, "keep one of them"));
        }
    }
    // Probabilities that `runner predict` writes next to a label map are no label map.
    let is_probabilities =
        |name: &String| name.strip_suffix("_probabilities").is_some_and(|case| files.contains_key(case));
    let probabilities: Vec<String> = files.keys().filter(|name| is_probabilities(name)).cloned().collect();
    probabilities.iter().for_each(|name| {
        files.remove(name);
    });
    Ok(files)
}

/// Returns the labels that occur in any of the maps; scoring reports files that cannot be read.
pub(in crate::commands) fn present(pairs: &BTreeMap<String, Files>) -> Result<Vec<(Label, String)>, CliError> {
    let labels_in = |path: &PathBuf| {
        if stop_flag().load(Ordering::Relaxed) {
            return BTreeSet::new();
        }
        let map = io::read_label(path).map(|(_, map)| map);
        map.map_or_else(|_| BTreeSet::new(), |map| map.chunk_by(|a, b| a == b).map(|run| run[0]).collect())
    };
    let files: Vec<&PathBuf> = pairs.values().flat_map(|files| [&files.prediction, &files.truth]).collect();
    let all = files.into_par_iter().map(labels_in).reduce(BTreeSet::new, |a, b| a.union(&b).copied().collect());
    let labels: Vec<_> =
        all.into_iter().filter(|label| *label != 0).map(|label| (label, format!("label_{label}"))).collect();
    if labels.len() > MAX_LABELS {
        return Err(CliError::problem(
            format!("the files contain {} different labels; are they label maps of classes?", labels.len()),
            "list the labels to score in a file for --metrics, such as `labels: { 1: liver }`",
        ));
    }
    Ok(labels)
}

/// Scores a prediction against its label map.
pub(in crate::commands) fn score(
    files: &Files,
    metrics: &[Metric],
    labels: &[(Label, String)],
) -> Result<Vec<CaseScores>, String> {
    let (truth, prediction) = rayon::join(|| io::read_label(&files.truth), || io::read_label(&files.prediction));
    let ((grid, truth), (other, prediction)) =
        (truth.map_err(|error| error.to_string())?, prediction.map_err(|error| error.to_string())?);
    let prediction = on_grid(&grid, &other, prediction, files)?;
    Ok(score_all(metrics, &pair(&grid, &truth, &prediction), labels))
}

/// Returns a pair of label maps on the grid of the reference.
pub(in crate::commands) fn pair<'a>(grid: &Grid, truth: &'a Voxels<Label>, prediction: &'a Voxels<Label>) -> Pair<'a> {
    Pair { prediction, truth, shape: grid.shape, spacing: grid.spacing() }
}

/// Returns a prediction on the grid of the reference label map.
///
/// The same voxels with permuted or flipped axes are reordered. Otherwise, maps of different shapes cannot be compared;
/// maps of the same shape with different affines are compared by voxel index, with a warning.
fn on_grid(grid: &Grid, other: &Grid, prediction: Voxels<Label>, files: &Files) -> Result<Voxels<Label>, String> {
    let (own, reference) = ((*other, prediction.clone()), (Role::LabelMap, grid));
    match align(Role::Prediction, &files.prediction, own, reference) {
        Ok(aligned) => Ok(aligned),
        Err(mismatch) if grid.shape == other.shape => {
            let (path, what) = (files.prediction.display(), mismatch.what());
            eprintln!("warning: {path}: {what}; voxels are compared by their index");
            Ok(prediction)
        }
        Err(mismatch) => Err(mismatch.to_string()),
    }
}

/// Returns the paths of the summary and the plots next to a table of cases.
fn outputs_next_to(out: &Path) -> Outputs {
    let name = out.file_stem().unwrap_or_default().to_string_lossy();
    let (summary, plots) = (format!("{name}_summary.csv"), format!("{name}_plots"));
    Outputs { cases: out.to_owned(), summary: out.with_file_name(summary), plots: out.with_file_name(plots) }
}
