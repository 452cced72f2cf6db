//! The runs of a sweep: each combination checked, with the hash of its resolved experiment as its id.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use super::document::Sweep;
use dataset::sources::Source;
use dataset::split::{Parts, Split};
use engine::experiment::check::{self, Environment};
use engine::experiment::load::Change;
use engine::experiment::plan::Plan;
use engine::experiment::problem::{Problem, Problems};
use nn::devices::DeviceName;

/// Hexadecimal digits of an id.
const ID_DIGITS: usize = 12;

/// The keys that a sweep changes for a run, each with its value.
pub type Changes = Vec<(String, Json)>;

/// A run of a sweep, checked.
#[derive(Clone, Debug)]
pub struct Point {
    /// What lies on disk about it.
    pub record: PointRecord,
    /// What will be run.
    pub plan: Plan,
}

/// A run of a sweep as it lies on disk: everything that a process needs to begin it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointRecord {
    /// The hash of the resolved experiment, the name of the run's folder.
    pub id: String,
    /// What the sweep changed, in the order of its table.
    pub changes: Changes,
    /// The experiment file, byte for byte.
    pub experiment: String,
    /// The resolved experiment.
    pub plan: String,
    /// The subjects of each part.
    pub parts: Parts,
}

/// The runs of a sweep, and what should be said about them.
#[derive(Clone, Debug)]
pub struct Points {
    /// Each run once, in the order of the sweep.
    pub points: Vec<Point>,
    /// What could be wrong, in plain sentences.
    pub warnings: Vec<String>,
}

