//! The files of trained models: in a folder, or in the ZIP archive that `nnUNetv2_export_model_to_zip` writes.
//!
//! Members of an archive are read by name and never written under it, so names that lead elsewhere have no effect.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use walkdir::WalkDir;
use zip::ZipArchive;

use crate::ImportError;

/// The maximum size of a JSON file in bytes.
const MAX_TEXT_BYTES: u64 = 64 << 20;
/// The maximum size of a checkpoint in an archive in bytes.
const MAX_CHECKPOINT_BYTES: u64 = 16 << 30;
/// How deep below a folder models are searched: `DatasetXXX_Name/TRAINER__PLANS__CONFIGURATION/plans.json`.
const MAX_DEPTH: usize = 3;

/// The files of trained models.
#[derive(Debug)]
pub(crate) struct ModelFiles {
    path: PathBuf,
    /// `None` for a folder.
    archive: Option<Archive>,
}

/// An archive, and the index of each member by its name.
type Archive = (ZipArchive<BufReader<File>>, BTreeMap<String, usize>);

/// A file on disk that [`ModelFiles::local_file`] found or made.
#[derive(Debug)]
pub(crate) enum LocalFile {
    /// A file of the model.
    Own(PathBuf),
    /// A copy of an archive's member.
    Copy(NamedTempFile),
}

impl LocalFile {
    pub fn path(&self) -> &Path {
        match self {
            Self::Own(path) => path,
            Self::Copy(file) => file.path(),
        }
    }
}

impl ModelFiles {
    /// Opens a folder or an archive.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let error = |source| ImportError::Read { path: path.display().to_string(), source };
        let metadata = std::fs::metadata(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ImportError::problem(
                format!("{} does not exist", path.display()),
                "name the folder of a trained model, which contains plans.json, or the ZIP file that nnUNetv2_export_model_to_zip wrote",
            ),
            _ => error(source),
        })?;
        if metadata.is_dir() {
            return Ok(Self { path: path.to_owned(), archive: None });
        }
        if path.extension().is_some_and(|ending| ending == "pth") {
            return Err(ImportError::problem(
                format!("{} is a checkpoint alone, without plans.json and dataset.json", path.display()),
                "name the folder that contains plans.json and fold_0, fold_1, ...",
            ));
        }
        let file = File::open(path).map_err(error)?;
        let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|zip| {
            if starts_as_archive(path) {
                let message = format!("{} is an incomplete or damaged ZIP archive ({zip})", path.display());
                return ImportError::problem(message, "download or copy it again");
            }
            ImportError::problem(
                format!("{} is neither a folder nor a ZIP archive", path.display()),
                "name the folder of a trained model, or the ZIP file that nnUNetv2_export_model_to_zip wrote",
            )
        })?;
        let mut members = BTreeMap::new();
        for index in 0..archive.len() {
            let name = match archive.by_index_raw(index) {
                Ok(member) => String::from_utf8_lossy(member.name_raw()).replace('\\', "/"),
                Err(zip) => return Err(error(io::Error::other(zip))),
            };
            members.insert(name, index);
        }
        Ok(Self { path: path.to_owned(), archive: Some((archive, members)) })
    }

    /// Returns the paths of the files with a name, as deep as models are, relative to the folder or archive and with `/`.
    pub fn find(&self, name: &str) -> Vec<String> {
        let is_named =
            |path: &String| path == name || path.strip_suffix(name).is_some_and(|folder| folder.ends_with('/'));
        match &self.archive {
            Some((_, members)) => members.keys().filter(|path| is_named(path)).cloned().collect(),
            None => {
                let entries =
                    WalkDir::new(&self.path).follow_links(true).min_depth(1).max_depth(MAX_DEPTH).sort_by_file_name();
                let relative = |path: &Path| {
                    let parts = path.strip_prefix(&self.path).ok()?.components().map(|part| part.as_os_str().to_str());
                    Some(parts.collect::<Option<Vec<_>>>()?.join("/"))
                };
                entries.into_iter().flatten().filter_map(|entry| relative(entry.path())).filter(is_named).collect()
            }
        }
    }

    /// Returns whether there is a file at a path.
    pub fn has(&self, path: &str) -> bool {
        match &self.archive {
            Some((_, members)) => members.contains_key(path),
            None => self.path.join(path).is_file(),
        }
    }

    /// Returns the names of the folders in a folder.
    pub fn folders_in(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = match &self.archive {
            Some((_, members)) => {
                let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                let below = members.keys().filter_map(|path| path.strip_prefix(prefix.as_str())?.split_once('/'));
                below.map(|(name, _)| name.to_owned()).collect()
            }
            None => {
                let entries = std::fs::read_dir(self.path.join(folder)).into_iter().flatten().flatten();
                entries
                    .filter(|entry| entry.path().is_dir())
                    .filter_map(|entry| entry.file_name().into_string().ok())
                    .collect()
            }
        };
        names.sort();
        names.dedup();
        names
    }

    /// Returns the name of a file for messages and records.
    pub fn describe(&self, path: &str) -> String {
        self.path.join(path).display().to_string()
    }

    /// Reads a text file.
    pub fn read_text(&mut self, path: &str) -> Result<String, ImportError> {
        let described = self.describe(path);
        let error = |source| ImportError::Read { path: described.clone(), source };
        let mut bytes = Vec::new();
        self.copy(path, MAX_TEXT_BYTES, &mut bytes).map_err(error)?;
        String::from_utf8(bytes).map_err(|utf8| error(io::Error::other(utf8)))
    }

    /// Returns a file on disk, which is a copy if the model is in an archive.
    pub fn local_file(&mut self, path: &str) -> Result<LocalFile, ImportError> {
        if self.archive.is_none() {
            return Ok(LocalFile::Own(self.path.join(path)));
        }
        let described = self.describe(path);
        let error = |source| ImportError::Read { path: described.clone(), source };
        let mut copy = NamedTempFile::new().map_err(error)?;
        self.copy(path, MAX_CHECKPOINT_BYTES, copy.as_file_mut()).map_err(error)?;
        copy.as_file_mut().seek(SeekFrom::Start(0)).map_err(error)?;
        Ok(LocalFile::Copy(copy))
    }

    /// Copies a file of at most `limit` bytes.
    fn copy(&mut self, path: &str, limit: u64, to: &mut impl io::Write) -> io::Result<()> {
        let too_large = || io::Error::other(format!("it has more than {limit} bytes"));
        let copied = match &mut self.archive {
            None => io::copy(&mut File::open(self.path.join(path))?.take(limit + 1), to)?,
            Some((archive, members)) => {
                let index = *members.get(path).ok_or(io::ErrorKind::NotFound)?;
                let member = archive.by_index(index)?;
                if member.size() > limit {
                    return Err(too_large());
                }
                io::copy(&mut member.take(limit + 1), to)?
            }
        };
        if copied > limit { Err(too_large()) } else { Ok(()) }
    }
}

