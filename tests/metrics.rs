//! The metrics give the numbers of MONAI, MedPy, surface-distance and the LiTS scorer, within a relative 1e-6.
//!
//! `tests/parity/metrics.py` makes the numbers: pairs of masks with four spacings, and sets of livers with lesions.

use metrics::{Metric, Pair, score_all};
use serde::Deserialize;
use volume::Label;

/// A number of a reference; `None` where it gave none, or an error.
type Score = Option<Number>;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Finite(f64),
    Infinite(Infinite),
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Infinite {
    #[serde(rename = "inf")]
    Inf,
}

/// Two masks, run by run, and the scores of the references under their names.
#[derive(Deserialize)]
struct Comparison {
    name: String,
    shape: [usize; 3],
    spacing: [f64; 3],
    prediction: Vec<(Label, usize)>,
    truth: Vec<(Label, usize)>,
    scores: Vec<(String, Score)>,
}

#[derive(Deserialize)]
struct LitsSet {
    name: String,
    cases: Vec<LitsCase>,
    scores: std::collections::BTreeMap<String, Score>,
}

#[derive(Deserialize)]
struct LitsCase {
    shape: [usize; 3],
    prediction: Vec<(Label, usize)>,
    truth: Vec<(Label, usize)>,
}

fn labels(runs: &[(Label, usize)]) -> Vec<Label> {
    runs.iter().flat_map(|(label, count)| std::iter::repeat_n(*label, *count)).collect()
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    let path = format!("{}/tests/parity/metrics/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The metric of a name such as `hd95 medpy`.
fn metric(name: &str) -> Metric {
    let (metric, convention) = name.split_once(' ').unwrap();
    let key = match metric {
        "dice" | "jaccard" | "precision" | "recall" => "empty",
        "volume_difference" => "unit",
        "nsd" => "tolerance_mm",
        _ => "variant",
    };
    serde_yaml::from_str(&format!("!{metric} {{ {key}: {convention} }}")).unwrap()
}

fn hold(found: Option<f64>, expected: Score, what: &str) {
    match (found, expected) {
        (Some(found), Some(Number::Finite(expected))) => {
            assert!((found - expected).abs() <= 1e-6 * expected.abs(), "{what}: {found} instead of {expected}");
        }
        (Some(f64::INFINITY), Some(Number::Infinite(Infinite::Inf))) | (None, None) => {}
        _ => panic!("{what}: {found:?} instead of {expected:?}"),
    }
}

#[test]
fn scores_of_masks_are_those_of_the_references() {
    let comparisons: Vec<Comparison> = read("pairs.json");
    assert!(comparisons.len() > 100);
    let one = [(1, "mask".to_owned())];
    for Comparison { name, shape, spacing, prediction, truth, scores } in comparisons {
        let (prediction, truth) = (labels(&prediction), labels(&truth));
        let pair = Pair { prediction: &prediction, truth: &truth, shape, spacing };
        let metrics: Vec<Metric> = scores.iter().map(|(name, _)| metric(name)).collect();
        let together = score_all(&metrics, &pair, &one);
        for ((metric, together), (column, expected)) in metrics.iter().zip(together).zip(scores) {
            hold(together.scores[0], expected, &format!("{column} of {name} at {spacing:?}"));
            assert_eq!(metric.score(&pair, &one), together, "alone as in company: {column} of {name}");
        }
    }
}

#[test]
fn a_region_scores_as_one_mask_does() {
    let comparisons: Vec<Comparison> = read("pairs.json");
    for Comparison { name, shape, spacing, prediction, truth, scores } in comparisons {
        // Every other voxel of a mask becomes label 2.
        let split = |runs: &[(Label, usize)]| -> Vec<Label> {
            labels(runs).into_iter().enumerate().map(|(place, label)| label * (1 + place as Label % 2)).collect()
        };
        let (prediction, truth) = (split(&prediction), split(&truth));
        let pair = Pair { prediction: &prediction, truth: &truth, shape, spacing };
        for (column, expected) in scores {
            let mut written = serde_json::to_value(metric(&column)).unwrap();
            let parameters = written.as_object_mut().unwrap().values_mut().next().unwrap();
            parameters["regions"] = serde_json::json!({ "both": [1, 2] });
            let metric: Metric = serde_json::from_value(written).unwrap();
            hold(metric.score(&pair, &[]).scores[0], expected, &format!("{column} of {name} at {spacing:?}"));
        }
    }
}

#[test]
fn livers_score_as_in_the_lits_benchmark() {
    let metric: Metric = serde_yaml::from_str("!lits {}").unwrap();
    let names = [(1, "liver".to_owned()), (2, "tumour".to_owned())];
    let sets: Vec<LitsSet> = read("lits.json");
    assert!(sets.len() > 50);
    for LitsSet { name, cases, scores } in sets {
        let score = |case: &LitsCase| {
            let (prediction, truth) = (labels(&case.prediction), labels(&case.truth));
            let pair = Pair { prediction: &prediction, truth: &truth, shape: case.shape, spacing: [1.0; 3] };
            metric.score(&pair, &names)
        };
        let summary = metric.summarize(&cases.iter().map(score).collect::<Vec<_>>(), &names);
        let columns = metric.summary_columns(&names);
        assert_eq!(columns.len(), scores.len());
        for (column, found) in columns.iter().zip(summary) {
            hold(found, scores[column], &format!("{column} of {name}"));
        }
    }
}
