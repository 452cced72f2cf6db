//! Trains the runs of a sweep in worker processes on this machine.
//!
//! Each run has a process of its own, so a crash affects no other run. The state of a run is read from files only, so
//! several sweeps may share a folder.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Console, DryRun, Launch, LaunchError, LaunchOutcome, Launcher, Overview};
use crate::folder::{Definition, SweepFolder};
use crate::run_state::{self, RunState, SweepRun};
use nn::devices::DeviceName;
use worker::Worker;

mod worker;

/// The interval at which files are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// After this many failed polls in a row, the sweep fails.
const MAX_POLL_FAILURES: usize = 50;

/// Processes on this machine.
#[derive(Debug)]
pub(super) struct Local;

impl Launcher for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn about(&self) -> &'static str {
        "Processes on this machine"
    }

    fn is_local(&self) -> bool {
        true
    }

    fn dry_run(&self, _: &Launch) -> Result<DryRun, LaunchError> {
        Ok(DryRun { has_estimates: true, text: String::new() })
    }

    fn launch(&self, launch: &Launch, console: &mut dyn Console) -> Result<LaunchOutcome, LaunchError> {
        launch.write()?;
        let jobs = launch.jobs.unwrap_or(launch.devices.len().max(1));
        let cache_dir = std::path::absolute(&launch.cache.folder)?;
        let supervisor = Supervisor {
            folder: launch.folder,
            definition: launch.definition,
            worker: launch.worker(&super::program()?, launch.folder.root(), &cache_dir),
            jobs,
            devices: launch.devices.clone(),
            threads: threads(jobs),
            retry_failed: launch.retry_failed,
        };
        let runs = supervisor.run(console)?;
        console.runs(&runs);
        Ok(if console.stop().load(Ordering::SeqCst) { LaunchOutcome::Stopped } else { LaunchOutcome::Finished(runs) })
    }
}

/// Returns the number of threads of each job: an equal part of the cores. A single job, and a user who sets
/// `RAYON_NUM_THREADS`, decide for themselves.
fn threads(jobs: usize) -> Option<usize> {
    if jobs == 1 || std::env::var_os("RAYON_NUM_THREADS").is_some() {
        return None;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Some((cores / jobs).max(1))
}

/// Starts worker processes and waits for them.
#[derive(Clone, Debug)]
struct Supervisor<'a> {
    /// The folder of the sweep's runs.
    folder: &'a SweepFolder,
    /// The runs to train.
    definition: &'a Definition,
    /// The command that trains one run, without its id and device.
    worker: Vec<String>,
    /// The number of runs to train at a time.
    jobs: usize,
    /// The devices to distribute runs over; if empty, the experiment's own.
    devices: Vec<DeviceName>,
    /// Threads of each job; `None` leaves the choice to the job.
    threads: Option<usize>,
    /// Whether to start failed runs again, once.
    retry_failed: bool,
}

/// What this sweep has seen of a run that it started.
#[derive(Default)]
struct Attempts {
    /// How often its process was killed without finishing an epoch.
    kills: usize,
    has_failed: bool,
    /// Why the run is not started again.
    given_up: Option<String>,
    not_before: Option<Instant>,
}

impl Attempts {
    fn give_up(&mut self, reason: String) {
        self.has_failed = true;
        self.given_up = Some(reason);
    }
}

