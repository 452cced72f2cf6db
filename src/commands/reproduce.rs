//! `runner reproduce`: checks that a run's data and plan are unchanged and that its first steps give the same numbers.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::Value as Json;

use super::numbers::{at_least_one, not_negative};
use super::patches::prepare;
use super::training::{resume_error, training_error};
use super::{CacheOptions, Execute, MovedDataOptions, with_moved_data_help};
use crate::terminal::{CliError, Exit, run_error};
use engine::experiment::load::{self, SetArgument};
use engine::experiment::plan::Plan;
use engine::run::manifest::{check_same_split, check_trained_here, plan_as_json};
use engine::training::dataset::PreprocessedDataset;
use engine::training::replay::{self, ReplayedStep};
use nn::devices::DeviceName;
use run_folder::folder::RunError;
use run_folder::manifest::{Inputs, Manifest};
use run_folder::plan_keys::{has_no_effect, is_place};
use run_folder::table::Table;

/// Repeat the first steps of a run and compare them with the recorded numbers.
///
/// First checks that the plan and the data files are unchanged. Exits with 1 if anything differs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  runner reproduce runs/quickstart/latest
  runner reproduce runs/quickstart/latest --device flex --steps 3 --tolerance 1e-2")]
pub struct ReproduceArgs {
    /// Run folder.
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
    /// Maximum number of steps to repeat.
    #[arg(long, default_value = "10", value_parser = at_least_one)]
    steps: NonZeroUsize,
    /// Relative tolerance of loss and gradient norm.
    #[arg(long, default_value = "1e-3", value_parser = not_negative)]
    tolerance: f64,
    /// Device that runs the network [default: the device of the run]; `runner devices` lists those available.
    #[arg(long, env = "RUNNER_DEVICE")]
    device: Option<DeviceName>,
    #[command(flatten)]
    moved: MovedDataOptions,
    #[command(flatten)]
    cache: CacheOptions,
    /// Print only results, warnings and errors.
    #[arg(long)]
    quiet: bool,
}

impl Execute for ReproduceArgs {
    /// Compares plan, data and steps; the exit code is 1 if anything differs.
    fn execute(&self) -> Result<Exit, CliError> {
        let root = &self.run;
        self.moved.check()?;
        let manifest = Manifest::read(root).map_err(run_error)?;
        check_trained_here(root, &manifest).map_err(resume_error)?;
        let same_plan = is_plan_unchanged(root, &manifest)?;
        // A run that was lengthened started with fewer epochs, and its learning rates depend on their number.
        let epochs = manifest.plan["train"]["epochs"].as_u64();
        let epochs = epochs.map(|epochs| SetArgument { key: "train.epochs".to_owned(), value: epochs.to_string() });
        let sets: Vec<SetArgument> = epochs.into_iter().chain(self.moved.set.iter().cloned()).collect();
        let document = load::load(&root.join("plan.yaml"), &sets)?;
        let plan = self.cache.plan(&document, self.device).map_err(|error| with_moved_data_help(error, &document))?;
        check_same_split(root, &plan).map_err(resume_error)?;
        let cache = self.cache.open();
        let dataset = Arc::new(prepare(&plan, &cache, &self.cache.path(), self.quiet)?);
        let same_data = is_data_unchanged(&manifest.inputs, &dataset.inputs);
        if !(same_plan && same_data) {
            outln!("no: the steps were not repeated, since plan or data differ");
            return Ok(Exit::No);
        }
        compare_steps(self, &manifest, &plan, &dataset)
    }
}

/// Prints and returns whether plan.yaml is the plan that the run was started with.
fn is_plan_unchanged(root: &Path, manifest: &Manifest) -> Result<bool, CliError> {
    if manifest.plan.is_null() {
        outln!("plan     not recorded by the version that made the run");
        return Ok(true);
    }
    let path = root.join("plan.yaml");
    let text = fs::read_to_string(&path).map_err(|source| run_error(RunError::Read { path: path.clone(), source }))?;
    let difference = first_difference(&plan_as_json(&text), &manifest.plan, "");
    match &difference {
        Some(key) => outln!("plan     {} differs from manifest.json in `{key}`", path.display()),
        None => outln!("plan     unchanged"),
    }
    Ok(difference.is_none())
}

/// Returns the path of the first key whose value differs between two trees, and may change the numbers of a step.
fn first_difference(one: &Json, other: &Json, path: &str) -> Option<String> {
    // The data is compared by the content of its files.
    if has_no_effect(path) || is_place(path) || path == "train.epochs" {
        return None;
    }
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (one, other) {
        (Json::Object(entries), Json::Object(others)) => {
            let keys: std::collections::BTreeSet<&String> = entries.keys().chain(others.keys()).collect();
            keys.into_iter().find_map(|key| {
                let value = |map: &serde_json::Map<String, Json>| map.get(key).cloned().unwrap_or(Json::Null);
                first_difference(&value(entries), &value(others), &below(key))
            })
        }
        (Json::Array(items), Json::Array(others)) if items.len() == others.len() => {
            let mut pairs = items.iter().zip(others).enumerate();
            pairs.find_map(|(index, (one, other))| first_difference(one, other, &below(&index.to_string())))
        }
        _ => (one != other).then(|| path.to_owned()),
    }
}

