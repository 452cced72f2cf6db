//! Cache of preprocessed volumes on disk, addressed by a hash of everything that determines them, and memory-mapped.
//!
//! An entry is written under a temporary name and renamed, so two processes may fill the same key.
//! Entries are immutable. An entry that no run needs may be evicted; processes that have mapped it can still read it.
//! `key` builds keys, `entry` defines the file format, `room` manages the folder, and `unfinished` writes entries in the
//! background while their volumes are used.

mod entry;
mod error;
mod key;
mod room;
mod temporary;
mod unfinished;

use std::collections::BTreeSet;
use std::io::ErrorKind::NotFound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use tempfile::NamedTempFile;

pub use entry::num_bytes;
pub use error::CacheError;
pub use key::{FileHashes, Hashed, Key, KeyBuilder, hash_content};
pub use temporary::TemporaryFolder;
pub use unfinished::Stored;
use unfinished::Unfinished;
use values::Bytes;
use volume::Volume;
use volume::atomic_file;
use volume::lock::lock;

/// The extension of an entry's file.
const ENDING: &str = "volume";
/// Maximum time to wait for entries that other processes are writing; a suspended process may never finish.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Interval between checks while waiting.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The result of a lookup.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The volume, mapped from its file.
    Found(Volume),
    /// There is no such entry.
    Absent,
    /// The entry is truncated or corrupt; it has to be computed again.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// An entry of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was last looked up.
    pub last_use: SystemTime,
}

/// A folder of preprocessed volumes.
#[derive(Clone, Debug)]
pub struct Cache {
    /// The folder of the entries.
    pub root: PathBuf,
    /// Maximum size of all entries together in bytes.
    limit: u64,
    /// The files of the entries that must not be evicted.
    pinned: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Entries that are being written.
    unfinished: Arc<Unfinished>,
}

