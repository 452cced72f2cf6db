//! Each run is taken by exactly one process, on this machine or another that shares the disk.
//!
//! A claim is a file `claims/<id>.<generation>.json`. Creating a file that must not be there yet is atomic on
//! every file system, so of several processes that want the same generation one gets it. The file with the highest
//! generation counts. Who finds it released or its holder dead takes the run over by creating the next generation;
//! a holder that was thought dead sees the higher generation at its next heartbeat, and stops.
//!
//! A holder on this machine is dead when its process is gone. A holder elsewhere is dead when its file has not been
//! touched for [`STALE`], by the clock of the disk, so clocks of machines need not agree.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::folder::{SweepFolder, names_in};
use super::process::{machine, process_start};
use run_folder::manifest::host;
use volume::atomic_file;
use volume::lock::lock;

/// How often a holder touches its file.
const BEAT: Duration = Duration::from_secs(2);

/// A holder on another machine that is silent for this long is dead.
pub const STALE: Duration = Duration::from_secs(60);

/// What a claim's file says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClaimRecord {
    /// The machine as people call it.
    pub host: String,
    /// The machine, this boot of it, and the room its process numbers count in.
    machine: String,
    /// The process.
    pub process: u32,
    /// When the process began, so that a later one with its number is not taken for it.
    process_start: u64,
    /// Whether the holder has let go.
    pub released: bool,
    /// How far the run had come.
    pub progress: Progress,
}

/// How far a run has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// What is under way before the first step, such as `cache 3/20`.
    pub task: Option<String>,
    /// The epoch that is under way, counted from 1.
    pub epoch: usize,
    /// Epochs of the whole run.
    pub epochs: usize,
    /// Steps that are done.
    pub step: usize,
    /// Steps of the whole run.
    pub steps: usize,
    /// The loss of the newest step.
    pub loss: Option<f64>,
    /// Seconds that the newest epoch took.
    pub epoch_seconds: Option<f64>,
}

impl Progress {
    /// Seconds until the run is done, as long as the newest epoch took for each that is left.
    pub fn seconds_left(&self) -> Option<f64> {
        let done = if self.steps == 0 { 0.0 } else { self.step as f64 / self.steps as f64 };
        Some(self.epoch_seconds? * self.epochs as f64 * (1.0 - done))
    }
}

/// Who holds a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Holder {
    /// Nobody, and nobody died at it.
    Nobody,
    /// A process that lives.
    Alive(ClaimRecord),
    /// A process that has died.
    Dead(ClaimRecord),
}

/// A run that this process holds; letting it drop lets go of the run.
#[derive(Debug)]
pub struct Claim {
    shared: Arc<Shared>,
    beating: Option<JoinHandle<()>>,
}

/// Where the holder of a run writes how far it has come.
#[derive(Debug)]
pub struct ProgressReporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    id: String,
    generation: u64,
    said: Mutex<ClaimRecord>,
    /// Whether beating should end, and its signal.
    ended: (Mutex<bool>, Condvar),
}

impl Claim {
    /// Takes a run, unless a living process holds it. Calls `lost` when another process has taken it over since: what
    /// this one does from then on is no longer its to do.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn take(folder: &SweepFolder, id: &str, lost: impl FnOnce() + Send + 'static) -> io::Result<Option<Self>> {
        let claims = folder.file("claims");
        fs::create_dir_all(&claims)?;
        let newest = newest(&claims, id)?;
        if let Some((_, path)) = &newest
            && let Holder::Alive(_) = holder_of(path, disk_time(&claims))?
        {
            return Ok(None);
        }
        let generation = newest.map_or(1, |(generation, _)| generation + 1);
        let own = own_claim();
        let mut file = partial_in(&claims)?;
        file.write_all(&to_bytes(&own))?;
        match file.persist_noclobber(claim_path(&claims, id, generation)) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error.error),
        }
        // Between the look and the taking, others may have come and gone and removed the file of this generation.
        if self::newest(&claims, id)?.is_some_and(|(newest, _)| newest > generation) {
            remove(&claim_path(&claims, id, generation))?;
            return Ok(None);
        }
        remove_older(&claims, id, generation)?;
        let ended = (Mutex::new(false), Condvar::new());
        let shared = Arc::new(Shared { folder: claims, id: id.to_owned(), generation, said: Mutex::new(own), ended });
        let beating = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.beat(lost)
        });
        Ok(Some(Self { shared, beating: Some(beating) }))
    }

    /// Where progress is written.
    pub fn reporter(&self) -> ProgressReporter {
        ProgressReporter { shared: Arc::clone(&self.shared) }
    }
}

