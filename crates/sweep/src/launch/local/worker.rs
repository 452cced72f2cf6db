//! A worker process: starting it, stopping it, and judging how it ended.

use std::fs::File;
use std::io;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::{Attempts, Supervisor};
use crate::claim::HELD_EXIT_CODE;
use crate::run_state::{self, RunState, SweepRun};
use run_folder::folder::RunFolder;
use run_folder::manifest::{Manifest, Status};

/// A run whose process is killed this often without finishing an epoch is not started again by this sweep.
const MAX_KILLS: usize = 5;

/// The exit code of a worker whose disk, device or data failed.
const FAILURE_EXIT_CODE: i32 = 3;

/// The delay before retrying a run whose folder another process holds.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A process that trains one run.
pub(super) struct Worker {
    /// The run's id.
    pub id: String,
    child: Child,
    /// Epochs that the run had finished when the process started.
    epochs: usize,
}

impl Worker {
    /// Returns how the process ended, if it has.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks the process to stop after a checkpoint: it does so when its stdin is closed.
    pub fn request_stop(&mut self) {
        drop(self.child.stdin.take());
    }
}

impl Supervisor<'_> {
    /// Starts the process of a run in a slot; slots take the devices in turn.
    pub(super) fn start(&self, run: &SweepRun, slot: usize) -> io::Result<Worker> {
        let path = self.output(&run.id);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let output = File::options().create(true).append(true).open(&path)?;
        let [program, arguments @ ..] = self.worker.as_slice() else {
            unreachable!("a worker's command starts with a program");
        };
        let mut command = Command::new(program);
        command.args(arguments).args(["--id", &run.id, "--supervised"]);
        if let Some(device) = self.devices.get(slot % self.devices.len().max(1)) {
            command.args(["--device", &device.to_string()]);
        }
        if let Some(threads) = self.threads {
            for name in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
                command.env(name, threads.to_string());
            }
        }
        // Ctrl-C reaches this process only, which then asks each worker to stop.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output).spawn()?;
        Ok(Worker { id: run.id.clone(), child, epochs: run.epochs })
    }

    /// Decides from an exit status whether and when the run may be started again.
    pub(super) fn record_exit(&self, worker: &Worker, status: ExitStatus, attempts: &mut Attempts) {
        let run = run_state::read(self.folder, std::slice::from_ref(&worker.id)).ok().and_then(|mut runs| runs.pop());
        if matches!(run, Some(SweepRun { run_state: RunState::Failed(_), .. })) {
            attempts.has_failed = true;
            return;
        }
        match status.code() {
            Some(0 | 1 | 130) => {}
            Some(code) if code == i32::from(HELD_EXIT_CODE) => {
                attempts.not_before = Some(Instant::now() + RETRY_DELAY);
            }
            // A worker that ends normally records its status in the manifest; this one could not even start.
            Some(code) => {
                let reason = format!("its process ended with code {code}: {}", self.error_line(worker));
                // An I/O failure may be temporary; other errors recur until the user fixes them.
                if code != FAILURE_EXIT_CODE {
                    self.record_failure(worker, &reason);
                }
                attempts.give_up(reason);
            }
            None => {
                let has_progressed = run.is_some_and(|run| run.epochs > worker.epochs);
                attempts.kills = if has_progressed { 1 } else { attempts.kills + 1 };
                // A kill does not mark the run as failed: the next sweep starts it again.
                if attempts.kills >= MAX_KILLS {
                    let reason =
                        format!("its process was killed {MAX_KILLS} times ({status}), perhaps for lack of memory");
                    attempts.give_up(reason);
                }
            }
        }
    }

    /// Records a failure in the manifest, so that later sweeps and `status` see it too.
    fn record_failure(&self, worker: &Worker, reason: &str) {
        let root = self.folder.run(&worker.id);
        if let (Ok(folder), Ok(mut manifest)) = (RunFolder::open(&root), Manifest::read(&root)) {
            manifest.end(Status::Failed, Some(reason.to_owned()));
            // If this fails, the reason is still printed now.
            let _ = manifest.write(&folder);
        }
    }

    /// Returns the last error that a worker printed, or else its last line.
    fn error_line(&self, worker: &Worker) -> String {
        let text = std::fs::read_to_string(self.output(&worker.id)).unwrap_or_default();
        let error = text.lines().rev().map(str::trim).find(|line| line.starts_with('×'));
        let last = error.or_else(|| text.lines().rev().find(|line| !line.trim().is_empty()));
        last.unwrap_or("no output").trim_start_matches('×').trim().to_owned()
    }
}
