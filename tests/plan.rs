//! Committed experiments give a plan from headers alone.

use std::path::Path;
use std::time::Instant;

use runner::spec::check::{Surroundings, check};
use runner::spec::load::{Set, load};
use runner::spec::plan::Plan;

fn plan_of(path: &str, sets: &[&str]) -> Plan {
    let sets: Vec<Set> = sets.iter().map(|set| set.parse().unwrap()).collect();
    let document = load(Path::new(path), &sets).unwrap();
    let surroundings = Surroundings { cache_dir: "no-cache".into(), memory_bytes: None };
    check(&document, &surroundings, None).unwrap_or_else(|problems| panic!("{path}: {:?}", problems.0))
}

#[test]
fn the_quickstart_gives_a_plan() {
    let plan = plan_of("experiments/quickstart.yaml", &[]);
    assert!(plan.num_parameters > 0 && plan.steps_per_epoch > 0 && !plan.parts.val.is_empty());
}

#[test]
fn real_data_gives_a_plan() {
    let root = "../shared/data/Task04_Hippocampus";
    if !Path::new(root).exists() {
        return eprintln!("skipped: no {root}");
    }
    let start = Instant::now();
    let plan = plan_of("experiments/hippocampus.yaml", &[&format!("data.source.msd.root={root}")]);
    eprintln!("{plan}planned in {:?}", start.elapsed());
    assert_eq!(plan.parts.train.len() + plan.parts.val.len() + plan.parts.test.len(), 200);
}
