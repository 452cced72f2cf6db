//! The metrics equal those of MONAI, MedPy, surface-distance and the LiTS scorer within a relative difference of 1e-6.
//!
//! `tests/parity/metrics.py` writes the expected values, for pairs of masks with four spacings and sets of livers with
//! lesions.

use metrics::{Class, Metric, Pair, score_all};
use serde::Deserialize;
use volume::Label;

/// A score of a reference implementation; `None` if it is undefined or an error.
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

/// Two run-length encoded masks, and the scores of the reference implementations by name.
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

/// Returns the metric of a name such as `hd95 medpy`.
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

fn assert_score(actual: Option<f64>, expected: Score, what: &str) {
    match (actual, expected) {
        (Some(actual), Some(Number::Finite(expected))) => {
            assert!((actual - expected).abs() <= 1e-6 * expected.abs(), "{what}: {actual} instead of {expected}");
        }
        (Some(f64::INFINITY), Some(Number::Infinite(Infinite::Inf))) | (None, None) => {}
        _ => panic!("{what}: {actual:?} instead of {expected:?}"),
    }
}

#[test]
fn scores_of_masks_equal_those_of_the_reference_implementations() {
    let comparisons: Vec<Comparison> = read("pairs.json");
    assert!(comparisons.len() > 100);
    let one = [Class::of_label(1, "mask")];
    for Comparison { name, shape, spacing, prediction, truth, scores } in comparisons {
        let (prediction, truth) = (labels(&prediction), labels(&truth));
        let pair = Pair { prediction: &prediction, truth: &truth, shape, spacing };
        let metrics: Vec<Metric> = scores.iter().map(|(name, _)| metric(name)).collect();
        let together = score_all(&metrics, &pair, &one);
        for ((metric, together), (column, expected)) in metrics.iter().zip(together).zip(scores) {
            assert_score(together.scores[0], expected, &format!("{column} of {name} at {spacing:?}"));
            assert_eq!(metric.score(&pair, &one), together, "{column} of {name}, alone and with other metrics");
        }
    }
}

#[test]
fn a_region_of_two_labels_is_scored_as_one_mask() {
    let comparisons: Vec<Comparison> = read("pairs.json");
    for Comparison { name, shape, spacing, prediction, truth, scores } in comparisons {
        // Every other voxel of a mask becomes label 2.
        let split = |runs: &[(Label, usize)]| -> Vec<Label> {
            labels(runs).into_iter().enumerate().map(|(index, label)| label * (1 + index as Label % 2)).collect()
        };
        let (prediction, truth) = (split(&prediction), split(&truth));
        let pair = Pair { prediction: &prediction, truth: &truth, shape, spacing };
        for (column, expected) in scores {
            let mut written = serde_json::to_value(metric(&column)).unwrap();
            let parameters = written.as_object_mut().unwrap().values_mut().next().unwrap();
            parameters["regions"] = serde_json::json!({ "both": [1, 2] });
            let metric: Metric = serde_json::from_value(written).unwrap();
            assert_score(metric.score(&pair, &[]).scores[0], expected, &format!("{column} of {name} at {spacing:?}"));
        }
    }
}

#[test]
fn livers_and_lesions_are_scored_as_in_the_lits_benchmark() {
    let metric: Metric = serde_yaml::from_str("!lits {}").unwrap();
    let names = [Class::of_label(1, "liver"), Class::of_label(2, "tumour")];
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
        for (column, actual) in columns.iter().zip(summary) {
            assert_score(actual, scores[column], &format!("{column} of {name}"));
        }
    }
}
