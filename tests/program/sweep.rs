//! `runner sweep`: many runs, killed and resumed, in one process and in several.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use random::{Purpose, Rng, Seed};
use serde_json::Value as Json;

use crate::test_dir::{TestDir, exact_files, signal, stderr, stdout, wait_for_steps};

pub const RATES: &str = "\
experiment: tiny.yaml
grid:
  optimizer.adam.learning_rate: [1.0e-3, 1.0e-2]
  seed: [1, 2]
jobs: 2
";

fn dir() -> TestDir {
    let dir = TestDir::new();
    dir.write("rates.yaml", RATES);
    dir
}

/// Returns the run folders of a sweep, by id, without the link `latest`.
fn runs(dir: &TestDir, root: &str) -> BTreeMap<String, PathBuf> {
    let entries = fs::read_dir(dir.path(root)).unwrap().map(|entry| entry.unwrap().path());
    let is_run = |path: &PathBuf| path.join("manifest.json").exists() && !path.is_symlink();
    entries.filter(is_run).map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path)).collect()
}

pub fn all_exact_files(dir: &TestDir, root: &str) -> BTreeMap<String, Vec<Vec<u8>>> {
    runs(dir, root).into_iter().map(|(id, path)| (id, exact_files(&path))).collect()
}

fn manifest(run: &Path) -> Json {
    serde_json::from_slice(&fs::read(run.join("manifest.json")).unwrap()).unwrap()
}

pub fn statuses(dir: &TestDir, root: &str) -> Vec<String> {
    let mut statuses: Vec<String> =
        runs(dir, root).values().map(|run| manifest(run)["status"].as_str().unwrap().to_owned()).collect();
    statuses.sort();
    statuses
}

fn logs(dir: &TestDir, root: &str) -> Vec<String> {
    runs(dir, root).values().map(|run| fs::read_to_string(run.join("log.txt")).unwrap()).collect()
}

/// Returns the rows of a report's `summary.csv` without the columns that differ between repetitions.
fn summary(dir: &TestDir, root: &str) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(dir.path(root).join("report/summary.csv")).unwrap();
    let header = reader.headers().unwrap().clone();
    let is_kept = |name: &str| !["seconds", "peak_memory_bytes"].contains(&name);
    let kept: Vec<usize> = (0..header.len()).filter(|column| is_kept(&header[*column])).collect();
    reader.records().map(|row| row.unwrap()).map(|row| kept.iter().map(|at| row[*at].to_owned()).collect()).collect()
}

#[test]
fn a_sweep_trains_each_run_once_and_compares_them() {
    let dir = dir();
    let output = stdout(&dir.runner(&["sweep", "rates.yaml"]).success());
    assert!(output.contains("4 runs: 4 done"), "{output}");
    assert!(output.contains("learning_rate 0.01"), "{output}");
    assert_eq!(runs(&dir, "runs/rates").len(), 4);
    let latest = fs::read_link(dir.path("runs/rates/latest")).unwrap();
    assert!(runs(&dir, "runs/rates").contains_key(latest.to_str().unwrap()), "{latest:?}");
    for file in ["summary.csv", "cases.csv", "comparisons.csv", "report.md", "report.html", "plots/settings.svg"] {
        assert!(fs::metadata(dir.path("runs/rates/report").join(file)).unwrap().len() > 0, "{file} is empty");
    }
    // The same run outside the sweep has the same bytes.
    let single = dir.run("single", &["--set", "optimizer.adam.learning_rate=1e-2", "--set", "seed=2"]);
    assert!(all_exact_files(&dir, "runs/rates").values().any(|files| *files == exact_files(&single)));

    let before = (all_exact_files(&dir, "runs/rates"), logs(&dir, "runs/rates"));
    let again = stdout(&dir.runner(&["sweep", "rates.yaml"]).success());
    assert!(again.contains("4 runs: 4 done"), "{again}");
    assert!(before == (all_exact_files(&dir, "runs/rates"), logs(&dir, "runs/rates")));
    let status = stdout(&dir.runner(&["sweep", "status", "runs/rates"]).success());
    assert!(status.contains("optimizer.adam.learning_rate") && status.contains("4 runs: 4 done"), "{status}");
}

#[test]
fn a_larger_sweep_in_the_same_folder_trains_only_the_new_runs() {
    let dir = dir();
    let sweep = |rates: &str| {
        let arguments = ["sweep", "tiny.yaml", "--quiet", "--grid", rates, "--grid", "seed=1,2"];
        dir.runner(&arguments).success();
    };
    sweep("optimizer.adam.learning_rate=1e-3");
    let before = all_exact_files(&dir, "runs/tiny");
    let logs_before = logs(&dir, "runs/tiny");
    sweep("optimizer.adam.learning_rate=1e-3,0.01");
    let after = all_exact_files(&dir, "runs/tiny");
    assert_eq!((before.len(), after.len()), (2, 4));
    assert!(before.iter().all(|(id, files)| after[id] == *files));
    let logs_after = logs(&dir, "runs/tiny");
    assert!(logs_before.iter().all(|log| logs_after.contains(log)));
    // `status` shows the runs of both.
    assert!(stdout(&dir.runner(&["sweep", "status", "runs/tiny"]).success()).contains("4 runs: 4 done"));
}

