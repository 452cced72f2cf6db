//! Claims: each run is trained, and each case predicted, by exactly one process, on this machine or another one that shares
//! the disk.
//!
//! A claim is a file `<id>.<generation>.json` in a folder of claims; what follows calls what is claimed a run. Creating a file that must not exist yet is atomic on every file
//! system, so only one of several processes obtains a generation. The file with the highest generation counts. A
//! process that finds it released, or its holder dead, takes the run over by creating the next generation; a holder
//! that was wrongly considered dead notices the higher generation at its next heartbeat and stops.
//!
//! A holder on this machine is dead if its process no longer exists. A holder on another machine is dead if its file
//! has not been modified for [`STALE`], by the clock of the disk, so the clocks of machines need not agree.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use files::{claim_path, disk_time, newest, remove, remove_older, temporary_file};
use volume::lock::lock;

mod files;
mod process;
mod record;

pub use files::claims;
pub use record::{ClaimRecord, RunProgress};

/// The exit code of a worker whose run another process holds (`EX_TEMPFAIL`).
pub const HELD_EXIT_CODE: u8 = 75;

/// The interval between heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(2);

/// A holder on another machine without a heartbeat for this long is dead.
pub const STALE: Duration = Duration::from_secs(60);

/// The state of a run's claim.
#[derive(Clone, Debug, PartialEq)]
pub enum ClaimState {
    /// No process holds the run.
    Free,
    /// A live process holds the run.
    Held(ClaimRecord),
    /// The process that held the run has died.
    Dead(ClaimRecord),
}

/// A run that this process holds; dropping it releases the run.
#[derive(Debug)]
pub struct Claim {
    shared: Arc<Shared>,
    heartbeat: Option<JoinHandle<()>>,
}

/// Publishes the progress of a run with the heartbeats of its claim.
#[derive(Debug)]
pub struct ProgressReporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    id: String,
    generation: u64,
    record: Mutex<ClaimRecord>,
    /// Whether the heartbeat should end, and its signal.
    ended: (Mutex<bool>, Condvar),
}

impl Claim {
    /// Claims a run in a folder of claims, which is created, or returns `None` if a live process holds it.
    ///
    /// Calls `lost` if another process takes the run over later; from then on this process must not change the run.
    ///
    /// # Errors
    /// If a claim cannot be read or written.
    pub fn take(claims: &Path, id: &str, lost: impl FnOnce() + Send + 'static) -> io::Result<Option<Self>> {
        fs::create_dir_all(claims)?;
        let newest = newest(claims, id)?;
        if let Some((_, path)) = &newest
            && let ClaimState::Held(_) = files::state(path, disk_time(claims))?
        {
            return Ok(None);
        }
        let generation = newest.map_or(1, |(generation, _)| generation + 1);
        let own = ClaimRecord::of_this_process();
        let mut file = temporary_file(claims)?;
        file.write_all(&own.to_json())?;
        match file.persist_noclobber(claim_path(claims, id, generation)) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(error.error),
        }
        // In the meantime other processes may have claimed and released the run and removed this generation's file.
        if files::newest(claims, id)?.is_some_and(|(newest, _)| newest > generation) {
            remove(&claim_path(claims, id, generation))?;
            return Ok(None);
        }
        remove_older(claims, id, generation)?;
        let ended = (Mutex::new(false), Condvar::new());
        let shared = Arc::new(Shared {
            folder: claims.to_owned(),
            id: id.to_owned(),
            generation,
            record: Mutex::new(own),
            ended,
        });
        let heartbeat = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.beat(lost)
        });
        Ok(Some(Self { shared, heartbeat: Some(heartbeat) }))
    }

    /// Returns a handle that publishes the run's progress.
    pub fn reporter(&self) -> ProgressReporter {
        ProgressReporter { shared: Arc::clone(&self.shared) }
    }
}

impl ProgressReporter {
    /// Changes the progress that the next heartbeat publishes.
    pub fn update(&self, change: impl FnOnce(&mut RunProgress)) {
        change(&mut lock(&self.shared.record).progress);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        *lock(&self.shared.ended.0) = true;
        self.shared.ended.1.notify_all();
        if let Some(heartbeat) = self.heartbeat.take() {
            // The thread panics only on a bug, which its panic message has reported.
            let _ = heartbeat.join();
        }
        lock(&self.shared.record).released = true;
        if self.shared.is_newest() {
            // If this fails, other processes find the holder dead later.
            let _ = self.shared.write();
        }
    }
}

