//! The layout of a sweep's folder.
//!
//! ```text
//! runs/<name>/<id>/                   a run folder
//! runs/<name>/sweep/points/<id>.json  the description of a run, before it starts
//!                   definitions/      each sweep: its runs, pruning and command
//!                   claims/           which process trains which run, with a heartbeat
//!                   output/           the output of local runs
//!                   slurm/            job scripts, submissions and output
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::points::PointRecord;
use super::prune::Prune;
use run_folder::folder::{LATEST, RunError, write_atomically};

/// The format version of the files, and the newest one that can be read.
const FORMAT: u32 = 1;

/// The folder of a sweep's runs, `runs/<name>`.
#[derive(Clone, Debug)]
pub struct SweepFolder {
    root: PathBuf,
}

/// The definition of a sweep: which runs to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The format version of the file.
    pub format: u32,
    /// The ids of the runs, in the order of the sweep.
    pub ids: Vec<String>,
    /// The pruning of runs that fall behind.
    pub prune: Option<Prune>,
    /// When the sweep was first started, RFC 3339.
    pub start: String,
    /// The arguments of the command.
    pub command: Vec<String>,
}

impl Definition {
    /// Creates a definition that starts now.
    pub fn new(ids: Vec<String>, prune: Option<Prune>, command: Vec<String>) -> Self {
        Self { format: FORMAT, ids, prune, start: run_folder::manifest::now(), command }
    }

    /// Returns an id, the same for sweeps with the same runs and pruning.
    pub fn id(&self) -> String {
        let text =
            serde_json::to_string(&(&self.ids, &self.prune)).expect("a definition has text, numbers and lists only");
        hex::encode(&Sha256::digest(text)[..6])
    }
}

impl SweepFolder {
    /// Describes a folder, which need not exist.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Opens an existing sweep's folder.
    ///
    /// # Errors
    /// If no sweep was started in the folder.
    pub fn open(root: &Path) -> Result<Self, RunError> {
        let folder = Self::new(root.to_owned());
        let path = folder.file("definitions");
        match fs::metadata(&path) {
            Ok(_) => Ok(folder),
            Err(source) => Err(RunError::Read { path, source }),
        }
    }

    /// Returns the folder's path.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the folder of a run.
    pub fn run(&self, id: &str) -> PathBuf {
        self.root.join(id)
    }

    /// Returns the path of one of the sweep's own files or folders.
    pub fn file(&self, name: &str) -> PathBuf {
        self.root.join("sweep").join(name)
    }

    /// Returns the folder of the claims, which say which process trains which run.
    pub fn claims(&self) -> PathBuf {
        self.file("claims")
    }

    /// Writes a definition and its runs. An existing definition is kept; the runs are overwritten, since the paths of the
    /// dataset may have changed.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write<'a>(
        &self,
        definition: &Definition,
        points: impl IntoIterator<Item = &'a PointRecord>,
    ) -> Result<(), RunError> {
        for name in ["points", "definitions", "claims"] {
            let path = self.file(name);
            fs::create_dir_all(&path).map_err(|source| RunError::Write { path, source })?;
        }
        for point in points {
            write(&self.point_path(&point.id), point)?;
        }
        let path = self.file("definitions").join(format!("{}.json", definition.id()));
        if path.exists() { Ok(()) } else { write(&path, definition) }
    }

    fn point_path(&self, id: &str) -> PathBuf {
        self.file("points").join(format!("{id}.json"))
    }

    /// Reads the description of a run.
    ///
    /// # Errors
    /// If the run belongs to no sweep, or its file cannot be read.
    pub fn point(&self, id: &str) -> Result<PointRecord, RunError> {
        read(&self.point_path(id))
    }

    /// Reads a definition by its id.
    ///
    /// # Errors
    /// If there is no such sweep, or its file cannot be read.
    pub fn definition(&self, id: &str) -> Result<Definition, RunError> {
        let path = self.file("definitions").join(format!("{id}.json"));
        let definition: Definition = read(&path)?;
        if definition.format > FORMAT {
            let reason = format!("its format is {}, newer than {FORMAT}; update the program", definition.format);
            return Err(RunError::Invalid { path, reason });
        }
        Ok(definition)
    }

    /// Reads all definitions, oldest first.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn definitions(&self) -> Result<Vec<Definition>, RunError> {
        let path = self.file("definitions");
        let failed = |source| RunError::Read { path: path.clone(), source };
        let mut definitions = Vec::new();
        for entry in fs::read_dir(&path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if let Some(id) = name.strip_suffix(".json").filter(|id| !id.starts_with('.')) {
                definitions.push(self.definition(id)?);
            }
        }
        definitions.sort_by(|a, b| (&a.start, a.id()).cmp(&(&b.start, b.id())));
        Ok(definitions)
    }
}

fn write(path: &Path, value: &impl Serialize) -> Result<(), RunError> {
    let text = serde_json::to_string_pretty(value)
        .expect("the files of a sweep have text, numbers, lists and maps only")
        + "\n";
    write_atomically(path, text.as_bytes())
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, RunError> {
    let text = fs::read_to_string(path).map_err(|source| RunError::Read { path: path.to_owned(), source })?;
    serde_json::from_str(&text).map_err(|error| RunError::Invalid { path: path.to_owned(), reason: error.to_string() })
}

/// Returns the names of all run folders in a folder, whether a sweep made them or not.
///
/// # Errors
/// If the folder cannot be read.
pub fn runs_in(root: &Path) -> io::Result<Vec<String>> {
    // `latest` links to a run that has a folder of its own.
    let is_run = |name: &String| name != LATEST && root.join(name).join("manifest.json").exists();
    Ok(names_in(root)?.into_iter().filter(is_run).collect())
}

/// Returns the names of a folder's entries; none if it does not exist.
pub(super) fn names_in(path: &Path) -> io::Result<Vec<String>> {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_that_is_written_twice_is_kept_once() {
        let runs = tempfile::tempdir().unwrap();
        let folder = SweepFolder::new(runs.path().join("name"));
        assert!(SweepFolder::open(folder.root()).is_err());
        let definition = Definition::new(vec!["a".into()], None, vec!["sweep".into()]);
        let point = PointRecord {
            id: "a".into(),
            changes: vec![("seed".into(), 1.into())],
            experiment: "seed: 1".into(),
            plan: "seed: 1".into(),
            parts: Default::default(),
        };
        folder.write(&definition, [&point]).unwrap();
        let later = Definition { start: "2999".into(), ..definition.clone() };
        let point = PointRecord { plan: "seed: 1\ndata: elsewhere".into(), ..point };
        folder.write(&later, [&point]).unwrap();
        assert_eq!(SweepFolder::open(folder.root()).unwrap().definitions().unwrap(), [definition]);
        assert_eq!(folder.point("a").unwrap(), point);
    }
}