#[test]
fn a_dry_run_shows_the_runs_and_starts_none() {
    let dir = dir();
    let output = stdout(&dir.runner(&["sweep", "rates.yaml", "--dry-run"]).success());
    for text in ["optimizer.adam.learning_rate", "4 runs: 4 waiting", "of training left", "of disk"] {
        assert!(output.contains(text), "{text} is missing in\n{output}");
    }
    let output = stdout(&dir.runner(&["sweep", "rates.yaml", "--dry-run", "--launcher", "slurm"]).success());
    assert!(output.contains("#SBATCH --array=0,1,2,3%2"), "{output}");
    assert!(!dir.path("runs").exists());
}

#[test]
fn every_run_is_checked_before_the_first_one_starts() {
    let dir = dir();
    let wrong = RATES.replace("1.0e-2]", "fast]");
    dir.write("rates.yaml", &wrong);
    let message = stderr(&dir.runner(&["sweep", "rates.yaml"]).code(2));
    assert!(message.contains("rates.yaml:3:42") && message.contains("fast"), "{message}");
    let message = stderr(&dir.runner(&["sweep", "tiny.yaml", "--grid", "optimizer.adam.learning_rat=1"]).code(2));
    assert!(message.contains("did you mean `learning_rate`"), "{message}");
    let message = stderr(&dir.runner(&["sweep", "tiny.yaml", "--grid", "sampler.label.patch=[8,8,8],[9,9,9]"]).code(2));
    assert!(message.contains("[9,9,9]"), "{message}");
    // A wrong name is marked in the argument that sets it.
    let message = stderr(&dir.runner(&["sweep", "rates.yaml", "--set", "name=a/b"]).code(2));
    assert!(message.contains("[command line:1:") && message.contains("--set name=a/b"), "{message}");
    assert!(!dir.path("runs").exists());
    dir.runner(&["sweep", "status", "runs"]).code(2);
}

/// Sleeps for a random time.
fn pause(rng: &mut Rng, max_ms: u64) {
    std::thread::sleep(Duration::from_millis(rng.below(max_ms)));
}

/// Returns the ids of the processes that have claimed runs of a sweep.
fn workers(dir: &TestDir, root: &str) -> Vec<u32> {
    let claims = fs::read_dir(dir.path(root).join("sweep/claims"));
    let texts = claims.into_iter().flatten().filter_map(|entry| fs::read(entry.ok()?.path()).ok());
    let claims = texts.filter_map(|text| serde_json::from_slice::<Json>(&text).ok());
    let held = claims.filter(|claim| claim["released"] == false);
    held.filter_map(|claim| claim["process"].as_u64()).map(|process| process as u32).collect()
}

/// Returns those of them that are alive.
fn live_workers(dir: &TestDir, root: &str) -> Vec<u32> {
    workers(dir, root).into_iter().filter(|process| is_alive(*process)).collect()
}

fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Kills a process immediately, as a power failure would.
fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// `RUNNER_KILLS=100 cargo test --release --test program killed` sets the number of kills.
#[test]
fn a_sweep_that_is_killed_at_random_moments_has_the_same_results() {
    let dir = dir();
    let kills = std::env::var("RUNNER_KILLS").map_or(10, |count| count.parse().unwrap());
    // The sweep takes about as long as all kills together.
    let epochs = format!("train.epochs={}", 8 * kills);
    let arguments = |root| ["sweep", "rates.yaml", "--quiet", "--runs-dir", root, "--set", &epochs];
    dir.runner(&arguments("uninterrupted")).success();

    let mut rng = Seed(3).stream(Purpose::Sweep, 0, "kills", 0);
    let mut kills_while_training = 0;
    for _ in 0..kills {
        // Workers may run on after their sweep is killed, up to their next checkpoint.
        let before = live_workers(&dir, "killed/rates");
        let mut sweep = dir.spawn(&arguments("killed"));
        // Some sweeps are killed while they start, which takes seconds with LibTorch, most while they train.
        let waits = rng.below(5) > 0;
        let has_started = || live_workers(&dir, "killed/rates").iter().any(|process| !before.contains(process));
        while waits && !has_started() && sweep.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        pause(&mut rng, 700);
        let alive = live_workers(&dir, "killed/rates");
        kills_while_training += usize::from(!alive.is_empty());
        match rng.below(3) {
            // Only the sweep: its workers detect this and stop after a checkpoint.
            0 => kill(&mut sweep),
            // Only a worker, which the sweep starts again, and then the sweep.
            1 => {
                alive.into_iter().take(1).for_each(|process| signal("KILL", process));
                pause(&mut rng, 400);
                kill(&mut sweep);
            }
            // All processes together, as in a power failure.
            _ => {
                kill(&mut sweep);
                alive.into_iter().for_each(|process| signal("KILL", process));
            }
        }
    }
    assert!(3 * kills_while_training > kills, "only {kills_while_training} of {kills} kills happened during training");
    let output = stdout(&dir.runner(&arguments("killed")).success());
    assert!(output.contains("4 runs: 4 done"), "{output}");
    assert!(all_exact_files(&dir, "killed/rates") == all_exact_files(&dir, "uninterrupted/rates"));
    assert_eq!(summary(&dir, "killed/rates"), summary(&dir, "uninterrupted/rates"));
}