impl Supervisor<'_> {
    /// Trains every run that is not finished, until all are or the user stops the sweep; then every worker stops after
    /// a checkpoint.
    fn run(&self, console: &mut dyn Console) -> io::Result<Vec<SweepRun>> {
        let mut slots: Vec<Option<Worker>> = (0..self.jobs).map(|_| None).collect();
        let mut attempts: BTreeMap<String, Attempts> = BTreeMap::new();
        let mut done: BTreeMap<String, SweepRun> = BTreeMap::new();
        let mut failures = 0;
        loop {
            for slot in &mut slots {
                if let Some(worker) = slot
                    && let Some(status) = worker.try_wait()?
                {
                    self.record_exit(worker, status, attempts.entry(worker.id.clone()).or_default());
                    *slot = None;
                }
            }
            let runs = match self.poll(&mut done, &attempts) {
                Ok(runs) => runs,
                Err(_) if failures < MAX_POLL_FAILURES => {
                    failures += 1;
                    std::thread::sleep(POLL_INTERVAL);
                    continue;
                }
                Err(error) => return Err(error),
            };
            failures = 0;
            let own = slots.iter().flatten().map(|worker| worker.id.as_str()).collect();
            console.progress(&Overview { runs: &runs, own });
            if console.stop().load(Ordering::SeqCst) {
                slots.iter_mut().flatten().for_each(Worker::request_stop);
                if slots.iter().all(Option::is_none) {
                    return Ok(runs);
                }
            } else if !self.fill(&mut slots, &runs, &attempts)? {
                return Ok(runs);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Starts runs in free slots; returns false if every run has ended.
    fn fill(
        &self,
        slots: &mut [Option<Worker>],
        runs: &[SweepRun],
        attempts: &BTreeMap<String, Attempts>,
    ) -> io::Result<bool> {
        let none = Attempts::default();
        let attempts = |run: &SweepRun| attempts.get(&run.id).unwrap_or(&none);
        let mut next = runs.iter().filter(|run| {
            let is_own = slots.iter().flatten().any(|worker| worker.id == run.id);
            !is_own && self.can_start(run, attempts(run))
        });
        let free: Vec<usize> = (0..slots.len()).filter(|slot| slots[*slot].is_none()).collect();
        let started: Vec<(usize, &SweepRun)> = free.into_iter().zip(&mut next).collect();
        for (slot, run) in started {
            slots[slot] = Some(self.start(run, slot)?);
        }
        let is_unfinished = |run: &SweepRun| self.is_unfinished(run, attempts(run));
        Ok(slots.iter().any(Option::is_some) || runs.iter().any(is_unfinished))
    }

    /// Returns the state of all runs; finished ones are not read again.
    fn poll(
        &self,
        done: &mut BTreeMap<String, SweepRun>,
        attempts: &BTreeMap<String, Attempts>,
    ) -> io::Result<Vec<SweepRun>> {
        let ids = &self.definition.ids;
        let open: Vec<String> = ids.iter().filter(|id| !done.contains_key(*id)).cloned().collect();
        let mut read: BTreeMap<String, SweepRun> =
            run_state::read(self.folder, &open)?.into_iter().map(|run| (run.id.clone(), run)).collect();
        for (id, run) in &mut read {
            match (&run.run_state, attempts.get(id).and_then(|attempts| attempts.given_up.as_ref())) {
                (RunState::Done, _) => drop(done.insert(id.clone(), run.clone())),
                (RunState::Waiting | RunState::Interrupted { .. } | RunState::Pruned, Some(reason)) => {
                    run.run_state = RunState::Interrupted { reason: Some(reason.clone()) };
                }
                _ => {}
            }
        }
        Ok(ids.iter().filter_map(|id| done.get(id).or_else(|| read.get(id)).cloned()).collect())
    }

    /// Returns whether the sweep still has to wait for or start this run.
    fn is_unfinished(&self, run: &SweepRun, attempts: &Attempts) -> bool {
        match run.run_state {
            RunState::Done => false,
            RunState::Failed(_) => self.retry_failed && !attempts.has_failed && attempts.given_up.is_none(),
            RunState::Pruned => self.definition.prune.is_none() && attempts.given_up.is_none(),
            RunState::Running { .. } => true,
            RunState::Waiting | RunState::Interrupted { .. } => attempts.given_up.is_none(),
        }
    }

    fn can_start(&self, run: &SweepRun, attempts: &Attempts) -> bool {
        !matches!(run.run_state, RunState::Running { .. })
            && self.is_unfinished(run, attempts)
            && attempts.not_before.is_none_or(|instant| instant <= Instant::now())
    }

    /// Returns the file with a worker's output.
    fn output(&self, id: &str) -> PathBuf {
        self.folder.file("output").join(format!("{id}.txt"))
    }
}
