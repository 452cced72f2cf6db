//! Cache of preprocessed volumes on disk, addressed by a hash of everything that determines them, and memory-mapped.
//!
//! An entry is written under a temporary name and renamed, so two processes may fill the same key.
//! Entries are immutable. An entry that no run needs may be evicted; processes that have it mapped keep it. `key` makes keys, `entry` is the format of a file, `room` keeps the folder small,
//! `unfinished` has entries written while their volumes are used.

mod entry;
mod error;
mod key;
mod room;
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
pub use unfinished::Stored;
use unfinished::Unfinished;
use values::Bytes;
use volume::Volume;
use volume::atomic_file;
use volume::lock::lock;

/// The ending of an entry's file.
const ENDING: &str = "volume";
/// How long to wait for what other processes are writing; one that was halted may never finish.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often to look meanwhile.
const POLL: Duration = Duration::from_millis(10);

/// The result of a lookup.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The volume, mapped from its file.
    Found(Volume),
    /// There is no such entry.
    Absent,
    /// There is one, but it is truncated or corrupt; it has to be computed again.
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
    /// The folder that holds them.
    pub root: PathBuf,
    /// Bytes that all entries may take together.
    limit: u64,
    /// The files of the entries that must not be evicted.
    kept: Arc<Mutex<BTreeSet<PathBuf>>>,
    /// Entries on their way to the disk.
    unfinished: Arc<Unfinished>,
}