/// Prints and returns whether the input files are unchanged.
fn is_data_unchanged(before: &Inputs, now: &Inputs) -> bool {
    if before.subjects.is_empty() {
        outln!("data     not recorded by the run");
        return true;
    }
    let changed = before.differences(now);
    for path in &changed {
        outln!("data     {} has changed", path.display());
    }
    if changed.is_empty() {
        let files: usize = now.subjects.values().map(Vec::len).sum();
        outln!("data     {files} files of {} subjects, unchanged", now.subjects.len());
    }
    changed.is_empty()
}

/// Repeats the first steps and compares them with the recorded ones.
fn compare_steps(
    arguments: &ReproduceArgs,
    manifest: &Manifest,
    plan: &Plan,
    dataset: &Arc<PreprocessedDataset>,
) -> Result<Exit, CliError> {
    let path = arguments.run.join("steps.csv");
    let table = Table::read(&path).map_err(|error| CliError::Failure(format!("{}: {error}", path.display())))?;
    // Later steps had the learning rates of another number of epochs.
    let comparable = manifest.epochs_changed.first().map_or(table.rows.len(), |change| change.after_step);
    let count = arguments.steps.get().min(table.rows.len()).min(comparable);
    if count == 0 {
        return Err(CliError::problem(
            format!("{} has no steps to compare with", path.display()),
            "train the run first",
        ));
    }
    let mut max_difference: f64 = 0.0;
    let mut failure = None;
    let repeated = replay::first_steps(plan, dataset, count, |step| {
        let (relative, text) = compare(&table, &step);
        max_difference = max_difference.max(relative);
        if relative > arguments.tolerance {
            failure = Some(text);
        }
        failure.is_none()
    });
    repeated.map_err(|error| training_error(&error))?;
    let threads = rayon::current_num_threads();
    let recorded = format!("{} with {} threads", manifest.device, manifest.threads);
    if comparable < arguments.steps.get().min(table.rows.len()) {
        outln!("steps    those after step {comparable} cannot be repeated, since `train.epochs` was changed there");
    }
    outln!("steps    {count} repeated on {} with {threads} threads; the run was on {recorded}", plan.device);
    match failure {
        Some(text) => {
            outln!("no: {text}");
            Ok(Exit::No)
        }
        None if max_difference == 0.0 => {
            outln!("same bits");
            Ok(Exit::Done)
        }
        None => {
            outln!("same within tolerance: the largest relative difference is {max_difference:.1e}");
            Ok(Exit::Done)
        }
    }
}

/// Returns the relative difference of a step from the recorded one, and its description.
fn compare(table: &Table, step: &ReplayedStep) -> (f64, String) {
    let compare = |(column, now): (&str, f64)| match table.value(step.step - 1, column) {
        Some(before) if before.to_bits() == now.to_bits() => (0.0, String::new()),
        Some(before) => {
            let relative = ((now - before) / before.abs().max(f64::MIN_POSITIVE)).abs();
            (relative, format!("step {}: {column} is {now} and was {before}", step.step))
        }
        None => (f64::INFINITY, format!("step {}: {column} was not recorded", step.step)),
    };
    let [loss, norm] = [("train_loss", step.train_loss), ("grad_norm", step.grad_norm)].map(compare);
    if norm.0 > loss.0 { norm } else { loss }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_of_two_plans_is_named_and_irrelevant_keys_are_ignored() {
        let plan = json!({ "device": "flex", "loss": { "dice": { "smooth": 1e-5 } }, "augment": [1, 2] });
        let mut other = plan.clone();
        other["device"] = json!("auto");
        assert_eq!(first_difference(&plan, &other, ""), None);
        other["loss"]["dice"]["smooth"] = json!(1e-4);
        assert_eq!(first_difference(&plan, &other, "").as_deref(), Some("loss.dice.smooth"));
        let shorter = json!({ "device": "flex", "loss": plan["loss"], "augment": [1] });
        assert_eq!(first_difference(&plan, &shorter, "").as_deref(), Some("augment"));
    }

    #[test]
    fn steps_are_compared_bit_for_bit() {
        let table = Table {
            names: vec!["train_loss".into(), "grad_norm".into()],
            rows: vec![vec![Some(0.1 + 0.2), Some(2.0)]],
        };
        let step = |train_loss, grad_norm| ReplayedStep { step: 1, train_loss, grad_norm };
        assert_eq!(compare(&table, &step(0.1 + 0.2, 2.0)).0, 0.0);
        let (relative, text) = compare(&table, &step(0.3, 2.0));
        assert!(
            relative > 0.0 && relative < 1e-15 && text.contains("train_loss is 0.3 and was 0.30000000000000004"),
            "{text}"
        );
        assert_eq!(compare(&table, &step(0.1 + 0.2, 3.0)).0, 0.5);
        assert_eq!(compare(&table, &ReplayedStep { step: 2, train_loss: 1.0, grad_norm: 1.0 }).0, f64::INFINITY);
    }
}
