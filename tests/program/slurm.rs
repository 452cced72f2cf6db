//! The Slurm launcher, on a real Slurm cluster of one node that the test starts; skipped if Slurm is not installed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::sweep::{RATES, all_exact_files, statuses};
use crate::test_dir::{TestDir, stderr, stdout};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/program/slurm.sh");

/// Enough epochs to interrupt a run, and few enough to wait for its end.
const EPOCHS: &str = "300";

/// A Slurm cluster of one node, stopped on drop.
struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Starts a cluster; `None` if Slurm or munge is not installed, or without root.
    fn start() -> Option<Self> {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.starts_with(b"0\n"));
        let is_installed = |program: &str| Path::new("/usr/sbin").join(program).exists();
        if !is_root || !["munged", "slurmctld", "slurmd"].into_iter().all(is_installed) {
            eprintln!("skipped: needs root, and Debian's slurm-wlm and munge");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let ports = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = ports.map(|listener| listener.local_addr().unwrap().port().to_string());
        let started = Command::new(SCRIPT).arg("start").arg(folder.path()).args(ports).status().unwrap();
        let cluster = Self { folder };
        assert!(started.success(), "Slurm does not start");
        Some(cluster)
    }

    fn conf(&self) -> String {
        self.folder.path().join("slurm.conf").display().to_string()
    }

    fn call(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(program).args(arguments).env("SLURM_CONF", self.conf()).output().unwrap()
    }

    /// Returns the tasks of all jobs: `ID INDEX STATE`.
    fn queue(&self) -> Vec<String> {
        let output = self.call("squeue", &["--noheader", "--array", "--format=%i %K %T"]);
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    /// Waits until a condition is true. Requeued tasks, which Slurm delays, are started immediately.
    fn wait_until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            for task in self.queue().iter().filter(|task| task.ends_with("PENDING")) {
                let id = task.split(' ').next().unwrap();
                self.call("scontrol", &["update", &format!("jobid={id}"), "StartTime=now"]);
            }
            assert!(start.elapsed() < Duration::from_secs(240), "{what}: {:?}", self.queue());
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.call("scancel", &["--user=root"]);
        // A failure to stop cannot be handled here.
        let _ = Command::new(SCRIPT).arg("stop").arg(self.folder.path()).status();
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn sweep(dir: &TestDir, cluster: &Cluster, epochs: &str) -> assert_cmd::assert::Assert {
    let set = format!("train.epochs={epochs}");
    let mut command = dir.command(&["sweep", "rates.yaml", "--launcher", "slurm", "--set", &set]);
    command.env("SLURM_CONF", cluster.conf()).assert()
}

/// Returns the first running task of an array: `JOB_INDEX`.
fn running_task(cluster: &Cluster) -> Option<String> {
    let running = cluster.queue().into_iter().find(|task| task.ends_with("RUNNING"))?;
    running.split(' ').next().map(str::to_owned)
}

fn num_checkpoints(dir: &TestDir) -> usize {
    let files = walkdir::WalkDir::new(dir.path("runs")).into_iter().flatten();
    files.into_iter().filter(|entry| entry.file_name() == "last.state.safetensors").count()
}

/// Returns the output of all tasks.
fn task_output(dir: &TestDir) -> String {
    let files = fs::read_dir(dir.path("runs/rates/sweep/slurm")).unwrap().map(|entry| entry.unwrap().path());
    let texts = files.filter(|path| path.extension().is_some_and(|end| end == "txt"));
    texts.map(|path| fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn a_sweep_is_a_job_array_whose_preempted_runs_resume() {
    let Some(cluster) = Cluster::start() else { return };
    let dir = TestDir::new();
    let slurm = "slurm: { partition: main, cpus: 1, time: \"1:00:00\", extra: [\"--comment=a test\"] }\n";
    dir.write("rates.yaml", &format!("{RATES}{slurm}"));
    let output = stdout(&sweep(&dir, &cluster, EPOCHS).success());
    assert!(output.contains("submitted 4 runs as job array"), "{output}");
    assert!(cluster.queue().len() >= 4, "{:?}", cluster.queue());
    // The device is selected on the node.
    for point in fs::read_dir(dir.path("runs/rates/sweep/points")).unwrap() {
        let point = fs::read_to_string(point.unwrap().path()).unwrap();
        assert!(point.contains("device: auto"), "{point}");
    }
    let again = stdout(&sweep(&dir, &cluster, EPOCHS).success());
    assert!(
        again.contains("4 of these are in Slurm's queue already") && again.contains("nothing to submit"),
        "{again}"
    );

    // A preempted task is requeued: the run writes a checkpoint and resumes.
    cluster.wait_until("two checkpoints", |_| num_checkpoints(&dir) >= 2);
    let task = running_task(&cluster).expect("a task is running");
    let requeued = cluster.call("scontrol", &["requeue", &task]);
    assert!(requeued.status.success(), "{requeued:?}");
    cluster.wait_until("the report", |_| dir.path("runs/rates/report/report.html").exists());
    assert!(task_output(&dir).contains("stopped; resume with"), "{}", task_output(&dir));
    let status = stdout(&dir.runner(&["sweep", "status", "runs/rates"]).success());
    assert!(status.contains("4 runs: 4 done"), "{status}");

    let epochs = format!("train.epochs={EPOCHS}");
    let local = ["sweep", "rates.yaml", "--quiet", "--runs-dir", "local", "--set", &epochs];
    dir.runner(&local).success();
    assert!(all_exact_files(&dir, "runs/rates") == all_exact_files(&dir, "local/rates"));
    assert!(stdout(&sweep(&dir, &cluster, EPOCHS).success()).contains("nothing to submit"));

    dir.write("rates.yaml", &format!("{RATES}slurm: {{ partition: absent }}\n"));
    assert!(stderr(&sweep(&dir, &cluster, "7").code(2)).contains("sbatch rejected the job"));
}

#[test]
fn a_run_that_reaches_its_time_limit_writes_a_checkpoint_and_is_requeued() {
    let Some(cluster) = Cluster::start() else { return };
    let dir = TestDir::new();
    // Slurm measures time limits in minutes, and sends the signal up to a minute early.
    dir.write("rates.yaml", &format!("{RATES}slurm: {{ time: \"00:01:00\", grace_secs: 40 }}\n"));
    sweep(&dir, &cluster, "100000").success();
    cluster.wait_until("two tasks", |cluster| cluster.queue().iter().filter(|t| t.ends_with("RUNNING")).count() == 2);
    // A cancelled task stays cancelled when others are requeued.
    let array = running_task(&cluster).unwrap().split('_').next().unwrap().to_owned();
    assert!(cluster.call("scancel", &[&format!("{array}_2")]).status.success());
    let is_requeued = |cluster: &Cluster| {
        let tasks = cluster.queue().iter().filter(|task| task.ends_with("PENDING")).count();
        task_output(&dir).contains("stopped; resume with") && tasks > 0
    };
    let start = Instant::now();
    while !is_requeued(&cluster) {
        assert!(start.elapsed() < Duration::from_secs(120), "{:?}\n{}", cluster.queue(), task_output(&dir));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(!cluster.queue().iter().any(|task| task.split(' ').nth(1) == Some("2")), "{:?}", cluster.queue());
    assert!(statuses(&dir, "runs/rates").contains(&"stopped".to_owned()));
    assert!(num_checkpoints(&dir) > 0);
    // The run resumes from its checkpoint.
    cluster.wait_until("the run resumes", |cluster| {
        running_task(cluster).is_some() && statuses(&dir, "runs/rates").contains(&"running".to_owned())
    });
}
