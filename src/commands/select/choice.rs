//! The choice among candidates, its post-processing, and the files of the result.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;

use super::SelectArgs;
use super::candidates::{Candidate, Scored, cannot_decide};
use super::settings::Setting;
use crate::commands::compare;
use crate::commands::report::{Detail, finish};
use crate::terminal::{CliError, run_error};
use dataset::cache::hash_content;
use engine::inference::postprocess::Postprocess;
use engine::prediction::weights_file;
use engine::selection::file::{CheckpointName, Evidence, HashedRuns, Selection};
use engine::selection::postprocessing::{ClassMetric, Means, Trial, accepted, determine};
use metrics::{CaseScores, Class};
use report::Report;
use report::comparison::{Compared, Subject};
use report::runs::ComparedMetric;
use run_folder::manifest::now;
use volume::Label;

/// Chooses a candidate and its post-processing, prints why, and writes `selection.yaml` and a report.
pub(super) fn choose(settings: &[Setting], scored: &Scored, arguments: &SelectArgs) -> Result<(), CliError> {
    let classes = scored.targets.classes();
    let metric = ClassMetric { metric: &scored.metric, classes: &classes };
    let means = |scores: &BTreeMap<String, CaseScores>| -> Result<Means, CliError> {
        let scores: Vec<CaseScores> = scores.values().cloned().collect();
        metric.means(&scores).ok_or_else(|| cannot_decide(&scored.metric))
    };
    let all: Vec<Means> = scored.candidates.iter().map(|one| means(&one.scores)).collect::<Result<_, _>>()?;
    let best = best(&all, &metric)?;
    write_report(scored, arguments, &classes)?;
    let candidate = &scored.candidates[best];
    let labels: Vec<Label> = scored.targets.labels.iter().map(|label| label.value).collect();
    let trials = determine(metric, &labels, |steps| means(&scored.after(candidate, steps)?))?;
    let steps = accepted(&trials);
    let after = if steps.is_empty() { all[best].mean } else { means(&scored.after(candidate, &steps)?)?.mean };
    let compared = ComparedMetric::new(scored.metric.name(), "mean", std::slice::from_ref(&scored.metric));
    let number = |score: Option<f64>| score.map_or("undefined".to_owned(), |score| compared.number(score));
    outln!("selected: {}, mean {} {}", candidate.name, compared.title, number(all[best].mean));
    // Removing a few voxels changes only the last digits.
    let precise = |score: Option<f64>| score.map_or("undefined".to_owned(), |score| format!("{score:.5}"));
    outln!("post-processing, keeping only the largest connected component:");
    trials.iter().for_each(|trial| outln!("- {}", sentence(trial, &precise)));
    if !steps.is_empty() {
        outln!("mean {} after post-processing: {}", compared.title, precise(after));
    }
    let selection = selection(settings, scored, candidate, steps, arguments)?;
    let evidence = Evidence {
        metric: scored.metric.name().to_owned(),
        subjects: candidate.scores.len(),
        candidates: scored.candidates.iter().zip(&all).map(|(one, means)| (one.name.clone(), means.mean)).collect(),
        selected: [all[best].mean, after],
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: now(),
    };
    Selection::new(selection.0, selection.1, evidence).write(&arguments.out).map_err(run_error)?;
    outln!("selection: {}", arguments.out.display());
    Ok(())
}

/// Returns the index of the best candidate, the first of equal ones: settings come before ensembles.
fn best(all: &[Means], metric: &ClassMetric) -> Result<usize, CliError> {
    let mut best: Option<usize> = None;
    for (index, means) in all.iter().enumerate().filter(|(_, means)| means.mean.is_some()) {
        if best.is_none_or(|best| metric.compare(means.mean, all[best].mean) == Ordering::Greater) {
            best = Some(index);
        }
    }
    best.ok_or_else(|| {
        let message = "the metric is undefined for every candidate".to_owned();
        CliError::problem(message, "name another metric with --metric")
    })
}

/// The name and the weights of each setting, and its run folders with the SHA-256 of their weights.
type SelectedRuns = Vec<(String, CheckpointName, HashedRuns)>;

/// Returns the runs of the chosen candidate, and all post-processing steps: those of the runs, then the accepted ones.
fn selection(
    settings: &[Setting],
    scored: &Scored,
    candidate: &Candidate,
    accepted: Vec<Postprocess>,
    arguments: &SelectArgs,
) -> Result<(SelectedRuns, Vec<Postprocess>), CliError> {
    let checkpoint = arguments.weights.checkpoint();
    let hashed = |run: &PathBuf| {
        let path = weights_file(run, checkpoint);
        let sha256 = hash_content(&path).map_err(|error| CliError::Failure(format!("{}: {error}", path.display())))?;
        Ok((run.clone(), sha256))
    };
    let runs = |index: &usize| {
        let setting = &settings[*index];
        let runs = setting.runs.iter().map(hashed).collect::<Result<_, CliError>>()?;
        Ok((setting.name.clone(), checkpoint.into(), runs))
    };
    let own = scored.postprocess[candidate.settings[0]].clone();
    let runs = candidate.settings.iter().map(runs).collect::<Result<_, CliError>>()?;
    Ok((runs, [own, accepted].concat()))
}

/// Compares the candidates case by case, and writes and prints the report.
fn write_report(scored: &Scored, arguments: &SelectArgs, classes: &[Class]) -> Result<(), CliError> {
    let metrics = std::slice::from_ref(&scored.metric);
    let run = |candidate: &Candidate| {
        let cases = candidate.scores.iter().map(|(subject, scores)| (subject.clone(), vec![scores.clone()])).collect();
        compare::scored(&candidate.name, metrics, classes, &cases)
    };
    let runs = scored.candidates.iter().map(run).collect();
    let compared =
        Compared { metric: Some(scored.metric.name().to_owned()), subject: Subject::Candidates, ..Compared::default() };
    let mut report = Report::of(runs, compared);
    let caveat = "The best candidate was chosen on the same cases that it is scored on, so its score is optimistic, all the \
                  more so with many candidates.";
    for (_, verdict) in &mut report.groups {
        verdict.warnings.extend(scored.notes.iter().map(|note| format!("{note}.")));
        if scored.candidates.len() > 1 {
            verdict.warnings.push(caveat.to_owned());
        }
    }
    finish(&report, &arguments.runs.join("selection"), "Selection", Detail::Verdict)
}

/// Describes a step that was tried.
fn sentence(trial: &Trial, number: &dyn Fn(Option<f64>) -> String) -> String {
    let what = trial.class.as_deref().map_or("all labels together".to_owned(), |class| format!("{class} alone"));
    let (before, after) = (number(trial.before), number(trial.after));
    match trial.is_accepted {
        true => format!("{what}: accepted, {before} becomes {after}"),
        false => format!("{what}: not accepted, {before} would become {after}"),
    }
}
