//! The settings below a folder, and which of their runs predicts a subject out of fold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::commands::evaluate::pairs::few;
use crate::terminal::CliError;
use engine::selection::folds::{FoldRun, out_of_fold};
use report::comparison::{setting_recipe, varying_keys};
use report::format::count;
use report::runs::{self, Run};
use run_folder::manifest::Status;
use serde_json::Value as Json;

/// Runs that differ only in their fold.
#[derive(Debug)]
pub(super) struct Setting {
    /// Its name.
    pub name: String,
    /// The run folders.
    pub runs: Vec<PathBuf>,
    /// The index of the run that was not trained on a subject, by the subject's name.
    pub run_of: BTreeMap<String, usize>,
}

/// The settings below a folder that predict the same subjects, and what was left out.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The settings, by name.
    pub complete: Vec<Setting>,
    /// The number of subjects of the dataset that no run predicts out of fold.
    pub num_unpredicted: usize,
    /// Runs and settings that are left out, and why.
    pub notes: Vec<String>,
}

/// What the runs of a setting have in common: recipe and seed.
type Recipe = (String, Option<u64>);

impl Settings {
    /// Finds the settings below a folder.
    ///
    /// # Errors
    /// When there are none.
    pub fn find(root: &Path) -> Result<Self, CliError> {
        let found = runs::find(root).map_err(|error| {
            CliError::problem(format!("cannot read {}: {error}", root.display()), "name a folder that contains runs")
        })?;
        let mut settings = Self::default();
        for (name, reason) in &found.unreadable {
            settings.notes.push(format!("{name} is left out: it cannot be read: {reason}"));
        }
        let usable: Vec<Run> = found.runs.into_iter().filter(|run| settings.is_usable(run)).collect();
        let usable = settings.of_one_dataset(usable);
        let all_subjects = usable.iter().map(subjects).next().unwrap_or_default();
        let mut by_recipe: BTreeMap<Recipe, Vec<Run>> = BTreeMap::new();
        for run in usable {
            by_recipe.entry((setting_recipe(&run).to_string(), run.seed())).or_default().push(run);
        }
        let groups: Vec<Vec<Run>> = by_recipe.into_values().map(|runs| settings.without_repeats(runs)).collect();
        let names = names(&groups);
        let named = groups.iter().zip(names).filter_map(|(runs, name)| settings.setting(root, name, runs));
        let mut all: Vec<Setting> = named.collect::<Vec<_>>();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let expected: BTreeSet<String> = all.iter().flat_map(|setting| setting.run_of.keys().cloned()).collect();
        settings.num_unpredicted = all_subjects.difference(&expected).count();
        for setting in all {
            let missing: Vec<&String> = expected.iter().filter(|name| !setting.run_of.contains_key(*name)).collect();
            match missing.len() {
                0 => settings.complete.push(setting),
                number => settings.notes.push(format!(
                    "{} is left out: it has no out-of-fold prediction of {number} of {} subjects: {}; train the folds that \
                     it lacks",
                    setting.name,
                    expected.len(),
                    few(&missing)
                )),
            }
        }
        if settings.complete.is_empty() {
            let message = format!("no setting below {} has an out-of-fold prediction of every subject", root.display());
            return Err(CliError::problem(message, settings.help()));
        }
        Ok(settings)
    }

    /// Returns what to do if there are no settings.
    fn help(&self) -> String {
        match &self.notes[..] {
            [] => "name a folder of finished runs, one for each fold of an experiment".to_owned(),
            notes => notes.join("\n"),
        }
    }

    /// Returns whether a run can predict out of fold; if not, notes why.
    fn is_usable(&mut self, run: &Run) -> bool {
        let reason = match (run.status, &run.parts) {
            (Some(Status::Done), Some(_)) => return true,
            (Some(Status::Done), None) => {
                "it has no split.json, so the subjects that it was not trained on are unknown"
            }
            _ => "it is not finished",
        };
        self.notes.push(format!("{} is left out: {reason}", run.name));
        false
    }