/// Checks every combination of a sweep.
///
/// # Errors
/// Every problem of any combination, each once and with its location.
pub fn check(sweep: &Sweep, environment: &Environment, device: Option<DeviceName>) -> Result<Points, Problems> {
    let mut problems: Vec<(Problem, Vec<usize>)> = Vec::new();
    let mut points: Vec<Point> = Vec::new();
    let mut warnings: Vec<String> = Vec::new();
    let mut twins = 0;
    let count = sweep.combinations.len();
    for (index, changes) in sweep.combinations.iter().enumerate() {
        let plan = sweep.base.document(changes).and_then(|document| {
            let plan = check::check(&document, environment, device)?;
            Ok((document, plan))
        });
        let (document, plan) = match plan {
            Ok((document, plan)) => (document, Plan { name: sweep.name.clone(), ..plan }),
            Err(found) => {
                for problem in found.0 {
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
            twins += 1;
            continue;
        }
        let changes = changes.iter().map(|change| (change.key.clone(), json_of(change))).collect();
        // Where a run is trained is for its process to say, on the machine where that is.
        let as_written = Plan { device: plan.experiment.device, ..plan.clone() };
        let record = PointRecord {
            id,
            changes,
            experiment: document.text,
            plan: as_written.to_yaml(),
            parts: plan.parts.clone(),
        };
        points.push(Point { record, plan });
    }
    if !problems.is_empty() {
        let told = problems.into_iter().map(|(problem, combinations)| tell(problem, &combinations, sweep, count));
        return Err(Problems(told.collect()));
    }
    let mut seen = BTreeSet::new();
    warnings.retain(|warning| seen.insert(warning.clone()));
    if twins > 0 {
        warnings.push(format!("{twins} of {count} combinations give a run that another one gives; it is run once"));
    }
    if splits_by_seed(&points) {
        warnings.push(
            "each seed makes its own split, so runs with other seeds are scored on other cases; `split: { file: ... }` \
             or `split: { first: N }` keeps the cases"
                .to_owned(),
        );
    }
    Ok(Points { points, warnings })
}

/// Whether the sweep varies the seed, and the seed decides who validates.
fn splits_by_seed(points: &[Point]) -> bool {
    let seeds: BTreeSet<u64> = points.iter().map(|point| point.plan.experiment.seed).collect();
    let is_drawn = |point: &Point| matches!(point.plan.experiment.data.split, Split::Fold(_) | Split::Fraction(_));
    seeds.len() > 1 && points.iter().any(is_drawn)
}

fn is_same(a: &Problem, b: &Problem) -> bool {
    let location = |problem: &Problem| {
        problem.location.as_ref().map(|location| (location.source.name.clone(), location.span.clone()))
    };
    a.message == b.message && location(a) == location(b)
}

/// Says in which combination a problem arises, unless it arises in all.
fn tell(problem: Problem, combinations: &[usize], sweep: &Sweep, count: usize) -> Problem {
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

/// A value as a table shows it.
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

/// The hash of a resolved experiment: what decides the numbers of a run and nothing else.
///
/// Left out are the name, the device, the number of workers, the pace of checkpoints and where the data lies. In the location of its folder
/// stands what the data is: the names and sizes of its files. In the location of a split's file stand its subjects.
pub fn id_of(plan: &Plan) -> String {
    let mut experiment = plan.experiment.clone();
    experiment.name = None;
    experiment.extends = None;
    experiment.device = DeviceName::Auto;
    experiment.queue.workers = 0;
    let mut tree = serde_json::to_value(&experiment).expect("an experiment is plain data");
    // How often checkpoints are written changes no number.
    if let Some(checkpoint) = tree["checkpoint"].as_object_mut() {
        checkpoint.retain(|key, _| !["every_steps", "every_secs"].contains(&key.as_str()));
    }
    // Labels that the experiment leaves to the dataset are part of what is learnt.
    let labels = plan.labels.iter().map(|label| json!([label.value, label.name]));
    tree["data"]["labels"] = labels.collect();
    match &experiment.data.source {
        Source::Phantom(_) => {}
        Source::Msd(_) | Source::Folders(_) | Source::Table(_) => {
            tree["data"]["source"] = Json::from(plan.fingerprint());
        }
    }
    if let Split::File(_) = experiment.data.split {
        tree["data"]["split"] = serde_json::to_value(&plan.parts).expect("names are plain text");
    }
    hex::encode(&Sha256::digest(canonical(&tree))[..ID_DIGITS / 2])
}

/// A tree as text, the keys of each map in sorted order.
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
    fn what_decides_no_number_is_not_in_the_id() {
        let expected = ids(EXPERIMENT, "seed=1,2");
        assert!(expected[0] != expected[1] && expected[0].len() == ID_DIGITS);
        let other_name = EXPERIMENT.replace("name: base", "name: other\nqueue: { workers: 0 }");
        assert_eq!(ids(&other_name, "seed=1,2"), expected);
        let written_out = EXPERIMENT.replace("epochs: 2", "batch_size: 2, epochs: 2");
        assert_eq!(ids(&written_out, "seed=1,2"), expected);
    }

    #[test]
    fn the_data_is_known_by_what_it_is_and_not_by_where_it_lies() {
        let folder = tempfile::tempdir().unwrap();
        let source = serde_json::from_str(r#"{"subjects": 4, "shape": [32, 32, 32]}"#).unwrap();
        let ids: Vec<Vec<String>> = ["here", "there"]
            .map(|name| {
                let root = folder.path().join(name);
                dataset::phantom::ensure(&source, &root, &mut |_, _| {}).unwrap();
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
    fn the_same_run_twice_is_run_once_and_told() {
        let points = points(EXPERIMENT, &["optimizer.adam.learning_rate=1e-3,0.001"]).unwrap();
        assert_eq!(points.points.len(), 1);
        assert!(points.warnings.iter().any(|warning| warning.contains("run once")), "{:?}", points.warnings);
    }

    #[test]
    fn a_problem_of_one_combination_names_it_and_one_of_all_is_told_once() {
        let problems = points(EXPERIMENT, &["sampler.uniform.patch=[16,16,16],[64,16,16]", "seed=1,2"]).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems:?}");
        assert!(problems.0[0].message.contains("sampler.uniform.patch=[64,16,16], seed=1 and 1 more"), "{problems}");
        let everywhere = EXPERIMENT.replace("widths: [8, 16]", "widths: []");
        let problems = points(&everywhere, &["seed=1,2"]).unwrap_err();
        assert!(problems.0.iter().all(|problem| !problem.message.contains("in the run with")), "{problems:?}");
    }
}