impl Shared {
    /// Writes the file at each heartbeat, until the claim is released or another process has taken over.
    fn beat(&self, lost: impl FnOnce()) {
        let mut ended = lock(&self.ended.0);
        while !*ended {
            if !self.is_newest() {
                return lost();
            }
            // If one heartbeat cannot be written, the next may succeed.
            let _ = self.write();
            let waited = self.ended.1.wait_timeout(ended, HEARTBEAT_INTERVAL);
            ended = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write(&self) -> io::Result<()> {
        let bytes = lock(&self.record).to_json();
        let mut file = temporary_file(&self.folder)?;
        file.write_all(&bytes)?;
        file.persist(claim_path(&self.folder, &self.id, self.generation)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Returns whether no other process has taken over; if the folder cannot be read, assumes so.
    fn is_newest(&self) -> bool {
        newest(&self.folder, &self.id)
            .map_or(true, |newest| newest.is_none_or(|(generation, _)| generation <= self.generation))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::SystemTime;

    use super::process::process_start;
    use super::*;

    fn take(folder: &Path) -> Option<Claim> {
        Claim::take(folder, "a", || {}).unwrap()
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("claims");
        (root, folder)
    }

    fn write(folder: &Path, generation: u64, record: &ClaimRecord) -> PathBuf {
        fs::create_dir_all(folder).unwrap();
        let path = claim_path(folder, "a", generation);
        fs::write(&path, record.to_json()).unwrap();
        path
    }

    #[test]
    fn one_of_many_concurrent_claims_succeeds() {
        let (_runs, folder) = folder();
        let held: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| take(&folder))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(held.len(), 1);
        assert!(matches!(claims(&folder).unwrap()["a"], ClaimState::Held(_)));
    }

    #[test]
    fn a_released_run_can_be_claimed_again() {
        let (_runs, folder) = folder();
        for _ in 0..3 {
            let claim = take(&folder).unwrap();
            drop(claim);
            assert_eq!(claims(&folder).unwrap()["a"], ClaimState::Free);
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_process_that_died_loses_its_run() {
        let (_runs, folder) = folder();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = child.id();
        let record =
            ClaimRecord { process, process_start: process_start(process).unwrap(), ..ClaimRecord::of_this_process() };
        write(&folder, 7, &record);
        assert!(take(&folder).is_none());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(claims(&folder).unwrap()["a"], ClaimState::Dead(_)));
        assert!(take(&folder).is_some());
    }

    #[test]
    fn a_later_process_with_the_same_number_is_not_the_holder() {
        let (_runs, folder) = folder();
        let own = ClaimRecord::of_this_process();
        write(&folder, 1, &ClaimRecord { process_start: own.process_start + 1, ..own });
        assert!(take(&folder).is_some());
    }

    #[test]
    fn a_holder_elsewhere_without_heartbeats_loses_its_run() {
        let (_runs, folder) = folder();
        let elsewhere = ClaimRecord { machine: "elsewhere".into(), ..ClaimRecord::of_this_process() };
        let path = write(&folder, 1, &elsewhere);
        assert!(take(&folder).is_none());
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - STALE - Duration::from_secs(5)).unwrap();
        assert!(matches!(claims(&folder).unwrap()["a"], ClaimState::Dead(_)));
        assert!(take(&folder).is_some());
    }

    #[test]
    fn a_holder_that_was_wrongly_considered_dead_notices() {
        static OURS_LOST: AtomicBool = AtomicBool::new(false);
        let (_runs, folder) = folder();
        let claim = Claim::take(&folder, "a", || OURS_LOST.store(true, Ordering::SeqCst)).unwrap().unwrap();
        write(&folder, 2, &ClaimRecord { machine: "elsewhere".into(), ..ClaimRecord::of_this_process() });
        let start = std::time::Instant::now();
        while !OURS_LOST.load(Ordering::SeqCst) {
            assert!(start.elapsed() < Duration::from_secs(30), "the loss was not noticed");
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(claim);
        // It does not release another process's claim.
        assert!(matches!(claims(&folder).unwrap()["a"], ClaimState::Held(_)));
    }

    #[test]
    fn a_truncated_file_counts_as_held_until_it_is_stale() {
        let (_runs, folder) = folder();
        let path = write(&folder, 1, &ClaimRecord::of_this_process());
        fs::write(&path, "{").unwrap();
        assert!(take(&folder).is_none());
    }
}
