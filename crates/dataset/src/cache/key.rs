//! Cache keys: hashes of everything that determines a volume.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::CacheError;
use volume::atomic_file;
use volume::lock::lock;

/// The hash of everything that determines a volume.
pub type Key = [u8; 32];

/// Builds a key from parts. Each part is hashed with its length, so that `ab`, `c` and `a`, `bc` give different keys.
#[derive(Clone, Debug, Default)]
pub struct KeyBuilder(Sha256);

impl KeyBuilder {
    /// Returns a builder without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text, such as a chain of transforms as JSON.
    #[must_use]
    pub fn add_text(mut self, text: &str) -> Self {
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
        self
    }

    /// Adds the content of a file by its hash, independent of its path.
    #[must_use]
    pub fn add_file(self, sha256: &str) -> Self {
        self.add_text("file").add_text(sha256)
    }

    /// Returns the key.
    pub fn build(self) -> Key {
        self.0.finalize().into()
    }
}

/// Hashes of files, stored by path, size and modification time, so that an unchanged dataset is hashed only once.
#[derive(Debug)]
pub struct FileHashes {
    table: PathBuf,
    known: Mutex<HashMap<PathBuf, Known>>,
}

/// Size and hash of a file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Known {
    #[serde(flatten)]
    hashed: Hashed,
    /// Modification time in nanoseconds since 1970.
    changed: u64,
}

/// Identifies a version of a file without reading it.
struct Identity {
    /// Its canonical path.
    path: PathBuf,
    bytes: u64,
    /// Modification time in nanoseconds since 1970.
    changed: u64,
}

impl FileHashes {
    /// Loads the table of the cache in `root`. A missing or corrupt table is treated as empty: it only saves time.
    pub fn load(root: &Path) -> Self {
        let table = root.join("hashes.json");
        let known = std::fs::read(&table).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { table, known: Mutex::new(known) }
    }

    /// Returns size and hash of a file; may be called from several threads.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn hash(&self, path: &Path) -> io::Result<Hashed> {
        let file = identify(path)?;
        if let Some(known) = self.stored(&file) {
            return Ok(known);
        }
        let hashed = Hashed { bytes: file.bytes, sha256: hash_content(&file.path)? };
        lock(&self.known).insert(file.path, Known { hashed: hashed.clone(), changed: file.changed });
        Ok(hashed)
    }

    /// Returns size and hash of a file if it was hashed before and has not changed since.
    pub fn known(&self, path: &Path) -> Option<Hashed> {
        self.stored(&identify(path).ok()?)
    }

    fn stored(&self, file: &Identity) -> Option<Hashed> {
        let table = lock(&self.known);
        let known = table.get(&file.path)?;
        ((known.hashed.bytes, known.changed) == (file.bytes, file.changed)).then(|| known.hashed.clone())
    }

    /// Writes the table for the next run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self) -> Result<(), CacheError> {
        let io = |source| CacheError::Io { path: self.table.clone(), source };
        let text = serde_json::to_vec(&*lock(&self.known)).map_err(|error| io(error.into()))?;
        if let Some(folder) = self.table.parent() {
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        atomic_file::write(&self.table, |file| file.write_all(&text)).map_err(io)
    }
}

fn identify(path: &Path) -> io::Result<Identity> {
    let path = path.canonicalize()?;
    let metadata = path.metadata()?;
    let changed = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64);
    Ok(Identity { path, bytes: metadata.len(), changed })
}

/// Returns the SHA-256 of a file's content in hexadecimal digits.
///
/// # Errors
/// When the file cannot be read.
pub fn hash_content(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(&buffer[..count]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundaries_of_parts_change_the_key() {
        let key = |parts: [&str; 2]| KeyBuilder::new().add_text(parts[0]).add_text(parts[1]).build();
        assert_ne!(key(["ab", "c"]), key(["a", "bc"]));
    }

    #[test]
    fn a_key_depends_on_the_content_of_a_file_and_not_on_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| folder.path().join(name));
        for (path, content) in [(&a, "same"), (&b, "same"), (&c, "other")] {
            std::fs::write(path, content).unwrap();
        }
        let hashes = FileHashes::load(folder.path());
        let key = |path: &Path| KeyBuilder::new().add_file(&hashes.hash(path).unwrap().sha256).build();
        assert_eq!(key(&a), key(&b));
        assert_ne!(key(&a), key(&c));
    }

    #[test]
    fn a_changed_file_is_hashed_again_and_an_unchanged_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let hashes = FileHashes::load(folder.path());
        assert_eq!(hashes.known(&path), None);
        let first = hashes.hash(&path).unwrap();
        assert_eq!(hashes.known(&path), Some(first.clone()));
        assert_eq!(first.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        hashes.save().unwrap();
        let again = FileHashes::load(folder.path());
        assert_eq!(*lock(&again.known), *lock(&hashes.known));
        // An edited table shows that the stored hash is used.
        lock(&again.known).values_mut().for_each(|known| known.hashed.sha256 = "stored".to_owned());
        assert_eq!(again.hash(&path).unwrap().sha256, "stored");
        std::fs::write(&path, "abcd").unwrap();
        assert_eq!(again.known(&path), None);
        assert_ne!(again.hash(&path).unwrap().sha256, "stored");
    }
}