impl Cache {
    /// A cache without bound in the given folder, which need not exist yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.join("volumes"), limit: u64::MAX, kept: Arc::default(), unfinished: Arc::default() }
    }

    /// The same cache, in which all entries together take at most so many bytes.
    ///
    /// Before an entry is written, least recently used entries that are not kept are evicted. What processes
    /// are writing counts, so the bound also holds for several that fill one folder. The disk gets the bytes
    /// of an entry back when nobody maps it any more.
    #[must_use]
    pub fn with_limit(self, limit: Bytes) -> Self {
        Self { limit: limit.0, ..self }
    }

    /// The same cache for a run whose entries take so many bytes: none that it [keeps](Cache::keep) leaves to make room.
    ///
    /// # Errors
    /// When they do not fit together.
    pub fn for_run(&self, needed: u64) -> Result<Self, CacheError> {
        if needed > self.limit {
            return Err(self.too_small(needed));
        }
        Ok(Self { kept: Arc::default(), ..self.clone() })
    }

    /// Says that the run needs the entry of a key, whether it is there yet or not.
    pub fn keep(&self, key: &Key) {
        lock(&self.kept).insert(self.path(key));
    }

    fn too_small(&self, needed: u64) -> CacheError {
        CacheError::Limit { folder: self.root.clone(), needed, allowed: self.limit }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(hex::encode(key)).with_extension(ENDING)
    }

    /// The file of what was learnt from many volumes, or found out about one, under the hexadecimal digits of a key.
    pub fn statistics(&self, key: &str) -> PathBuf {
        self.root.with_file_name("statistics").join(key).with_extension("json")
    }

    /// Writes what was learnt.
    ///
    /// # Errors
    /// When the disk is full or refuses.
    pub fn write_statistics(&self, path: &Path, learnt: &impl serde::Serialize) -> Result<(), CacheError> {
        let io = |source| CacheError::Io { path: path.to_owned(), source };
        let text = serde_json::to_vec(learnt).map_err(|error| io(error.into()))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        atomic_file::write(path, |file| std::io::Write::write_all(file, &text)).map_err(io)
    }

    /// Looks for the volume of a key, and notes its use.
    ///
    /// # Errors
    /// When a file that is there cannot be opened.
    pub fn get(&self, key: &Key) -> Result<Lookup, CacheError> {
        let path = self.path(key);
        match entry::open(&path, key) {
            Ok(volume) => {
                // A read-only cache still serves; its times of use then stay as they are.
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

    /// Writes the volume of a key behind the back of the caller, who uses it meanwhile; [`Cache::finish`] tells that it is
    /// on the disk.
    ///
    /// Waits where many volumes are in memory whose entries are not written.
    ///
    /// # Errors
    /// When the disk has no room for it; the message names the folder and the bytes. When the entry alone is larger
    /// than the cache may be. When an earlier entry could not be written. Nothing is left behind.
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
        self.unfinished.add(move || {
            entry::write(file.as_file_mut(), &key, &written.volume()).map_err(&failed)?;
            // Mapped before it has its name: under that name another process may remove it at once.
            let mapped = entry::read(file.as_file(), &key).map_err(|error| match error {
                entry::OpenError::Io(source) => CacheError::Io { path: path.clone(), source },
                entry::OpenError::Damaged(reason) => CacheError::Damaged { path: path.clone(), reason },
            })?;
            written.replace(mapped);
            drop(permit);
            room::give_name(&folder, file, &path).map_err(failed)
        })?;
        Ok(stored)
    }

    /// Whether every entry that was put could be written so far.
    ///
    /// # Errors
    /// When the disk has refused one.
    pub fn check_written(&self) -> Result<(), CacheError> {
        self.unfinished.check_written()
    }

    /// Waits until every entry that was put is on the disk under its name.
    ///
    /// # Errors
    /// When the disk refuses one.
    pub fn finish(&self) -> Result<(), CacheError> {
        self.unfinished.wait_until_left(0)
    }

    /// Makes room for an entry of so many bytes, and its file.
    fn begin(&self, path: &Path, bytes: u64) -> Result<NamedTempFile, CacheError> {
        let failed = |source| CacheError::Write { folder: self.root.clone(), bytes, source };
        if bytes > self.limit {
            return Err(self.too_small(bytes));
        }
        let start = Instant::now();
        loop {
            let lock = room::lock(&self.root).map_err(failed)?;
            // What others are writing can leave as soon as it is finished; nobody waits who is writing.
            if self.make_room(path, bytes)? || start.elapsed() > LONGEST_WAIT {
                return room::begin(&self.root, bytes).map_err(failed);
            }
            drop(lock);
            std::thread::sleep(POLL);
        }
    }

    /// Removes entries that are not kept until there is room for so many bytes, and says whether there is.
    fn make_room(&self, path: &Path, bytes: u64) -> Result<bool, CacheError> {
        let io = |source| CacheError::Io { path: self.root.clone(), source };
        let in_the_making = room::clean(&self.root).map_err(io)?;
        let mut entries = self.list()?;
        // The new entry takes the place of a damaged one.
        entries.retain(|entry| entry.path != path);
        let mut wanted = entries.iter().map(|entry| entry.bytes).sum::<u64>() + in_the_making + bytes;
        let kept = lock(&self.kept);
        for entry in entries.iter().filter(|entry| !kept.contains(&entry.path)) {
            if wanted <= self.limit {
                break;
            }
            remove(&entry.path)?;
            wanted -= entry.bytes;
        }
        Ok(wanted <= self.limit)
    }

    /// All entries, the longest unused first.
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
                    // Another process has made room meanwhile.
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

    /// Removes all entries and returns how many bytes that frees.
    ///
    /// A run that reads them goes on: the system keeps a mapped file until it is let go.
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

/// Removes an entry; another process may have done so before.
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
    fn what_is_put_is_found_bit_for_bit_and_other_keys_are_absent() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        for (text, wanted) in [("a", volume(1, true)), ("b", volume(2, false))] {
            let stored = cache.put(&key(text), wanted.clone()).unwrap();
            assert!(same(&stored.volume(), &wanted));
            cache.finish().unwrap();
            assert!(same(&stored.volume(), &wanted));
            let Lookup::Found(found) = cache.get(&key(text)).unwrap() else { panic!("{text} is not found") };
            assert!(same(&found, &wanted));
        }
        assert!(matches!(cache.get(&key("c")).unwrap(), Lookup::Absent));
    }

    #[test]
    fn a_volume_leaves_the_memory_when_its_entry_is_written() {
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
    fn an_entry_that_fails_behind_the_callers_back_is_told_once_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let wanted = volume(1, true);
        std::fs::create_dir_all(cache.path(&key("a")).join("in the way")).unwrap();
        let stored = cache.put(&key("a"), wanted.clone()).unwrap();
        let told = loop {
            match cache.check_written() {
                Ok(()) => std::thread::sleep(POLL),
                Err(error) => break error.to_string(),
            }
        };
        assert!(cache.finish().is_ok());
        assert!(told.starts_with("cannot write") && told.contains(&BYTES.to_string()), "{told}");
        assert!(same(&stored.volume(), &wanted));
        assert_eq!(leftovers(&cache), [""; 0]);
        cache.put(&key("b"), wanted).unwrap();
        cache.finish().unwrap();
        assert!(matches!(cache.get(&key("b")).unwrap(), Lookup::Found(_)));
    }

    #[test]
    fn truncated_and_garbled_entries_are_noticed_and_made_anew() {
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
    fn an_entry_under_the_name_of_another_key_is_not_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        cache.put(&key("a"), volume(1, true)).unwrap();
        cache.finish().unwrap();
        std::fs::rename(cache.path(&key("a")), cache.path(&key("b"))).unwrap();
        assert!(matches!(cache.get(&key("b")).unwrap(), Lookup::Damaged { .. }));
    }

    #[test]
    fn clearing_frees_what_listing_counts() {
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

    /// A cache for so many entries, and those of the names that it has.
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

    /// All that lies in the folder of the entries but these and the lock.
    fn leftovers(cache: &Cache) -> Vec<String> {
        let names =
            std::fs::read_dir(&cache.root).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".volume") && name != ".lock").collect()
    }

    #[test]
    fn an_entry_has_the_bytes_that_are_told_beforehand() {
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
    fn the_longest_unused_entries_leave_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let cache = limited(folder.path(), 3, &["old", "older used again", "new"]);
        assert!(matches!(cache.get(&key("old")).unwrap(), Lookup::Found(_)));
        cache.put(&key("a"), volume(1, true)).unwrap();
        cache.finish().unwrap();
        let left = ["old", "older used again", "new", "a"].map(|name| has(&cache, name));
        assert_eq!(left, [true, false, true, true]);
        assert_eq!(cache.list().unwrap().len(), 3);
    }

    #[test]
    fn entries_of_the_run_never_leave_and_a_mapped_one_that_left_stays_readable() {
        let folder = tempfile::tempdir().unwrap();
        let cache = limited(folder.path(), 2, &["mine", "other"]);
        let Lookup::Found(other) = cache.get(&key("other")).unwrap() else { panic!("it was put") };
        let run = cache.for_run(2 * BYTES).unwrap();
        ["mine", "new"].iter().for_each(|name| run.keep(&key(name)));
        run.put(&key("new"), volume(1, true)).unwrap();
        run.finish().unwrap();
        assert_eq!(["mine", "other", "new"].map(|name| has(&cache, name)), [true, false, true]);
        assert!(same(&other, &volume(1, true)));
        assert!(matches!(run.get(&key("other")).unwrap(), Lookup::Absent));
    }

    #[test]
    fn a_run_that_cannot_fit_is_refused_with_what_it_needs_and_what_it_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let cache = limited(folder.path(), 1, &["a"]);
        let refused = cache.for_run(2 * BYTES).unwrap_err().to_string();
        assert!(refused.contains(&format!("{} bytes", 2 * BYTES)), "{refused}");
        assert!(refused.contains(&format!("{BYTES} bytes")), "{refused}");
        assert!(matches!(cache.put(&key("b"), volume(3, true)), Err(CacheError::Limit { .. })));
        assert!(has(&cache, "a"));
    }

    #[test]
    fn what_another_process_is_writing_counts_and_what_a_dead_one_left_is_removed() {
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
    fn unfinished_tables_are_removed_when_they_are_old() {
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
    fn threads_that_fill_and_evict_at_once_keep_the_bound_and_read_what_they_wrote() {
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
    fn a_folder_that_cannot_be_made_is_named_with_the_bytes_that_were_needed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("volumes"), b"a file").unwrap();
        let wanted = volume(1, true);
        let message = Cache::new(folder.path()).put(&key("a"), wanted.clone()).unwrap_err().to_string();
        assert!(
            message.contains("volumes") && message.contains(&num_bytes(1, wanted.grid.shape, true).to_string()),
            "{message}"
        );
    }
}
