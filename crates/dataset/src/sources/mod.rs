//! Which subjects there are: the closed list of sources.

mod folders;
mod msd;
mod table;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::phantom::{self, PhantomSource};
use super::subject::Subject;
use values::is_file_name;
use volume::Label;

/// Where subjects come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A folder in the layout of the Medical Segmentation Decathlon.
    Msd(MsdSource),
    /// Image and label files found by patterns.
    Folders(FoldersSource),
    /// A CSV table that names the files of each subject.
    Table(TableSource),
    /// Synthetic abdomens, made by the runner.
    Phantom(PhantomSource),
}

/// A folder in the layout of the Medical Segmentation Decathlon: `dataset.json`, `imagesTr`, `labelsTr`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MsdSource {
    /// The folder that holds `dataset.json`.
    pub root: PathBuf,
}

/// Image and label files found by patterns; image and label of a subject have the same file name up to the ending.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldersSource {
    /// A glob pattern of image files, or a list of patterns, one per channel.
    pub images: Patterns,
    /// A glob pattern of label files.
    pub labels: String,
}

/// One glob pattern, or several.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Patterns(pub Vec<String>);

impl<'de> Deserialize<'de> for Patterns {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PatternsVisitor;
        impl<'de> serde::de::Visitor<'de> for PatternsVisitor {
            type Value = Patterns;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a glob pattern or a list of them, one per channel")
            }
            fn visit_str<E: serde::de::Error>(self, pattern: &str) -> Result<Patterns, E> {
                Ok(Patterns(vec![pattern.to_owned()]))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<Patterns, A::Error> {
                Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(seq)).map(Patterns)
            }
        }
        deserializer.deserialize_any(PatternsVisitor)
    }
}

impl JsonSchema for Patterns {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Patterns".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A glob pattern, or a list of them, one per channel.",
            "oneOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 }
            ]
        })
    }
}

/// A CSV table with a header: `subject`, `image` (further channels `image_2`, `image_3`, …) and `label`; paths are relative to the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableSource {
    /// The CSV file.
    pub file: PathBuf,
}

/// What a source holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Every subject, in sorted order of their names.
    pub subjects: Vec<Subject>,
    /// The name of each label, where the source states it; 0 is the background.
    pub label_names: Option<BTreeMap<Label, String>>,
    /// Synthetic subjects that [`phantom::ensure`] has yet to make in the given folder.
    pub phantom: Option<(PhantomSource, PathBuf)>,
}

/// Why subjects cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file or folder cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// `dataset.json` is not what it should be.
    #[error("{path}: {reason}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Expected and got.
        reason: String,
    },
    /// Files that a source names do not exist.
    #[error("{listed_in}: {count} of the files it names do not exist, such as {examples}", listed_in = listed_in.display(), count = missing.len(), examples = examples(missing))]
    Missing {
        /// What names them.
        listed_in: PathBuf,
        /// The files.
        missing: Vec<PathBuf>,
    },
    /// A pattern is malformed or finds nothing.
    #[error("pattern {pattern}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        reason: String,
    },
    /// A subject lacks a channel or its label.
    #[error("subject {subject} ({file}): {reason}", file = file.display())]
    Incomplete {
        /// Its name.
        subject: String,
        /// Its first image.
        file: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The table is not what it should be.
    #[error("{path}: line {line}: {reason}", path = path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// Expected and got.
        reason: String,
    },
    /// Two subjects have the same name.
    #[error("two subjects are called {name}: {first} and {second}; rename one of the files", first = first.display(), second = second.display())]
    Repeated {
        /// The name.
        name: String,
        /// The first image of one.
        first: PathBuf,
        /// The first image of the other.
        second: PathBuf,
    },
    /// A name cannot be that of a file.
    #[error("subject {name:?} ({file}): a name must not be empty, longer than 200 bytes, start with a dot or contain a slash or a control character", file = file.display())]
    Name {
        /// The name.
        name: String,
        /// Its first image.
        file: PathBuf,
    },
    /// There are no subjects.
    #[error("{source_name}: there is no subject in it", source_name = source_name.display())]
    Empty {
        /// The folder or file.
        source_name: PathBuf,
    },
}

fn examples(missing: &[PathBuf]) -> String {
    missing.iter().take(3).map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Lists the subjects of a source, without reading a voxel; phantoms lie below `cache_dir` and need not exist yet.
///
/// # Errors
/// When files are missing, names repeat, or a table or `dataset.json` is malformed.
pub fn list(source: &Source, cache_dir: &Path) -> Result<Listing, DatasetError> {
    let mut listing = match source {
        Source::Msd(msd) => msd::list(&msd.root)?,
        Source::Folders(folders) => folders::list(folders)?,
        Source::Table(table) => table::list(&table.file)?,
        Source::Phantom(phantom) => phantom::list(phantom, cache_dir),
    };
    listing.subjects.sort_by(|a, b| a.name.cmp(&b.name));
    for subject in &listing.subjects {
        // Predictions are written under this name.
        if !is_file_name(&subject.name) {
            return Err(DatasetError::Name { name: subject.name.clone(), file: subject.images[0].clone() });
        }
    }
    if let Some(pair) = listing.subjects.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let [first, second] = [0, 1].map(|i| pair[i].images[0].clone());
        return Err(DatasetError::Repeated { name: pair[0].name.clone(), first, second });
    }
    Ok(listing)
}

/// Returns a case name without the channel suffix of nnU-Net, such as `_0001`.
fn without_channel(case: &str) -> &str {
    match case.rsplit_once('_') {
        Some((name, suffix)) if suffix.len() == 4 && suffix.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => case,
    }
}

/// Fails where a file of a subject does not exist, naming all that are missing.
fn require_files(listed_in: &Path, subjects: &[Subject]) -> Result<(), DatasetError> {
    let files = subjects.iter().flat_map(|subject| subject.images.iter().chain(&subject.label));
    let missing: Vec<PathBuf> = files.filter(|path| !path.is_file()).cloned().collect();
    if missing.is_empty() { Ok(()) } else { Err(DatasetError::Missing { listed_in: listed_in.to_owned(), missing }) }
}

#[cfg(test)]
mod tests;
