//! Preprocessed volumes on disk, found by the hash of what made them and read where they lie.
//!
//! An entry is written under a temporary name and renamed, so two processes may fill the same key.
//! Nothing changes an entry afterwards. `key` makes keys, `entry` is the format of a file.

mod entry;
mod key;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::volume::Volume;
use super::whole_file;
pub use key::{FileHashes, Key, KeyBuilder, hex};

/// The ending of an entry's file.
const ENDING: &str = "volume";

/// Why the cache fails.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// An entry cannot be written.
    #[error("cannot write {bytes} bytes to the cache in {folder}: {source}; free that much, run `runner cache clear` or choose another folder with --cache-dir", folder = folder.display())]
    Write {
        /// The cache's folder.
        folder: PathBuf,
        /// Bytes of the entry.
        bytes: u64,
        /// What the system says.
        source: std::io::Error,
    },
    /// An entry that was just written cannot be read.
    #[error("{path}: damaged right after it was written: {reason}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What the cache knows of a key.
#[derive(Clone, Debug)]
pub enum Lookup {
    /// The volume, mapped from its file, and the note that was put with it.
    Found(Box<Volume>, String),
    /// There is no such entry.
    Absent,
    /// There was one, but it is truncated or garbled; it is to be made anew.
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
}

impl Cache {
    /// A cache in the given folder, which need not exist yet.
    pub fn new(root: &Path) -> Self {
        Self { root: root.join("volumes") }
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(hex(key)).with_extension(ENDING)
    }

    /// The file of what was learnt from many volumes, under the hexadecimal digits of a key.
    pub fn statistics(&self, key: &str) -> PathBuf {
        self.root.with_file_name("statistics").join(key).with_extension("json")
    }

    /// Writes what was learnt from many volumes.
    ///
    /// # Errors
    /// When the disk is full or refuses.
    pub fn write_statistics(&self, path: &Path, learnt: &impl serde::Serialize) -> Result<(), CacheError> {
        let io = |source| CacheError::Io { path: path.to_owned(), source };
        let text = serde_json::to_vec(learnt).map_err(|error| io(error.into()))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        whole_file::write(path, |file| std::io::Write::write_all(file, &text)).map_err(io)
    }

    /// Looks for the volume of a key, and notes its use.
    ///
    /// # Errors
    /// When a file that is there cannot be opened.
    pub fn get(&self, key: &Key) -> Result<Lookup, CacheError> {
        let path = self.path(key);
        match entry::open(&path, key) {
            Ok((volume, note)) => {
                // A read-only cache still serves; its times of use then stay as they are.
                if let Ok(file) = std::fs::File::options().write(true).open(&path) {
                    let _ = file.set_modified(SystemTime::now());
                }
                Ok(Lookup::Found(Box::new(volume), note))
            }
            Err(entry::OpenError::Io(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(Lookup::Absent),
            Err(entry::OpenError::Io(source)) => Err(CacheError::Io { path, source }),
            Err(entry::OpenError::Damaged(reason)) => Ok(Lookup::Damaged { path, reason }),
        }
    }

    /// Writes the volume of a key with a note, and gives it back, mapped from its file.
    ///
    /// # Errors
    /// When the disk is full or refuses; the message names the folder and the bytes.
    pub fn put(&self, key: &Key, volume: &Volume, note: &str) -> Result<Volume, CacheError> {
        let failed = |source| CacheError::Write { folder: self.root.clone(), bytes: entry::num_bytes(volume), source };
        std::fs::create_dir_all(&self.root).map_err(failed)?;
        let path = self.path(key);
        whole_file::write(&path, |file| entry::write(file, key, volume, note)).map_err(failed)?;
        entry::open(&path, key).map(|(volume, _)| volume).map_err(|error| match error {
            entry::OpenError::Io(source) => CacheError::Io { path, source },
            entry::OpenError::Damaged(reason) => CacheError::Damaged { path, reason },
        })
    }

    /// All entries, the longest unused first.
    ///
    /// # Errors
    /// When the folder cannot be read; one that does not exist is empty.
    pub fn list(&self) -> Result<Vec<Entry>, CacheError> {
        let io = |path: &Path, source| CacheError::Io { path: path.to_owned(), source };
        let files = match std::fs::read_dir(&self.root) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(&self.root, error)),
        };
        let mut entries = Vec::new();
        for file in files {
            let path = file.map_err(|error| io(&self.root, error))?.path();
            if path.extension().is_some_and(|ending| ending == ENDING) {
                let metadata = std::fs::metadata(&path).map_err(|error| io(&path, error))?;
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
            std::fs::remove_file(&entry.path).map_err(|source| CacheError::Io { path: entry.path.clone(), source })?;
            bytes += entry.bytes;
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::volume::{Affine, Grid, Voxels};

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
            assert!(same(&cache.put(&key(text), &wanted, text).unwrap(), &wanted));
            let Lookup::Found(found, note) = cache.get(&key(text)).unwrap() else { panic!("{text} is not found") };
            assert_eq!(note, text);
            assert!(same(&found, &wanted));
        }
        assert!(matches!(cache.get(&key("c")).unwrap(), Lookup::Absent));
    }

    #[test]
    fn truncated_and_garbled_entries_are_noticed_and_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        cache.put(&key("a"), &volume(1, true), "").unwrap();
        let path = cache.path(&key("a"));
        let whole = std::fs::read(&path).unwrap();
        let mut garbled = whole.clone();
        garbled[20] ^= 0xff;
        for damaged in [&whole[..whole.len() - 1], &whole[..10], &[], &garbled] {
            std::fs::write(&path, damaged).unwrap();
            assert!(matches!(cache.get(&key("a")).unwrap(), Lookup::Damaged { .. }), "{} bytes", damaged.len());
        }
        cache.put(&key("a"), &volume(1, true), "").unwrap();
        assert!(matches!(cache.get(&key("a")).unwrap(), Lookup::Found(..)));
    }

    #[test]
    fn an_entry_under_the_name_of_another_key_is_not_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        cache.put(&key("a"), &volume(1, true), "").unwrap();
        std::fs::rename(cache.path(&key("a")), cache.path(&key("b"))).unwrap();
        assert!(matches!(cache.get(&key("b")).unwrap(), Lookup::Damaged { .. }));
    }

    #[test]
    fn clearing_frees_what_listing_counts() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        assert_eq!(cache.list().unwrap(), []);
        cache.put(&key("a"), &volume(1, true), "").unwrap();
        cache.put(&key("b"), &volume(1, false), "").unwrap();
        let bytes: u64 = cache.list().unwrap().iter().map(|entry| entry.bytes).sum();
        assert_eq!(cache.clear().unwrap(), bytes);
        assert_eq!(cache.list().unwrap(), []);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_the_bytes_that_were_needed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("volumes"), b"a file").unwrap();
        let wanted = volume(1, true);
        let message = Cache::new(folder.path()).put(&key("a"), &wanted, "").unwrap_err().to_string();
        assert!(message.contains("volumes") && message.contains(&entry::num_bytes(&wanted).to_string()), "{message}");
    }
}
