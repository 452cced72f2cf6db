//! A run ends with the same bytes however often it is killed, whether the cache is cold or warm, and for any number of
//! threads.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::cascade::{SECOND_STAGE, train_first_stage};
use crate::test_dir::{TestDir, exact_files, signal, stderr, stdout};

/// A run that is long enough to be killed during and between epochs.
const LONG: [&str; 4] =
    ["--set", "train.epochs=12", "--set", "checkpoint={keep_best: 2, keep_last: 2, monitor: val_loss}"];

/// The keys of nnU-Net's rule and the average of the weights: patches past the border, epochs of iterations, transforms of
/// patches, and a best epoch by the pseudo-Dice.
const NNUNET: [&str; 18] = [
    "--set",
    "train={epochs: 9, batch_size: 2, iterations_per_epoch: 3, weight_average: {decay: 0.5}}",
    "--set",
    "checkpoint={keep_best: 2, keep_last: 2, monitor: pseudo_dice_ema}",
    "--set",
    "sampler={foreground_oversample: {patch: [8, 8, 8], border: pad}}",
    "--set",
    "augment=[]",
    "--set",
    "patch_augment=[{crop: {start: [1, 0, 2], end: [2, 0, 0]}}, {flip: {probabilities: 0.5}}, {gamma: {log_gamma: [-1, 1]}}]",
    "--set",
    "validate={pseudo_dice: {batches: 2}, volumes: {every_epochs: 4}}",
    "--set",
    "optimizer={sgd: {learning_rate: 0.3, momentum: 0.9, nesterov: true, weight_decay: 3e-5}}",
    "--set",
    "loss={dice_cross_entropy: {class_weights: [0.05, 1, 2]}}",
    "--set",
    "schedule={polynomial: {update: epoch}}",
];

/// Number of kills in every test run; `RUNNER_KILLS` adds more.
const KILLS: u64 = 20;

/// Returns the only run of a folder if it has a manifest, so that it can be resumed.
fn started_run(dir: &TestDir, runs_dir: &str) -> Option<PathBuf> {
    let runs = fs::read_dir(dir.path(runs_dir).join("tiny")).ok()?;
    runs.flatten().map(|run| run.path()).find(|run| run.join("manifest.json").exists())
}

