//! `runner predict`: predicts label maps of new images with one trained run or an ensemble.
//!
//! `cases` finds the images and names the cases, `channel_patterns` those of a pattern per channel, `outputs` decides which
//! of them need a prediction, `claimed` shares these among processes, and `case` predicts one and writes its label map and
//! its record.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use dataset::subject::Subject;

use super::Execute;
use super::training::command;
use crate::output_paths::{check_folder, make_folder};
use crate::terminal::signals::stop_on_signals;
use crate::terminal::{CliError, Exit};
use cases::Images;
use claimed::{ClaimedCases, NextCase};
use engine::prediction::{Ensemble, PredictError, Provenance};
use engine::selection::Selection;
use outputs::CaseFiles;

mod case;
mod cases;
mod channel_patterns;
mod claimed;
mod outputs;
mod record;
mod weights;
mod windows;

pub(super) use case::{CaseSettings, predict_case};
pub(super) use outputs::{CaseFiles as PredictionFiles, is_done};
pub(super) use record::unfinished_notes;
pub(super) use weights::{Checkpoint, Weights, note_unfinished, predict_error};
pub(super) use windows::Windows;

/// Predict label maps of new images with a trained run, or an ensemble of runs.
///
/// The experiment configures tiling and blending. Cases that the same weights have predicted before are skipped, and
/// several processes with the same output folder share the work. Unreadable images are reported and skipped. Scans that are
/// unlike the training scans are predicted with a warning.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner predict --run runs/quickstart/latest scan.nii.gz --out predictions --probabilities
  runner predict --run runs/liver/fold_0 --run runs/liver/fold_1 scans --out predictions
  runner predict --selection selection.yaml scans --out predictions
  runner predict --run runs/brain/latest --channel 'scans/*/t1.nii.gz' --channel 'scans/*/t2.nii.gz' --out predictions")]
pub struct PredictArgs {
    /// Folder of a trained run; repeat it for an ensemble, whose probabilities are averaged.
    #[arg(long = "run", value_name = "RUN_DIR", required_unless_present = "selection")]
    runs: Vec<PathBuf>,
    /// Selection of runs, their weights and the post-processing, as `runner select` writes it.
    #[arg(long, value_name = "FILE.yaml", conflicts_with_all = ["runs", "checkpoint"])]
    selection: Option<PathBuf>,
    #[command(flatten)]
    images: Images,
    /// Output folder for `CASE.nii.gz` and `CASE.json` of each case.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also write `CASE_probabilities.nii.gz` with one channel per class, background first.
    #[arg(long)]
    probabilities: bool,
    /// Predict finished cases again, and replace label maps that `runner predict` did not write or that were changed since.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    weights: Weights,
    /// Print only results, warnings and errors.
    #[arg(long)]
    quiet: bool,
}

impl Execute for PredictArgs {
    /// Predicts every case. Unreadable images are reported and skipped.
    fn execute(&self) -> Result<Exit, CliError> {
        check_folder(&self.out)?;
        let selection = self.selection.as_deref().map(Selection::read).transpose()?;
        let predictors = match &selection {
            Some((selection, _)) => self.weights.open_selected(selection)?,
            None => {
                check_different(&self.runs)?;
                self.runs.iter().map(|run| self.weights.open(run)).collect::<Result<_, _>>()?
            }
        };
        let ensemble = match &selection {
            Some((selection, _)) => selection.ensemble(&predictors),
            None => Ensemble::of_runs(&predictors),
        };
        let subjects = self.images.cases(predictors[0].channels())?;
        let settings = CaseSettings {
            ensemble: ensemble.map_err(predict_error)?,
            made_by: Provenance::new(&predictors, command()),
            keep_probabilities: self.probabilities,
            resample: self.weights.resample,
            of_own_data: false,
            selection: selection.as_ref().map(|(_, hash)| hash.clone()),
        };
        let files = outputs::plan(&subjects, &self.out, self.probabilities)?;
        make_folder(&self.out)?;
        let claims = self.out.join(".claims");
        let todo = outputs::unfinished(&subjects, &files, &settings, &claims, self.overwrite)?;
        stop_on_signals()?;
        let cases = Cases { arguments: self, settings: &settings, subjects: &subjects, files: &files };
        cases.predict(subjects.len() - todo.len(), ClaimedCases::new(claims, todo))
    }
}

