//! Corrupt run folders: a report skips what it cannot read, with a warning.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::sample::select;
use report::Report;
use report::comparison::ComparedEpoch;
use run_folder::manifest::Manifest;

use super::mutate::{changed, changes};

const RUN: &str = "tests/runs/format_1";
const FILES: [&str; 7] =
    ["manifest.json", "plan.yaml", "split.json", "metrics.csv", "cases.csv", "timing.csv", "steps.csv"];

/// Returns a folder with two copies of the committed run; a file of the second one has other content.
fn runs(file: &str, content: &[u8]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        let folder = root.path().join(name);
        fs::create_dir(&folder).unwrap();
        for file in FILES {
            fs::copy(Path::new(RUN).join(file), folder.join(file)).unwrap();
        }
    }
    fs::write(root.path().join("b").join(file), content).unwrap();
    root
}

fn report(root: &Path) -> Report {
    let report = Report::read(root, ComparedEpoch::Best).unwrap();
    report.write(&root.join("report"), "a title").unwrap();
    let _ = Manifest::read(&root.join("b")).map_err(|error| error.to_string());
    report
}

#[test]
fn a_corrupt_file_excludes_only_its_own_run() {
    for (file, content, expected) in [
        ("manifest.json", "{", "manifest.json: EOF while parsing"),
        ("plan.yaml", "- a list\n", "plan.yaml: expected keys with values"),
        ("metrics.csv", "epoch,val_loss\n1,\u{0}\n", ""),
    ] {
        let root = runs(file, content.as_bytes());
        let report = report(root.path());
        match expected {
            "" => assert!(report.unreadable.is_empty(), "{:?}", report.unreadable),
            expected => assert!(report.unreadable[0].1.starts_with(expected), "{:?}", report.unreadable),
        }
        let names = |runs: &[(String, String)]| runs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert!(!names(&report.unreadable).contains(&"a".to_owned()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_run_with_changes_causes_no_panic(file in select(FILES.to_vec()), changes in changes()) {
        let content = fs::read(Path::new(RUN).join(file)).unwrap();
        report(runs(file, &changed(&content, usize::MAX, &changes)).path());
    }

    #[test]
    fn a_run_of_extreme_numbers_causes_no_panic(
        file in select(vec!["metrics.csv", "cases.csv", "timing.csv"]),
        cell in any::<proptest::sample::Index>(),
        number in select(vec!["1e308", "-1e308", "NaN", "inf", "1e-320", "18446744073709551616", "-1", "0.5", ""]),
    ) {
        let content = fs::read_to_string(Path::new(RUN).join(file)).unwrap();
        let mut cells: Vec<&str> = content.split_inclusive([',', '\n']).collect();
        let header = content.lines().next().unwrap().split(',').count();
        let at = header + cell.index(cells.len() - header);
        let end = if cells[at].ends_with('\n') { "\n" } else { "," };
        let new = format!("{number}{end}");
        cells[at] = &new;
        report(runs(file, cells.concat().as_bytes()).path());
    }
}
