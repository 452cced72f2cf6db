//! Trains the runs of a sweep in processes on this machine.
//!
//! Each run has a process of its own, so that one that dies takes no other with it. What was done, by this sweep or
//! another one in the same folder, is read from files alone.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::folder::{Definition, SweepFolder};
use super::run_state::{self, RunState, SweepRun};
use nn::device::DeviceName;
use run_folder::folder::RunFolder;
use run_folder::manifest::{Manifest, Status};

/// How often files are looked at.
const POLL: Duration = Duration::from_millis(100);

/// A run whose process is killed this often without finishing an epoch is given up for now.
const MOST_DEATHS: usize = 5;

/// The exit code of a worker that met a failure of the world.
const WORLD: i32 = 3;

/// So many times in a row the disk may refuse to say where the runs stand.
const MOST_REFUSALS: usize = 50;

/// The exit code of a worker whose run another process holds.
pub const HELD: u8 = 75;

/// How long a run is left alone whose folder another process held.
const LEFT_ALONE: Duration = Duration::from_secs(1);

/// A sweep on this machine.
#[derive(Clone, Debug)]
pub struct Local<'a> {
    /// Where its runs lie.
    pub folder: &'a SweepFolder,
    /// What is asked for.
    pub definition: &'a Definition,
    /// The program and the arguments that train one run, but for its id and device.
    pub worker: Vec<String>,
    /// How many runs are trained at once.
    pub jobs: usize,
    /// The devices that are dealt out to the jobs; none leaves the choice to the experiment.
    pub devices: Vec<DeviceName>,
    /// Threads of each job; `None` leaves the choice to it.
    pub threads: Option<usize>,
    /// Whether runs that have failed are begun again, once.
    pub retry_failed: bool,
}

/// Where a sweep stands.
#[derive(Debug)]
pub struct Overview<'a> {
    /// Every run, in the order of the sweep.
    pub runs: &'a [SweepRun],
    /// The ids of the runs that are trained by this sweep.
    pub own: Vec<&'a str>,
}

/// A process that trains a run.
struct Job {
    id: String,
    child: Child,
    /// Epochs that had ended when it began.
    epochs: usize,
}

/// What is remembered of a run that this sweep has begun.
#[derive(Default)]
struct Attempt {
    deaths: usize,
    has_failed: bool,
    /// Why it will not be begun again.
    given_up: Option<String>,
    not_before: Option<Instant>,
}

impl Attempt {
    fn give_up(&mut self, reason: String) {
        self.has_failed = true;
        self.given_up = Some(reason);
    }
}