#[test]
fn two_simultaneous_sweeps_share_the_runs() {
    let dir = dir();
    let arguments = ["sweep", "rates.yaml", "--quiet", "--set", "train.epochs=4"];
    let mut sweeps = [dir.spawn(&arguments), dir.spawn(&arguments)];
    for sweep in &mut sweeps {
        assert_eq!(sweep.wait().unwrap().code(), Some(0));
    }
    assert_eq!(statuses(&dir, "runs/rates"), ["done"; 4]);
    for log in logs(&dir, "runs/rates") {
        assert_eq!(log.matches(" epoch 1: ").count(), 1, "{log}");
        assert_eq!(log.matches(" ended").count(), 1, "{log}");
    }
    assert!(dir.path("runs/rates/report/report.html").exists());
}

#[test]
fn ctrl_c_stops_all_runs_after_their_checkpoints() {
    let dir = dir();
    let epochs = ["--set", "train.epochs=40"];
    let arguments = |root| [&["sweep", "rates.yaml", "--quiet", "--runs-dir", root][..], &epochs].concat();
    let mut sweep = dir.spawn(&arguments("stopped"));
    wait_for_steps(&dir.path("stopped"), 7);
    signal("INT", sweep.id());
    assert_eq!(sweep.wait().unwrap().code(), Some(130));
    let statuses = statuses(&dir, "stopped/rates");
    assert!(statuses.contains(&"stopped".to_owned()) && !statuses.contains(&"running".to_owned()), "{statuses:?}");
    assert!(workers(&dir, "stopped/rates").is_empty());
    for run in runs(&dir, "stopped/rates").values().filter(|run| manifest(run)["status"] == "stopped") {
        let has_started = run.join("steps.csv").exists();
        assert!(!has_started || run.join("checkpoints/last.state.safetensors").exists(), "{}", run.display());
    }
    dir.runner(&arguments("stopped")).success();
    dir.runner(&arguments("uninterrupted")).success();
    assert!(all_exact_files(&dir, "stopped/rates") == all_exact_files(&dir, "uninterrupted/rates"));
}

#[test]
fn failed_runs_are_retried_only_on_request() {
    let dir = dir();
    let broken = "optimizer.adam.learning_rate=1e-3,1e30";
    let arguments = ["sweep", "tiny.yaml", "--grid", broken, "--jobs", "1"];
    let output = stdout(&dir.runner(&arguments).code(1));
    assert!(output.contains("1 done, 1 failed") && output.contains("not finite"), "{output}");
    assert_eq!(statuses(&dir, "runs/tiny"), ["done", "failed"]);
    let before = logs(&dir, "runs/tiny");
    dir.runner(&arguments).code(1);
    assert_eq!(logs(&dir, "runs/tiny"), before);
    assert!(stdout(&dir.runner(&["sweep", "status", "runs/tiny"]).code(1)).contains("1 failed"));
    dir.runner(&[&arguments[..], &["--retry-failed"]].concat()).code(1);
    assert_ne!(logs(&dir, "runs/tiny"), before);
}

#[test]
fn a_run_that_failed_on_broken_data_succeeds_once_the_data_is_fixed() {
    let dir = dir();
    dir.runner(&["phantom", "data", "--subjects", "4", "--shape", "16,16,16", "--spacing", "20,20,18"]).success();
    let image = dir.path("data/imagesTr/phantom_002.nii.gz");
    let original = fs::read(&image).unwrap();
    let mut broken = original.clone();
    let middle = broken.len() / 2;
    broken[middle..].fill(0);
    fs::write(&image, broken).unwrap();
    let sweep = ["sweep", "tiny.yaml", "--quiet", "--grid", "seed=1,2", "--set"];
    let arguments = [&sweep[..], &["data.source={msd: {root: data}}"]].concat();
    let output = stdout(&dir.runner(&arguments).code(1));
    assert!(output.contains("2 failed") && output.contains("phantom_002"), "{output}");
    fs::write(&image, original).unwrap();
    dir.runner(&arguments).code(1);
    // The ids of the runs do not depend on the path of the data.
    fs::rename(dir.path("data"), dir.path("moved")).unwrap();
    let arguments = [&sweep[..], &["data.source={msd: {root: moved}}", "--retry-failed"]].concat();
    let output = stdout(&dir.runner(&arguments).success());
    assert!(output.contains("2 runs: 2 done"), "{output}");
}

