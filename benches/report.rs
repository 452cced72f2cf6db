//! Benchmark of `runner sweep status`, `runner report` and opening its page, for 200 runs of 100 epochs:
//! `cargo bench --bench report`.
//!
//! The page is opened if Chromium is installed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../tests/program/browser.rs"]
#[expect(dead_code, reason = "only opening a page is measured")]
mod browser;
#[path = "../tests/program/folders.rs"]
mod folders;

use sweep::folder::{Definition, SweepFolder};
use sweep::points::PointRecord;

const RUNS: usize = 200;
const EPOCHS: usize = 100;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    folders::make_many(&runs, RUNS, EPOCHS);
    make_sweep(&runs);
    println!("{RUNS} runs x {EPOCHS} epochs");
    measure("runner sweep status", || command(&["sweep", "status"], &runs));
    measure("runner report", || command(&["report"], &runs));
    let page = runs.join("report/report.html");
    println!("report.html: {:.2} MB", std::fs::metadata(&page).unwrap().len() as f64 / 1e6);
    if let Some(mut browser) = browser::Browser::start() {
        measure("opening report.html in Chromium", || browser.open(&page));
        let filter = "(() => { const f = document.querySelector('.filter'); f.value = 'seed=1'; \
            f.dispatchEvent(new Event('input')); return document.body.offsetHeight; })()";
        measure("filtering its table", || drop(browser.evaluate(filter)));
    }
}

/// Prints the median and the minimum duration of five repetitions.
fn measure(name: &str, mut run: impl FnMut()) {
    let mut times: Vec<Duration> = (0..5)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    println!("{name}: {:.3} s (median of five; best {:.3} s)", times[2].as_secs_f64(), times[0].as_secs_f64());
}

fn command(arguments: &[&str], runs: &Path) {
    let program = env!("CARGO_BIN_EXE_runner");
    let status = Command::new(program).args(arguments).arg(runs).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

/// Writes the folder of a sweep over the runs.
fn make_sweep(runs: &Path) {
    let ids: Vec<String> = (0..RUNS).map(|index| format!("run_{index:03}")).collect();
    let point = |(index, id): (usize, &String)| PointRecord {
        id: id.clone(),
        changes: vec![("seed".to_owned(), index.into())],
        experiment: "name: made\n".repeat(40),
        plan: "name: made\n".repeat(120),
        parts: Default::default(),
    };
    let points: Vec<PointRecord> = ids.iter().enumerate().map(point).collect();
    let folder = SweepFolder::new(runs.to_owned());
    folder.write(&Definition::new(ids.clone(), None, vec![]), &points).unwrap();
}
