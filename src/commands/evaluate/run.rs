//! Scoring a trained run on its own subjects.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::folders::pair;
use super::record::{Evaluation, Outputs, Results};
use super::{EvaluateArgs, Part};
use crate::commands::predict::{Windows, predict_error};
use crate::commands::training::{make_phantoms, resume_error};
use crate::commands::{check_moved_data, with_moved_data_help};
use crate::terminal::bar::Bar;
use crate::terminal::signals::{stop_flag, stop_on_signals};
use crate::terminal::{CliError, Exit, run_error};
use crate::volume_files::make_folder;
use dataset::subject::Subject;
use engine::experiment::check::{Environment, check};
use engine::experiment::load::{self, SetArgument};
use engine::experiment::metrics_file::MetricsFile;
use engine::experiment::plan::{ClassLabel, Plan};
use engine::prediction::{PredictError, Predictor, predict};
use engine::run::manifest::check_same_split;
use metrics::{CaseScores, score_all};
use report::viewer::{self, ContactSheetOptions, Plane, Scene};
use run_folder::manifest::Manifest;
use volume::io;

/// Maximum number of slices in the picture of a case.
const MAX_SLICES: usize = 8;

/// Predicts and scores each subject of a part, and writes the results into the run's `predictions`.
pub(super) fn evaluate(root: &Path, arguments: &EvaluateArgs) -> Result<Exit, CliError> {
    let predictor = arguments.weights.open(root)?;
    let plan = plan(root, arguments)?;
    let names = match arguments.split {
        Part::Val => &plan.parts.val,
        Part::Train => &plan.parts.train,
        Part::Test => &plan.parts.test,
    };
    let part = format!("{:?}", arguments.split).to_lowercase();
    if names.is_empty() {
        return Err(CliError::problem(format!("the split has no {part} subjects"), "name another part with --split"));
    }
    let manifest = Manifest::read(root).map_err(run_error)?;
    check_moved_data(&arguments.moved.set, &plan, &manifest, names, &arguments.cache)?;
    let mut evaluation = empty_evaluation(arguments, &plan, &predictor)?;
    let folder = root.join("predictions").join(arguments.weights.folder(&part));
    make_folder(&folder)?;
    let mut bar = Bar::new(engine::training::validate::columns(&plan), 1, 1, arguments.quiet);
    make_phantoms(&plan, &arguments.cache.path(), &mut bar)?;
    drop(bar);
    stop_on_signals()?;
    let outputs =
        Outputs { cases: folder.join("cases.csv"), summary: folder.join("summary.csv"), plots: folder.join("plots") };
    outputs.clear()?;
    for (number, name) in names.iter().enumerate() {
        let bar = Windows::new(&format!("{name} ({}/{})", number + 1, names.len()), arguments.quiet);
        let subject = &plan.cases[name].subject;
        let out = folder.join(format!("{name}{}", io::DEFAULT_ENDING));
        let scored = score(&predictor, subject, &out, &evaluation, &bar);
        drop(bar);
        match scored {
            Ok(Some(scores)) => evaluation.cases.push((name.clone(), scores)),
            Ok(None) => eprintln!("warning: subject {name} has no label map, so it is predicted and not scored"),
            Err(PredictError::Stopped) => {
                outln!("stopped; {number} of {} subjects are predicted, and no scores are written", names.len());
                return Ok(Exit::Stopped);
            }
            Err(error) => return Err(subject_error(name, error)),
        }
    }
    let results = evaluation.results();
    results.print();
    results.write(&outputs)?;
    draw_worst(&plan, &results, &folder, arguments.pictures)?;
    outln!("{}", folder.display());
    Ok(Exit::Done)
}