impl Local<'_> {
    /// Trains every run that is not done, until all are or `stop` is set; then all stop after a checkpoint.
    ///
    /// # Errors
    /// When the disk refuses or no process can be started.
    pub fn run(&self, stop: &AtomicBool, show: &mut dyn FnMut(&Overview)) -> io::Result<Vec<SweepRun>> {
        let mut slots: Vec<Option<Job>> = (0..self.jobs).map(|_| None).collect();
        let mut attempts: BTreeMap<String, Attempt> = BTreeMap::new();
        let mut done: BTreeMap<String, SweepRun> = BTreeMap::new();
        let mut refusals = 0;
        loop {
            for slot in &mut slots {
                if let Some(job) = slot
                    && let Some(status) = job.child.try_wait()?
                {
                    self.ended(job, status, attempts.entry(job.id.clone()).or_default());
                    *slot = None;
                }
            }
            let runs = match self.standings(&mut done, &attempts) {
                Ok(runs) => runs,
                Err(_) if refusals < MOST_REFUSALS => {
                    refusals += 1;
                    std::thread::sleep(POLL);
                    continue;
                }
                Err(error) => return Err(error),
            };
            refusals = 0;
            show(&Overview { runs: &runs, own: slots.iter().flatten().map(|job| job.id.as_str()).collect() });
            if stop.load(Ordering::SeqCst) {
                // A worker stops, after a checkpoint, when nobody holds the other end of its input.
                slots.iter_mut().flatten().for_each(|job| drop(job.child.stdin.take()));
                if slots.iter().all(Option::is_none) {
                    return Ok(runs);
                }
            } else {
                let nobody = Attempt::default();
                let mut next = runs.iter().filter(|run| {
                    let is_own = slots.iter().flatten().any(|job| job.id == run.id);
                    !is_own && self.can_begin(run, attempts.get(&run.id).unwrap_or(&nobody))
                });
                let free: Vec<usize> = (0..slots.len()).filter(|slot| slots[*slot].is_none()).collect();
                let begun: Vec<(usize, &SweepRun)> = free.into_iter().zip(&mut next).collect();
                for (slot, run) in begun {
                    slots[slot] = Some(self.begin(run, slot)?);
                }
                let is_over = |run: &SweepRun| !self.is_unfinished(run, attempts.get(&run.id).unwrap_or(&nobody));
                if slots.iter().all(Option::is_none) && runs.iter().all(is_over) {
                    return Ok(runs);
                }
            }
            std::thread::sleep(POLL);
        }
    }

    /// Where all runs stand; what is done is not read again.
    fn standings(
        &self,
        done: &mut BTreeMap<String, SweepRun>,
        attempts: &BTreeMap<String, Attempt>,
    ) -> io::Result<Vec<SweepRun>> {
        let ids = &self.definition.ids;
        let open: Vec<String> = ids.iter().filter(|id| !done.contains_key(*id)).cloned().collect();
        let mut read: BTreeMap<String, SweepRun> =
            run_state::read(self.folder, &open)?.into_iter().map(|run| (run.id.clone(), run)).collect();
        for (id, run) in &mut read {
            match (&run.run_state, attempts.get(id).and_then(|attempt| attempt.given_up.as_ref())) {
                (RunState::Done, _) => drop(done.insert(id.clone(), run.clone())),
                (RunState::Waiting | RunState::Interrupted { .. } | RunState::Pruned, Some(reason)) => {
                    run.run_state = RunState::Interrupted { reason: Some(reason.clone()) };
                }
                _ => {}
            }
        }
        Ok(ids.iter().filter_map(|id| done.get(id).or_else(|| read.get(id)).cloned()).collect())
    }

    /// Whether the sweep is not over before something has become of this run.
    fn is_unfinished(&self, run: &SweepRun, attempt: &Attempt) -> bool {
        match run.run_state {
            RunState::Done => false,
            RunState::Failed(_) => self.retry_failed && !attempt.has_failed && attempt.given_up.is_none(),
            RunState::Pruned => self.definition.prune.is_none() && attempt.given_up.is_none(),
            RunState::Running { .. } => true,
            RunState::Waiting | RunState::Interrupted { .. } => attempt.given_up.is_none(),
        }
    }

    fn can_begin(&self, run: &SweepRun, attempt: &Attempt) -> bool {
        !matches!(run.run_state, RunState::Running { .. })
            && self.is_unfinished(run, attempt)
            && attempt.not_before.is_none_or(|instant| instant <= Instant::now())
    }

    fn begin(&self, run: &SweepRun, slot: usize) -> io::Result<Job> {
        let path = self.output(&run.id);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let output = File::options().create(true).append(true).open(&path)?;
        let [program, arguments @ ..] = self.worker.as_slice() else {
            unreachable!("a worker has a program");
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
        // Ctrl-C reaches this process alone, which then asks each worker to stop.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output).spawn()?;
        Ok(Job { id: run.id.clone(), child, epochs: run.epochs })
    }

    /// What a worker printed.
    fn output(&self, id: &str) -> PathBuf {
        self.folder.file("output").join(format!("{id}.txt"))
    }

    fn ended(&self, job: &Job, status: ExitStatus, attempt: &mut Attempt) {
        let stands = run_state::read(self.folder, std::slice::from_ref(&job.id)).ok().and_then(|mut runs| runs.pop());
        if matches!(stands, Some(SweepRun { run_state: RunState::Failed(_), .. })) {
            attempt.has_failed = true;
            return;
        }
        match status.code() {
            Some(0 | 1 | 130) => {}
            Some(code) if code == i32::from(HELD) => attempt.not_before = Some(Instant::now() + LEFT_ALONE),
            // A worker that ends in order says so in the manifest; this one could not even begin.
            Some(code) => {
                let reason = format!("its process ended with code {code}: {}", self.last_line(job));
                // A failure of the world may pass; the rest comes again until somebody mends it.
                if code != WORLD {
                    self.write_down(job, &reason);
                }
                attempt.give_up(reason);
            }
            None => {
                let has_progressed = stands.is_some_and(|run| run.epochs > job.epochs);
                attempt.deaths = if has_progressed { 1 } else { attempt.deaths + 1 };
                // Who kills is no fault of the run: the next sweep begins it again.
                if attempt.deaths >= MOST_DEATHS {
                    let reason =
                        format!("its process was killed {MOST_DEATHS} times ({status}), perhaps for its memory");
                    attempt.give_up(reason);
                }
            }
        }
    }

    /// Writes down that a run has failed, so that later sweeps and `status` see it too.
    fn write_down(&self, job: &Job, reason: &str) {
        let root = self.folder.run(&job.id);
        if let (Ok(folder), Ok(mut manifest)) = (RunFolder::open(&root), Manifest::read(&root)) {
            manifest.end(Status::Failed, Some(reason.to_owned()));
            // Where this fails, the reason is still told now.
            let _ = manifest.write(&folder);
        }
    }

    fn last_line(&self, job: &Job) -> String {
        let text = std::fs::read_to_string(self.output(&job.id)).unwrap_or_default();
        let told = text.lines().rev().map(str::trim).find(|line| line.starts_with('×'));
        let last = told.or_else(|| text.lines().rev().find(|line| !line.trim().is_empty()));
        last.unwrap_or("it said nothing").trim_start_matches('×').trim().to_owned()
    }
}
