//! The runs of a sweep: each combination checked, with the hash of its resolved experiment as its id.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::document::Sweep;
use dataset::split::Parts;
use engine::experiment::check::{self, Environment};
use engine::experiment::load::Change;
use engine::experiment::plan::Plan;
use engine::experiment::problem::{Problem, Problems};
use nn::devices::DeviceName;
use run_folder::plan_keys::{WITHOUT_EFFECT, remove};

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 12;

/// The keys that a sweep changes for a run, each with its value.
pub type Changes = Vec<(String, Json)>;

/// A checked run of a sweep.
#[derive(Clone, Debug)]
pub struct Point {
    /// Its description on disk.
    pub record: PointRecord,
    /// Its plan.
    pub plan: Plan,
}

/// The description of a run on disk: everything that a worker needs to start it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointRecord {
    /// The hash of the resolved experiment, the name of the run's folder.
    pub id: String,
    /// The keys that the sweep sets, in the order of its table.
    pub changes: Changes,
    /// The text of the experiment file.
    pub experiment: String,
    /// The resolved experiment, YAML.
    pub plan: String,
    /// The subjects of each part of the split.
    pub parts: Parts,
}

/// The checked runs of a sweep, with warnings.
#[derive(Clone, Debug)]
pub struct Points {
    /// The distinct runs, in the order of the sweep.
    pub points: Vec<Point>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// Checks every combination of a sweep.
///
/// # Errors
/// Every problem of any combination, each reported once.
pub fn check(sweep: &Sweep, environment: &Environment, device: Option<DeviceName>) -> Result<Points, Problems> {
    let mut problems: Vec<(Problem, Vec<usize>)> = Vec::new();
    let mut points: Vec<Point> = Vec::new();
    let mut warnings: Vec<String> = Vec::new();
    let mut duplicates = 0;
    let count = sweep.combinations.len();
    for (index, changes) in sweep.combinations.iter().enumerate() {
        let plan = sweep.base.document(changes).and_then(|document| {
            let plan = check::check(&document, environment, device)?;
            Ok((document, plan))
        });
        let (document, plan) = match plan {
            Ok((document, plan)) => (document, Plan { name: sweep.name.clone(), ..plan }),
            Err(new) => {
                for problem in new.0 {
                    match problems.iter_mut().find(|(known, _)| is_same(known, &problem)) {
                        Some((_, combinations)) => combinations.push(index),
                        None => problems.push((problem, vec![index])),
                    }
                }
                continue;
            }
        };
        warnings.extend(plan.warnings.iter().cloned());
        let id = id_of(&plan);
        if points.iter().any(|point| point.record.id == id) {
            duplicates += 1;
            continue;
        }
        let changes = changes.iter().map(|change| (change.key.clone(), json_of(change))).collect();
        // The worker chooses the device on the machine where it runs.
        let with_written_device = Plan { device: plan.experiment.device, ..plan.clone() };
        let record = PointRecord {
            id,
            changes,
            experiment: document.text,
            plan: with_written_device.to_yaml(),
            parts: plan.parts.clone(),
        };
        points.push(Point { record, plan });
    }
    if !problems.is_empty() {
        let problems = problems.into_iter();
        let named = problems.map(|(problem, combinations)| name_combination(problem, &combinations, sweep, count));
        return Err(Problems(named.collect()));
    }
    let mut seen = BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    if duplicates > 0 {
        warnings.push(format!("{duplicates} of {count} combinations are duplicates; each run is trained once"));
    }
    if splits_by_seed(&points) {
        warnings.push(
            "the split depends on the seed, so runs with different seeds are evaluated on different cases; give the split a \
             seed of its own, such as `split: { fold: { index: 0, count: 5, seed: 1 } }`, to keep the cases the same"
                .to_owned(),
        );
    }
    Ok(Points { points, warnings })
}

/// Returns whether the sweep varies the seed and the split depends on the seed.
fn splits_by_seed(points: &[Point]) -> bool {
    let seeds: BTreeSet<u64> = points.iter().map(|point| point.plan.experiment.seed).collect();
    seeds.len() > 1 && points.iter().any(|point| point.plan.experiment.data.split.depends_on_seed())
}

fn is_same(a: &Problem, b: &Problem) -> bool {
    let location = |problem: &Problem| {
        problem.location.as_ref().map(|location| (location.source.name.clone(), location.span.clone()))
    };
    a.message == b.message && location(a) == location(b)
}

/// Adds to the message which combination has the problem, unless all have it.
fn name_combination(problem: Problem, combinations: &[usize], sweep: &Sweep, count: usize) -> Problem {
    if combinations.len() == count || count == 1 {
        return problem;
    }
    let changes: Vec<String> = sweep.combinations[combinations[0]]
        .iter()
        .map(|change| format!("{}={}", change.key, short(&json_of(change))))
        .collect();
    let others = match combinations.len() - 1 {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    let message = format!("{} (in the run with {}{others})", problem.message, changes.join(", "));
    Problem { message, ..problem }
}

fn json_of(change: &Change) -> Json {
    serde_json::to_value(change.value.to_yaml()).unwrap_or(Json::Null)
}

/// Formats a value for a table.
pub fn short(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() && value != 0.0 && (value.abs() < 1e-3 || value.abs() >= 1e5) => {
                format!("{value:e}")
            }
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Returns the hash of everything in a resolved experiment that affects the results of its run.
///
/// The name, the device, the number of workers and the intervals of checkpoints are left out. The paths of the dataset are
/// replaced by the names and sizes of its files, and a split that depends on the content of a file by its subjects.
pub fn id_of(plan: &Plan) -> String {
    let experiment = &plan.experiment;
    let mut tree = serde_json::to_value(experiment).expect("an experiment has maps, lists, numbers and text only");
    WITHOUT_EFFECT.iter().for_each(|key| remove(&mut tree, key));
    // The ids of earlier sweeps have these values in place of what was written.
    tree["name"] = Json::Null;
    tree["device"] = json!(DeviceName::Auto);
    tree["queue"]["workers"] = json!(0);
    // Labels that come from the dataset are part of the task.
    let targets = &plan.targets;
    tree["data"]["labels"] = targets.labels.iter().map(|label| json!([label.value, label.name])).collect();
    if !targets.has_background() {
        let regions = targets.regions.iter().map(|region| json!([region.name, region.labels, region.write]));
        tree["data"]["regions"] = regions.collect();
    }
    if let Some(ignore) = targets.ignore {
        tree["data"]["ignore_label"] = json!(ignore);
    }
    if experiment.data.source.component().generator().is_none() {
        tree["data"]["source"] = Json::from(plan.fingerprint());
    }
    if experiment.data.split.depends_on_file() {
        tree["data"]["split"] = serde_json::to_value(&plan.parts).expect("a split has lists of names only");
    }
    hex::encode(&Sha256::digest(canonical(&tree))[..ID_DIGITS / 2])
}

/// Serializes a JSON tree with the keys of each map sorted.
fn canonical(tree: &Json) -> String {
    match tree {
        Json::Object(entries) => {
            let sorted: BTreeMap<&String, &Json> = entries.iter().collect();
            let entries =
                sorted.iter().map(|(key, value)| format!("{}:{}", Json::from(key.as_str()), canonical(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Json::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::load;

    const EXPERIMENT: &str = "\
name: base
device: flex
data: { source: { phantom: { subjects: 4, shape: [32, 32, 32] } }, split: { first: 2 } }
sampler: { uniform: { patch: [16, 16, 16] } }
model: { unet: { widths: [8, 16] } }
loss: { dice: {} }
optimizer: { adam: { learning_rate: 1e-4 } }
train: { epochs: 2 }
";

    fn points(experiment: &str, grids: &[&str]) -> Result<Points, Problems> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.yaml");
        std::fs::write(&path, experiment).unwrap();
        let grids: Vec<_> = grids.iter().map(|grid| grid.parse().unwrap()).collect();
        let environment = Environment { cache_dir: "no-cache".into(), memory_bytes: None };
        check(&load(&path, &grids, &[]).unwrap(), &environment, None)
    }

    fn ids(experiment: &str, grid: &str) -> Vec<String> {
        points(experiment, &[grid]).unwrap().points.into_iter().map(|point| point.record.id).collect()
    }

    #[test]
    fn keys_that_do_not_affect_results_do_not_affect_the_id() {
        let expected = ids(EXPERIMENT, "seed=1,2");
        assert!(expected[0] != expected[1] && expected[0].len() == ID_DIGITS);
        let other_name = EXPERIMENT.replace("name: base", "name: other\nqueue: { workers: 0 }");
        assert_eq!(ids(&other_name, "seed=1,2"), expected);
        let written_out = EXPERIMENT.replace("epochs: 2", "batch_size: 2, epochs: 2");
        assert_eq!(ids(&written_out, "seed=1,2"), expected);
    }

    #[test]
    fn the_id_depends_on_the_files_of_the_dataset_and_not_on_its_path() {
        let folder = tempfile::tempdir().unwrap();
        use dataset::sources::Generator;
        let source: dataset::phantom::PhantomSource =
            serde_json::from_str(r#"{"subjects": 4, "shape": [32, 32, 32]}"#).unwrap();
        let ids: Vec<Vec<String>> = ["here", "there"]
            .map(|name| {
                let root = folder.path().join(name);
                source.write(&root, &mut |_, _| {}).unwrap();
                let text = EXPERIMENT.replace(
                    "{ phantom: { subjects: 4, shape: [32, 32, 32] } }",
                    &format!("{{ msd: {{ root: {} }} }}", root.display()),
                );
                ids(&text, "seed=1,2")
            })
            .to_vec();
        assert_eq!(ids[0], ids[1]);
    }

    #[test]
    fn a_duplicate_run_is_trained_once_with_a_warning() {
        let points = points(EXPERIMENT, &["optimizer.adam.learning_rate=1e-3,0.001"]).unwrap();
        assert_eq!(points.points.len(), 1);
        assert!(points.warnings.iter().any(|warning| warning.contains("trained once")), "{:?}", points.warnings);
    }

    #[test]
    fn a_problem_of_one_combination_names_it_and_one_of_all_is_reported_once() {
        let problems = points(EXPERIMENT, &["sampler.uniform.patch=[16,16,16],[64,16,16]", "seed=1,2"]).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems:?}");
        assert!(problems.0[0].message.contains("sampler.uniform.patch=[64,16,16], seed=1 and 1 more"), "{problems}");
        let everywhere = EXPERIMENT.replace("widths: [8, 16]", "widths: []");
        let problems = points(&everywhere, &["seed=1,2"]).unwrap_err();
        assert!(problems.0.iter().all(|problem| !problem.message.contains("in the run with")), "{problems:?}");
    }
}
