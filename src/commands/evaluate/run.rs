//! Scoring a trained run on its own subjects.

use std::collections::BTreeMap;
use std::path::Path;

use super::folders::pair;
use super::pictures;
use super::record::{Evaluation, Outputs};
use super::{EvaluateArgs, Part};
use crate::commands::predict::Weights;
use crate::commands::predict::{CaseSettings, PredictionFiles, Windows, predict_case, predict_error};
use crate::commands::training::{command, make_phantoms, resume_error};
use crate::commands::{CacheOptions, MovedDataOptions, check_moved_data, with_moved_data_help};
use crate::output_paths::make_folder;
use crate::terminal::bar::Bar;
use crate::terminal::signals::stop_on_signals;
use crate::terminal::{CliError, Exit, run_error};
use dataset::split::Split;
use dataset::subject::Subject;
use engine::experiment::check::{Environment, check};
use engine::experiment::load::{self, SetArgument};
use engine::experiment::metrics_file::MetricsFile;
use engine::experiment::plan::{ClassLabel, Plan};
use engine::experiment::targets::score_without_ignored;
use engine::prediction::{Ensemble, PredictError, Predictor, Provenance};
use engine::run::manifest::check_same_split;
use metrics::{CaseScores, Class};
use report::viewer::Scene;
use run_folder::manifest::{ImportedFrom, Manifest};
use volume::{Label, io};