/// Returns whether a file begins as a ZIP archive does.
fn starts_as_archive(path: &Path) -> bool {
    let mut start = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == *b"PK\x03\x04"
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn archive(members: &[(&str, &str)]) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        let mut archive = zip::ZipWriter::new(file.as_file_mut());
        for (name, text) in members {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(text.as_bytes()).unwrap();
        }
        archive.finish().unwrap();
        file
    }

    #[test]
    fn an_archive_reads_like_its_folder() {
        let names = ["D/T__P__3d/plans.json", "D/T__P__3d/fold_0/checkpoint_final.pth", "D/T__P__2d/plans.json"];
        let zip = archive(&names.map(|name| (name, name)));
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        for path in [zip.path(), folder.path()] {
            let mut files = ModelFiles::open(path).unwrap();
            assert_eq!(files.find("plans.json"), ["D/T__P__2d/plans.json", "D/T__P__3d/plans.json"]);
            assert_eq!(files.folders_in("D/T__P__3d"), ["fold_0"]);
            assert_eq!(files.folders_in(""), ["D"]);
            assert!(files.has(names[1]) && !files.has("D"));
            assert_eq!(files.read_text(names[0]).unwrap(), names[0]);
            let file = files.local_file(names[1]).unwrap();
            assert_eq!(std::fs::read_to_string(file.path()).unwrap(), names[1]);
            let missing = files.read_text("D/other.json").unwrap_err().to_string();
            assert!(missing.contains("D/other.json"), "{missing}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_write_nothing_there() {
        let zip = archive(&[("../../outside/plans.json", "{}"), ("/outside/plans.json", "{}")]);
        let mut files = ModelFiles::open(zip.path()).unwrap();
        for name in files.find("plans.json") {
            assert_eq!(files.read_text(&name).unwrap(), "{}");
            let copy = files.local_file(&name).unwrap();
            assert_eq!(copy.path().parent(), Some(std::env::temp_dir().as_path()));
        }
    }

    #[test]
    fn what_is_no_model_is_a_problem() {
        let file = NamedTempFile::with_suffix(".pth").unwrap();
        for (path, expected) in [
            (Path::new("absent"), "absent does not exist"),
            (file.path(), "is a checkpoint alone"),
            (Path::new("Cargo.toml"), "is neither a folder nor a ZIP archive"),
        ] {
            let error = ModelFiles::open(path).unwrap_err();
            assert!(matches!(&error, ImportError::Problem { message, .. } if message.contains(expected)), "{error}");
        }
    }
}
