//! A temporary folder with a tiny experiment, in which commands are run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::Command;
use assert_cmd::assert::Assert;

pub const TINY: &str = "
name: tiny
data:
  source:
    phantom: { subjects: 4, shape: [16, 16, 16], spacing_mm: [20, 20, 18] }
  split: { first: 2 }
preprocess:
  - clamp: { min: -200, max: 250 }
  - rescale_intensity: { to: [-1, 1] }
augment:
  - affine: { scales: [0.9, 1.1], degrees: [-10, 10] }
  - noise: { std: [0, 0.1] }
sampler:
  label: { patch: [8, 8, 8], probabilities: { 0: 0.5, 1: 0.5 } }
queue: { max_length: 3, samples_per_volume: 2, workers: 2 }
model:
  unet: { widths: [2, 4], norm: instance, dropout: 0.1 }
loss:
  dice_cross_entropy: {}
optimizer:
  adam: { learning_rate: 1.0e-2 }
train: { epochs: 2, batch_size: 2 }
validate: { volumes: { every_epochs: 1 } }
";

/// A folder with the tiny experiment, its cache and its runs.
pub struct TestDir {
    folder: tempfile::TempDir,
}

impl TestDir {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = Self { folder };
        dir.write("tiny.yaml", TINY);
        dir
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
        command.current_dir(self.folder.path()).env("RUNNER_CACHE_DIR", self.path("cache")).args(arguments);
        command
    }

    /// Starts a command without waiting for it.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        std::process::Command::new(env!("CARGO_BIN_EXE_runner"))
            .current_dir(self.folder.path())
            .env("RUNNER_CACHE_DIR", self.path("cache"))
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn runner(&self, arguments: &[&str]) -> Assert {
        self.command(arguments).assert()
    }

    /// Runs the tiny experiment and returns the run folder.
    pub fn run(&self, runs_dir: &str, more: &[&str]) -> PathBuf {
        let arguments: Vec<&str> = ["run", "tiny.yaml", "--runs-dir", runs_dir].iter().chain(more).copied().collect();
        self.runner(&arguments).success();
        self.only_run(runs_dir)
    }

    pub fn only_run(&self, runs_dir: &str) -> PathBuf {
        let entries = fs::read_dir(self.path(runs_dir).join("tiny")).unwrap().map(|entry| entry.unwrap().path());
        let mut runs = entries.filter(|path| !path.is_symlink());
        let run = runs.next().unwrap();
        assert!(runs.next().is_none(), "expected a single run in {runs_dir}");
        run
    }
}

/// A file system in memory, unmounted on drop.
pub struct Disk {
    pub folder: PathBuf,
}

impl Disk {
    /// Mounts a file system of the given size; `None` without the permission to mount.
    pub fn mount(folder: PathBuf, kilobytes: u64) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let size = format!("size={kilobytes}k");
        let mut command = std::process::Command::new("mount");
        let output = command.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).output();
        let is_mounted = output.is_ok_and(|output| output.status.success());
        if !is_mounted {
            eprintln!("skipped: no permission to mount a file system");
        }
        is_mounted.then_some(Self { folder })
    }

    /// Makes the file system read-only.
    pub fn forbid_writing(&self) {
        let status = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(&self.folder).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = std::process::Command::new("umount").arg(&self.folder).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "cannot unmount {}", self.folder.display());
    }
}

pub fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

pub fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// Returns the stderr of a command as one line, because messages are wrapped at the width of the terminal.
pub fn stderr_line(assert: &Assert) -> String {
    one_line(&stderr(assert))
}

pub fn one_line(text: &str) -> String {
    text.replace(['│', '\n'], " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

pub fn first_line(path: &Path) -> String {
    fs::read_to_string(path).unwrap().lines().next().unwrap().to_owned()
}

/// Reads the files that must have the same bytes in every repetition of a run.
pub fn exact_files(run: &Path) -> Vec<Vec<u8>> {
    let files =
        ["metrics.csv", "steps.csv", "cases.csv", "checkpoints/best.safetensors", "checkpoints/last.safetensors"];
    files.iter().map(|file| fs::read(run.join(file)).unwrap()).collect()
}

/// Waits until a run in a folder has recorded the given number of steps.
pub fn wait_for_steps(runs: &Path, steps: usize) {
    let start = Instant::now();
    loop {
        let recorded = walkdir::WalkDir::new(runs).into_iter().flatten().find(|entry| entry.file_name() == "steps.csv");
        let lines =
            recorded.and_then(|entry| fs::read_to_string(entry.path()).ok()).map_or(0, |text| text.lines().count());
        if lines > steps {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the run makes no progress");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn signal(name: &str, process: u32) {
    let kill = std::process::Command::new("kill").args([&format!("-{name}"), &process.to_string()]).output().unwrap();
    // The process may have ended on its own.
    let message = String::from_utf8_lossy(&kill.stderr);
    assert!(kill.status.success() || message.contains("No such process"), "{message}");
}
