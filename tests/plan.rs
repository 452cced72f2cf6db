//! The committed experiments have valid plans, which are made from image headers only.

use std::path::Path;
use std::time::Instant;

use engine::experiment::check::{Environment, check};
use engine::experiment::load::{SetArgument, load};
use engine::experiment::plan::Plan;
use sweep::{document, points};

fn plan_of(path: &str, sets: &[&str]) -> Plan {
    let sets: Vec<SetArgument> = sets.iter().map(|set| set.parse().unwrap()).collect();
    let document = load(Path::new(path), &sets).unwrap();
    let environment = Environment { cache_dir: "no-cache".into(), memory_bytes: None };
    check(&document, &environment, None).unwrap_or_else(|problems| panic!("{path}: {:?}", problems.0))
}

#[test]
fn the_quickstart_has_a_plan() {
    let plan = plan_of("experiments/quickstart.yaml", &[]);
    assert!(plan.num_parameters > 0 && plan.steps_per_epoch > 0 && !plan.parts.val.is_empty());
}

#[test]
fn real_data_has_a_plan() {
    let root = "../shared/data/Task04_Hippocampus";
    if !Path::new(root).exists() {
        return eprintln!("skipped: no {root}");
    }
    let start = Instant::now();
    let plan = plan_of("experiments/hippocampus.yaml", &[&format!("data.source.msd.root={root}")]);
    eprintln!("{plan}planned in {:?}", start.elapsed());
    assert_eq!(plan.parts.train.len() + plan.parts.val.len() + plan.parts.test.len(), 200);
}

#[test]
fn every_committed_experiment_has_a_plan_with_phantoms_instead_of_its_data() {
    let paths = std::fs::read_dir("experiments").unwrap().map(|entry| entry.unwrap().path());
    let is_sweep = |path: &std::path::PathBuf| std::fs::read_to_string(path).unwrap().contains("\nexperiment:");
    let (sweeps, experiments): (Vec<_>, Vec<_>) = paths.partition(is_sweep);
    assert!(!sweeps.is_empty() && !experiments.is_empty());
    let source = "data.source={phantom: {subjects: 131, shape: [512, 512, 120], spacing_mm: [0.8, 0.8, 2.5]}}";
    for path in experiments {
        let plan = plan_of(path.to_str().unwrap(), &[source]);
        assert!(plan.num_parameters > 0 && !plan.parts.val.is_empty(), "{}", path.display());
    }
    let environment = Environment { cache_dir: "no-cache".into(), memory_bytes: None };
    for path in sweeps {
        let sweep = document::load(&path, &[], &[]).unwrap();
        let points = points::check(&sweep, &environment, None);
        let points = points.unwrap_or_else(|problems| panic!("{}: {problems:?}", path.display())).points;
        assert!(points.len() > 1, "{}", path.display());
    }
}

#[test]
fn the_liver_baseline_matches_the_recipe() {
    let source = "data.source={phantom: {subjects: 131, shape: [512, 512, 120], spacing_mm: [0.8, 0.8, 2.5]}}";
    let plan = plan_of("experiments/liver_baseline.yaml", &[source]);
    assert_eq!((plan.parts.train.len(), plan.parts.val.len(), plan.parts.test.len()), (105, 26, 0));
    assert!(plan.cases.values().all(|case| case.outgoing.shape == [256, 256, 100]));
    assert_eq!((plan.patch, plan.num_parameters), ([96; 3], 5_836_099));
    assert_eq!((plan.patches_per_epoch, plan.steps_per_epoch), (525, 263));
    let warned = |text: &str| plan.warnings.iter().any(|warning| warning.contains(text));
    for weakness in ["clamp", "normalization", "order of names", "5 slices along z"] {
        assert!(warned(weakness), "no warning about {weakness}: {:?}", plan.warnings);
    }
}