impl Cache {
    /// Returns a cache of unlimited size in the given folder, which need not exist yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.join("volumes"), limit: u64::MAX, pinned: Arc::default(), unfinished: Arc::default() }
    }

    /// Limits the size of all entries together.
    ///
    /// Before an entry is written, least recently used entries that are not pinned are evicted. Entries that other
    /// processes are writing count, so the limit also holds if several processes fill the same folder. The disk space of
    /// an evicted entry is freed when no process maps it any more.
    #[must_use]
    pub fn with_limit(self, limit: Bytes) -> Self {
        Self { limit: limit.0, ..self }
    }

    /// Returns the cache for a run whose entries take `needed` bytes; entries that it [pins](Cache::pin) are not evicted.
    ///
    /// # Errors
    /// When they exceed the limit.
    pub fn for_run(&self, needed: u64) -> Result<Self, CacheError> {
        if needed > self.limit {
            return Err(self.too_small(needed));
        }
        Ok(Self { pinned: Arc::default(), ..self.clone() })
    }

    /// Protects the entry of a key from eviction, whether or not it exists yet.
    pub fn pin(&self, key: &Key) {
        lock(&self.pinned).insert(self.path(key));
    }

    fn too_small(&self, needed: u64) -> CacheError {
        CacheError::Limit { folder: self.root.clone(), needed, allowed: self.limit }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(hex::encode(key)).with_extension(ENDING)
    }

    /// Returns the file of statistics of one or several volumes, by the hexadecimal digits of their key.
    pub fn statistics(&self, key: &str) -> PathBuf {
        self.root.with_file_name("statistics").join(key).with_extension("json")
    }

    /// Writes statistics as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_statistics(&self, path: &Path, statistics: &impl serde::Serialize) -> Result<(), CacheError> {
        let io = |source| CacheError::Io { path: path.to_owned(), source };
        let text = serde_json::to_vec(statistics).map_err(|error| io(error.into()))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        atomic_file::write(path, |file| std::io::Write::write_all(file, &text)).map_err(io)
    }

    /// Looks up the volume of a key and updates its time of last use.
    ///
    /// # Errors
    /// When an existing file cannot be opened.
    pub fn get(&self, key: &Key) -> Result<Lookup, CacheError> {
        let path = self.path(key);
        match entry::open(&path, key) {
            Ok(volume) => {
                // A read-only cache can be read too; its times of last use then stay unchanged.
                if let Ok(file) = std::fs::File::options().write(true).open(&path) {
                    let _ = file.set_modified(SystemTime::now());
                }
                Ok(Lookup::Found(volume))
            }
            Err(entry::OpenError::Io(error)) if error.kind() == NotFound => Ok(Lookup::Absent),
            Err(entry::OpenError::Io(source)) => Err(CacheError::Io { path, source }),
            Err(entry::OpenError::Damaged(reason)) => Ok(Lookup::Damaged { path, reason }),
        }
    }

    /// Writes the volume of a key in the background; [`Cache::finish`] waits until it is on disk.
    ///
    /// Blocks while too many volumes are in memory whose entries are not written yet.
    ///
    /// # Errors
    /// When the disk has no room for the entry; the message names the folder and the bytes. When the entry alone exceeds
    /// the limit. When an earlier entry could not be written. No partial file remains.
    pub fn put(&self, key: &Key, volume: Volume) -> Result<Stored, CacheError> {
        let bytes = num_bytes(volume.image.channels, volume.grid.shape, volume.label.is_some());
        let folder = self.root.clone();
        let failed = move |source| CacheError::Write { folder: folder.clone(), bytes, source };
        std::fs::create_dir_all(&self.root).map_err(&failed)?;
        let permit = self.unfinished.wait_for_permit();
        let path = self.path(key);
        let mut file = self.begin(&path, bytes)?;
        let stored = Stored::from(volume);
        let (folder, key, written) = (self.root.clone(), *key, stored.clone());
        self.unfinished.add(&self.root, move || {
            entry::write(file.as_file_mut(), &key, &written.volume()).map_err(&failed)?;
            // Mapped before it is renamed: afterwards another process may evict it at any time.
            let mapped = entry::read(file.as_file(), &key).map_err(|error| match error {
                entry::OpenError::Io(source) => CacheError::Io { path: path.clone(), source },
                entry::OpenError::Damaged(reason) => CacheError::Damaged { path: path.clone(), reason },
            })?;
            written.replace(mapped);
            drop(permit);
            room::publish(&folder, file, &path).map_err(failed)
        })?;
        Ok(stored)
    }

    /// Checks for errors of entries that are written in the background, without waiting.
    ///
    /// # Errors
    /// When an entry could not be written.
    pub fn check_written(&self) -> Result<(), CacheError> {
        self.unfinished.check_written()
    }

    /// Waits until every entry is on disk under its final name.
    ///
    /// # Errors
    /// When an entry cannot be written.
    pub fn finish(&self) -> Result<(), CacheError> {
        self.unfinished.wait_until_left(0)
    }

    /// Makes room for an entry of `bytes` bytes and creates its temporary file.
    fn begin(&self, path: &Path, bytes: u64) -> Result<NamedTempFile, CacheError> {
        let failed = |source| CacheError::Write { folder: self.root.clone(), bytes, source };
        if bytes > self.limit {
            return Err(self.too_small(bytes));
        }
        let start = Instant::now();
        loop {
            let lock = room::lock(&self.root).map_err(failed)?;
            // Entries that others are writing can be evicted once they are finished. No writer waits here, so none deadlocks.
            if self.make_room(path, bytes)? || start.elapsed() > MAX_WAIT {
                return room::begin(&self.root, bytes).map_err(failed);
            }
            drop(lock);
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Evicts entries that are not pinned until `bytes` bytes fit, and returns whether they do.
    fn make_room(&self, path: &Path, bytes: u64) -> Result<bool, CacheError> {
        let io = |source| CacheError::Io { path: self.root.clone(), source };
        let being_written = room::clean(&self.root).map_err(io)?;
        let mut entries = self.list()?;
        // The new entry replaces a damaged one.
        entries.retain(|entry| entry.path != path);
        let mut total = entries.iter().map(|entry| entry.bytes).sum::<u64>() + being_written + bytes;
        let pinned = lock(&self.pinned);
        for entry in entries.iter().filter(|entry| !pinned.contains(&entry.path)) {
            if total <= self.limit {
                break;
            }
            remove(&entry.path)?;
            total -= entry.bytes;
        }
        Ok(total <= self.limit)
    }

    /// Returns all entries, least recently used first.
    ///
    /// # Errors
    /// When the folder cannot be read; one that does not exist is empty.
    pub fn list(&self) -> Result<Vec<Entry>, CacheError> {
        let io = |path: &Path, source| CacheError::Io { path: path.to_owned(), source };
        let files = match std::fs::read_dir(&self.root) {
            Ok(files) => files,
            Err(error) if error.kind() == NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(&self.root, error)),
        };
        let mut entries = Vec::new();
        for file in files {
            let path = file.map_err(|error| io(&self.root, error))?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                let metadata = match std::fs::metadata(&path) {
                    // Another process has evicted it meanwhile.
                    Err(error) if error.kind() == NotFound => continue,
                    metadata => metadata.map_err(|error| io(&path, error))?,
                };
                let last_use = metadata.modified().map_err(|error| io(&path, error))?;
                entries.push(Entry { path, bytes: metadata.len(), last_use });
            }
        }
        entries.sort_by(|a, b| (a.last_use, &a.path).cmp(&(b.last_use, &b.path)));
        Ok(entries)
    }

    /// Removes all entries and returns the number of bytes freed.
    ///
    /// Runs that use them are not disturbed: the operating system keeps a mapped file until it is unmapped.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> Result<u64, CacheError> {
        let mut bytes = 0;
        for entry in self.list()? {
            remove(&entry.path)?;
            bytes += entry.bytes;
        }
        Ok(bytes)
    }
}

