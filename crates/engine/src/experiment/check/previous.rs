//! Rules for the previous stage of a cascade.

use std::path::PathBuf;

use super::Diagnostics;
use super::data::first_names;
use crate::experiment::load::Document;
use crate::experiment::spec::{Experiment, Previous};
use crate::previous::runs::{FOLDER, FoldsProblem};
use crate::previous::{PreviousError, PreviousRun, PreviousRuns};
use dataset::split::Parts;
use run_folder::manifest::{Manifest, Status};

/// The key of the runs.
const RUNS: &str = "data.previous.runs";

/// Checks the keys, without the runs.
pub(super) fn check(diagnostics: &mut Diagnostics) {
    let Some(Previous { runs, augment }) = &diagnostics.document.experiment.data.previous else { return };
    if runs.0.is_empty() {
        diagnostics.problem(RUNS, "expected at least one run folder, got none", "name one, or remove `data.previous`");
    }
    for (index, step) in augment.iter().enumerate() {
        for problem in step.component().validate() {
            let path = format!("data.previous.augment.{index}.{}.{}", step.name(), problem.key);
            diagnostics.problem(&path, problem.message, problem.help.unwrap_or_default());
        }
    }
}

/// Reads the previous runs, and checks that they can predict every subject of images with this many channels.
pub(super) fn check_runs(diagnostics: &mut Diagnostics, parts: &Parts, channels: usize) -> Option<PreviousRuns> {
    let document = diagnostics.document;
    let folders = &document.experiment.data.previous.as_ref()?.runs.0;
    let copies = copies(document);
    let folders = copies.clone().map_or_else(|| folders.clone(), |copies| vec![copies.folder]);
    if folders.is_empty() {
        return None;
    }
    let previous = match PreviousRuns::read(&folders) {
        Ok(previous) => previous,
        Err(error) => {
            diagnostics.problem(RUNS, error.to_string(), error.help());
            return None;
        }
    };
    for run in &previous.runs {
        check_run(diagnostics, run, channels);
    }
    // Another program may not say which subjects a run was trained on.
    if !copies.is_some_and(|copies| copies.of_imported_run) {
        check_folds(diagnostics, &previous, parts);
    }
    Some(previous)
}

/// The copies of the previous runs in the folder of a run.
#[derive(Clone)]
struct Copies {
    folder: PathBuf,
    /// Whether another program trained the run, so that it is only scored.
    of_imported_run: bool,
}

/// Returns the copies of the previous runs, if the document is the plan of a run folder that has them.
fn copies(document: &Document) -> Option<Copies> {
    let root = document.path.file_name().filter(|name| *name == "plan.yaml").and(document.path.parent())?;
    let folder = root.join(FOLDER);
    let manifest = Manifest::read(root).ok()?;
    let is_changed = document.location(RUNS).source.is_change;
    let copies = Copies { folder, of_imported_run: manifest.imported.is_some() };
    (copies.folder.is_dir() && !is_changed).then_some(copies)
}

fn check_run(diagnostics: &mut Diagnostics, run: &PreviousRun, channels: usize) {
    let root = run.root.display();
    if run.status != Status::Done {
        let status = format!("{:?}", run.status).to_lowercase();
        let error = PreviousError::Unfinished { root: run.root.clone(), status };
        diagnostics.problem(RUNS, error.to_string(), error.help());
    }
    if run.channels != channels {
        let message =
            format!("{root} was trained on images of {} channels, but the images have {channels}", run.channels);
        diagnostics.problem(RUNS, message, "train the previous stage on the same images");
    }
    let phantoms =
        |experiment: &Experiment| experiment.data.source.component().generator().map(|generator| generator.settings());
    if phantoms(&run.experiment) != phantoms(&diagnostics.document.experiment) {
        let message = format!("{root} was trained on other phantoms, whose subjects have the same names");
        diagnostics.problem(RUNS, message, "give both the same `data.source`");
    }
}

/// Checks that each subject is predicted by runs that were not trained on it.
fn check_folds(diagnostics: &mut Diagnostics, previous: &PreviousRuns, parts: &Parts) {
    match previous.check_folds() {
        Ok(()) => {}
        Err(FoldsProblem::Unknown(roots)) => {
            let names: Vec<String> = roots.iter().map(|root| root.display().to_string()).collect();
            let message = format!(
                "the subjects that {} trained on are unknown: there is no split.json",
                match &names[..] {
                    [name] => format!("{name} was"),
                    names => format!("{} were", first_names(names)),
                }
            );
            diagnostics.problem(RUNS, message, "train the previous stage with this program");
            return;
        }
        Err(FoldsProblem::Folds(error)) => {
            let help =
                "name one run for each fold, so that each subject is validated by one run, which was not trained on it";
            diagnostics.problem(RUNS, error.to_string(), help);
            return;
        }
    }
    let subjects = parts.train.iter().chain(&parts.val).chain(&parts.test);
    let seen: Vec<String> = subjects.filter(|name| previous.predicting(name).is_none()).cloned().collect();
    if seen.is_empty() {
        return;
    }
    let message = format!(
        "{} subjects are predicted by no run that was not trained on them: {}; their predictions would be better than those of new images",
        seen.len(),
        first_names(&seen)
    );
    let help = "train the other folds of the previous stage too, with `--set 'data.split.*.index=N'`, and name all of them: each subject is predicted by the run that validates it";
    diagnostics.problem(RUNS, message, help);
}