/// Checks that no run is named twice, which would weight it twice.
fn check_different(runs: &[PathBuf]) -> Result<(), CliError> {
    let mut known = BTreeSet::new();
    let path = |run: &PathBuf| run.canonicalize().unwrap_or_else(|_| run.clone());
    match runs.iter().find(|run| !known.insert(path(run))) {
        None => Ok(()),
        Some(run) => Err(CliError::problem(format!("--run {} is given twice", run.display()), "give each run once")),
    }
}

/// The cases of a command.
struct Cases<'a> {
    arguments: &'a PredictArgs,
    settings: &'a CaseSettings<'a>,
    subjects: &'a [Subject],
    files: &'a [CaseFiles],
}

impl Cases<'_> {
    /// Predicts the cases that are left, of which `done_before` others are done.
    fn predict(&self, done_before: usize, mut left: ClaimedCases) -> Result<Exit, CliError> {
        let total = self.subjects.len();
        let (mut done, mut done_elsewhere, mut failed) = (done_before, 0, Vec::new());
        loop {
            let (index, _claim) = match left.next(|index| self.subjects[index].name.as_str())? {
                NextCase::Claimed(index, claim) => (index, claim),
                NextCase::End => break,
                NextCase::Stopped => return Ok(self.stopped(done)),
            };
            let (subject, files) = (&self.subjects[index], &self.files[index]);
            // Another process may have predicted it in the meantime.
            if !self.arguments.overwrite && outputs::is_done(subject, files, self.settings) {
                (done, done_elsewhere) = (done + 1, done_elsewhere + 1);
                continue;
            }
            let bar = Windows::new(&format!("{} ({}/{total})", subject.name, index + 1), self.arguments.quiet);
            let predicted = subject.load().map_err(|error| PredictError::Image(error.into()));
            let predicted = predicted.and_then(|volume| predict_case(self.settings, subject, volume, files, &bar));
            drop(bar);
            match predicted {
                Ok(predicted) => {
                    done += 1;
                    outln!("{}: {}", files.label_map.display(), predicted.volumes);
                }
                Err(PredictError::Stopped) => return Ok(self.stopped(done)),
                Err(error) => failed.push(report_failed_case(subject, error)?),
            }
        }
        if done_before > 0 {
            let were = if done_before == 1 { "was" } else { "were" };
            outln!("{done_before} of {total} cases {were} done before; --overwrite predicts them again");
        }
        if done_elsewhere > 0 {
            outln!("{done_elsewhere} of {total} cases were predicted by other processes");
        }
        if failed.is_empty() {
            return Ok(Exit::Done);
        }
        Err(CliError::Failure(format!("{} of {total} cases failed: {}", failed.len(), failed.join(", "))))
    }

    fn stopped(&self, done: usize) -> Exit {
        outln!("stopped; {done} of {} cases are done", self.subjects.len());
        Exit::Stopped
    }
}

/// Prints an error of one case with its files and returns its name; returns other errors, which would affect all cases.
fn report_failed_case(subject: &Subject, error: PredictError) -> Result<String, CliError> {
    if !error.is_of_image() {
        return Err(predict_error(error));
    }
    eprintln!("error: case {}: {}", subject.name, with_files(&subject.images, &error.to_string()));
    Ok(subject.name.clone())
}

/// Returns a message with the files that it is about: errors of reading name the one that failed, others are about all.
fn with_files(images: &[PathBuf], message: &str) -> String {
    let names: Vec<String> = images.iter().map(|image| image.display().to_string()).collect();
    match names.iter().any(|name| message.contains(name.as_str())) {
        true => message.to_owned(),
        false => format!("{}: {message}", names.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_file_that_failed_or_all() {
        let images = ["a_0000.nii.gz", "a_0001.nii.gz"].map(PathBuf::from);
        assert_eq!(with_files(&images, "a_0001.nii.gz: damaged"), "a_0001.nii.gz: damaged");
        assert_eq!(with_files(&images, "it has 3 channels"), "a_0000.nii.gz and a_0001.nii.gz: it has 3 channels");
    }
}