impl ProgressReporter {
    /// Changes what is told of the progress with the next heartbeat.
    pub fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut lock(&self.shared.said).progress);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        *lock(&self.shared.ended.0) = true;
        self.shared.ended.1.notify_all();
        if let Some(beating) = self.beating.take() {
            // The thread cannot panic but for a bug, which has been told by then.
            let _ = beating.join();
        }
        lock(&self.shared.said).released = true;
        if self.shared.is_newest() {
            // A claim that is not let go of is found dead by others, only later.
            let _ = self.shared.say();
        }
    }
}

impl Shared {
    /// Touches the file now and then, until it is told to end or another process has taken over.
    fn beat(&self, lost: impl FnOnce()) {
        let mut ended = lock(&self.ended.0);
        while !*ended {
            if !self.is_newest() {
                return lost();
            }
            // A disk that refuses one heartbeat may take the next.
            let _ = self.say();
            let waited = self.ended.1.wait_timeout(ended, BEAT);
            ended = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn say(&self) -> io::Result<()> {
        let bytes = to_bytes(&lock(&self.said));
        let mut file = partial_in(&self.folder)?;
        file.write_all(&bytes)?;
        file.persist(claim_path(&self.folder, &self.id, self.generation)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Whether nobody has taken over; a disk that cannot be read takes nothing away.
    fn is_newest(&self) -> bool {
        newest(&self.folder, &self.id)
            .map_or(true, |newest| newest.is_none_or(|(generation, _)| generation <= self.generation))
    }
}

/// A file under a name of its own, which everybody may read whom the folder lets.
fn partial_in(folder: &Path) -> io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(atomic_file::TEMPORARY_PREFIX);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

fn to_bytes(claimed: &ClaimRecord) -> Vec<u8> {
    serde_json::to_vec_pretty(claimed).expect("a claim is plain data")
}

fn claim_path(claims: &Path, id: &str, generation: u64) -> PathBuf {
    claims.join(format!("{id}.{generation}.json"))
}

/// The highest generation of a run's claims.
fn newest(claims: &Path, id: &str) -> io::Result<Option<(u64, PathBuf)>> {
    let newest = names_in(claims)?.iter().filter_map(|name| generation_of(name, id)).max();
    Ok(newest.map(|generation| (generation, claim_path(claims, id, generation))))
}

/// Removes the files of earlier generations.
fn remove_older(claims: &Path, id: &str, generation: u64) -> io::Result<()> {
    for name in names_in(claims)? {
        if generation_of(&name, id).is_some_and(|older| older < generation) {
            remove(&claims.join(name))?;
        }
    }
    Ok(())
}

fn generation_of(name: &str, id: &str) -> Option<u64> {
    name.strip_prefix(id)?.strip_prefix('.')?.strip_suffix(".json")?.parse().ok()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The holders of all runs that were ever claimed, by id.
///
/// # Errors
/// When the disk refuses.
pub fn holders(folder: &SweepFolder) -> io::Result<std::collections::BTreeMap<String, Holder>> {
    let claims = folder.file("claims");
    let mut newest = std::collections::BTreeMap::new();
    for name in names_in(&claims)? {
        let Some((id, generation)) = name.strip_suffix(".json").and_then(|name| name.rsplit_once('.')) else {
            continue;
        };
        let Ok(generation) = generation.parse::<u64>() else { continue };
        let known = newest.entry(id.to_owned()).or_insert(generation);
        *known = generation.max(*known);
    }
    let now = disk_time(&claims);
    newest
        .into_iter()
        .map(|(id, generation)| {
            let holder = holder_of(&claim_path(&claims, &id, generation), now)?;
            Ok((id, holder))
        })
        .collect()
}

fn holder_of(path: &Path, now: SystemTime) -> io::Result<Holder> {
    let read = || fs::read(path).and_then(|text| Ok((text, fs::metadata(path)?.modified()?)));
    let (text, touched) = match read() {
        Ok(read) => read,
        // On a network's disk the file was replaced while it was read.
        Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => read()?,
        // A newer generation has replaced it in between.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Holder::Nobody),
        Err(error) => return Err(error),
    };
    let silent = now.duration_since(touched).unwrap_or_default();
    let claimed: ClaimRecord = serde_json::from_slice(&text).unwrap_or_default();
    Ok(match claimed {
        claimed if claimed.released => Holder::Nobody,
        claimed if is_alive(&claimed, silent) => Holder::Alive(claimed),
        claimed => Holder::Dead(claimed),
    })
}

fn is_alive(claimed: &ClaimRecord, silent: Duration) -> bool {
    match process_start(claimed.process) {
        own if claimed.machine == machine() && cfg!(target_os = "linux") => own == Some(claimed.process_start),
        _ => silent < STALE,
    }
}

/// The time by the clock that stamps the files of a folder.
fn disk_time(folder: &Path) -> SystemTime {
    let touched = partial_in(folder);
    touched
        .and_then(|file| file.as_file().metadata()?.modified())
        // A folder that may only be read has no other clock.
        .unwrap_or_else(|_| SystemTime::now())
}

fn own_claim() -> ClaimRecord {
    let process = std::process::id();
    ClaimRecord {
        host: host(),
        machine: machine(),
        process,
        process_start: process_start(process).unwrap_or(0),
        released: false,
        progress: Progress::default(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn take(folder: &SweepFolder) -> Option<Claim> {
        Claim::take(folder, "a", || {}).unwrap()
    }

    fn folder() -> (tempfile::TempDir, SweepFolder) {
        let runs = tempfile::tempdir().unwrap();
        let folder = SweepFolder::new(runs.path().join("name"));
        (runs, folder)
    }

    fn write(folder: &SweepFolder, generation: u64, claimed: &ClaimRecord) -> PathBuf {
        fs::create_dir_all(folder.file("claims")).unwrap();
        let path = claim_path(&folder.file("claims"), "a", generation);
        fs::write(&path, to_bytes(claimed)).unwrap();
        path
    }

    #[test]
    fn of_many_that_want_a_run_one_gets_it() {
        let (_runs, folder) = folder();
        let claims: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| take(&folder))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(claims.len(), 1);
        assert!(matches!(holders(&folder).unwrap()["a"], Holder::Alive(_)));
    }

    #[test]
    fn a_run_that_was_let_go_of_can_be_taken_again() {
        let (_runs, folder) = folder();
        for _ in 0..3 {
            let claim = take(&folder).unwrap();
            drop(claim);
            assert_eq!(holders(&folder).unwrap()["a"], Holder::Nobody);
        }
        assert_eq!(fs::read_dir(folder.file("claims")).unwrap().count(), 1);
    }

    #[test]
    fn a_dead_process_loses_its_run() {
        let (_runs, folder) = folder();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = child.id();
        let claimed = ClaimRecord { process, process_start: process_start(process).unwrap(), ..own_claim() };
        write(&folder, 7, &claimed);
        assert!(take(&folder).is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(holders(&folder).unwrap()["a"], Holder::Dead(_)));
        assert!(take(&folder).is_some());
    }

    #[test]
    fn a_later_process_with_the_same_number_is_not_the_holder() {
        let (_runs, folder) = folder();
        let own = own_claim();
        write(&folder, 1, &ClaimRecord { process_start: own.process_start + 1, ..own });
        assert!(take(&folder).is_some());
    }

    #[test]
    fn a_silent_machine_loses_its_run() {
        let (_runs, folder) = folder();
        let elsewhere = ClaimRecord { machine: "elsewhere".into(), ..own_claim() };
        let path = write(&folder, 1, &elsewhere);
        assert!(take(&folder).is_none());
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - STALE - Duration::from_secs(5)).unwrap();
        assert!(matches!(holders(&folder).unwrap()["a"], Holder::Dead(_)));
        assert!(take(&folder).is_some());
    }

    #[test]
    fn a_holder_that_was_thought_dead_notices() {
        static OURS_LOST: AtomicBool = AtomicBool::new(false);
        let (_runs, folder) = folder();
        let claim = Claim::take(&folder, "a", || OURS_LOST.store(true, Ordering::SeqCst)).unwrap().unwrap();
        write(&folder, 2, &ClaimRecord { machine: "elsewhere".into(), ..own_claim() });
        let start = std::time::Instant::now();
        while !OURS_LOST.load(Ordering::SeqCst) {
            assert!(start.elapsed() < Duration::from_secs(30), "the loss was not noticed");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(claim);
        // It does not let go of what is not its own.
        assert!(matches!(holders(&folder).unwrap()["a"], Holder::Alive(_)));
    }

    #[test]
    fn a_file_that_is_not_whole_is_a_dead_claim_once_it_is_old() {
        let (_runs, folder) = folder();
        let path = write(&folder, 1, &own_claim());
        fs::write(&path, "{").unwrap();
        assert!(take(&folder).is_none());
    }
}
