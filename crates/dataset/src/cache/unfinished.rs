//! Writing entries in the background while their volumes are used.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;

use super::CacheError;
use volume::Volume;
use volume::lock::lock;

/// A volume of a cache: in memory until its entry is written, mapped from the entry afterwards.
#[derive(Clone, Debug)]
pub struct Stored(Arc<RwLock<Volume>>);

impl Stored {
    /// Returns the volume without copying its voxels. They stay in memory as long as the returned volume does.
    pub fn volume(&self) -> Volume {
        // A volume is replaced completely or not at all.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the volume by an equal one.
    pub(super) fn replace(&self, volume: Volume) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = volume;
    }
}

impl From<Volume> for Stored {
    fn from(volume: Volume) -> Self {
        Self(Arc::new(RwLock::new(volume)))
    }
}

/// Threads that write entries, and rename them once they are on disk.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    threads: Mutex<Vec<JoinHandle<Result<(), CacheError>>>>,
    unwritten: Arc<Unwritten>,
}

/// Maximum number of entries that are written at a time.
const MAX_UNFINISHED: usize = 4;

impl Unfinished {
    /// Waits until another unwritten volume may be in memory: at most one for every two threads that compute volumes.
    pub(super) fn wait_for_permit(&self) -> Permit {
        let max = (rayon::current_num_threads() / 2).max(1);
        let unwritten = lock(&self.unwritten.count);
        let waited = self.unwritten.fewer.wait_while(unwritten, |count| *count >= max);
        *waited.unwrap_or_else(PoisonError::into_inner) += 1;
        Permit(self.unwritten.clone())
    }

    /// Finishes an entry of the cache in `folder` in a new thread; a later call of a method returns its error.
    pub(super) fn add(
        &self,
        folder: &Path,
        finish: impl FnOnce() -> Result<(), CacheError> + Send + 'static,
    ) -> Result<(), CacheError> {
        self.wait_until_left(MAX_UNFINISHED - 1)?;
        let thread = std::thread::Builder::new().name("cache".to_owned()).spawn(finish);
        let thread = thread.map_err(|source| CacheError::Thread { folder: folder.to_owned(), source })?;
        lock(&self.threads).push(thread);
        Ok(())
    }

    /// Joins one of the threads that have finished, and returns its result.
    pub(super) fn check_written(&self) -> Result<(), CacheError> {
        let mut threads = lock(&self.threads);
        match threads.iter().position(JoinHandle::is_finished) {
            Some(index) => join(threads.remove(index)),
            None => Ok(()),
        }
    }

    /// Waits until at most `count` entries are being written.
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
        // Callers that need the errors call `finish` first; an entry that was not renamed is computed again.
        while self.wait_until_left(0).is_err() {}
    }
}

fn join(thread: JoinHandle<Result<(), CacheError>>) -> Result<(), CacheError> {
    thread.join().expect("finishing an entry does not panic")
}

/// Counts the volumes in memory whose entries are not written yet.
#[derive(Debug, Default)]
struct Unwritten {
    count: Mutex<usize>,
    fewer: Condvar,
}

/// Permission for one more such volume, until it is dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Unwritten>);

impl Drop for Permit {
    fn drop(&mut self) {
        *lock(&self.0.count) -= 1;
        self.0.fewer.notify_one();
    }
}
