//! The sweep file, or an experiment file with `--grid` arguments.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::str::FromStr;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::distribution::Distribution;
use super::factors;
use super::launch::{KubernetesSpec, SlurmSpec};
use super::prune::Prune;
use engine::experiment::check::{NAME_HELP, is_folder_name};
use engine::experiment::load::{self, Base, Change, SetArgument};
use engine::experiment::problem::{Problem, Problems, SourceText};
use engine::experiment::tree::Node;
use engine::experiment::typed;
use nn::devices::DeviceName;

/// Sweep: one experiment with alternatives. `grid`, `list` and `random` are combined: each random sample is run with each
/// entry of `list` and each combination of `grid`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepSpec {
    /// Experiment file that is varied, a path relative to this file, for example `hippocampus.yaml`.
    pub experiment: String,
    /// Name of the sweep; its runs are written to `runs/NAME/`. `null` (default) uses this file's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Grid search: values by key of the experiment, for example `{ data.split.fold.index: [0, 1, 2, 3, 4] }`. Every combination is run. Default: none.
    #[serde(default)]
    pub grid: BTreeMap<String, Vec<Json>>,
    /// Explicit combinations: each entry sets some keys, for example `[{ loss: { dice: {} } }, { train.batch_size: 4 }]`. Default: none.
    #[serde(default)]
    pub list: Vec<BTreeMap<String, Json>>,
    /// Random search: combinations that are sampled from distributions; `null` (default) disables it.
    #[serde(default)]
    pub random: Option<Random>,
    /// Number of runs to train at a time, for example 2; `null` (default) trains one per device.
    #[serde(default)]
    pub jobs: Option<NonZeroUsize>,
    /// Devices that local runs are distributed over, for example `[cuda:0, cuda:1]`. Empty (default) uses the experiment's `device`, as jobs on a cluster always do.
    #[serde(default)]
    pub devices: Vec<DeviceName>,
    /// Pruning: stop runs early that fall behind; `null` (default) disables it.
    #[serde(default)]
    pub prune: Option<Prune>,
    /// Settings for `--launcher slurm`.
    #[serde(default)]
    pub slurm: SlurmSpec,
    /// Settings for `--launcher kubernetes`.
    #[serde(default)]
    pub kubernetes: KubernetesSpec,
}

/// Random search: combinations that are sampled from distributions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// Number of samples, for example 8. A larger number adds samples to the same first ones.
    pub count: NonZeroUsize,
    /// Seed of the samples (default 42); not the seed of the runs.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// Distribution by key of the experiment, for example `{ optimizer.adam.learning_rate: { log_uniform: [1.0e-4, 1.0e-2] } }`.
    pub keys: BTreeMap<String, Distribution>,
}

fn default_seed() -> u64 {
    42
}

/// One `--grid KEY=V1,V2,...`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridArgument {
    pub(super) key: String,
    pub(super) values: String,
}

impl FromStr for GridArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let SetArgument { key, value } =
            text.parse().map_err(|_| format!("expected KEY=V1,V2,... with a dotted path as KEY, got `{text}`"))?;
        Ok(Self { key, values: value })
    }
}

/// A parsed sweep, whose runs are not checked yet.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The name of the folder of its runs.
    pub name: String,
    /// The sweep file; its defaults if there is none.
    pub spec: SweepSpec,
    /// The experiment that is varied.
    pub base: Base,
    /// The changes of each combination, the last key varying fastest.
    pub combinations: Vec<Vec<Change>>,
}