/// Predicts and scores each subject of a part, and writes the results into the run's `predictions`.
pub(super) fn evaluate(root: &Path, arguments: &EvaluateArgs) -> Result<Exit, CliError> {
    let predictor = arguments.weights.open(root)?;
    let root = &predictor.root.clone();
    let plan = plan(root, &arguments.moved, &arguments.cache, &arguments.weights)?;
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
    if let Some(note) = manifest.imported.as_ref().and_then(|imported| assumed_split(imported, &plan)) {
        eprintln!("note: {note}");
    }
    let mut evaluation = empty_evaluation(arguments, &plan, &predictor)?;
    let folder = root.join("predictions").join(arguments.weights.folder(&part));
    let outputs = outputs(arguments, &folder);
    outputs.check()?;
    make_folder(&folder)?;
    let mut bar = Bar::new(engine::training::validate::columns(&plan), 1, 1, arguments.quiet);
    make_phantoms(&plan, &arguments.cache.path(), &mut bar)?;
    drop(bar);
    stop_on_signals()?;
    outputs.clear()?;
    let predictors = std::slice::from_ref(&predictor);
    let settings = CaseSettings {
        ensemble: Ensemble::of_runs(predictors).map_err(predict_error)?,
        made_by: Provenance::new(predictors, command()),
        keep_probabilities: false,
        resample: arguments.weights.resample,
        of_own_data: true,
        selection: None,
    };
    for (number, name) in names.iter().enumerate() {
        let bar = Windows::new(&format!("{name} ({}/{})", number + 1, names.len()), arguments.quiet);
        let subject = &plan.cases[name].subject;
        let files = PredictionFiles::new(&folder, name, false);
        let scored = score(&settings, subject, &files, &evaluation, &bar);
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
    pictures::draw_worst(&results, &outputs.worst, arguments.pictures, |name| scene(&plan, &folder, name))?;
    outln!("{}", if arguments.out.is_some() { outputs.cases.display() } else { folder.display() });
    Ok(Exit::Done)
}

/// Says that the split of an imported run is assumed, unless `--set` named a file that states it: the model does not contain
/// the subjects of its folds.
fn assumed_split(imported: &ImportedFrom, plan: &Plan) -> Option<String> {
    let ImportedFrom { program, fold, .. } = imported;
    match &plan.experiment.data.split {
        Split::Nnunet(_) => Some(format!(
            "the subjects of fold {fold} are assumed to be those of {program}'s default split, because its models do not \
             state theirs; if it was trained with a splits_final.json, these scores may be of training subjects"
        )),
        Split::File(_) => None,
        _ if fold == "all" => None,
        _ => Some(format!(
            "which subjects fold {fold} was trained on is unknown, because models of {program} do not state it, so these \
             scores may be of training subjects"
        )),
    }
}

/// Returns where the results go: as `--out` says, else next to the predictions, named after a file of metrics, so that each
/// has tables of its own.
fn outputs(arguments: &EvaluateArgs, folder: &Path) -> Outputs {
    if let Some(out) = &arguments.out {
        return Outputs::next_to(out);
    }
    let metrics = arguments.metrics.as_deref().and_then(Path::file_stem);
    let suffix = metrics.map(|name| format!("_{}", name.to_string_lossy())).unwrap_or_default();
    let path = |name: &str, ending: &str| folder.join(format!("{name}{suffix}{ending}"));
    Outputs {
        cases: path("cases", ".csv"),
        summary: path("summary", ".csv"),
        plots: path("plots", ""),
        worst: path("worst", ""),
    }
}

/// Returns the plan of a run, whose data must still be at its paths, or where `--set` says.
pub(in crate::commands) fn plan(
    root: &Path,
    moved: &MovedDataOptions,
    cache: &CacheOptions,
    weights: &Weights,
) -> Result<Plan, CliError> {
    // Neither initial weights nor the memory for training are needed.
    let unset = ["train.initial_weights", "train.freeze"]
        .map(|key| SetArgument { key: key.to_owned(), value: "null".to_owned() });
    moved.check()?;
    let sets: Vec<SetArgument> = moved.set.iter().cloned().chain(unset).collect();
    let document = load::load(&root.join("plan.yaml"), &sets)?;
    let environment = Environment { cache_dir: cache.path(), memory_bytes: None };
    let plan = check(&document, &environment, weights.device())
        .map_err(|problems| with_moved_data_help(problems.into(), &document))?;
    check_same_split(root, &plan).map_err(resume_error)?;
    Ok(plan)
}

/// Returns an evaluation without cases, with the metrics and classes to score: all labels or regions of the run, and those
/// that a file of metrics adds.
fn empty_evaluation(arguments: &EvaluateArgs, plan: &Plan, predictor: &Predictor) -> Result<Evaluation, CliError> {
    let targets = &predictor.targets;
    let mut classes = targets.classes();
    let mut names: BTreeMap<_, _> = ClassLabel::pairs(&targets.labels).into_iter().collect();
    let metrics = match &arguments.metrics {
        Some(path) => {
            let file = MetricsFile::load(path, Some(&names))?;
            let own: Vec<Label> = names.keys().copied().collect();
            add_labels(&mut names, file.labels.clone().unwrap_or_default(), path)?;
            if let Some(key) = file.key_of_folders() {
                let message = format!("{} has `{key}`, which is for folders of label maps", path.display());
                return Err(CliError::problem(
                    message,
                    "remove it: the run itself states its regions and its ignored label",
                ));
            }
            let added = names.iter().filter(|(label, _)| !own.contains(label));
            classes.extend(added.map(|(label, name)| Class::of_label(*label, name)));
            if targets.has_background() {
                classes.sort_by_key(|class| class.labels[0]);
            }
            file.metrics
        }
        None => plan.experiment.metrics.clone(),
    };
    Ok(Evaluation { metrics, classes, names, cases: Vec::new(), missing: Vec::new() })
}

/// Adds the labels of a file of metrics to those of the run, which keep their names.
fn add_labels(
    labels: &mut BTreeMap<Label, String>,
    others: BTreeMap<Label, String>,
    path: &Path,
) -> Result<(), CliError> {
    for (label, name) in others {
        let same_name = labels.iter().find(|(other, own)| **other != label && **own == name);
        let conflict = match (labels.get(&label), same_name) {
            (Some(own), _) if *own != name => {
                format!("label {label} is {own} in the run, but {name} in {}", path.display())
            }
            (None, Some((other, _))) => {
                format!("{name} is label {other} in the run, but label {label} in {}", path.display())
            }
            _ => {
                labels.insert(label, name);
                continue;
            }
        };
        let help = "leave `labels` out of the file, which then has the names of the run, or correct it";
        return Err(CliError::problem(conflict, help));
    }
    Ok(())
}

/// Predicts a subject, writes the label map, and scores it if the subject has a reference label map.
fn score(
    settings: &CaseSettings,
    subject: &Subject,
    files: &PredictionFiles,
    evaluation: &Evaluation,
    bar: &Windows,
) -> Result<Option<Vec<CaseScores>>, PredictError> {
    let volume = subject.load().map_err(|error| PredictError::Image(error.into()))?;
    let predictor = &settings.ensemble.predictors[0];
    let truth = predictor.ground_truth(&volume)?;
    let grid = volume.grid;
    let prediction = predict_case(settings, subject, volume, files, bar)?.label_map;
    let ignore = predictor.targets.ignore;
    let score = |truth| {
        let pair = pair(&grid, &truth, &prediction);
        score_without_ignored(&evaluation.metrics, &pair, &evaluation.classes, ignore)
    };
    Ok(truth.map(score))
}

/// Converts an error of prediction and adds the subject.
fn subject_error(name: &str, error: PredictError) -> CliError {
    match predict_error(error) {
        CliError::Failure(message) => CliError::Failure(format!("subject {name}: {message}")),
        error => error,
    }
}

/// Reads what a picture of a subject shows.
fn scene(plan: &Plan, folder: &Path, name: &str) -> Result<Scene, String> {
    let volume = plan.cases[name].subject.load().map_err(|error| error.to_string())?;
    let path = PredictionFiles::new(folder, name, false).label_map;
    let (_, prediction) = io::read_label(&path).map_err(|error| error.to_string())?;
    Ok(Scene::new(&volume.grid, &volume.image, volume.label.as_ref(), Some(&prediction)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(others: &[(Label, &str)]) -> Result<Vec<(Label, String)>, CliError> {
        let named =
            |labels: &[(Label, &str)]| labels.iter().map(|(label, name)| (*label, (*name).to_owned())).collect();
        let mut labels = named(&[(1, "liver"), (2, "tumour")]);
        add_labels(&mut labels, named(others), Path::new("m.yaml")).map(|()| labels.into_iter().collect())
    }

    #[test]
    fn a_file_of_metrics_adds_labels_and_drops_none() {
        let names = |others| add(others).unwrap().into_iter().map(|(_, name)| name).collect::<Vec<_>>();
        assert_eq!(names(&[(1, "liver")]), ["liver", "tumour"]);
        assert_eq!(names(&[(3, "vessel")]), ["liver", "tumour", "vessel"]);
    }

    #[test]
    fn a_file_of_metrics_cannot_rename_a_label_of_the_run() {
        for (others, message) in [
            ([(1, "organ")], "label 1 is liver in the run, but organ in m.yaml"),
            ([(3, "tumour")], "tumour is label 2 in the run, but label 3 in m.yaml"),
        ] {
            let error = add(&others).unwrap_err();
            assert_eq!((error.code(), error.message().as_str()), (2, message));
        }
    }
}
