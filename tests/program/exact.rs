//! A run ends with the same bytes however often it was killed, whatever is in the cache, and for any number of threads.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::test_dir::{TestDir, exact_files, signal, stderr, stdout};

/// Long enough to be killed in between, with everything that happens between two epochs.
const LONG: [&str; 4] =
    ["--set", "train.epochs=12", "--set", "checkpoint={keep_best: 2, keep_last: 2, monitor: val_loss}"];

/// Number of kills in every test run; `RUNNER_KILLS` adds more.
const KILLS: u64 = 20;

/// Returns the only run of a folder if it has a manifest, so that it can be resumed.
fn started_run(place: &TestDir, runs_dir: &str) -> Option<PathBuf> {
    let runs = fs::read_dir(place.path(runs_dir).join("tiny")).ok()?;
    runs.flatten().map(|run| run.path()).find(|run| run.join("manifest.json").exists())
}

/// Starts or resumes the run of a folder, kills it after some time, and returns whether it had ended before.
fn killed_after(place: &TestDir, runs_dir: &str, pace: &str, time: Duration) -> bool {
    let run = started_run(place, runs_dir);
    let mut arguments = vec!["run", "--quiet", "--set", pace];
    match &run {
        Some(run) => arguments.extend(["--resume", run.to_str().unwrap()]),
        None => arguments.extend([&["tiny.yaml", "--runs-dir", runs_dir][..], &LONG].concat()),
    }
    let mut process = place.spawn(&arguments);
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
fn kill_at(seeds: std::ops::Range<u64>) {
    let place = TestDir::new();
    let start = Instant::now();
    let whole = place.run("whole", &LONG);
    let duration = start.elapsed();
    let expected = exact_files(&whole);
    let mut kills = 0;
    for seed in seeds {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut uniform = || f64::from(rng.next_u32()) / f64::from(u32::MAX);
        let runs_dir = format!("killed-{seed}");
        let pace = ["checkpoint.every_steps=1", "checkpoint.every_steps=5", "checkpoint.every_steps=null"];
        let pace = pace[(uniform() * 2.99) as usize];
        if uniform() < 0.3 {
            fs::remove_dir_all(place.path("cache")).unwrap();
        }
        // Killed until it ends by itself, or in half of the cases only once.
        let max_kills = if uniform() < 0.5 { 1 } else { 3 };
        let mut ended = false;
        for _ in 0..max_kills {
            ended = killed_after(&place, &runs_dir, pace, duration.mul_f64(uniform()));
            if ended {
                break;
            }
            kills += 1;
        }
        if !ended {
            assert!(killed_after(&place, &runs_dir, pace, Duration::from_secs(120)), "seed {seed} does not end");
        }
        let run = started_run(&place, &runs_dir).unwrap();
        let manifest = fs::read_to_string(run.join("manifest.json")).unwrap();
        assert!(manifest.contains("\"status\": \"done\""), "seed {seed}: {manifest}");
        assert!(exact_files(&run) == expected, "seed {seed}, {pace}: {}", run.display());
        assert_eq!(checkpoint_files(&run), checkpoint_files(&whole), "seed {seed}");
        let unfinished = walkdir::WalkDir::new(&run).into_iter().flatten();
        assert_eq!(unfinished.filter(|file| file.file_name().to_string_lossy().contains("partial")).count(), 0);
        fs::remove_dir_all(place.path(&runs_dir)).unwrap();
    }
    assert!(kills > 0, "no run was killed in time");
}

#[test]
fn a_run_that_was_killed_ends_with_the_same_bytes() {
    kill_at(0..KILLS);
}

/// Run by hand: `RUNNER_KILLS=500 cargo test --release --test program many_kills -- --ignored`.
#[test]
#[ignore = "takes as long as RUNNER_KILLS asks for"]
fn many_kills_change_no_byte() {
    let kills = std::env::var("RUNNER_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(200);
    kill_at(KILLS..KILLS + kills);
}

#[test]
fn threads_and_the_cache_change_no_byte() {
    let place = TestDir::new();
    let cold = exact_files(&place.run("cold", &["--device", "flex"]));
    assert!(exact_files(&place.run("warm", &["--device", "flex"])) == cold, "with a warm cache");
    for threads in ["1", "2", "5"] {
        let runs_dir = format!("threads-{threads}");
        let mut command = place.command(&["run", "tiny.yaml", "--device", "flex", "--runs-dir", &runs_dir]);
        command.env("RAYON_NUM_THREADS", threads).assert().success();
        assert!(exact_files(&place.only_run(&runs_dir)) == cold, "{threads} threads");
    }
}

/// LibTorch guarantees less: the same bits for the same number of threads.
#[cfg(feature = "libtorch")]
#[test]
fn libtorch_repeats_its_bits_with_the_same_number_of_threads() {
    let place = TestDir::new();
    for threads in ["1", "2"] {
        let runs = ["once", "again"].map(|name| {
            let runs_dir = format!("{name}-{threads}");
            let mut command = place.command(&["run", "tiny.yaml", "--device", "libtorch:cpu", "--runs-dir", &runs_dir]);
            command.env("OMP_NUM_THREADS", threads).env("MKL_NUM_THREADS", threads).assert().success();
            exact_files(&place.only_run(&runs_dir))
        });
        assert!(runs[0] == runs[1], "{threads} threads");
    }
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_is_used() {
    let place = TestDir::new();
    let expected = exact_files(&place.run("whole", &LONG));
    let run = place.run("cut", &[&LONG[..], &["--set", "train.epochs=3"]].concat());
    let newest = run.join("checkpoints/last.state.safetensors");
    let mut bytes = fs::read(&newest).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let resume = ["run", "--resume", run.to_str().unwrap(), "--set", "train.epochs=12"];
    let told = stderr(&place.runner(&resume).success());
    assert!(told.contains("last.state.safetensors cannot be read") && told.contains("checksum"), "{told}");
    assert!(exact_files(&run) == expected);
    assert!(run.join("checkpoints/last.state.safetensors.damaged").exists());
}

#[test]
fn without_an_intact_checkpoint_a_run_is_not_restarted_automatically() {
    let place = TestDir::new();
    let run = place.run("runs", &[]);
    for name in ["last.state.safetensors", "last-1.state.safetensors"] {
        fs::write(run.join("checkpoints").join(name), b"torn").unwrap();
    }
    let before = fs::read(run.join("steps.csv")).unwrap();
    let resume = ["run", "--resume", run.to_str().unwrap(), "--set", "train.epochs=3"];
    let told = stderr(&place.runner(&resume).code(3));
    assert!(told.contains("no checkpoint of the run can be read") && told.contains("remove them"), "{told}");
    assert_eq!(fs::read(run.join("steps.csv")).unwrap(), before);
}

#[cfg(unix)]
#[test]
fn early_stopping_survives_a_kill_between_its_last_checkpoint_and_the_end() {
    let place = TestDir::new();
    let still = ["--set", "optimizer.adam.learning_rate=1e-30", "--set", "train.epochs=6"];
    let patience = ["--set", "checkpoint={monitor: val_loss, patience_epochs: 2}"];
    let run = place.run("runs", &[&still[..], &patience].concat());
    let expected = exact_files(&run);
    // The status that a process leaves that is killed at that moment.
    let manifest = run.join("manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(&manifest, text.replace("\"done\"", "\"running\"")).unwrap();
    let told = stdout(&place.runner(&["run", "--resume", run.to_str().unwrap()]).success());
    assert!(told.contains("early stopping"), "{told}");
    assert!(exact_files(&run) == expected);
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_ends_immediately_and_leaves_no_incomplete_file() {
    let place = TestDir::new();
    // A step that takes seconds, so that the first signal does not end the process immediately.
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
    let mut process = place.spawn(&arguments);
    crate::test_dir::wait_for_steps(&place.path("twice"), 0);
    std::thread::sleep(Duration::from_millis(300));
    signal("INT", process.id());
    std::thread::sleep(Duration::from_millis(1200));
    assert!(process.try_wait().unwrap().is_none(), "the step should take longer");
    let second = Instant::now();
    signal("INT", process.id());
    assert_eq!(process.wait().unwrap().code(), Some(130));
    assert!(second.elapsed() < Duration::from_secs(1));
    let run = started_run(&place, "twice").unwrap();
    // No step was done, so the run can be resumed from the start: only the change of the seed is an error.
    let resume = ["run", "--resume", run.to_str().unwrap(), "--set", "seed=1"];
    assert!(stderr(&place.runner(&resume).code(2)).contains("cannot change `seed`"));
}
