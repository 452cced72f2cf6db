//! Parity of the report's statistics with SciPy and statsmodels; `tests/parity/statistics.py` writes the expected values.

use report::statistics::{Bootstrap, SeedVariation, holm_adjust, mean, wilcoxon_signed_rank};
use serde_json::Value as Json;

fn numbers() -> Json {
    serde_json::from_str(include_str!("parity/statistics/numbers.json")).unwrap()
}

fn floats(value: &Json) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect()
}

fn assert_close(actual: f64, expected: f64, what: &str) {
    assert!((actual - expected).abs() <= 1e-9 * expected.abs(), "{what}: got {actual}, expected {expected}");
}

#[test]
fn the_signed_rank_test_equals_scipy() {
    let numbers = numbers();
    let cases = numbers["wilcoxon"].as_array().unwrap();
    assert!(cases.len() >= 18);
    for case in cases {
        let differences = floats(&case["differences"]);
        let test = wilcoxon_signed_rank(&differences).unwrap();
        assert_close(test.p_value, case["p"].as_f64().unwrap(), &format!("{} of {}", case["how"], differences.len()));
    }
}

#[test]
fn holm_adjusted_p_values_equal_statsmodels() {
    for case in numbers()["holm"].as_array().unwrap() {
        for (actual, expected) in holm_adjust(&floats(&case["p"])).into_iter().zip(floats(&case["holm"])) {
            assert_close(actual, expected, "Holm");
        }
    }
}

#[test]
fn bootstrap_intervals_equal_scipy_up_to_sampling_error() {
    for case in numbers()["bootstrap"].as_array().unwrap() {
        let scores = floats(&case["scores"]);
        let [low, high] = ["low", "high"].map(|bound| case[bound].as_f64().unwrap());
        let interval = Bootstrap::new(scores.len()).interval(&[scores.iter().copied().map(Some).collect()]).unwrap();
        // With 5000 samples a bound has a standard error of about one hundredth of the interval's width.
        let allowed = 0.05 * (high - low);
        assert!((interval.low - low).abs() < allowed, "{} cases: {interval:?} is not {low} to {high}", scores.len());
        assert!((interval.high - high).abs() < allowed, "{} cases: {interval:?} is not {low} to {high}", scores.len());
        assert!(interval.low < mean(scores).unwrap());
    }
}

#[test]
fn the_seed_interval_uses_quantiles_of_students_t() {
    for case in numbers()["student"].as_array().unwrap() {
        let degrees = case["degrees"].as_u64().unwrap() as usize;
        let bound = SeedVariation { standard_deviation: 1.0, degrees_of_freedom: degrees }.half_width(1.0, 1);
        assert_close(bound, case["quantile"].as_f64().unwrap(), &format!("{degrees} degrees of freedom"));
    }
}