/// Reads a sweep file, or an experiment file with `--grid` arguments.
///
/// # Errors
/// Every problem that can be found without the dataset.
pub fn load(path: &Path, grids: &[GridArgument], sets: &[SetArgument]) -> Result<Sweep, Problems> {
    let text = load::read_text(path, None)?;
    let root = Node::parse(&SourceText::change(path.display().to_string(), text))?;
    let is_sweep = root.child("experiment").is_some();
    let mut factors = Vec::new();
    let (spec, base) = if is_sweep {
        factors::check_nested_keys(&root)?;
        let spec: SweepSpec = typed::read(&root)?;
        let referenced_at = root.child("experiment").map(Node::location);
        let experiment = path.parent().unwrap_or(Path::new("")).join(&spec.experiment);
        let base = Base::read(&experiment, referenced_at, sets)?;
        factors = factors::written(&root, &spec)?;
        (spec, base)
    } else {
        if ["grid", "list", "random"].iter().any(|key| root.child(key).is_some()) {
            let problem = Problem::at(Some(root.location()), "missing key `experiment`");
            return Err(problem.help("add the experiment to vary: `experiment: FILE`").into());
        }
        (SweepSpec::default(), Base::read(path, None, sets)?)
    };
    for grid in grids {
        factors.push(factors::from_argument(grid)?);
    }
    if factors.is_empty() {
        let problem = Problem::at(None, format!("{} has nothing to vary", path.display()));
        return Err(problem.help("add --grid KEY=V1,V2, or `grid`, `list` or `random` to a sweep file").into());
    }
    factors::check(&factors, sets, &base)?;
    let stem = || path.file_stem().map_or_else(|| "sweep".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let is_set = sets.iter().any(|set| set.key == "name");
    let (name, location) = match &spec.name {
        Some(name) if !is_set => (name.clone(), root.child("name").map(Node::location)),
        None if is_sweep && !is_set => (stem(), None),
        _ => (base.name().unwrap_or_else(stem), base.name_location()),
    };
    if !is_folder_name(&name) {
        let problem = Problem::at(location, format!("`{name}` is not a valid folder name"));
        return Err(problem.help(NAME_HELP).into());
    }
    Ok(Sweep { name, spec, base, combinations: factors::product(&factors) })
}

/// Returns the JSON Schema of a sweep file, draft 2020-12, as text that ends with a newline.
pub fn schema() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<SweepSpec>();
    format!("{:#}\n", schema.to_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPERIMENT: &str = "\
name: base
data: { source: { phantom: {} } }
sampler: { uniform: { patch: [32, 32, 32] } }
model: { unet: { widths: [8, 16] } }
loss: { dice: {} }
optimizer: { adam: { learning_rate: 1e-4 } }
train: { epochs: 2 }
";

    fn written(sweep: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("base.yaml"), EXPERIMENT).unwrap();
        std::fs::write(folder.path().join("sweep.yaml"), sweep).unwrap();
        folder
    }

    fn sweep_of(text: &str, grids: &[&str], sets: &[&str]) -> Result<Sweep, Problems> {
        let folder = written(text);
        let grids: Vec<GridArgument> = grids.iter().map(|grid| grid.parse().unwrap()).collect();
        let sets: Vec<SetArgument> = sets.iter().map(|set| set.parse().unwrap()).collect();
        load(&folder.path().join("sweep.yaml"), &grids, &sets)
    }

    fn values(sweep: &Sweep) -> Vec<Vec<serde_yaml::Value>> {
        let values = |changes: &Vec<Change>| changes.iter().map(|change| change.value.to_yaml()).collect();
        sweep.combinations.iter().map(values).collect()
    }

    fn marked(problems: &Problems) -> String {
        let location = problems.0[0].location.clone().unwrap();
        location.source.text[location.span].to_owned()
    }

    #[test]
    fn a_grid_gives_every_combination_and_the_last_key_varies_fastest() {
        let sweep =
            sweep_of("experiment: base.yaml\ngrid: { seed: [1, 2], train.epochs: [3, 4, 5] }\n", &[], &[]).unwrap();
        let first: Vec<_> = values(&sweep).into_iter().take(4).collect();
        assert_eq!(first, [[1, 3], [1, 4], [1, 5], [2, 3]].map(|pair| pair.map(serde_yaml::Value::from).to_vec()));
        assert_eq!((sweep.combinations.len(), &sweep.name[..]), (6, "sweep"));
    }

    #[test]
    fn lists_grids_random_samples_and_arguments_are_combined() {
        let text = "\
experiment: base.yaml
name: search
grid: { seed: [1, 2] }
list: [{ loss: { dice: {} } }, { train.batch_size: 1, train.epochs: 4 }]
random: { count: 5, keys: { optimizer.adam.learning_rate: { log_uniform: [1e-4, 1e-2] } } }
";
        let sweep = sweep_of(text, &["model.unet.widths=[8,16],[8,16,32]"], &["queue.workers=0"]).unwrap();
        assert_eq!((sweep.combinations.len(), &sweep.name[..]), (2 * 2 * 5 * 2, "search"));
        let document = sweep.base.document(&sweep.combinations[39]).unwrap();
        assert_eq!((document.experiment.train.epochs.get(), document.experiment.queue.workers), (4, 0));
    }

    #[test]
    fn more_samples_keep_the_first_ones() {
        let text = |count| {
            format!(
                "experiment: base.yaml\nrandom: {{ count: {count}, keys: {{ seed: {{ integer: [0, 1000000] }} }} }}\n"
            )
        };
        let few = values(&sweep_of(&text(3), &[], &[]).unwrap());
        let many = values(&sweep_of(&text(6), &[], &[]).unwrap());
        assert_eq!(few, many[..3]);
    }

    #[test]
    fn a_problem_of_a_value_is_located_in_the_sweep_file() {
        let text = "experiment: base.yaml\ngrid:\n  optimizer.adam.learning_rat: [1e-3, 1e-2]\n";
        let sweep = sweep_of(text, &[], &[]).unwrap();
        let problems = sweep.base.document(&sweep.combinations[0]).unwrap_err();
        assert_eq!(marked(&problems), "learning_rat");
        let sweep = sweep_of("experiment: base.yaml\ngrid:\n  'train.epochs': [2, many]\n", &[], &[]).unwrap();
        let problems = sweep.base.document(&sweep.combinations[1]).unwrap_err();
        assert_eq!(marked(&problems), "many");
    }

    #[test]
    fn a_path_through_another_component_is_a_problem_at_the_key_with_the_ways_out() {
        let sweep =
            sweep_of("experiment: base.yaml\ngrid:\n  optimizer.sgd.learning_rate: [1e-3]\n", &[], &[]).unwrap();
        let problems = sweep.base.document(&sweep.combinations[0]).unwrap_err();
        let help = problems.0[0].help.clone().unwrap();
        assert!(problems.to_string().contains("`optimizer` is `adam`, not `sgd`"), "{problems}");
        assert!(help.contains("`{sgd: {learning_rate: 1e-3}}` as a value of `optimizer`"), "{help}");
        assert_eq!(marked(&problems), "sgd");
        let sweep = sweep_of("experiment: base.yaml\n", &["optimizer.*.learning_rate=1e-3,1e-2"], &[]).unwrap();
        let rates = |index: usize| {
            let document = sweep.base.document(&sweep.combinations[index]).unwrap();
            serde_json::to_value(&document.experiment.optimizer).unwrap()["adam"]["learning_rate"].clone()
        };
        assert_eq!([rates(0), rates(1)], [1e-3, 1e-2]);
        let sweep = sweep_of("experiment: base.yaml\n", &["optimizer.sgd.learning_rate=1e-3"], &[]).unwrap();
        let problems = sweep.base.document(&sweep.combinations[0]).unwrap_err();
        assert_eq!(problems.0[0].location.clone().unwrap().source.text, "--grid optimizer.sgd.learning_rate=1e-3");
    }

    #[test]
    fn an_experiment_with_a_grid_argument_is_a_sweep() {
        let folder = written("");
        let grid = ["seed=1,2".parse().unwrap()];
        let sweep = load(&folder.path().join("base.yaml"), &grid, &[]).unwrap();
        assert_eq!((sweep.combinations.len(), &sweep.name[..]), (2, "base"));
    }

    #[test]
    fn invalid_sweeps_are_errors() {
        for (text, grids, sets, message) in [
            ("experiment: base.yaml\n", &[][..], &[][..], "nothing to vary"),
            ("grid: { seed: [1] }\n", &[], &[], "missing key `experiment`"),
            ("experiment: base.yaml\ngrid: { seed: [] }\n", &[], &[], "no values"),
            ("experiment: base.yaml\ngrid: { seed: [1] }\n", &["seed=2"], &[], "given twice"),
            ("experiment: base.yaml\ngrid: { seed: [1] }\n", &[], &["seed=2"], "--set fixes"),
            (
                "experiment: base.yaml\ngrid: { optimizer.*.learning_rate: [1] }\n",
                &["optimizer.adam.learning_rate=2"],
                &[],
                "given twice",
            ),
            ("experiment: base.yaml\ngrid: { device: [flex, auto] }\n", &[], &[], "cannot be varied"),
            ("experiment: base.yaml\ngrid: { optimizer: { adam: {} } }\n", &[], &[], "expected a list of values"),
            ("experiment: base.yaml\ngird: { seed: [1] }\n", &[], &[], "unknown key `gird`"),
            ("experiment: base.yaml\nrandom: { count: 2, keys: { seed: { integer: [3, 1] } } }\n", &[], &[], "smaller"),
            ("experiment: no.yaml\ngrid: { seed: [1] }\n", &[], &[], "does not exist"),
            ("experiment: base.yaml\nname: ../up\ngrid: { seed: [1] }\n", &[], &[], "name"),
        ] {
            let problems = sweep_of(text, grids, sets).unwrap_err();
            assert!(problems.0[0].message.contains(message), "{text}: {problems}");
        }
    }
}
