//! Runs for the tests of comparisons.

use dataset::split::Parts;
use run_folder::manifest::Status;
use run_folder::table::Table;

use crate::runs::{Cases, Run, declared_metrics};

/// Returns a finished run with one scored epoch and the given scores of the label `liver` for the cases `c0`, `c1`, ….
pub(crate) fn run(name: &str, plan: &str, scores: &[f64]) -> Run {
    let subjects = (0..scores.len()).map(|case| format!("c{case}")).collect();
    run_on(name, plan, subjects, scores)
}

/// Like [`run`], with the given names of cases.
pub(crate) fn run_on(name: &str, plan: &str, subjects: Vec<String>, scores: &[f64]) -> Run {
    let plan: serde_yaml::Value = serde_yaml::from_str(plan).unwrap();
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    let cases = subjects.iter().cloned().zip(scores.iter().map(|score| vec![Some(*score)])).collect();
    let plan = serde_json::to_value(plan).unwrap();
    Run {
        name: name.to_owned(),
        status: Some(Status::Done),
        start: name.to_owned(),
        data_fingerprint: Some("data".to_owned()),
        declared: declared_metrics(&plan),
        plan,
        parts: Some(Parts { train: vec!["t".to_owned()], val: subjects, test: vec![] }),
        metrics: Table {
            names: ["epoch", "val_dice_liver", "val_dice_mean"].map(str::to_owned).to_vec(),
            rows: vec![vec![Some(1.0), Some(mean), Some(mean)]],
        },
        cases: Cases { columns: vec!["dice_liver".to_owned()], epochs: [(1, cases)].into() },
        ..Run::default()
    }
}
