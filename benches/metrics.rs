//! Benchmark of metrics on one pair of label maps; `benches/metrics/compare.py` compares it with other programs.
//!
//! `cargo bench --bench metrics -- PREDICTION TRUTH REPEATS METRIC...` reads two label maps and prints as JSON the scores of
//! each metric (such as `{ hd95: { variant: monai } }`) for labels 1 and 2, and the seconds of each repetition without
//! reading the files. The last row is all metrics together.

use std::path::Path;
use std::time::Instant;

use metrics::{Class, Metric, Pair, score_all};
use volume::io;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [prediction, truth, repeats, metrics @ ..] = &arguments[..] else {
        eprintln!("give PREDICTION TRUTH REPEATS METRIC...; benches/metrics/compare.py does");
        return;
    };
    let (_, prediction) = io::read_label(Path::new(prediction)).unwrap();
    let (grid, truth) = io::read_label(Path::new(truth)).unwrap();
    let pair = Pair { prediction: &prediction, truth: &truth, shape: grid.shape, spacing: grid.spacing() };
    let repeats: usize = repeats.parse().unwrap();
    let all: Vec<Metric> =
        metrics.iter().map(|text| serde_json::from_value(serde_yaml::from_str(text).unwrap()).unwrap()).collect();
    let mut rows: Vec<serde_json::Value> =
        all.iter().zip(metrics).map(|(metric, text)| row(text, std::slice::from_ref(metric), &pair, repeats)).collect();
    rows.push(row("together", &all, &pair, repeats));
    println!("{}", serde_json::Value::from(rows));
}

fn row(name: &str, metrics: &[Metric], pair: &Pair, repeats: usize) -> serde_json::Value {
    let classes = [Class::of_label(1, "liver"), Class::of_label(2, "lesion")];
    let mut seconds = Vec::new();
    let mut scores = Vec::new();
    for _ in 0..repeats {
        let start = Instant::now();
        let cases = score_all(metrics, pair, &classes);
        seconds.push(start.elapsed().as_secs_f64());
        scores = cases.into_iter().flat_map(|case| case.scores).collect();
    }
    serde_json::json!({ "name": name, "scores": scores, "seconds": seconds })
}