/// Removes an entry, unless another process has already done so.
fn remove(path: &Path) -> Result<(), CacheError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != NotFound => Err(CacheError::Io { path: path.to_owned(), source: error }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use volume::{Affine, Grid, Voxels};

    fn volume(channels: usize, labelled: bool) -> Volume {
        let grid = Grid { shape: [3, 5, 7], affine: Affine::scale_and_shift([0.1, 1.0 / 3.0, 2.5], [-1.0, 0.7, 9.9]) };
        let image = (0..channels * grid.num_voxels()).map(|i| i as f32 * 0.5 - 3.0).collect();
        let label =
            labelled.then(|| Voxels::new(1, grid.shape, (0..grid.num_voxels()).map(|i| i as u16 % 3).collect()));
        Volume { grid, image: Voxels::new(channels, grid.shape, image), label }
    }

    fn key(text: &str) -> Key {
        KeyBuilder::new().add_text(text).build()
    }

    fn same(a: &Volume, b: &Volume) -> bool {
        a.grid == b.grid && a.image[..] == b.image[..] && a.label.as_deref() == b.label.as_deref()
    }

    #[test]
    fn a_volume_is_read_back_bit_for_bit_and_other_keys_are_absent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        // A label map alone has no channels.
        for (text, expected) in [("a", volume(1, true)), ("b", volume(2, false)), ("d", volume(0, true))] {
            let stored = cache.put(&key(text), expected.clone()).unwrap();
            assert!(same(&stored.volume(), &expected));
            cache.finish().unwrap();
            assert!(same(&stored.volume(), &expected));
            let Lookup::Found(volume) = cache.get(&key(text)).unwrap() else { panic!("{text} is absent") };
            assert!(same(&volume, &expected));
        }
        assert!(matches!(cache.get(&key("c")).unwrap(), Lookup::Absent));
    }

    #[test]
    fn a_volume_is_freed_when_its_entry_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let shape = [2, 2, 2];
        let memory = Arc::new(memmap2::MmapMut::map_anon(32).unwrap().make_read_only().unwrap());
        let image = Voxels::mapped(1, shape, memory.clone(), 0..32);
        let volume = Volume { grid: Grid { shape, affine: Affine::IDENTITY }, image, label: None };
        let stored = cache.put(&key("a"), volume).unwrap();
        cache.finish().unwrap();
        assert_eq!(Arc::strong_count(&memory), 1);
        assert_eq!(stored.volume().image[..], [0.0; 8]);
    }

    #[test]
    fn a_failed_background_write_is_reported_once_and_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let expected = volume(1, true);
        std::fs::create_dir_all(cache.path(&key("a")).join("in the way")).unwrap();
        let stored = cache.put(&key("a"), expected.clone()).unwrap();
        let message = loop {
            match cache.check_written() {
                Ok(()) => std::thread::sleep(POLL_INTERVAL),
                Err(error) => break error.to_string(),
            }
        };
        assert!(cache.finish().is_ok());
        assert!(message.starts_with("cannot write") && message.contains(&BYTES.to_string()), "{message}");
        assert!(same(&stored.volume(), &expected));
        assert_eq!(leftovers(&cache), [""; 0]);
        cache.put(&key("b"), expected).unwrap();
        cache.finish().unwrap();
        assert!(matches!(cache.get(&key("b")).unwrap(), Lookup::Found(_)));
    }

    #[test]
    fn truncated_and_corrupt_entries_are_detected_and_can_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        cache.put(&key("a"), volume(1, true)).unwrap();
        cache.finish().unwrap();
        let path = cache.path(&key("a"));
        let whole = std::fs::read(&path).unwrap();
        let mut garbled = whole.clone();
        garbled[20] ^= 0xff;
        for damaged in [&whole[..whole.len() - 1], &whole[..10], &[], &garbled] {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(cache.get(&key("a")).unwrap(), Lookup::Damaged { .. }), "{} bytes", damaged.len());
        }
        cache.put(&key("a"), volume(1, true)).unwrap();
        cache.finish().unwrap();
        assert!(matches!(cache.get(&key("a")).unwrap(), Lookup::Found(_)));
    }

    #[test]
    fn an_entry_under_the_name_of_another_key_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        cache.put(&key("a"), volume(1, true)).unwrap();
        cache.finish().unwrap();
        std::fs::rename(cache.path(&key("a")), cache.path(&key("b"))).unwrap();
        assert!(matches!(cache.get(&key("b")).unwrap(), Lookup::Damaged { .. }));
    }

    #[test]
    fn clearing_frees_the_bytes_that_listing_counts() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        assert_eq!(cache.list().unwrap(), []);
        cache.put(&key("a"), volume(1, true)).unwrap();
        cache.finish().unwrap();
        cache.put(&key("b"), volume(1, false)).unwrap();
        cache.finish().unwrap();
        let bytes: u64 = cache.list().unwrap().iter().map(|entry| entry.bytes).sum();
        assert_eq!(cache.clear().unwrap(), bytes);
        assert_eq!(cache.list().unwrap(), []);
    }

    /// Bytes of an entry of `volume(1, true)`.
    const BYTES: u64 = 1024 + 420 + 28 + 210;

    /// Returns a cache with room for `entries` entries, filled with entries of these names, the oldest first.
    fn limited(folder: &Path, entries: u64, names: &[&str]) -> Cache {
        let cache = Cache::new(folder).with_limit(Bytes(entries * BYTES));
        for (age, name) in names.iter().rev().enumerate() {
            cache.put(&key(name), volume(1, true)).unwrap();
            cache.finish().unwrap();
            let used = SystemTime::now() - Duration::from_secs(60 * age as u64 + 60);
            std::fs::File::options().write(true).open(cache.path(&key(name))).unwrap().set_modified(used).unwrap();
        }
        cache
    }

    fn has(cache: &Cache, name: &str) -> bool {
        cache.path(&key(name)).exists()
    }

    /// Returns the names of all files in the folder except entries and the lock.
    fn leftovers(cache: &Cache) -> Vec<String> {
        let names =
            std::fs::read_dir(&cache.root).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".volume") && name != ".lock").collect()
    }

    #[test]
    fn the_size_of_an_entry_is_known_beforehand() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        for (channels, labelled) in [(1, true), (1, false), (3, true)] {
            let volume = volume(channels, labelled);
            cache.put(&key("a"), volume.clone()).unwrap();
            cache.finish().unwrap();
            let bytes = std::fs::metadata(cache.path(&key("a"))).unwrap().len();
            assert_eq!(bytes, num_bytes(channels, volume.grid.shape, labelled));
        }
        assert_eq!(num_bytes(1, volume(1, true).grid.shape, true), BYTES);
    }

    #[test]
    fn least_recently_used_entries_are_evicted_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = limited(folder.path(), 3, &["old", "older used again", "new"]);
        assert!(matches!(cache.get(&key("old")).unwrap(), Lookup::Found(_)));
        cache.put(&key("a"), volume(1, true)).unwrap();
        cache.finish().unwrap();
        let remaining = ["old", "older used again", "new", "a"].map(|name| has(&cache, name));
        assert_eq!(remaining, [true, false, true, true]);
        assert_eq!(cache.list().unwrap().len(), 3);
    }

    #[test]
    fn pinned_entries_are_not_evicted_and_an_evicted_one_stays_readable_while_it_is_mapped() {
        let folder = tempfile::tempdir().unwrap();
        let cache = limited(folder.path(), 2, &["mine", "other"]);
        let Lookup::Found(other) = cache.get(&key("other")).unwrap() else { panic!("it was put") };
        let run = cache.for_run(2 * BYTES).unwrap();
        ["mine", "new"].iter().for_each(|name| run.pin(&key(name)));
        run.put(&key("new"), volume(1, true)).unwrap();
        run.finish().unwrap();
        assert_eq!(["mine", "other", "new"].map(|name| has(&cache, name)), [true, false, true]);
        assert!(same(&other, &volume(1, true)));
        assert!(matches!(run.get(&key("other")).unwrap(), Lookup::Absent));
    }

    #[test]
    fn a_run_that_exceeds_the_limit_is_an_error_with_both_sizes() {
        let folder = tempfile::tempdir().unwrap();
        let cache = limited(folder.path(), 1, &["a"]);
        let message = cache.for_run(2 * BYTES).unwrap_err().to_string();
        assert!(message.contains(&format!("{} bytes", 2 * BYTES)), "{message}");
        assert!(message.contains(&format!("{BYTES} bytes")), "{message}");
        assert!(matches!(cache.put(&key("b"), volume(3, true)), Err(CacheError::Limit { .. })));
        assert!(has(&cache, "a"));
    }

    #[test]
    fn entries_being_written_count_and_those_of_dead_processes_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = limited(folder.path(), 3, &["a", "b"]);
        let alive = room::begin(&cache.root, BYTES).unwrap();
        let dead = cache.root.join(".entry-dead");
        std::fs::write(&dead, vec![0; 10 * BYTES as usize]).unwrap();
        cache.put(&key("c"), volume(1, true)).unwrap();
        cache.finish().unwrap();
        assert!(!dead.exists() && alive.path().exists());
        assert_eq!(["a", "b", "c"].map(|name| has(&cache, name)), [false, true, true]);
        drop(alive);
        assert_eq!(leftovers(&cache), [""; 0]);
    }

    #[test]
    fn old_temporary_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let cache = limited(folder.path(), 3, &["a"]);
        for (name, age) in [(".partial-new", 1), (".partial-old", 7200)] {
            let file = std::fs::File::create(cache.root.join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        cache.put(&key("b"), volume(1, true)).unwrap();
        cache.finish().unwrap();
        assert_eq!(leftovers(&cache), [".partial-new"]);
    }

    #[test]
    fn threads_that_write_and_evict_concurrently_stay_within_the_limit_and_read_what_they_wrote() {
        let folder = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let cache = Cache::new(folder.path()).with_limit(Bytes(5 * BYTES));
                scope.spawn(move || {
                    for round in 0..25 {
                        let name = key(&format!("{}", (thread * 7 + round) % 12));
                        let volume = match cache.get(&name).unwrap() {
                            Lookup::Found(volume) => volume,
                            _ => cache.put(&name, volume(1, true)).unwrap().volume(),
                        };
                        assert!(same(&volume, &self::volume(1, true)));
                        let _lock = room::lock(&cache.root).unwrap();
                        let bytes: u64 = cache.list().unwrap().iter().map(|entry| entry.bytes).sum();
                        assert!(bytes <= 5 * BYTES, "{bytes}");
                    }
                });
            }
        });
        assert_eq!(leftovers(&Cache::new(folder.path())), [""; 0]);
    }

    #[test]
    fn a_folder_that_cannot_be_created_is_reported_with_the_bytes_needed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("volumes"), b"a file").unwrap();
        let expected = volume(1, true);
        let message = Cache::new(folder.path()).put(&key("a"), expected.clone()).unwrap_err().to_string();
        assert!(
            message.contains("volumes") && message.contains(&num_bytes(1, expected.grid.shape, true).to_string()),
            "{message}"
        );
    }
}