/// Returns the plan of a run, whose data must still be at its paths, or where `--set` says.
fn plan(root: &Path, arguments: &EvaluateArgs) -> Result<Plan, CliError> {
    // Neither initial weights nor the memory for training are needed.
    let unset = SetArgument { key: "train.initial_weights".to_owned(), value: "null".to_owned() };
    arguments.moved.check()?;
    let sets: Vec<SetArgument> = arguments.moved.set.iter().cloned().chain([unset]).collect();
    let document = load::load(&root.join("plan.yaml"), &sets)?;
    let environment = Environment { cache_dir: arguments.cache.path(), memory_bytes: None };
    let plan = check(&document, &environment, arguments.weights.device())
        .map_err(|problems| with_moved_data_help(problems.into(), &document))?;
    check_same_split(root, &plan).map_err(resume_error)?;
    Ok(plan)
}

/// Returns an evaluation without cases, with the metrics and labels to score.
fn empty_evaluation(arguments: &EvaluateArgs, plan: &Plan, predictor: &Predictor) -> Result<Evaluation, CliError> {
    let own: BTreeMap<_, _> = ClassLabel::pairs(&predictor.labels).into_iter().collect();
    let (metrics, labels) = match &arguments.metrics {
        Some(path) => {
            let file = MetricsFile::load(path, Some(&own))?;
            (file.metrics, file.labels.unwrap_or(own))
        }
        None => (plan.experiment.metrics.clone(), own),
    };
    Ok(Evaluation { metrics, labels: labels.into_iter().collect(), cases: Vec::new() })
}

/// Predicts a subject, writes the label map, and scores it if the subject has a reference label map.
fn score(
    predictor: &Predictor,
    subject: &Subject,
    out: &Path,
    evaluation: &Evaluation,
    bar: &Windows,
) -> Result<Option<Vec<CaseScores>>, PredictError> {
    let volume = subject.load().map_err(|error| PredictError::Image(error.into()))?;
    let truth = predictor.ground_truth(&volume)?;
    let grid = volume.grid;
    let mut progress = |done, total| bar.show(done, total);
    let prediction = predict(std::slice::from_ref(predictor), volume, false, stop_flag(), &mut progress)?.label;
    io::write_label(out, &grid, &prediction).map_err(|error| PredictError::Image(error.into()))?;
    Ok(truth.map(|truth| score_all(&evaluation.metrics, &pair(&grid, &truth, &prediction), &evaluation.labels)))
}

/// Converts an error of prediction and adds the subject.
fn subject_error(name: &str, error: PredictError) -> CliError {
    match predict_error(error) {
        CliError::Failure(message) => CliError::Failure(format!("subject {name}: {message}")),
        error => error,
    }
}

/// Renders the slices of the worst cases in which label map and prediction differ most.
fn draw_worst(plan: &Plan, results: &Results, folder: &Path, max_count: usize) -> Result<(), CliError> {
    let worst = folder.join("worst");
    // Pictures of an earlier evaluation would not match the new ones.
    match std::fs::remove_dir_all(&worst) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(CliError::failure(&error)),
        _ if max_count == 0 => return Ok(()),
        _ => make_folder(&worst)?,
    }
    for (index, name) in results.worst_first().into_iter().take(max_count).enumerate() {
        let path: PathBuf = worst.join(format!("{}_{name}.png", index + 1));
        let failure = |error: &dyn std::error::Error| CliError::failure(error);
        let volume = plan.cases[name].subject.load().map_err(|error| CliError::Failure(error.to_string()))?;
        let (_, prediction) =
            io::read_label(&folder.join(format!("{name}{}", io::DEFAULT_ENDING))).map_err(|error| failure(&error))?;
        let mut scene = Scene::new(&volume.grid, &volume.image, volume.label.as_ref(), Some(&prediction));
        scene.names = results.evaluation.labels.iter().cloned().collect();
        let title = format!("{name}: where prediction and label differ most");
        let options = ContactSheetOptions { title, plane: Plane::Axial, max_slices: MAX_SLICES, differences: true };
        viewer::write_png(&scene, &options, &path).map_err(|error| failure(&error))?;
    }
    Ok(())
}