#[test]
fn poor_runs_are_pruned_and_can_be_resumed() {
    let dir = dir();
    let sweep = "\
experiment: tiny.yaml
grid: { optimizer.adam.learning_rate: [3.0e-2, 3.0e-3, 3.0e-4, 3.0e-5] }
jobs: 1
";
    dir.write("pruned.yaml", &format!("{sweep}prune: {{ metric: train_loss, min_epochs: 2, reduction: 2 }}\n"));
    let epochs = ["--set", "train.epochs=6"];
    let pruned = [&["sweep", "pruned.yaml", "--quiet"][..], &epochs].concat();
    let output = stdout(&dir.runner(&pruned).success());
    assert!(output.contains("1 done, 3 pruned"), "{output}");
    let before = logs(&dir, "runs/pruned");

    for run in runs(&dir, "runs/pruned").values().filter(|run| manifest(run)["status"] == "pruned") {
        let reason = manifest(run)["pruned"].as_str().unwrap().to_owned();
        assert!(reason.contains("train_loss") && reason.contains("continue"), "{reason}");
        // The recorded values are those in the files of the runs.
        let decisions: Json = serde_json::from_slice(&fs::read(run.join("prune.json")).unwrap()).unwrap();
        let last = decisions.as_array().unwrap().last().unwrap();
        assert_eq!(last["pruned"], true);
        for (id, value) in last["values"].as_object().unwrap() {
            let mut table = csv::Reader::from_path(runs(&dir, "runs/pruned")[id].join("metrics.csv")).unwrap();
            let epoch = last["epoch"].to_string();
            let row = table.records().map(|row| row.unwrap()).find(|row| row[0] == epoch).unwrap();
            assert_eq!(row[3].parse::<f64>().unwrap(), value.as_f64().unwrap());
        }
    }
    // When the sweep is started again, pruned runs stay pruned.
    dir.runner(&pruned).success();
    assert_eq!(logs(&dir, "runs/pruned"), before);
    let report = stdout(&dir.runner(&["report", "runs/pruned"]).success());
    assert!(report.contains("3 runs are excluded from all means: pruned (3)"), "{report}");

    // One run is resumed on its own, the others by the sweep without pruning; all end as if they had never stopped.
    let one = runs(&dir, "runs/pruned").into_values().find(|run| manifest(run)["status"] == "pruned").unwrap();
    dir.runner(&["run", "--resume", one.to_str().unwrap(), "--quiet"]).success();
    assert_eq!(statuses(&dir, "runs/pruned"), ["done", "done", "pruned", "pruned"]);
    dir.write("pruned.yaml", sweep);
    dir.runner(&pruned).success();
    let uninterrupted = [&["sweep", "pruned.yaml", "--quiet", "--runs-dir", "uninterrupted"][..], &epochs].concat();
    dir.runner(&uninterrupted).success();
    assert!(all_exact_files(&dir, "runs/pruned") == all_exact_files(&dir, "uninterrupted/pruned"));
}

#[test]
fn pruning_by_an_unknown_metric_is_rejected() {
    let dir = dir();
    for (prune, message) in [
        ("{ metric: val_dice_live, min_epochs: 1 }", "no column `val_dice_live`"),
        ("{ min_epochs: 1, reduction: 1 }", "at least 2"),
    ] {
        dir.write("rates.yaml", &format!("{RATES}prune: {prune}\n"));
        let text = stderr(&dir.runner(&["sweep", "rates.yaml"]).code(2));
        assert!(text.contains(message), "{text}");
    }
}

#[test]
fn a_manifest_for_kubernetes_is_printed() {
    let dir = dir();
    dir.write("rates.yaml", &format!("{RATES}kubernetes: {{ image: \"site/runner:1\", claim: data }}\n"));
    let output = stdout(&dir.runner(&["sweep", "rates.yaml", "--launcher", "kubernetes", "--dry-run"]).success());
    assert!(output.contains("kind: Job") && output.contains("completions: 4"), "{output}");
    assert!(!dir.path("runs").exists());
    dir.write("rates.yaml", RATES);
    let message = stderr(&dir.runner(&["sweep", "rates.yaml", "--launcher", "kubernetes", "--dry-run"]).code(2));
    assert!(message.contains("needs a container image"), "{message}");
}
