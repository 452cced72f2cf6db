//! Entries on their way to the disk, and the volumes that are used meanwhile.

use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use super::CacheError;
use volume::Volume;
use volume::lock::lock;

/// A volume that a cache keeps: in memory until its entry is written, mapped from that from then on.
#[derive(Clone, Debug)]
pub struct Stored(Arc<RwLock<Volume>>);

impl Stored {
    /// The volume, without its voxels being copied. Who keeps it for long may keep it in memory.
    pub fn volume(&self) -> Volume {
        // A volume is replaced whole or not at all.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the same volume from elsewhere.
    pub(super) fn replace(&self, volume: Volume) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = volume;
    }
}

impl From<Volume> for Stored {
    fn from(volume: Volume) -> Self {
        Self(Arc::new(RwLock::new(volume)))
    }
}

/// Threads that write entries and see to it that they are on the disk before they get their names.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    threads: Mutex<Vec<JoinHandle<Result<(), CacheError>>>>,
    unwritten: Arc<Unwritten>,
}

/// Entries that may be on their way to the disk at once.
const MOST_UNFINISHED: usize = 4;

impl Unfinished {
    /// Waits until it may keep a volume in memory until that is written: half as many may as volumes are made at once.
    pub(super) fn wait_for_permit(&self) -> Permit {
        let most = (rayon::current_num_threads() / 2).max(1);
        let unwritten = lock(&self.unwritten.count);
        let waited = self.unwritten.fewer.wait_while(unwritten, |count| *count >= most);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Permit(self.unwritten.clone())
    }

    /// Has a thread of its own finish an entry; what fails is told by the next call of a method.
    pub(super) fn add(
        &self,
        finish: impl FnOnce() -> Result<(), CacheError> + Send + 'static,
    ) -> Result<(), CacheError> {
        self.wait_until_left(MOST_UNFINISHED - 1)?;
        let thread = std::thread::Builder::new().name("cache".to_owned()).spawn(finish);
        lock(&self.threads).push(thread.expect("the system lets a process start threads"));
        Ok(())
    }

    /// Whether all went well so far.
    pub(super) fn check_written(&self) -> Result<(), CacheError> {
        let mut threads = lock(&self.threads);
        match threads.iter().position(JoinHandle::is_finished) {
            Some(index) => join(threads.remove(index)),
            None => Ok(()),
        }
    }

    pub(super) fn wait_until_left(&self, count: usize) -> Result<(), CacheError> {
        loop {
            let thread = {
                let mut threads = lock(&self.threads);
                if threads.len() <= count {
                    return Ok(());
                }
                threads.remove(0)
            };
            join(thread)?;
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // Who wants to know whether it went well asks before; an entry that did not get its name is made anew.
        while self.wait_until_left(0).is_err() {}
    }
}

fn join(thread: JoinHandle<Result<(), CacheError>>) -> Result<(), CacheError> {
    thread.join().expect("finishing an entry does not panic")
}

/// Volumes that are kept in memory until they are written.
#[derive(Debug, Default)]
struct Unwritten {
    count: Mutex<usize>,
    fewer: Condvar,
}

/// The right to keep one more, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Unwritten>);

impl Drop for Permit {
    fn drop(&mut self) {
        *lock(&self.0.count) -= 1;
        self.0.fewer.notify_one();
    }
}