/// Starts or resumes the run of a folder, kills it after some time, and returns whether it had ended before.
fn killed_after(dir: &TestDir, (runs_dir, settings): (&str, &[&str]), interval: &str, time: Duration) -> bool {
    let run = started_run(dir, runs_dir);
    let mut arguments = vec!["run", "--quiet", "--set", interval];
    match &run {
        Some(run) => arguments.extend(["--resume", run.to_str().unwrap()]),
        None => arguments.extend([&["tiny.yaml", "--runs-dir", runs_dir][..], settings].concat()),
    }
    let mut process = dir.spawn(&arguments);
    let start = Instant::now();
    while start.elapsed() < time {
        if let Some(status) = process.try_wait().unwrap() {
            assert!(status.success(), "{runs_dir}: {status}");
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // SIGKILL, which the process cannot handle.
    process.kill().unwrap();
    process.wait().unwrap();
    false
}

fn checkpoint_files(run: &Path) -> Vec<String> {
    let files = fs::read_dir(run.join("checkpoints")).unwrap();
    let mut names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Kills runs at seeded random moments, once or several times each, and compares their final files.
fn kill_at(seeds: std::ops::Range<u64>, settings: &[&str]) {
    kill_in(&TestDir::new(), seeds, settings);
}

/// Kills runs as [`kill_at`], in a folder that has what they need.
fn kill_in(dir: &TestDir, seeds: std::ops::Range<u64>, settings: &[&str]) {
    let start = Instant::now();
    let uninterrupted = dir.run("uninterrupted", settings);
    let duration = start.elapsed();
    let expected = exact_files(&uninterrupted);
    let mut kills = 0;
    for seed in seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
        let runs_dir = format!("killed-{seed}");
        let intervals = ["checkpoint.every_steps=1", "checkpoint.every_steps=5", "checkpoint.every_steps=null"];
        let interval = intervals[(uniform() * 2.99) as usize];
        if uniform() < 0.3 {
            fs::remove_dir_all(dir.path("cache")).unwrap();
        }
        // Half of the runs are killed once, the others up to three times.
        let max_kills = if uniform() < 0.5 { 1 } else { 3 };
        let mut ended = false;
        for _ in 0..max_kills {
            ended = killed_after(dir, (&runs_dir, settings), interval, duration.mul_f64(uniform()));
            if ended {
                break;
            }
            kills += 1;
        }
        if !ended {
            let ended = killed_after(dir, (&runs_dir, settings), interval, Duration::from_secs(120));
            assert!(ended, "seed {seed} does not end");
        }
        let run = started_run(dir, &runs_dir).unwrap();
        let manifest = fs::read_to_string(run.join("manifest.json")).unwrap();
        assert!(manifest.contains("\"status\": \"done\""), "seed {seed}: {manifest}");
        assert!(exact_files(&run) == expected, "seed {seed}, {interval}: {}", run.display());
        assert_eq!(checkpoint_files(&run), checkpoint_files(&uninterrupted), "seed {seed}");
        let unfinished = walkdir::WalkDir::new(&run).into_iter().flatten();
        assert_eq!(unfinished.filter(|file| file.file_name().to_string_lossy().contains("partial")).count(), 0);
        fs::remove_dir_all(dir.path(&runs_dir)).unwrap();
    }
    assert!(kills > 0, "every run ended before it was killed");
}

#[test]
fn a_run_that_was_killed_ends_with_the_same_bytes() {
    kill_at(0..KILLS, &LONG);
}

#[test]
fn a_run_by_nnunets_rule_that_was_killed_ends_with_the_same_bytes() {
    kill_at(0..8, &NNUNET);
}

#[test]
fn a_second_stage_that_was_killed_ends_with_the_same_bytes() {
    let dir = TestDir::new();
    train_first_stage(&dir);
    kill_in(&dir, 0..6, &[&SECOND_STAGE[..], &LONG].concat());
}

#[test]
fn workers_and_threads_change_no_byte_of_a_second_stage() {
    let dir = TestDir::new();
    train_first_stage(&dir);
    let expected = exact_files(&dir.run("expected", &SECOND_STAGE));
    for (workers, threads) in [("0", "2"), ("5", "1")] {
        let (runs_dir, workers) = (format!("workers-{workers}"), format!("queue.workers={workers}"));
        // With predictions of its own.
        fs::remove_dir_all(dir.path("cache/volumes")).unwrap();
        let arguments = [&["run", "tiny.yaml", "--runs-dir", &runs_dir, "--set", &workers][..], &SECOND_STAGE].concat();
        dir.command(&arguments).env("RAYON_NUM_THREADS", threads).assert().success();
        assert!(exact_files(&dir.only_run(&runs_dir)) == expected, "{workers}, {threads} threads");
    }
}

/// Run by hand: `RUNNER_KILLS=500 cargo test --release --test program many_kills -- --ignored`.
#[test]
#[ignore = "takes a time proportional to RUNNER_KILLS"]
fn many_kills_change_no_byte() {
    let kills = std::env::var("RUNNER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(200);
    kill_at(KILLS..KILLS + kills, &LONG);
    kill_at(KILLS..KILLS + kills, &NNUNET);
}

#[test]
fn threads_and_the_cache_change_no_byte() {
    let dir = TestDir::new();
    let cold = exact_files(&dir.run("cold", &["--device", "flex"]));
    assert!(exact_files(&dir.run("warm", &["--device", "flex"])) == cold, "with a warm cache");
    for threads in ["1", "2", "5"] {
        let runs_dir = format!("threads-{threads}");
        let mut command = dir.command(&["run", "tiny.yaml", "--device", "flex", "--runs-dir", &runs_dir]);
        command.env("RAYON_NUM_THREADS", threads).assert().success();
        assert!(exact_files(&dir.only_run(&runs_dir)) == cold, "{threads} threads");
    }
}

#[test]
fn workers_and_threads_change_no_byte_of_a_run_by_nnunets_rule() {
    let dir = TestDir::new();
    let run = dir.run("expected", &NNUNET);
    let expected = exact_files(&run);
    for (workers, threads) in [("0", "2"), ("1", "1"), ("5", "3")] {
        let (runs_dir, workers) = (format!("workers-{workers}"), format!("queue.workers={workers}"));
        let arguments = [&["run", "tiny.yaml", "--runs-dir", &runs_dir, "--set", &workers][..], &NNUNET].concat();
        dir.command(&arguments).env("RAYON_NUM_THREADS", threads).assert().success();
        assert!(exact_files(&dir.only_run(&runs_dir)) == expected, "{workers}, {threads} threads");
    }
    // Nine epochs of three steps, with the pseudo-Dice after each.
    let table = |name: &str| fs::read_to_string(run.join(name)).unwrap();
    assert_eq!(table("steps.csv").lines().count(), 28);
    let metrics = table("metrics.csv");
    let header = metrics.lines().next().unwrap();
    assert!(header.ends_with(",pseudo_dice_liver,pseudo_dice_tumour,pseudo_dice_mean,pseudo_dice_ema"), "{header}");
    let averages = metrics.lines().skip(1).map(|row| row.rsplit(',').next().unwrap().parse::<f64>().unwrap());
    assert!(averages.collect::<Vec<_>>().windows(2).all(|pair| pair[0] != pair[1] && pair[1] > 0.1), "{metrics}");
    // The average is not what training continues from.
    let state = fs::read(run.join("checkpoints/last.state.safetensors")).unwrap();
    let tensors = nn::weights::read_tensors(&state).unwrap();
    let find = |name: &str| tensors.iter().find(|tensor| tensor.name == name).unwrap();
    assert_ne!(find("weights.head.weight").data, find("average.head.weight").data);
    let last = nn::weights::read_tensors(&fs::read(run.join("checkpoints/last.safetensors")).unwrap()).unwrap();
    let head = last.iter().find(|tensor| tensor.name == "head.weight").unwrap();
    assert_eq!(head.data, find("average.head.weight").data);
}

/// With LibTorch the bits are the same only for the same number of threads.
#[cfg(feature = "libtorch")]
#[test]
fn libtorch_repeats_its_bits_with_the_same_number_of_threads() {
    let dir = TestDir::new();
    for threads in ["1", "2"] {
        let runs = ["once", "again"].map(|name| {
            let runs_dir = format!("{name}-{threads}");
            let mut command = dir.command(&["run", "tiny.yaml", "--device", "libtorch:cpu", "--runs-dir", &runs_dir]);
            command.env("OMP_NUM_THREADS", threads).env("MKL_NUM_THREADS", threads).assert().success();
            exact_files(&dir.only_run(&runs_dir))
        });
        assert!(runs[0] == runs[1], "{threads} threads");
    }
}

#[test]
fn a_damaged_checkpoint_is_reported_and_the_previous_one_is_used() {
    let dir = TestDir::new();
    let expected = exact_files(&dir.run("uninterrupted", &LONG));
    let run = dir.run("short", &[&LONG[..], &["--set", "train.epochs=3"]].concat());
    let newest = run.join("checkpoints/last.state.safetensors");
    let mut bytes = fs::read(&newest).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let resume = ["run", "--resume", run.to_str().unwrap(), "--set", "train.epochs=12"];
    let message = stderr(&dir.runner(&resume).success());
    assert!(message.contains("last.state.safetensors cannot be read") && message.contains("checksum"), "{message}");
    assert!(exact_files(&run) == expected);
    assert!(run.join("checkpoints/last.state.safetensors.damaged").exists());
}

#[test]
fn without_an_intact_checkpoint_a_run_is_not_restarted_automatically() {
    let dir = TestDir::new();
    let run = dir.run("runs", &[]);
    for name in ["last.state.safetensors", "last-1.state.safetensors"] {
        fs::write(run.join("checkpoints").join(name), b"damaged").unwrap();
    }
    let before = fs::read(run.join("steps.csv")).unwrap();
    let resume = ["run", "--resume", run.to_str().unwrap(), "--set", "train.epochs=3"];
    let message = stderr(&dir.runner(&resume).code(3));
    assert!(message.contains("no checkpoint of the run can be read") && message.contains("remove them"), "{message}");
    assert_eq!(fs::read(run.join("steps.csv")).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn early_stopping_survives_a_kill_between_its_last_checkpoint_and_the_end() {
    let dir = TestDir::new();
    let no_progress = ["--set", "optimizer.adam.learning_rate=1e-30", "--set", "train.epochs=6"];
    let patience = ["--set", "checkpoint={monitor: val_loss, patience_epochs: 2}"];
    let run = dir.run("runs", &[&no_progress[..], &patience].concat());
    let expected = exact_files(&run);
    // The status that is left if the process is killed at that moment.
    let manifest = run.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"done\"", "\"running\"")).unwrap();
    let message = stdout(&dir.runner(&["run", "--resume", run.to_str().unwrap()]).success());
    assert!(message.contains("early stopping"), "{message}");
    assert!(exact_files(&run) == expected);
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_immediately_and_leaves_no_incomplete_file() {
    let dir = TestDir::new();
    // A step takes seconds, so that the process is still running when the second signal arrives.
    let slow = [
        "data.source={phantom: {subjects: 4, shape: [64, 64, 64], spacing_mm: [5, 5, 5]}}",
        "sampler={uniform: {patch: [64, 64, 64]}}",
        "model.unet.widths=[24, 48]",
        "queue.samples_per_volume=16",
        "train.accumulate_batches=8",
        "validate={patches: false}",
    ];
    let slow = slow.iter().flat_map(|set| ["--set", *set]);
    let arguments: Vec<&str> = ["run", "tiny.yaml", "--quiet", "--runs-dir", "twice"].into_iter().chain(slow).collect();
    let mut process = dir.spawn(&arguments);
    crate::test_dir::wait_for_steps(&dir.path("twice"), 0);
    std::thread::sleep(Duration::from_millis(300));
    signal("INT", process.id());
    std::thread::sleep(Duration::from_millis(1200));
    assert!(process.try_wait().unwrap().is_none(), "the step is too short for this test");
    let second = Instant::now();
    signal("INT", process.id());
    assert_eq!(process.wait().unwrap().code(), Some(130));
    assert!(second.elapsed() < Duration::from_secs(1));
    let run = started_run(&dir, "twice").unwrap();
    // No step was done, so the run can be resumed from the start: only the change of the seed is an error.
    let resume = ["run", "--resume", run.to_str().unwrap(), "--set", "seed=1"];
    assert!(stderr(&dir.runner(&resume).code(2)).contains("cannot change `seed`"));
}
