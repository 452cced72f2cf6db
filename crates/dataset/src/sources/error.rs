//! Why the subjects of a source cannot be listed.

use std::path::{Path, PathBuf};

/// Why subjects cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file or folder cannot be read.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// `dataset.json` is malformed.
    #[error("{path}: {reason}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// A pattern is malformed or matches no file.
    #[error("pattern {pattern}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
        /// How to fix it.
        help: String,
    },
    /// No image and label map belong together by their names.
    #[error("no image and label map have the same name: images are named like {images}, label maps like {label}", images = listed(images), label = label.display())]
    Unpaired {
        /// An image of each channel.
        images: Vec<PathBuf>,
        /// A label map.
        label: PathBuf,
    },
    /// The table is malformed.
    #[error("{path}: line {line}: {reason}", path = path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
        /// What was expected and what was found.
        reason: String,
    },
    /// Two subjects have the same name.
    #[error("two subjects have the name {name}: {first} and {second}", first = first.display(), second = second.display())]
    Repeated {
        /// The name.
        name: String,
        /// The first image of one.
        first: PathBuf,
        /// The first image of the other.
        second: PathBuf,
    },
    /// A subject's name is no valid file name.
    #[error("subject {name:?} ({file}): a name must not be empty, longer than 200 bytes, start with a dot or contain a slash or a control character", file = file.display())]
    Name {
        /// The name.
        name: String,
        /// Its first image.
        file: PathBuf,
    },
    /// There are no subjects.
    #[error("{source_name}: {reason}", source_name = source_name.display())]
    Empty {
        /// The folder or file.
        source_name: PathBuf,
        /// What was looked for.
        reason: String,
    },
}

impl DatasetError {
    /// Returns how to fix it.
    pub fn help(&self) -> String {
        match self {
            Self::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound && path.is_relative() => {
                "paths are relative to the working folder".to_owned()
            }
            Self::Io { .. } => "check the path and its permissions".to_owned(),
            Self::Json { path, .. } => format!("correct {}", path.display()),
            Self::Pattern { help, .. } => help.clone(),
            Self::Unpaired { .. } => "give the image and the label map of a subject the same file name, or the same text \
                in place of the patterns' `*`; `source: { table: { file: cases.csv } }` takes files of any names, listed \
                in the columns subject, image and label"
                .to_owned(),
            Self::Table { .. } => {
                "a table has the columns subject, image (image_2, image_3, … for further channels) and label; paths are \
                 relative to the table"
                    .to_owned()
            }
            Self::Repeated { .. } => "rename one of the files, or remove it; a `table` with a column `subject` gives \
                subjects names of their own"
                .to_owned(),
            Self::Name { .. } => "rename the file, or name the subject in a `table`".to_owned(),
            Self::Empty { .. } => "check the path and the names of the files".to_owned(),
        }
    }
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ")
}

/// Describes a file that does not exist; a link is named with its target.
pub(super) fn missing(path: &Path) -> String {
    match std::fs::read_link(path) {
        Ok(target) => format!("{} is a link to {}, which does not exist", path.display(), target.display()),
        Err(_) => format!("{} does not exist", path.display()),
    }
}