    /// Returns the runs on the dataset that most of them have: the same subjects and labels.
    fn of_one_dataset(&mut self, runs: Vec<Run>) -> Vec<Run> {
        let targets = |run: &Run| {
            ["labels", "regions", "ignore_label"].map(|key| run.planned(&["data", key]).to_string()).join(" ")
        };
        let mut by_data: BTreeMap<(BTreeSet<String>, String), Vec<Run>> = BTreeMap::new();
        for run in runs {
            by_data.entry((subjects(&run), targets(&run))).or_default().push(run);
        }
        let mut groups: Vec<Vec<Run>> = by_data.into_values().collect();
        groups.sort_by_key(|runs| std::cmp::Reverse(runs.len()));
        let mut groups = groups.into_iter();
        let chosen = groups.next().unwrap_or_default();
        for run in groups.flatten() {
            self.notes.push(format!("{} is left out: it has other subjects or labels than most runs", run.name));
        }
        chosen
    }

    /// Returns the runs without those that a newer one repeats: on the same fold with the same seed.
    fn without_repeats(&mut self, mut runs: Vec<Run>) -> Vec<Run> {
        runs.sort_by(|a, b| b.start.cmp(&a.start));
        let mut kept: Vec<Run> = Vec::new();
        for run in runs {
            match kept.iter().find(|other| other.validation() == run.validation()) {
                Some(newer) => {
                    self.notes.push(format!("{} is left out: {} repeats it on the same fold", run.name, newer.name));
                }
                None => kept.push(run),
            }
        }
        kept.sort_by(|a, b| a.name.cmp(&b.name));
        kept
    }

    /// Returns the setting of some runs; if they have no out-of-fold predictions, notes why.
    fn setting(&mut self, root: &Path, name: String, runs: &[Run]) -> Option<Setting> {
        let folds: Vec<FoldRun> =
            runs.iter().filter_map(|run| Some(FoldRun { name: &run.name, parts: run.parts.as_ref()? })).collect();
        match out_of_fold(&folds) {
            Ok(run_of) => {
                let folder = |run: &Run| {
                    if root.join("manifest.json").exists() { root.to_owned() } else { root.join(&run.name) }
                };
                Some(Setting { name, runs: runs.iter().map(folder).collect(), run_of })
            }
            Err(error) => {
                self.notes.push(format!("{name} ({}) is left out: {error}", count(runs.len(), "run")));
                None
            }
        }
    }
}

/// Returns the training and validation subjects of a run.
fn subjects(run: &Run) -> BTreeSet<String> {
    let parts = run.parts.iter().flat_map(|parts| parts.train.iter().chain(&parts.val));
    parts.cloned().collect()
}

/// Returns a name for each setting: that of its experiment, with what distinguishes it where several have the same.
fn names(groups: &[Vec<Run>]) -> Vec<String> {
    let recipes: Vec<Json> = groups.iter().map(|runs| setting_recipe(&runs[0])).collect();
    let keys = varying_keys(&recipes.iter().collect::<Vec<_>>());
    let titles: Vec<String> = groups.iter().map(|runs| runs[0].title()).collect();
    let seeds: BTreeSet<Option<u64>> = groups.iter().map(|runs| runs[0].seed()).collect();
    let name = |index: usize| {
        if titles.iter().filter(|title| **title == titles[index]).count() == 1 {
            return titles[index].clone();
        }
        let values = keys.iter().filter_map(|key| Some(format!("{} {}", key.short(), key.values[index].as_deref()?)));
        let seed = groups[index][0].seed().filter(|_| seeds.len() > 1).map(|seed| format!("seed {seed}"));
        let values: Vec<String> = values.chain(seed).collect();
        format!("{} ({})", titles[index], values.join(", "))
    };
    (0..groups.len()).map(name).collect()
}
