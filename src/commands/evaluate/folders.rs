//! Scoring one folder of label maps against another.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use rayon::prelude::*;

use super::pairs::{self, Files, images_in};
use super::record::{Evaluation, Outputs};
use super::{EvaluateArgs, pictures};
use crate::commands::predict::unfinished_notes;
use crate::terminal::signals::{stop_flag, stop_on_signals};
use crate::terminal::{CliError, Exit};
use dataset::alignment::{Role, align};
use dataset::channels::group_channels;
use engine::experiment::metrics_file::MetricsFile;
use engine::experiment::targets::score_without_ignored;
use metrics::{CaseScores, Class, Metric, Pair, defaults};
use report::viewer::Scene;
use volume::io;
use volume::{Grid, Label, Voxels};

/// Scores the cases of two folders.
pub(super) fn evaluate(predictions: &Path, truths: &Path, arguments: &EvaluateArgs) -> Result<Exit, CliError> {
    let outputs = arguments.out.as_deref().map(Outputs::next_to);
    outputs.as_ref().map(Outputs::check).transpose()?;
    pairs::check_different(&[predictions, truths])?;
    let file = arguments.metrics.as_deref().map(|path| MetricsFile::load(path, None)).transpose()?;
    let file = file.unwrap_or_else(|| MetricsFile::of_metrics(defaults()));
    let pairs = pairs::find(predictions, truths, arguments.missing)?;
    for note in unfinished_notes(pairs.values().filter_map(|files| files.prediction.as_ref())) {
        eprintln!("note: {note}");
    }
    let images = arguments.images.as_deref().map(images_by_case).transpose()?;
    stop_on_signals()?;
    let classes = match file.classes() {
        Some(classes) => classes,
        None => present(&pairs, file.ignore_label)?,
    };
    let mut evaluation =
        Evaluation { metrics: file.metrics, names: names(&classes), classes, cases: Vec::new(), missing: Vec::new() };
    let mut failed = Vec::new();
    for (done, (name, files)) in pairs.iter().enumerate() {
        if stop_flag().load(Ordering::Relaxed) {
            outln!("stopped; {done} of {} cases were scored, and nothing is written", pairs.len());
            return Ok(Exit::Stopped);
        }
        match score(files, &evaluation.metrics, &evaluation.classes, file.ignore_label) {
            Ok(scores) => {
                evaluation.cases.push((name.clone(), scores));
                evaluation.missing.extend(files.prediction.is_none().then(|| name.clone()));
            }
            Err(message) => {
                eprintln!("error: {name}: {message}");
                failed.push(name.clone());
            }
        }
    }
    let results = evaluation.results();
    results.print();
    if let Some(outputs) = &outputs {
        results.write(outputs)?;
        if let Some(images) = &images {
            let scene = |name: &str| scene(images.get(name).map(PathBuf::as_path), &pairs[name]);
            pictures::draw_worst(&results, &outputs.worst, arguments.pictures, scene)?;
        }
        outln!("{}", outputs.cases.display());
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

/// Returns the names of the labels that are classes by themselves.
fn names(classes: &[Class]) -> BTreeMap<Label, String> {
    let named = |class: &Class| match class.labels[..] {
        [label] => Some((label, class.name.clone())),
        _ => None,
    };
    classes.iter().filter_map(named).collect()
}

/// Maximum number of labels; files with more are not label maps of classes, but images or instance maps.
const MAX_LABELS: usize = 256;

/// Returns the first channel of each image of a folder, by case.
fn images_by_case(folder: &Path) -> Result<BTreeMap<String, PathBuf>, CliError> {
    let files: Vec<PathBuf> = images_in(folder)?;
    // Label maps may be named like the files, or without nnU-Net's channel numbers.
    let alone = files.iter().map(|file| (io::case_name(file), file.clone()));
    let grouped = group_channels(&files, None).into_iter().map(|case| (case.name, case.images[0].clone()));
    Ok(alone.chain(grouped).collect())
}

/// Reads what a picture of a case shows.
fn scene(image: Option<&Path>, files: &Files) -> Result<Scene, String> {
    let image = image.ok_or("--images has no image of this name")?;
    let (grid, voxels) = io::read_image(image).map_err(|error| error.to_string())?;
    let map = |role: Role, path: &Path| -> Result<Voxels<Label>, String> {
        let own = io::read_label(path).map_err(|error| error.to_string())?;
        align(role, path, own, (Role::Image, &grid)).map_err(|mismatch| mismatch.to_string())
    };
    let truth = map(Role::LabelMap, &files.truth)?;
    let prediction = match &files.prediction {
        Some(path) => map(Role::Prediction, path)?,
        None => empty(grid.shape),
    };
    Ok(Scene::new(&grid, &voxels, Some(&truth), Some(&prediction)))
}

/// Returns a label map without labels.
fn empty(shape: [usize; 3]) -> Voxels<Label> {
    Voxels::new(1, shape, vec![0; shape.iter().product()])
}

/// Returns the labels that occur in any of the maps, but for the ignored one; scoring reports files that cannot be read.
pub(in crate::commands) fn present(
    pairs: &BTreeMap<String, Files>,
    ignore: Option<Label>,
) -> Result<Vec<Class>, CliError> {
    let labels_in = |path: &PathBuf| {
        if stop_flag().load(Ordering::Relaxed) {
            return BTreeSet::new();
        }
        let map = io::read_label(path).map(|(_, map)| map);
        map.map_or_else(|_| BTreeSet::new(), |map| map.chunk_by(|a, b| a == b).map(|run| run[0]).collect())
    };
    let files: Vec<&PathBuf> = pairs.values().flat_map(|files| files.prediction.iter().chain([&files.truth])).collect();
    let all = files.into_par_iter().map(labels_in).reduce(BTreeSet::new, |a, b| a.union(&b).copied().collect());
    let labels: Vec<_> = all.into_iter().filter(|label| *label != 0 && Some(*label) != ignore).collect();
    if labels.len() > MAX_LABELS {
        return Err(CliError::problem(
            format!("the files contain {} different labels; are they label maps of classes?", labels.len()),
            "list the labels to score in a file for --metrics, such as `labels: { 1: liver }`",
        ));
    }
    Ok(labels.into_iter().map(|label| Class::of_label(label, format!("label_{label}"))).collect())
}

/// Scores a prediction against its label map, without ignored voxels; a missing one as if nothing had been predicted.
pub(in crate::commands) fn score(
    files: &Files,
    metrics: &[Metric],
    classes: &[Class],
    ignore: Option<Label>,
) -> Result<Vec<CaseScores>, String> {
    let read_prediction = || files.prediction.as_deref().map(|path| (path, io::read_label(path)));
    let (truth, prediction) = rayon::join(|| io::read_label(&files.truth), read_prediction);
    let (grid, truth) = truth.map_err(|error| error.to_string())?;
    let prediction = match prediction {
        Some((path, read)) => {
            let (other, prediction) = read.map_err(|error| error.to_string())?;
            on_grid(&grid, &other, prediction, path)?
        }
        None => empty(grid.shape),
    };
    Ok(score_without_ignored(metrics, &pair(&grid, &truth, &prediction), classes, ignore))
}

/// Returns a pair of label maps on the grid of the reference.
pub(in crate::commands) fn pair<'a>(grid: &Grid, truth: &'a Voxels<Label>, prediction: &'a Voxels<Label>) -> Pair<'a> {
    Pair { prediction, truth, shape: grid.shape, spacing: grid.spacing() }
}

/// Returns a prediction on the grid of the reference label map.
///
/// The same voxels with permuted or flipped axes are reordered. Otherwise, maps of different shapes cannot be compared;
/// maps of the same shape with different affines are compared by voxel index, with a warning.
fn on_grid(grid: &Grid, other: &Grid, prediction: Voxels<Label>, path: &Path) -> Result<Voxels<Label>, String> {
    let (own, reference) = ((*other, prediction.clone()), (Role::LabelMap, grid));
    match align(Role::Prediction, path, own, reference) {
        Ok(aligned) => Ok(aligned),
        Err(mismatch) if grid.shape == other.shape => {
            let (path, what) = (path.display(), mismatch.what());
            eprintln!("warning: {path}: {what}; voxels are compared by their index");
            Ok(prediction)
        }
        Err(mismatch) => Err(mismatch.to_string()),
    }
}
